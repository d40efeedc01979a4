"""MD5 and SHA-256 of a content: computed in one pass, and read from headers in base64 or hex.

A law: bytes in, values out.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from deriva_local.wire.errors import bad_request

SIZES = {"md5": 16, "sha256": 32}


@dataclass(frozen=True, slots=True)
class Checksums:
    """What a content should be, as far as the sender said; or what it is, when both digests are there."""

    md5: bytes | None = None
    sha256: bytes | None = None

    def differences(self, found: Checksums) -> list[str]:
        """Return which of the checksums given here ``found`` does not have, each as a sentence."""
        pairs = (("MD5", self.md5, found.md5), ("SHA-256", self.sha256, found.sha256))
        return [
            f"The {name} of the content is {encoded(found_one)}, not {encoded(given)} as announced."
            for name, given, found_one in pairs
            if given is not None and found_one is not None and given != found_one
        ]


class Hashing:
    """Both digests of bytes that pass by."""

    def __init__(self) -> None:
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._sha256 = hashlib.sha256()

    def update(self, block: bytes | memoryview) -> None:
        self._md5.update(block)
        self._sha256.update(block)

    def checksums(self) -> Checksums:
        return Checksums(self._md5.digest(), self._sha256.digest())


def announced(fields: Mapping[str, object]) -> Checksums:
    """Read ``content-md5`` and ``content-sha256`` from headers or a job document (names in lower case).

    Raises:
        Refusal: 400 a value that is neither the base64 nor the hex of such a digest.
    """
    return Checksums(_read("md5", fields.get("content-md5")), _read("sha256", fields.get("content-sha256")))


def _read(kind: str, text: object) -> bytes | None:
    if text is None or text == "":
        return None
    digest = decoded(kind, text) if isinstance(text, str) else None
    if digest is None:
        raise bad_request(f"content-{kind} must be the base64 or the hex of {SIZES[kind]} bytes, not {text!r}.")
    return digest


def decoded(kind: str, text: str) -> bytes | None:
    """Return the digest that ``text`` spells in hex or base64; None where it spells none."""
    text = text.strip()
    try:
        digest = bytes.fromhex(text) if len(text) == 2 * SIZES[kind] else base64.b64decode(text, validate=True)
    except ValueError:
        return None
    return digest if len(digest) == SIZES[kind] else None


def encoded(digest: bytes | None) -> str:
    """Return a digest in base64, as headers carry it; ``""`` for none."""
    return base64.b64encode(digest or b"").decode()
