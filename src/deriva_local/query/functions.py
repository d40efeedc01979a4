"""The functions and collations that our SQL calls, installed on each connection.

Each answers one need of the protocol that SQLite itself lacks: the text forms of floats, moments and arrays,
regular expressions, exact sums, buckets, and the orders of JSON, arrays and intervals.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from datetime import date, timedelta
from functools import lru_cache
from typing import Any

import apsw

from deriva_local.query.patterns import finder
from deriva_local.wire.jsontext import compare_json
from deriva_local.wire.moments import interval_key, micros_from_text, micros_to_json
from deriva_local.wire.scalars import float_text
from deriva_local.wire.types import TYPES, SQLiteValue, codec


def install(connection: apsw.Connection) -> None:
    """Give a connection everything that compiled queries call."""
    for name, function in _FUNCTIONS.items():
        connection.create_scalar_function(name, function, deterministic=True)
    connection.create_aggregate_function("exact_sum", _ExactSum)
    for name, order in _ORDERS.items():
        connection.create_collation(name, order)


# ------------------------------------------------------------------------------------------------------- text forms


def float_json(number: float | str) -> str:
    """Return a float as JSON: a number, or a string for what JSON has no number for."""
    text = float_text(number)
    return f'"{text}"' if text[-1] in "yN" else text


def float_element(number: float | str | None) -> str:
    """Return a float as an element of a stored array."""
    if number is None:
        return "null"
    if isinstance(number, str):
        return f'"{number}"'
    return float_text(number) if math.isfinite(number) else "9e999" if number > 0 else "-9e999"


@lru_cache(maxsize=8192)
def moment_json(micros: int | None) -> str:
    """Return a moment as a JSON string; most rows share their moments, so that they are kept."""
    return "null" if micros is None else f'"{micros_to_json(micros)}"'


def array_json(type_name: str, stored: str | None) -> str:
    """Return a stored array as JSON, for the element types that are not stored as JSON shows them."""
    if stored is not None and type_name in ("json[]", "jsonb[]"):  # as texts, which keep the digits of their numbers
        return "[" + ", ".join("null" if each is None else each for each in json.loads(stored)) + "]"
    return json.dumps(codec(TYPES[type_name]).to_json(stored), ensure_ascii=False)


def match_text(type_name: str, stored: Any) -> str | None:
    """Return the text of a value in which patterns search."""
    return codec(TYPES[type_name]).to_match(stored)


@lru_cache(maxsize=8192)
def moment_match(micros: int | None) -> str | None:
    """Return the text of a moment in which patterns search."""
    return codec(TYPES["timestamptz"]).to_match(micros)


def search(pattern: str, ignore_case: int, *texts: str | None) -> bool | None:
    """Tell whether a regular expression is found in one of several texts; where none has it, NULL makes it unknown."""
    finds = finder(pattern, bool(ignore_case)).finds
    for text in texts:
        if text is not None and finds(text):
            return True
    return None if None in texts else False


# ---------------------------------------------------------------------------------------------------------- buckets


def bucket(type_name: str, value: Any, count: int, low: Any, high: Any) -> str:
    """Return ``[number, lower, upper]`` of the bucket in which a value lies.

    Bucket 0 holds what lies before ``low`` and bucket ``count + 1`` what lies at or behind ``high``; ``high`` may be
    less than ``low``, the buckets then run downwards.
    """
    if value is None:
        return "[null, null, null]"
    to_number, to_json = _SCALES.get(type_name, (float, float_json))
    if value == "NaN":
        return f"[{count + 1}, {to_json(to_number(high))}, null]"
    place, start, end = to_number(value), to_number(low), to_number(high)
    span = end - start
    share = (place - start) / span if not math.isinf(span) else (place / 2 - start / 2) / (end / 2 - start / 2)
    if share < 0:
        return f"[0, null, {to_json(start)}]"
    if share >= 1:
        return f"[{count + 1}, {to_json(end)}, null]"
    number = min(math.floor(share * count), count - 1)
    lower, upper = (_edge(start, end, edge, count) for edge in (number, number + 1))
    return f"[{number + 1}, {to_json(lower)}, {to_json(upper)}]"


def _edge(start: float, end: float, edge: int, count: int) -> float:
    """Return where an edge lies; the span of two floats may be no float."""
    reach = (end - start) * edge
    return start * (1 - edge / count) + end * (edge / count) if math.isinf(reach) else start + reach / count


_EPOCH_DAY = date(1970, 1, 1)


def _day_json(day: float) -> str:
    return f'"{(_EPOCH_DAY + timedelta(days=math.floor(day))).isoformat()}"'


def _moment_edge(micros: float) -> str:
    return f'"{micros_to_json(round(micros))}"'


def _timestamp_edge(micros: float) -> str:
    return _moment_edge(micros).replace("+00:00", "")


_SCALES: dict[str, tuple[Callable[[Any], float], Callable[[float], str]]] = {
    "date": (lambda text: (date.fromisoformat(text) - _EPOCH_DAY).days, _day_json),
    "timestamp": (micros_from_text, _timestamp_edge),
    "timestamptz": (float, _moment_edge),
}

# ---------------------------------------------------------------------------------------------------- sums and order


class _ExactSum:
    """Adds integers without a limit; a sum beyond 64 bits comes out as its digits."""

    def __init__(self) -> None:
        self.total: int | None = None

    def step(self, *values: SQLiteValue) -> None:
        (value,) = values
        if isinstance(value, int):
            self.total = value if self.total is None else self.total + value

    def final(self) -> SQLiteValue:
        total = self.total
        return total if total is None or -(2**63) <= total < 2**63 else str(total)


def compare_arrays(first: str, second: str) -> int:
    """Return -1, 0 or 1 for the order of two stored arrays: element by element, NULL last, the shorter first."""
    ours, theirs = ([_element_key(each) for each in json.loads(text)] for text in (first, second))
    return (ours > theirs) - (ours < theirs)


def _element_key(element: Any) -> tuple[int, Any]:
    """Return a key that orders elements: numbers, then texts (NaN among numbers is one), then NULL."""
    return (2, 0) if element is None else (1, element) if isinstance(element, str) else (0, element)


def compare_intervals(first: str, second: str) -> int:
    """Return -1, 0 or 1 for the order of two stored intervals."""
    ours, theirs = interval_key(first), interval_key(second)
    return (ours > theirs) - (ours < theirs)


def _of_elements(order: Callable[[str, str], int]) -> Callable[[str, str], int]:
    """Return the order of values as a stored array holds them, quoted, NULL first."""

    def compare(first: str, second: str) -> int:
        ours, theirs = json.loads(first), json.loads(second)
        return order(ours, theirs) if ours is not None and theirs is not None else (theirs is None) - (ours is None)

    return compare


_FUNCTIONS: dict[str, Callable[..., SQLiteValue]] = {
    "float_repr": float.__repr__,
    "float_json": float_json,
    "float_element": float_element,
    "moment_json": moment_json,
    "array_json": array_json,
    "match_text": match_text,
    "moment_match": moment_match,
    "search": search,
    "bucket": bucket,
}
_ORDERS = {
    "json_order": compare_json,
    "array_order": compare_arrays,
    "interval_order": compare_intervals,
    "json_elements": _of_elements(compare_json),
    "interval_elements": _of_elements(compare_intervals),
}
