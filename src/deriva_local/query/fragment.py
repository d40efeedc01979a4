"""A piece of SQL that carries its parameters, so that text and values cannot get out of step.

Floor 1, pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import Enum
from typing import Literal, NamedTuple, TypeAlias

from deriva_local.wire.types import SQLiteValue


class Late(Enum):
    """A parameter that is only known when the statement runs."""

    MOMENT = "the moment of the snapshot that is read"


Parameter: TypeAlias = SQLiteValue | Literal[Late.MOMENT]


class Sql(NamedTuple):
    """Text with its parameters in order; the text has a ``?`` for each."""

    text: str
    params: tuple[Parameter, ...] = ()

    def within(self, template: str) -> Sql:
        """Return the fragment in place of each ``{0}`` of a template, however often it occurs.

        Example:
            >>> Sql("a = ?", (1,)).within("({0}) OR ({0})")
            Sql(text='(a = ?) OR (a = ?)', params=(1, 1))
        """
        if not self.params:
            return Sql(template.replace("{0}", self.text))
        return Sql(template.replace("{0}", self.text), self.params * template.count("{0}"))


def joined(separator: str, parts: Iterable[Sql]) -> Sql:
    """Return the fragments one after the other with ``separator`` between them."""
    parts = list(parts)
    return Sql(separator.join([part.text for part in parts]), tuple([each for part in parts for each in part.params]))


def all_of(parts: Sequence[Sql]) -> Sql:
    """Return the conjunction; of nothing, what is always true."""
    return _balanced(parts, " AND ") if parts else Sql("1")


def any_of(parts: Sequence[Sql]) -> Sql:
    """Return the disjunction; of nothing, what is never true."""
    return _balanced(parts, " OR ") if parts else Sql("0")


def _balanced(parts: Sequence[Sql], word: str) -> Sql:
    """Join conditions; long lists as a tree, because SQLite limits how deep an expression may be."""
    if len(parts) == 1:
        return parts[0]
    if len(parts) > 100:
        middle = len(parts) // 2
        parts = [_balanced(parts[:middle], word), _balanced(parts[middle:], word)]
    return joined(word, parts).within("({0})")
