"""Turns the filters of a plan into SQL predicates.

Floor 1, pure. Comparisons follow SQL's three values: a NULL is neither equal nor unequal to anything.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from deriva_local.history.versions import quoted
from deriva_local.model.elements import Type
from deriva_local.query.fragment import Sql, all_of, any_of
from deriva_local.query.patterns import like, literal_of
from deriva_local.query.plan import Compare, Condition, Conjunction, Disjunction, IsNull, Ref, Search
from deriva_local.query.values import collation, match_form
from deriva_local.wire.types import SQLiteValue

_AT_ONCE = 100
"""How many columns one call searches."""

_FEW = 4
"""Up to so many values are written out; more travel as one JSON list, so that the text stays the same."""


def physical(ref: Ref) -> str:
    """Return a column as SQL names it."""
    return f"T{ref.instance}.{quoted(ref.column.physical)}"


def compile_condition(condition: Condition) -> Sql:
    """Return the predicate of a filter."""
    if isinstance(condition, Compare):
        return _compare(condition)
    if isinstance(condition, IsNull):
        return Sql(f"{physical(condition.ref)} IS NULL")
    if isinstance(condition, Conjunction):
        return all_of([compile_condition(part) for part in condition.parts])
    if isinstance(condition, Disjunction):
        return any_of([compile_condition(part) for part in condition.parts])
    if isinstance(condition, Search):
        return _search(condition)
    return compile_condition(condition.part).within("NOT ({0})")


def _compare(condition: Compare) -> Sql:
    column, storage = physical(condition.ref), condition.ref.column.type.storage
    if storage.kind != "array" or storage.base is None:
        return _related(column, storage, condition.operator, condition.values)
    element = _related("E.value", storage.base, condition.operator, condition.values)
    some = element.within(f"EXISTS (SELECT 1 FROM json_each({column}) AS E WHERE {{0}})")
    return some.within(f"CASE WHEN {column} IS NOT NULL THEN {{0}} END")


def _related(expression: str, type: Type, operator: str, values: Sequence[SQLiteValue]) -> Sql:
    """Return that the expression stands in the relation to one of the values."""
    left = expression + collation(type)
    if operator != "=" or len(values) == 1:
        return any_of([Sql(f"{left} {operator} ?", (value,)) for value in values])
    if len(values) > _FEW and not any(isinstance(value, float) for value in values):
        listed = json.dumps(values, ensure_ascii=False)
        return Sql(f"{left} IN (SELECT value FROM json_each(?))", (listed,))
    return Sql(f"{left} IN ({', '.join('?' * len(values))})", tuple(values))


def _search(condition: Search) -> Sql:
    return any_of([_found(condition.refs, pattern, condition.ignore_case) for pattern in condition.patterns])


def _found(refs: Sequence[Ref], pattern: str, ignore_case: bool) -> Sql:
    """Return that a pattern is found in a column; SQLite looks for plain text itself, many times faster."""
    literal = literal_of(pattern, ignore_case)
    if literal is not None:
        return any_of([_holds(ref, literal, ignore_case) for ref in refs])
    texts = [match_form(ref.column.type).replace("{0}", physical(ref)) for ref in refs]
    chunks = [texts[start : start + _AT_ONCE] for start in range(0, len(texts), _AT_ONCE)]
    return any_of([Sql(f"search(?, ?, {', '.join(chunk)})", (pattern, int(ignore_case))) for chunk in chunks])


def _holds(ref: Ref, literal: str, ignore_case: bool) -> Sql:
    type = ref.column.type
    text = match_form(type).replace("{0}", physical(ref))
    if not _can_hold(type, literal, ignore_case):
        return Sql("0") if not ref.column.nullok else Sql(f"CASE WHEN {physical(ref)} IS NOT NULL THEN 0 END")
    if ignore_case:
        return Sql(f"{text} LIKE ? ESCAPE '!'", (like(literal),))
    return Sql(f"instr({text}, ?) > 0", (literal,))


_ALPHABETS = {"timestamptz": frozenset("0123456789-:TZ")} | dict.fromkeys(
    ("int2", "int4", "int8", "serial2", "serial4", "serial8"), frozenset("0123456789-")
)
"""Per type, the characters of the text in which patterns search: no other text is found there."""


def _can_hold(type: Type, literal: str, ignore_case: bool) -> bool:
    alphabet = _ALPHABETS.get(type.storage.name)
    return alphabet is None or alphabet.issuperset(literal.upper() if ignore_case else literal)
