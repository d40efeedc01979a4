"""How a question becomes an address: values encoded, many of them cut into several, none of them none."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest

from deriva_ml.catalog.rows import LONGEST_VALUES, MOST_VALUES, batches, chunks, conditions, literal


@pytest.mark.parametrize(
    ("where", "steps"),
    [
        ({}, [""]),
        ({"A": "x"}, ["/A=x"]),
        ({"A": ""}, ["/A="]),
        ({"A": None}, ["/A::null::"]),
        ({"A": True, "B": 3}, ["/A=true/B=3"]),
        ({"A": 1.5}, ["/A=1.5"]),
        ({"A b": "c/d&e"}, ["/A%20b=c%2Fd%26e"]),
        ({"A": ["x", "y", "x"]}, ["/A=any(x,y)"]),
        ({"A": ["x"]}, ["/A=x"]),
        ({"A": ("x", None)}, ["/A=x;A::null::"]),
        ({"A": [None]}, ["/A::null::"]),
        ({"A": {"x": 1}.keys()}, ["/A=x"]),
        ({"A": []}, []),
        ({"A": [], "B": 1}, []),
        ({"A": ["x", "y"], "B": 1}, ["/B=1/A=any(x,y)"]),
        ({"A": ["x", "y"], "B": ["z"]}, ["/B=z/A=any(x,y)"]),
    ],
)
def test_conditions(where: dict[str, Any], steps: list[str]) -> None:
    assert list(conditions(where)) == steps


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (False, "false"),
        (datetime(2026, 1, 2, 3, 4, 5, 6, UTC), "2026-01-02T03:04:05.000006+00:00"),
        (date(2026, 1, 2), "2026-01-02"),
        ({"a": [1]}, '{"a": [1]}'),
        (None, ""),
        (10**12, "1000000000000"),
    ],
)
def test_literals(value: Any, text: str) -> None:
    assert literal(value) == text


@pytest.mark.parametrize(
    "values", [[f"1-{n:04X}" for n in range(1000)], ["ü" * 300] * 1, ["ü" * 90 + str(n) for n in range(50)]]
)
def test_no_address_is_too_long(values: list[str]) -> None:
    parts = list(chunks(values))
    assert [value for part in parts for value in part] == values
    assert all(len(part) <= MOST_VALUES for part in parts)
    steps = list(conditions({"RID": values}))
    assert len(steps) == len(parts)
    assert all(len(step) <= LONGEST_VALUES + 20 for step in steps)


def test_a_value_that_is_too_long_goes_alone() -> None:
    assert [len(part) for part in chunks(["a", "b" * LONGEST_VALUES, "c"])] == [1, 1, 1]


def test_rows_go_out_in_batches() -> None:
    rows = [{"A": "x" * 1000}] * 12_000
    assert [len(batch) for batch in batches(rows)] == [3846, 3846, 3846, 462]
    assert list(batches([])) == []
    assert [len(batch) for batch in batches({"n": n} for n in range(5001))] == [5000, 1]
