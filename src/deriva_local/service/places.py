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
    try:
        parts = urlsplit(wanted)
    except ValueError:
        return None
    found = f"{parts.scheme}://{parts.netloc}".lower()
    return wanted if origin and found == origin.lower() else None
