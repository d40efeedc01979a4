"""Regular expressions of the database's dialect, as Python matches them.

Floor 1, pure. POSIX classes and the word boundaries ``\\y \\m \\M`` are translated; the rest of the two dialects
agrees wherever only "does it match" is asked.
"""

from __future__ import annotations

import re
from functools import lru_cache

from deriva_local.wire.errors import bad_request

_CLASSES = {
    "alnum": r"a-zA-Z0-9À-ÖØ-öø-ÿ",
    "alpha": r"a-zA-ZÀ-ÖØ-öø-ÿ",
    "blank": r" \t",
    "cntrl": r"\x00-\x1f\x7f",
    "digit": r"\d",
    "graph": r"\x21-\x7e",
    "lower": r"a-zß-öø-ÿ",
    "print": r"\x20-\x7e",
    "punct": r"!-/:-@\[-`{-~",
    "space": r"\s",
    "upper": r"A-ZÀ-ÖØ-Þ",
    "xdigit": r"0-9A-Fa-f",
    "word": r"\w",
}
_CLASS = re.compile(r"\[:(\w+):\]")
_WORD_EDGES = {"y": r"\b", "m": r"\b(?=\w)", "M": r"\b(?<=\w)", "Y": r"\B"}
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)


@lru_cache(maxsize=256)
def compiled(pattern: str, ignore_case: bool) -> re.Pattern[str]:
    """Return the pattern, compiled.

    Raises:
        re.error: it is no regular expression.
    """
    classes = _CLASS.sub(lambda found: _CLASSES.get(found[1], found[0]), pattern)
    translated = _ESCAPE.sub(lambda found: _WORD_EDGES.get(found[1], found[0]), classes)
    return re.compile(translated, re.IGNORECASE if ignore_case else 0)


def check_pattern(pattern: str, ignore_case: bool) -> None:
    """Let a regular expression pass.

    Raises:
        Refusal: 400 when it is none.
    """
    try:
        compiled(pattern, ignore_case)
    except (re.error, OverflowError, RecursionError) as bad:
        raise bad_request(f"'{pattern}' is not a regular expression: {bad}.") from None


_SPECIAL = frozenset("\\.[]{}()*+?^$|")
_LONGEST_LITERAL = 1000


def literal_of(pattern: str, ignore_case: bool) -> str | None:
    """Return the text that a pattern looks for, if it is plain text that SQLite itself can look for, else None.

    SQLite knows the two cases of ASCII letters only.
    """
    if len(pattern) > _LONGEST_LITERAL or not _SPECIAL.isdisjoint(pattern) or (ignore_case and not pattern.isascii()):
        return None
    return pattern


def like(text: str) -> str:
    """Return the pattern of ``LIKE … ESCAPE '!'`` that finds a text anywhere.

    Example:
        >>> like("5%")
        '%5!%%'
    """
    return "%" + re.sub("[!%_]", r"!\g<0>", text) + "%"
