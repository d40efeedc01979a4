"""The head of an HTTP request, read as strictly as those in front of us may read it.

A proxy and a server that understand one message in two ways let a caller hide a second one in it. So whatever could
be understood in two ways is refused: a length that is said twice or is no plain number, a length beside chunks, a line
that goes on in the next one, a name with a blank behind it, characters that no field has.

A law: lines in, fields out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from cheroot.server import HeaderReader

MOST_LINES = 200
LONGEST_HEAD = 1024 * 1024
"""How many bytes an address with all header fields may have: filters may name thousands of RIDs."""

_FIELD = re.compile(rb"([!#$%&'*+.^`|~0-9A-Za-z_-]+):[ \t]*([^\x00-\x08\x0a-\x1f\x7f]*?)[ \t]*\r\n")
_LENGTH = re.compile(rb"\d{1,18}")
_ONCE = frozenset({b"Authorization", b"Content-Length", b"Content-Type", b"Host", b"Origin", b"Transfer-Encoding"})


def fields(lines: Iterable[bytes]) -> dict[bytes, bytes]:
    """Return the header fields in these lines, the last of which is empty; names are in title case.

    A field that comes several times is joined. One whose name has an underscore is left out: to a program behind us
    it looks as if it had a hyphen, which a proxy in front of us did not see.

    Raises:
        ValueError: they cannot be understood in one way only; the message is for the sender.

    Example:
        >>> fields([b"Host: lab\\r\\n", b"accept:a\\r\\n", b"Accept: b\\r\\n", b"\\r\\n"])
        {b'Host': b'lab', b'Accept': b'a, b'}
    """
    found: dict[bytes, bytes] = {}
    for number, line in enumerate(lines):
        if line == b"\r\n":
            return _checked(found)
        field = _FIELD.fullmatch(line)
        if field is None or number >= MOST_LINES:
            raise ValueError("A header field is malformed." if field is None else "Too many header fields.")
        _add(found, field[1].title(), field[2])
    raise ValueError("The head of the request is not complete.")


def _add(found: dict[bytes, bytes], name: bytes, text: bytes) -> None:
    if b"_" in name:
        return
    if name not in found:
        found[name] = text
    elif name in _ONCE:
        raise ValueError(f"The field {name.decode()} comes twice.")
    else:
        found[name] += (b"; " if name == b"Cookie" else b", ") + text


def _checked(found: dict[bytes, bytes]) -> dict[bytes, bytes]:
    length = found.get(b"Content-Length")
    if length is not None and b"Transfer-Encoding" in found:
        raise ValueError("Content-Length and Transfer-Encoding do not go together.")
    if length is not None and not _LENGTH.fullmatch(length):
        raise ValueError("Content-Length must be a number of bytes.")
    return found


class StrictReader(HeaderReader):
    """Reads header fields for the HTTP server."""

    def __call__(self, rfile, hdict=None):  # type: ignore[no-untyped-def]  # as the server declares it
        found = {} if hdict is None else hdict
        found.update(fields(iter(rfile.readline, b"")))
        return found
