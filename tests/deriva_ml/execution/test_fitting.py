"""What a column cannot hold is said before anything is staged or sent."""

from __future__ import annotations

import math
from datetime import date, datetime

import pytest

from deriva_ml.execution.fitting import misfit


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("int2", -32768), ("int4", 2**31 - 1), ("int8", -(2**63)), ("int4", "7"), ("int4", 7.0), ("float4", 3.4e38),
        ("float8", math.nan), ("float8", "-Infinity"), ("float8[]", [1.0, None, math.inf]), ("date", "2026-02-28"),
        ("date", date(2026, 2, 28)), ("timestamptz", "2026-02-28T10:00:00+01:00"), ("timestamp", datetime(2026, 2, 28)),
        ("timestamp", "infinity"), ("text", "ünï 😀"), ("jsonb", {"a": [1, None, "x"]}), ("text", None), ("text", "a\\u0000b"),
    ],
)  # fmt: skip
def test_what_fits(kind: str, value: object) -> None:
    assert misfit(kind, value) is None


@pytest.mark.parametrize(
    ("kind", "value", "why"),
    [
        ("int2", 32768, "does not fit"), ("int4", "many", "no whole number"), ("int4", 1.5, "no whole number"),
        ("int8", math.inf, "no whole number"), ("float4", 1e39, "does not fit"), ("float8", "x", "no number"),
        ("float8[]", 1.0, "no list"), ("int4[]", [1, 2**40], "does not fit"), ("date", "2026-02-30", "ISO 8601"),
        ("timestamptz", "soon", "ISO 8601"), ("text", "a\0b", "NUL"), ("text", "\ud800", "surrogate"), ("jsonb", {"a": [{"\0": 1}]}, "NUL"),
    ],
)  # fmt: skip
def test_what_does_not_fit(kind: str, value: object, why: str) -> None:
    assert why in (misfit(kind, value) or "")
