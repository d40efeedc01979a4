"""Gives filters their meaning: which column a predicate tests, and the stored values it is tested against.

Floor 1, pure.
"""

from __future__ import annotations

from typing import Literal, Protocol

from deriva_local.model.elements import Type
from deriva_local.query.patterns import check_pattern
from deriva_local.query.plan import Compare, Condition, Conjunction, Disjunction, IsNull, Negation, Ref, Search
from deriva_local.url import ast
from deriva_local.wire.crockford import normalise
from deriva_local.wire.errors import bad_request, conflict, not_offered
from deriva_local.wire.types import SQLiteValue, codec

_RELATIONS: dict[str, Literal["=", "<", "<=", ">", ">="]] = {
    "=": "=",
    "lt": "<",
    "leq": "<=",
    "gt": ">",
    "geq": ">=",
}
_PATTERNS = ("regexp", "ciregexp")
_SYNTAX_CHECKED = frozenset(
    ["int2", "int4", "int8", "serial2", "serial4", "serial8", "float4", "float8", "numeric", "json", "jsonb"]
)
"""The types whose literals the server parses itself (400); all others are left to the database (409)."""


class Names(Protocol):
    """What a filter needs of the path it stands in."""

    def column(self, name: ast.ColumnRef) -> Ref: ...

    def instance(self, name: ast.ColumnRef) -> int: ...

    def columns(self, instance: int) -> tuple[Ref, ...]: ...


def literal(type: Type, text: str) -> SQLiteValue:
    """Return the stored form of a value written in an address.

    Raises:
        Refusal: 400 for a malformed number or JSON, 409 for any other value that the type cannot have.
    """
    storage = type.storage
    try:
        return codec(storage).from_text(text)
    except ValueError as bad:
        raise (bad_request if storage.name in _SYNTAX_CHECKED else conflict)(str(bad)) from None


def bind_filter(names: Names, part: ast.Filter) -> Condition:
    """Return the condition that a filter means.

    Raises:
        Refusal: 409 for an unknown column, 400 or 409 for a value that does not fit it.
    """
    if isinstance(part, ast.And):
        return Conjunction(tuple(bind_filter(names, each) for each in part.parts))
    if isinstance(part, ast.Or):
        return Disjunction(tuple(bind_filter(names, each) for each in part.parts))
    if isinstance(part, ast.Not):
        return Negation(bind_filter(names, part.part))
    return _predicate(names, part)


def _predicate(names: Names, part: ast.Predicate) -> Condition:
    if part.operator == "ts":
        raise not_offered("The filter operator ::ts:: is not offered: use ::ciregexp::.")
    if part.column.parts[-1] == "*":
        refs = _any_column(names, part)
        return _search(refs, part)
    ref = names.column(part.column)
    if part.value is None:
        return IsNull(ref)
    if part.operator in _PATTERNS:
        return _search((ref,), part)
    return _comparison(ref, part)


def _any_column(names: Names, part: ast.Predicate) -> tuple[Ref, ...]:
    if part.operator not in _PATTERNS:
        raise bad_request("The column '*' can only be searched with ::regexp:: or ::ciregexp::.")
    return names.columns(names.instance(part.column))


def _search(refs: tuple[Ref, ...], part: ast.Predicate) -> Condition:
    ignore_case = part.operator == "ciregexp"
    patterns = _texts(part)
    for pattern in patterns:
        check_pattern(pattern, ignore_case)
    if isinstance(part.value, ast.AllOf):
        return _every([Search(refs, (pattern,), ignore_case) for pattern in patterns])
    return Search(refs, patterns, ignore_case)


def _comparison(ref: Ref, part: ast.Predicate) -> Condition:
    relation, storage = _RELATIONS[part.operator], ref.column.type.storage
    if storage.name in ("json", "json[]"):
        raise conflict(f"Column '{ref.column.name}' of type {storage.name} cannot be compared: use ::regexp::.")
    if storage.kind == "array" and storage.base is not None:
        storage = storage.base
    spelled = [_spellings(ref, relation, literal(storage, text)) for text in _texts(part)]
    if isinstance(part.value, ast.AllOf):
        return _every([Compare(ref, relation, values) for values in spelled])
    return Compare(ref, relation, tuple(dict.fromkeys(value for values in spelled for value in values)))


def _spellings(ref: Ref, relation: str, value: SQLiteValue) -> tuple[SQLiteValue, ...]:
    """Return the value, and for a RID that is to be found also its normal spelling."""
    if relation != "=" or ref.column.type.name != "ermrest_rid" or not isinstance(value, str):
        return (value,)
    try:
        normal = normalise(value)
    except ValueError:
        return (value,)
    return (value,) if normal == value else (value, normal)


def _texts(part: ast.Predicate) -> tuple[str, ...]:
    if isinstance(part.value, ast.AnyOf | ast.AllOf):
        return part.value.values
    return (part.value or "",)


def _every(parts: list[Compare] | list[Search]) -> Condition:
    return parts[0] if len(parts) == 1 else Conjunction(tuple(parts))
