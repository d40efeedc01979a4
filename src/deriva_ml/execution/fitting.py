"""Why a column cannot hold a value, said before the value is staged or sent.

Floor 1, a law: values in, values out. What has no rule here is for the catalog to decide.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

_BITS = {"int2": 16, "int4": 32, "int8": 64}
_LARGEST = {"float4": 3.4028235e38, "float8": math.inf}
_MOMENTS = {"date": date, "timestamp": datetime, "timestamptz": datetime}
_ENDLESS = ("infinity", "-infinity")
"""Words that PostgreSQL takes for a moment."""


def misfit(kind: str, value: Any) -> str | None:
    """Return why a column of type ``kind`` cannot hold ``value``, or None when nothing speaks against it.

    Example:
        >>> misfit("int2", 40000), misfit("date", "2026-02-30"), misfit("float8[]", [1.5, None])
        ('40000 does not fit an int2', "'2026-02-30' is no date: write it as ISO 8601", None)
    """
    if value is None:
        return None
    if kind.endswith("[]"):
        if not isinstance(value, list | tuple):
            return f"{value!r} is no list"
        return next(filter(None, (misfit(kind[:-2], each) for each in value)), None)
    if kind in _BITS:
        return _no_whole_number(kind, value)
    if kind in _LARGEST:
        return _no_number(kind, value)
    if kind in _MOMENTS:
        return _no_moment(kind, value)
    return unstorable(value)


def unstorable(value: Any) -> str | None:
    """Return why no catalog can store the texts of ``value``, or None: a NUL character, or half of a surrogate pair.

    Example:
        >>> unstorable({"note": ["a", "b" + chr(0)]})
        "'b\\\\x00' has a NUL character, which cannot be stored"
    """
    if isinstance(value, Mapping):
        return next(filter(None, (unstorable(part) for pair in value.items() for part in pair)), None)
    if isinstance(value, list | tuple):
        return next(filter(None, map(unstorable, value)), None)
    if not isinstance(value, str) or (value.isascii() and "\0" not in value):
        return None
    if "\0" in value:
        return f"{value!r} has a NUL character, which cannot be stored"
    if any("\ud800" <= character <= "\udfff" for character in value):
        return f"{value!r} has half of a surrogate pair, which cannot be stored"
    return None


def _no_whole_number(kind: str, value: Any) -> str | None:
    try:
        number = int(value)
    except (ValueError, TypeError, OverflowError):
        return f"{value!r} is no whole number"
    if isinstance(value, float) and number != value:
        return f"{value!r} is no whole number"
    most = 2 ** (_BITS[kind] - 1)
    return None if -most <= number < most else f"{number} does not fit an {kind}"


def _no_number(kind: str, value: Any) -> str | None:
    try:
        number = float(value)
    except OverflowError:
        return f"{value!r} does not fit a {kind}"
    except (ValueError, TypeError):
        return f"{value!r} is no number"
    return f"{value!r} does not fit a {kind}" if math.isfinite(number) and abs(number) > _LARGEST[kind] else None


def _no_moment(kind: str, value: Any) -> str | None:
    if isinstance(value, date) or value in _ENDLESS:
        return None
    try:
        _MOMENTS[kind].fromisoformat(value)
    except (ValueError, TypeError):
        return f"{value!r} is no {kind}: write it as ISO 8601"
    return None
