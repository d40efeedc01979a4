"""What a Hatrac address says: the name of a namespace or object, a version of it, and the part that is meant.

A law: text in, values out. Names are kept percent-encoded in one canonical spelling, so that two spellings of one
name are one name and a name never becomes part of a file's path.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal, TypeAlias, get_args
from urllib.parse import parse_qsl, quote, unquote_to_bytes

from deriva_local.wire.errors import bad_request, not_found

PREFIX = "/hatrac"

Part: TypeAlias = Literal["self", "versions", "metadata", "acl", "upload"]
_DEEPEST = {"versions": 0, "metadata": 1, "acl": 2, "upload": 2}
_SEGMENT = re.compile(r"(?:[A-Za-z0-9\-._~]|%[0-9A-Fa-f]{2})+")
_STEP = re.compile(r"[/\\]")
"""What separates the folders in the name of a file, on one system or another."""


@dataclass(frozen=True, slots=True)
class HatracAddress:
    """``/hatrac/ns/name[:version][;part[/word[/word]]][?options]``.

    ``name`` is canonical and begins with a slash; the root is ``""``. ``words`` are the decoded words after the part.

    Example:
        >>> address = parse("/hatrac/images/a%20b.png:5KQ;metadata/content-type")
        >>> address.name, address.version, address.part, address.words
        ('/images/a%20b.png', '5KQ', 'metadata', ('content-type',))
    """

    name: str
    version: str | None = None
    part: Part = "self"
    words: tuple[str, ...] = ()
    options: dict[str, str] = field(default_factory=dict)

    @property
    def parent(self) -> str:
        """Return the name of the namespace above."""
        return self.name.rpartition("/")[0]


def parse(target: str) -> HatracAddress:
    """Read a raw target below ``/hatrac``.

    Raises:
        Refusal: 400 a name with characters that are neither unreserved nor percent-encoded, or an empty one;
            404 an unknown part after ``;``.
    """
    path, _, query = target.partition("?")
    place, _, suffix = path.removeprefix(PREFIX).partition(";")
    name, version = _place(place.removesuffix("/"))
    part, words = _part(suffix.removesuffix("/")) if suffix else ("self", ())
    return HatracAddress(name, version, part, words, dict(parse_qsl(query, keep_blank_values=True)))


def _place(text: str) -> tuple[str, str | None]:
    if not text:
        return "", None
    head, _, last = text.rpartition("/")
    base, colon, version = last.partition(":")
    if colon and not version:
        raise bad_request("A version is missing after ':'.")
    segments = [*head.split("/")[1:], base]
    return "".join("/" + _canonical(segment) for segment in segments), _canonical(version) if colon else None


def _canonical(segment: str) -> str:
    """Spell one part of a name the one way: unreserved characters as they are, all others percent-encoded."""
    if not _SEGMENT.fullmatch(segment):
        raise bad_request(
            f"{segment!r} is no name: use letters, digits and -._~, and percent-encode every other character."
        )
    decoded = _decoded(segment)
    if "\0" in decoded or {".", ".."}.intersection(_STEP.split(decoded)):
        raise bad_request(f"{segment!r} cannot be a name: it may lead elsewhere where somebody makes a file of it.")
    return quote(decoded, safe="")


def _part(suffix: str) -> tuple[Part, tuple[str, ...]]:
    word, *words = suffix.split("/")
    if word not in get_args(Part)[1:] or len(words) > _DEEPEST[word]:
        raise not_found(f"An address has no part {';' + suffix!r}.")
    return word, tuple(_decoded(text) for text in words)  # type: ignore[return-value]  # checked on the line above


def _decoded(text: str) -> str:
    try:
        return unquote_to_bytes(text).decode()
    except UnicodeDecodeError as error:
        raise bad_request(f"{text!r} is not UTF-8 when decoded.") from error


def file_name(name: str) -> str:
    """Return what a file with the content of an object is called: the last part of its name, percent-encoded.

    Example:
        >>> file_name("/images/a%2Fb.png")
        'b.png'
    """
    parts = [part for part in _STEP.split(_decoded(name.rpartition("/")[2])) if part]
    return quote(parts[-1] if parts else "content", safe="")


def url_of(name: str, version: str | None = None) -> str:
    """Return the address of a namespace, an object or a version.

    Example:
        >>> url_of("/images/x.png", "5KQ")
        '/hatrac/images/x.png:5KQ'
    """
    return PREFIX + name + (f":{version}" if version else "")
