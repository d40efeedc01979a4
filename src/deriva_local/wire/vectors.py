"""The codec of arrays, made from the codec of their elements.

Floor 1, pure. A stored array is the text of a JSON array of stored elements, so that ``json_each`` yields values that
compare with stored scalars; booleans are written true and false, and infinity as 9e999, which SQLite reads as such.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

from deriva_local.wire.arrays import read_literal, write_literal
from deriva_local.wire.codec import Codec, Json, SQLiteValue, unless_null
from deriva_local.wire.jsontext import check_text, parse_json
from deriva_local.wire.scalars import BOOLEAN, JSON, float_text


def array_codec(element: Codec) -> Codec:
    """Return the codec of arrays of what ``element`` encodes."""
    store = _store_boolean if element is BOOLEAN else _store

    def stored_text(elements: list[SQLiteValue]) -> str:
        return "[" + ", ".join(map(store, elements)) + "]"

    def from_json(value: Json) -> str | None:
        if value is None:
            return None
        if isinstance(value, str):
            return from_text(value)
        if not isinstance(value, list):
            raise ValueError("An array must be given as a JSON array.")
        return stored_text([_element_from_json(element, each) for each in value])

    def from_text(text: str) -> str:
        if text.lstrip().startswith("["):
            return from_json(parse_json(text)) or "[]"
        return stored_text([None if each is None else element.from_text(each) for each in read_literal(text)])

    def each_as(convert: Callable[[Any], Any]) -> Callable[[str], list[Any]]:
        return lambda stored: [convert(each) for each in json.loads(stored)]

    csv, match = each_as(element.to_csv), each_as(element.to_match)
    return Codec(
        "TEXT",
        from_json,
        from_text,
        unless_null(json.loads if element.plain or element is BOOLEAN else each_as(element.to_json)),
        unless_null(lambda stored: write_literal(csv(stored))),
        unless_null(lambda stored: write_literal(match(stored))),
        plain=False,
    )


def _element_from_json(element: Codec, value: Json) -> SQLiteValue:
    return None if value is None and element is not JSON else element.from_json(value)


def _store(value: SQLiteValue) -> str:
    if isinstance(value, str):
        return json.dumps(check_text(value), ensure_ascii=False)
    if value is None:
        return "null"
    if isinstance(value, float) and math.isinf(value):
        return "9e999" if value > 0 else "-9e999"
    return float_text(value) if isinstance(value, float) else str(value)


def _store_boolean(value: SQLiteValue) -> str:
    return "null" if value is None else "true" if value else "false"
