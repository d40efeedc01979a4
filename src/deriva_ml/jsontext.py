"""JSON that every reader takes: numbers that JSON does not have are written as texts, and read back as the numbers.

Floor 1, a law: values in, values out. RFC 8259 knows neither NaN nor infinity; PostgreSQL and many readers refuse them.
"""

from __future__ import annotations

import json
import math
from functools import partial
from typing import Any

NUMBERS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
"""How the three are written; ``float()`` of Python, ``Number()`` of JavaScript and PostgreSQL read them."""


def dumps(value: Any, *, indent: int | None = None, ascii_only: bool = True, compact: bool = False) -> str:
    """Return ``value`` as JSON: the numbers that JSON does not have, and things that it does not know, as texts.

    ``compact`` leaves the blanks out.

    Example:
        >>> dumps({"rate": float("inf"), "loss": 0.5})
        '{"rate": "Infinity", "loss": 0.5}'
    """
    between = (",", ":") if compact else None
    write = partial(
        json.dumps, indent=indent, ensure_ascii=ascii_only, allow_nan=False, default=str, separators=between
    )
    try:
        return write(value)
    except ValueError:  # there is such a number
        return write(_finite(json.loads(json.dumps(value, default=str))))


def loads(text: str | bytes) -> Any:
    """Return the value of a text that :func:`dumps` wrote, its numbers as they were.

    Example:
        >>> loads('{"rate": "Infinity"}')
        {'rate': inf}
    """
    return _numbers(json.loads(text))


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_finite(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value


def _numbers(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _numbers(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_numbers(each) for each in value]
    return NUMBERS.get(value, value) if isinstance(value, str) else value
