"""Array literals such as ``{1,"a b",NULL}``, as CSV cells and patterns see arrays.

Floor 1, pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_ELEMENT = re.compile(r'\s*(?:"((?:[^"\\]|\\.)*)"|([^{}",\\]*(?:\\.[^{}",\\]*)*))\s*([,}])', re.DOTALL)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_NEEDS_QUOTES = re.compile(r'[{}",\\\s]')


def read_literal(text: str) -> list[str | None]:
    """Return the elements of a one-dimensional array literal; an unquoted NULL is None.

    Raises:
        ValueError: ``text`` is not such a literal.

    Example:
        >>> read_literal('{1,"a, b",NULL,"NULL"}')
        ['1', 'a, b', None, 'NULL']
    """
    stripped = text.strip()
    if not stripped.startswith("{") or not stripped.endswith("}"):
        raise ValueError(f"'{text}' is not an array literal: it must stand in braces.")
    if not stripped[1:-1].strip():
        return []
    elements: list[str | None] = []
    position, separator = 1, ","
    while separator == ",":
        found = _ELEMENT.match(stripped, position)
        if found is None:
            raise ValueError(f"'{text}' is not a one-dimensional array literal.")
        elements.append(_element(text, found[1], found[2]))
        position, separator = found.end(), found[3]
    if position != len(stripped):
        raise ValueError(f"'{text}' goes on after the end of its array literal.")
    return elements


def write_literal(elements: Iterable[str | None]) -> str:
    """Return the array literal of the elements' texts.

    Example:
        >>> write_literal(["1", "a, b", None, "NULL", ""])
        '{1,"a, b",NULL,"NULL",""}'
    """
    return "{" + ",".join(map(_quoted, elements)) + "}"


def _element(literal: str, quoted: str | None, bare: str | None) -> str | None:
    if quoted is not None:
        return _ESCAPE.sub(r"\1", quoted)
    word = (bare or "").strip()
    if not word:
        raise ValueError(f"'{literal}' has an empty element: write it as \"\".")
    return None if word.upper() == "NULL" else _ESCAPE.sub(r"\1", word)


def _quoted(element: str | None) -> str:
    if element is None:
        return "NULL"
    if element and element.upper() != "NULL" and not _NEEDS_QUOTES.search(element):
        return element
    return '"' + element.replace("\\", "\\\\").replace('"', '\\"') + '"'
