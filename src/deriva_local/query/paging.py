"""Pages: the order of the rows, and the predicate of what lies before or after a page key.

Floor 1, pure. Ascending order has NULL last, descending order has NULL first: NULL counts as the largest value.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from deriva_local.query.fragment import Sql, all_of, any_of, joined
from deriva_local.wire.types import SQLiteValue


class SortTerm(NamedTuple):
    """One key of the order: its expression with its collation, and whether it can be NULL at all."""

    expression: Sql
    descending: bool
    nullable: bool


def order_by(terms: Sequence[SortTerm], reverse: bool = False) -> Sql:
    """Return the terms of ORDER BY; where no NULL can be, none is mentioned, so that an index may serve."""
    return joined(", ", [term.expression.within("{0}" + _direction(term, reverse)) for term in terms])


def _direction(term: SortTerm, reverse: bool) -> str:
    if term.descending != reverse:
        return " DESC NULLS FIRST" if term.nullable else " DESC"
    return " ASC NULLS LAST" if term.nullable else " ASC"


def behind(terms: Sequence[SortTerm], key: Sequence[SQLiteValue]) -> Sql:
    """Return the predicate of what comes strictly after a page key."""
    return _beyond(terms, key, before=False)


def ahead(terms: Sequence[SortTerm], key: Sequence[SQLiteValue]) -> Sql:
    """Return the predicate of what comes strictly before a page key."""
    return _beyond(terms, key, before=True)


def _beyond(terms: Sequence[SortTerm], key: Sequence[SQLiteValue], before: bool) -> Sql:
    directions = {term.descending for term in terms}
    if len(directions) == 1 and None not in key and not any(term.nullable for term in terms):
        sign = "<" if directions.pop() != before else ">"
        row = joined(", ", [term.expression for term in terms])
        return joined(f" {sign} ", [row.within("({0})"), Sql(f"({', '.join('?' * len(key))})", tuple(key))])
    steps = []
    for position, (term, value) in enumerate(zip(terms, key, strict=True)):
        same = [_equal(*pair) for pair in zip(terms[:position], key[:position], strict=True)]
        steps.append(all_of([*same, _strictly(term, value, term.descending != before)]))
    return any_of(steps)


def _equal(term: SortTerm, value: SQLiteValue) -> Sql:
    return joined(" IS ", [term.expression, Sql("?", (value,))])


def _strictly(term: SortTerm, value: SQLiteValue, downwards: bool) -> Sql:
    """Return that the expression lies below the value (``downwards``) or above it, NULL being the largest."""
    if value is None:
        return term.expression.within("{0} IS NOT NULL") if downwards else Sql("0")
    beyond = joined(" < " if downwards else " > ", [term.expression, Sql("?", (value,))])
    if downwards or not term.nullable:
        return beyond
    return any_of([beyond, term.expression.within("{0} IS NULL")])
