"""Which bytes of a content a ``Range`` header asks for.

A law: text in, values out.
"""

from __future__ import annotations

import re

from deriva_local.wire.errors import Refusal, not_offered

_ONE = re.compile(r"\s*(\d*)\s*-\s*(\d*)\s*", re.ASCII)
_MOST_DIGITS = 30


def wanted(header: str, length: int) -> tuple[int, int] | None:
    """Return (offset, length) of the single range in ``header``; None where the whole content is meant.

    A header that is no range of bytes at all is ignored, as HTTP asks, and so is one that names every byte.

    Raises:
        Refusal: 416 the range lies outside of the content, 501 several ranges.

    Example:
        >>> wanted("bytes=2-4", 10), wanted("bytes=-3", 10), wanted("bytes=0-", 10), wanted("pages=1", 10)
        ((2, 3), (7, 3), None, None)
    """
    unit, _, listed = header.partition("=")
    parts = [_ONE.fullmatch(part) for part in listed.split(",")]
    if unit.strip().lower() != "bytes" or not all(part and (part[1] or part[2]) for part in parts):
        return None
    if len(parts) > 1:
        raise not_offered("One range of bytes at a time.")
    first, last = (parts[0][1], parts[0][2]) if parts[0] else ("", "")
    if first and last and _number(last) < _number(first):
        return None
    offset, end = _bounds(first, last, length)
    if offset >= end:
        raise Refusal(416, f"The content has {length} bytes.", {"Content-Range": f"bytes */{length}"})
    return None if (offset, end) == (0, length) else (offset, end - offset)


def _bounds(first: str, last: str, length: int) -> tuple[int, int]:
    if not first:
        return max(0, length - _number(last)), length
    return _number(first), min(length, _number(last) + 1) if last else length


def _number(digits: str) -> int:
    """Return the number; one that is longer than any content's is as good as any other such."""
    digits = digits.lstrip("0") or "0"
    return int(digits) if len(digits) <= _MOST_DIGITS else 10**_MOST_DIGITS
