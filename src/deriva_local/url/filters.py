"""Columns and filters of an address: ``RID=1-ABC``, ``(a::gt::5;b=any(x,y))&!c::null::``.

Floor 1, pure.
"""

from __future__ import annotations

from deriva_local.url.ast import OPERATORS, AllOf, And, AnyOf, ColumnRef, Filter, Not, Operator, Or, Predicate
from deriva_local.url.cursor import Cursor

_OPERATORS: dict[str, Operator] = {name: name for name in OPERATORS}  # type: ignore[misc]
_QUANTIFIERS = ("any", "all")


def parse_column(cursor: Cursor) -> ColumnRef:
    """Read one to three names."""
    first = cursor.name()
    if not cursor.take(":"):
        return ColumnRef((first,))
    second = cursor.name()
    if not cursor.take(":"):
        return ColumnRef((first, second))
    return ColumnRef((first, second, cursor.name()))


def parse_filter(cursor: Cursor) -> Filter:
    """Read a filter: alternatives by ``;`` of conjunctions by ``&``."""
    parts = cursor.listed(lambda: _conjunction(cursor), ";")
    return parts[0] if len(parts) == 1 else Or(parts)


def parse_filter_from(cursor: Cursor, column: ColumnRef) -> Filter:
    """Read the rest of a filter whose first column has been read already."""
    first: list[Filter] = [_comparison(cursor, column)]
    while cursor.take("&"):
        first.append(_negatable(cursor))
    start: Filter = first[0] if len(first) == 1 else And(tuple(first))
    if not cursor.take(";"):
        return start
    return Or((start, *cursor.listed(lambda: _conjunction(cursor), ";")))


def _conjunction(cursor: Cursor) -> Filter:
    parts = cursor.listed(lambda: _negatable(cursor), "&")
    return parts[0] if len(parts) == 1 else And(parts)


def _negatable(cursor: Cursor) -> Filter:
    return Not(_predicate(cursor)) if cursor.take("!") else _predicate(cursor)


def _predicate(cursor: Cursor) -> Filter:
    if cursor.take("("):
        return cursor.inside(lambda: parse_filter(cursor))
    return _comparison(cursor, parse_column(cursor))


def _comparison(cursor: Cursor, column: ColumnRef) -> Predicate:
    if cursor.take("="):
        return Predicate(column, "=", _right_side(cursor))
    if not cursor.take("::"):
        raise cursor.refuse("an operator such as = or ::gt::")
    operator = _OPERATORS.get(cursor.word())
    if operator is None or operator == "=":
        raise cursor.refuse("the name of an operator")
    cursor.at += 1
    cursor.expect("::")
    return Predicate(column, operator, None if operator == "null" else _right_side(cursor))


def _right_side(cursor: Cursor) -> str | AnyOf | AllOf:
    quantifier = cursor.call(_QUANTIFIERS)
    if quantifier:
        values = cursor.listed(cursor.value)
        cursor.expect(")")
        return AnyOf(values) if quantifier == "any" else AllOf(values)
    value = cursor.value()
    if cursor.mark == "(":
        raise cursor.refuse("one value", "To compare with a list of values use any(…) or all(…).")
    return value
