"""Where a browser may be sent: to places of the origin that it asked, and nowhere else."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

_PLAIN = re.compile(r"[!-\[\]-~]+")
"""Printable ASCII without a backslash, which browsers take for a slash."""


def own_place(wanted: str, origin: str) -> str | None:
    """Return ``wanted`` as a place of ``origin`` (``https://host:port``); None where it leads, or may lead, elsewhere.

    Example:
        >>> own_place("/chaise/?a=b#c", "https://lab"), own_place("https://lab/x", "https://lab")
        ('/chaise/?a=b#c', 'https://lab/x')
        >>> own_place("https://evil/x", "https://lab"), own_place("//evil/x", "https://lab")
        (None, None)
    """
    if not _PLAIN.fullmatch(wanted):
        return None
    if wanted.startswith("/"):
        return None if wanted.startswith("//") else wanted
    return wanted if origin and origin_of(wanted) == origin_of(origin) else None


def origin_of(address: str) -> str | None:
    """Return scheme, name and port of an address as browsers compare them; None where it has none.

    Example:
        >>> origin_of("HTTPS://Lab.example:443/x"), origin_of("http://lab:8080"), origin_of("null")
        ('https://lab.example', 'http://lab:8080', None)
    """
    try:
        parts = urlsplit(address.lower())
        port = parts.port
    except ValueError:
        return None
    if not parts.scheme or not parts.netloc or "@" in parts.netloc:
        return None
    name = parts.netloc if port is None else parts.netloc.removesuffix(f":{port}")
    is_usual = port is None or (parts.scheme, port) in (("http", 80), ("https", 443))
    return f"{parts.scheme}://{name.removesuffix(':')}" + ("" if is_usual else f":{port}")
