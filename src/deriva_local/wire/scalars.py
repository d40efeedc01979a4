"""The codecs of all types but arrays.

Floor 1, pure.
"""

from __future__ import annotations

import json
import math
import re
import struct
import uuid
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import Any

from deriva_local.wire import moments
from deriva_local.wire.codec import CheckFailed, Codec, Json, SQLiteValue, same, unless_null
from deriva_local.wire.jsontext import check_text, normal_json_text, normal_text

# ----------------------------------------------------------------------------------------------------------- text


def text_of_json(value: Json) -> str | None:
    """Return a JSON value as a text column takes it: strings as they are, other values as their JSON text.

    Raises:
        ValueError: text that cannot be stored.
    """
    if isinstance(value, str):
        return check_text(value)
    return None if value is None else normal_text(value)


TEXT = Codec("TEXT", text_of_json, check_text, same, same, same, plain=True)


def _text_codec(parse: Callable[[str], str], to_csv: Callable[[Any], Any] = same) -> Codec:
    """Return the codec of a type that is stored as one normal text."""

    def from_json(value: Json) -> str | None:
        text = text_of_json(value)
        return None if text is None else parse(text)

    return Codec("TEXT", from_json, parse, same, to_csv, same, plain=True)


_COLOR = re.compile(r"#[0-9a-fA-F]{6}")


def _color(text: str) -> str:
    if not _COLOR.fullmatch(text):
        raise CheckFailed(f"'{text}' is not a colour: write it as #RRGGBB.")
    return text


def _uuid(text: str) -> str:
    try:
        return str(uuid.UUID(text.strip()))
    except ValueError:
        raise ValueError(f"'{text}' is not a uuid.") from None


COLOR = _text_codec(_color)
UUID = _text_codec(_uuid)

# ----------------------------------------------------------------------------------------- booleans and numbers

_TRUE = {"t", "tr", "tru", "true", "y", "ye", "yes", "on", "1"}
_FALSE = {"f", "fa", "fal", "fals", "false", "n", "no", "of", "off", "0"}
_INTEGER = re.compile(r"\s*[+-]?\d+\s*", re.ASCII)
_SPECIAL_FLOATS = {"nan": math.nan, "infinity": math.inf, "inf": math.inf, "-infinity": -math.inf, "-inf": -math.inf}
_FLOAT = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)


def _boolean_from_text(text: str) -> int:
    word = text.strip().lower()
    if word in _TRUE:
        return 1
    if word in _FALSE:
        return 0
    raise ValueError(f"'{text}' is not a boolean.")


def _boolean_from_json(value: Json) -> int | None:
    if value is None:
        return None
    if value is True or value is False:
        return int(value)
    return _boolean_from_text(text_of_json(value) or "")


BOOLEAN = Codec(
    "INTEGER",
    _boolean_from_json,
    _boolean_from_text,
    unless_null(bool),
    unless_null(lambda stored: "t" if stored else "f"),
    unless_null(lambda stored: "true" if stored else "false"),
)


def integer_codec(bits: int) -> Codec:
    """Return the codec of signed integers of so many bits."""
    lowest, highest = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1

    def in_range(number: int) -> int:
        if not lowest <= number <= highest:
            raise ValueError(f"{number} is out of range for an integer of {bits // 8} bytes.")
        return number

    def from_text(text: str) -> int:
        if not _INTEGER.fullmatch(text):
            raise ValueError(f"'{text}' is not an integer.")
        return in_range(int(text))

    def from_json(value: Json) -> int | None:
        if type(value) is int:
            return in_range(value)
        return None if value is None else from_text(text_of_json(value) or "")

    return Codec("INTEGER", from_json, from_text, same, unless_null(str), unless_null(str), plain=True)


def float_text(number: float | str) -> str:
    """Return a stored float as text: ``1``, ``0.1``, ``1e+300``, ``Infinity``, ``NaN``."""
    if isinstance(number, str):
        return number
    if math.isinf(number):
        return "Infinity" if number > 0 else "-Infinity"
    if number == 0:
        return "0"
    text = repr(float(number))
    mantissa, _, exponent = text.partition("e")
    power = int(exponent) if exponent else Decimal(text).adjusted()
    if -5 < power < 15:
        return text.removesuffix(".0") if not exponent else format(Decimal(text), "f")
    if not exponent:
        mantissa = format(Decimal(text).scaleb(-power).normalize(), "f")
    return f"{mantissa.removesuffix('.0')}e{'-' if power < 0 else '+'}{abs(power):02}"


def _stored_float(number: float) -> float | str:
    """Return a float as it is stored; minus zero loses its sign, which JSON readers would lose in any case."""
    return "NaN" if math.isnan(number) else number + 0.0


def _float_from_text(text: str) -> float | str:
    word = text.strip().lower()
    if word.lstrip("+") in _SPECIAL_FLOATS:
        return _stored_float(_SPECIAL_FLOATS[word.lstrip("+")])
    if not _FLOAT.fullmatch(word):
        raise ValueError(f"'{text}' is not a number.")
    number = float(word)
    if math.isinf(number):
        raise ValueError(f"{text} is out of range for a float of 8 bytes.")
    return number + 0.0


def _single(number: float | str) -> float | str:
    """Return the shortest decimal that a float of 4 bytes cannot tell from ``number``."""
    if isinstance(number, str) or math.isinf(number) or number == 0:
        return number
    try:
        packed = struct.pack("<f", number)
    except OverflowError:
        raise ValueError(f"{number} is out of range for a float of 4 bytes.") from None
    (exact,) = struct.unpack("<f", packed)
    candidates = (float(f"{exact:.{digits}g}") for digits in range(6, 10))
    return next(each for each in candidates if struct.pack("<f", each) == packed) + 0.0


def _float_codec(rounded: Callable[[Any], float | str]) -> Codec:
    def from_text(text: str) -> float | str:
        return rounded(_float_from_text(text))

    def from_json(value: Json) -> SQLiteValue:
        if value is None:
            return None
        if isinstance(value, int | float) and not isinstance(value, bool):
            return rounded(_finite(value))
        return from_text(text_of_json(value) if not isinstance(value, Decimal) else str(value))  # type: ignore[arg-type]

    return Codec("REAL", from_json, from_text, _float_to_json, unless_null(float_text), unless_null(float_text))


def _finite(value: float) -> float | str:
    try:
        return _stored_float(float(value))
    except OverflowError:
        raise ValueError("The number is out of range for a float of 8 bytes.") from None


def _float_to_json(stored: float | str | None) -> Json:
    if stored is None or isinstance(stored, str | int):
        return stored
    if math.isinf(stored):
        return float_text(stored)
    return int(stored) if stored.is_integer() and abs(stored) < 1e15 else stored


FLOAT8 = _float_codec(same)
FLOAT4 = _float_codec(_single)


_LONGEST_NUMERIC = 16_000


def _numeric(text: str) -> str:
    try:
        number = Decimal(text.strip())
    except InvalidOperation:
        raise ValueError(f"'{text}' is not a number.") from None
    if not number.is_finite():
        return "NaN"
    if abs(number.adjusted()) > _LONGEST_NUMERIC or len(text) > _LONGEST_NUMERIC:
        raise ValueError(f"'{text[:40]}…' has more digits than a number may have.")
    return format(number, "f")


def _numeric_to_json(stored: Any) -> Json:
    if stored is None or stored == "NaN":
        return stored
    number = Decimal(str(stored))
    return int(number) if number == number.to_integral_value() else float(number)


NUMERIC = Codec(
    "REAL",
    lambda value: None if value is None else _numeric(str(value)),
    _numeric,
    _numeric_to_json,
    unless_null(lambda stored: format(Decimal(str(stored)), "f")),
    unless_null(lambda stored: format(Decimal(str(stored)), "f")),
)

# ---------------------------------------------------------------------------------------------------- time, JSON


def _micros_from_json(value: Json) -> int | None:
    text = text_of_json(value)
    return None if text is None else moments.micros_from_text(text)


TIMESTAMPTZ = Codec(
    "INTEGER",
    _micros_from_json,
    moments.micros_from_text,
    unless_null(moments.micros_to_json),
    unless_null(moments.micros_to_csv),
    unless_null(moments.micros_to_seconds_text),
)
TIMESTAMP = _text_codec(moments.timestamp_from_text, unless_null(lambda stored: stored.replace("T", " ")))
DATE = _text_codec(moments.date_from_text)
TIME = _text_codec(moments.time_from_text)
TIMETZ = _text_codec(moments.timetz_from_text)
INTERVAL = _text_codec(moments.interval_from_text)

JSON = Codec("TEXT", normal_text, normal_json_text, unless_null(json.loads), same, same)
