"""Regular expressions of the database's dialect, as Python matches them.

Floor 1, pure. POSIX classes and the word boundaries ``\\y \\m \\M`` are translated; the rest of the two dialects
agrees wherever only "does it match" is asked.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from functools import lru_cache

from deriva_local.query import patience
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


@dataclass(frozen=True, slots=True)
class Finder:
    """A regular expression, ready to search.

    Python's own matcher is quick and cannot be stopped: it gets texts of up to ``longest`` characters, for which it
    needs some milliseconds at worst. Longer ones go to a matcher with a time limit, which other threads need not
    wait for.
    """

    quick: re.Pattern[str]
    longest: int

    def finds(self, text: str) -> bool:
        """Tell whether the expression is found in the text.

        Raises:
            Refusal: 400 when that takes too long.
        """
        if len(text) <= self.longest:
            return self.quick.search(text) is not None
        return patience.finds(self.quick.pattern, bool(self.quick.flags & re.IGNORECASE), text)


_STEPS = 1_000_000
"""How many attempts at one text are nothing to worry about."""

_REPEATS = re.compile(r"[*+?{|]")
_REPEATED_GROUP = re.compile(r"\)[*+{]|\\[1-9]")


@lru_cache(maxsize=256)
def finder(pattern: str, ignore_case: bool) -> Finder:
    """Return the pattern, ready to search."""
    return Finder(compiled(pattern, ignore_case), harmless(pattern))


def harmless(pattern: str) -> int:
    """Return the length of the texts in which a search for the pattern ends soon, whatever is in them.

    Each repetition may begin and end anywhere; repeated groups and references to them have no such bound.

    Example:
        >>> harmless("k99"), harmless("a.*b"), harmless("a.*b.*c"), harmless("(a+)+b")
        (1000000, 1000, 100, 0)
    """
    if _REPEATED_GROUP.search(pattern):
        return 0
    return int(math.pow(_STEPS, 1 / (1 + len(_REPEATS.findall(pattern)))) + 0.5)


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
