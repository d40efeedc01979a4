"""Turns the rows of a request into columns of stored values.

Floor 1, pure. Whole columns are looked at and converted at once: most need no more than a look.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from decimal import Decimal
from math import isfinite
from typing import Any, TypeAlias

from deriva_local.model.elements import Column
from deriva_local.wire.codec import CheckFailed
from deriva_local.wire.errors import Refusal, bad_request, conflict
from deriva_local.wire.scalars import TEXT
from deriva_local.wire.tabular import Rows
from deriva_local.wire.types import SQLiteValue, codec

Values: TypeAlias = list[SQLiteValue]

_ABSENT = object()
_WHOLE = {"int2": 15, "int4": 31, "int8": 63, "serial2": 15, "serial4": 31, "serial8": 63}
_TEXTS = frozenset({str, type(None)})
_INTEGERS = frozenset({int, type(None)})
_NUMBERS = frozenset({int, float, Decimal, type(None)})


@dataclass(frozen=True, slots=True)
class Field:
    """A column under the name that the request's rows give it."""

    name: str
    column: Column


def read_columns(rows: Rows, fields: Sequence[Field]) -> list[Values]:
    """Return the stored values of each field, in the order of the rows.

    A field that an object lacks is NULL, and ``[]`` if it is an array. CSV must have every field; CSV columns that
    no field names are checked by :func:`check_header`.

    Raises:
        Refusal: 400 for a value that does not fit its column or a CSV column that is missing, 409 for one that the
            check of its domain refuses.
    """
    if rows.columns is None:
        return [_from_objects(rows.rows, field) for field in fields]
    places = {name: place for place, name in enumerate(rows.columns)}
    for field in fields:
        if field.name not in places:
            raise bad_request(f"The CSV lacks the column '{field.name}'.")
    return [_from_cells([row[places[field.name]] for row in rows.rows], field) for field in fields]  # type: ignore[index]


def check_header(rows: Rows, known: Collection[str]) -> None:
    """Let the header of a CSV pass if it names known columns, each once; objects may have fields of any name.

    Raises:
        Refusal: 400 for a column that occurs twice, 409 for an unknown one.
    """
    header = rows.columns or ()
    if len(set(header)) < len(header):
        raise bad_request("A column occurs twice in the header of the CSV.")
    for name in header:
        if name not in known:
            raise conflict(f"The CSV has a column '{name}' that is not known here.")


def _from_objects(rows: Sequence[Any], field: Field) -> Values:
    storage, name = field.column.type.storage, field.name
    if storage.kind != "array" and storage.name not in ("json", "jsonb"):
        return _converted([row.get(name) for row in rows], field)
    absent = "[]" if storage.kind == "array" else None
    convert = codec(field.column.type).from_json
    values = [row.get(name, _ABSENT) for row in rows]
    return _each(values, field, lambda value: absent if value is _ABSENT else convert(value))


def _converted(values: list[Any], field: Field) -> Values:
    """Return JSON values as stored ones: at once if all are of the common kind, else one by one."""
    kinds = set(map(type, values))
    type_ = field.column.type
    if kinds <= _TEXTS and codec(type_) is TEXT and _clean(values):
        return values
    bits = _WHOLE.get(type_.storage.name)
    if bits is not None and kinds <= _INTEGERS:
        numbers = values if type(None) not in kinds else [value for value in values if value is not None]
        if not numbers or (min(numbers) >= -(2**bits) and max(numbers) < 2**bits):
            return values
    if type_.storage.name == "float8" and kinds <= _NUMBERS:
        floats = _floats(values)
        if floats is not None:
            return floats
    return _each(values, field, codec(type_).from_json)


def _clean(texts: list[Any]) -> bool:
    """Tell whether all texts can be stored."""
    whole = "".join([text for text in texts if text])
    if "\0" in whole:
        return False
    return whole.isascii() or not any("\ud800" <= character <= "\udfff" for character in set(whole))


def _floats(values: list[Any]) -> Values | None:
    """Return numbers as floats, or None if one of them is too large for that."""
    try:
        floats = [None if value is None else float(value) for value in values]
    except OverflowError:
        return None
    return floats if all(value is None or isfinite(value) for value in floats) else None  # type: ignore[return-value]


def _from_cells(cells: list[Any], field: Field) -> Values:
    if codec(field.column.type) is TEXT and _clean(cells):
        return cells
    convert = codec(field.column.type).from_text
    return _each(cells, field, lambda cell: None if cell is None else convert(cell))


def _each(values: list[Any], field: Field, convert: Callable[[Any], SQLiteValue]) -> Values:
    try:
        return [convert(value) for value in values]
    except ValueError:
        raise _first_refusal(values, field, convert) from None


def _first_refusal(values: list[Any], field: Field, convert: Callable[[Any], SQLiteValue]) -> Refusal:
    """Return the refusal of the first bad value, with its place."""
    for position, value in enumerate(values, 1):
        try:
            convert(value)
        except ValueError as bad:
            refuse = conflict if isinstance(bad, CheckFailed) else bad_request
            return refuse(f"Row {position}, column '{field.name}': {bad}")
    raise AssertionError("no value is bad")
