"""Checksums in headers: base64 or hex, right or refused."""

from __future__ import annotations

import base64
import hashlib

import pytest

from deriva_local.objects.checksums import Checksums, Hashing, announced
from deriva_local.wire.errors import Refusal

MD5 = hashlib.md5(b"x").digest()
SHA256 = hashlib.sha256(b"x").digest()


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, Checksums()),
        ({"content-md5": base64.b64encode(MD5).decode()}, Checksums(MD5)),
        ({"content-md5": MD5.hex()}, Checksums(MD5)),
        ({"content-md5": MD5.hex().upper()}, Checksums(MD5)),
        ({"content-sha256": base64.b64encode(SHA256).decode()}, Checksums(None, SHA256)),
        ({"content-md5": MD5.hex(), "content-sha256": SHA256.hex()}, Checksums(MD5, SHA256)),
        ({"content-md5": ""}, Checksums()),
        ({"content-md5": None}, Checksums()),
    ],
)
def test_read(fields: dict[str, object], expected: Checksums) -> None:
    assert announced(fields) == expected


@pytest.mark.parametrize(
    "text", ["x", "zz" * 16, base64.b64encode(b"short").decode(), SHA256.hex(), 12, "ab " * 10 + "ab"]
)
def test_what_is_no_md5(text: object) -> None:
    with pytest.raises(Refusal) as refused:
        announced({"content-md5": text})
    assert refused.value.status == 400


def test_both_in_one_pass() -> None:
    hashing = Hashing()
    hashing.update(b"x")
    assert hashing.checksums() == Checksums(MD5, SHA256)


def test_only_what_was_announced_is_compared() -> None:
    found = Checksums(MD5, SHA256)
    assert Checksums().differences(found) == []
    assert Checksums(MD5).differences(found) == []
    assert len(Checksums(b"0" * 16, b"0" * 32).differences(found)) == 2
