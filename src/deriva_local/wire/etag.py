"""Entity tags, and what a request's preconditions say to the state it meets.

Floor 1, pure. A tag names everything that a response depends on: who asks, the form asked for, the moment of the data
or of the model, and the alias under which the catalog was addressed.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Mapping
from functools import lru_cache

_TAG = re.compile(r'\s*(?:(\*)|(?:W/)?"([^"]*)")\s*(?:,|\Z)')
READING = frozenset({"GET", "HEAD"})


def build(roles: Collection[str], accept: str | None, moment: str, alias: str | None = None) -> str:
    """Return the tag of a response, with its quotes.

    ``accept`` is the Accept header that chose among several forms, None where there is only one. ``moment`` is the
    text of the snaptime, with the amendment version where one counts.

    Example:
        >>> build({"*"}, None, "2-X").endswith(';*;2-X"')
        True
    """
    form = "*" if accept is None else accept.replace('"', "'")
    return f'"{_roles_hash(frozenset(roles))};{form};{moment}{"" if alias is None else "-" + alias}"'


def matches(header: str, tag: str | None) -> bool:
    """Say whether the list of tags in an If-Match or If-None-Match header names ``tag``.

    ``*`` names every tag but that of something absent, which is None. Weak tags and those with the ``-gzip`` that
    some proxies append count as the tag they stand for.
    """
    if tag is None:
        return False
    wanted = tag.strip('"')
    return any(star or given.removesuffix("-gzip") == wanted for star, given in _TAG.findall(header))


def refused(method: str, headers: Mapping[str, str], tag: str | None) -> int | None:
    """Return the status with which the preconditions of a request stop it, or None if it may go on.

    ``headers`` have lower-case names. A read that fails answers 304, everything else 412. ``tag`` is None for what
    does not exist.

    Example:
        >>> refused("GET", {"if-none-match": '"a", "b-gzip"'}, '"b"')
        304
    """
    if_match, if_none_match = headers.get("if-match"), headers.get("if-none-match")
    stale = if_match is not None and not matches(if_match, tag)
    known = if_none_match is not None and matches(if_none_match, tag)
    if not stale and not known:
        return None
    return 304 if method in READING else 412


@lru_cache(maxsize=64)
def _roles_hash(roles: frozenset[str]) -> str:
    return hashlib.md5("\n".join(sorted(roles)).encode(), usedforsecurity=False).hexdigest()
