"""Filters against their meaning: random filters over random rows, evaluated by SQL and by ten lines of Python."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from zoo import Catalog, new_catalog, table

NUMBERS = [None, -3, 0, 1, 2, 10]
FLOATS = [None, -2.5, 0.1, 1.0, 1e300, "NaN", "Infinity"]
TEXTS = [None, "", "a", "A", "ab", "é", "%", "10", "(", "'"]
LISTS: list[Any] = [None, [], ["a"], ["a", "ab"], ["é", None]]
COLUMNS: dict[str, list[Any]] = {"i": NUMBERS, "f": FLOATS, "t": TEXTS, "l": LISTS}
ROWS = [
    {
        name: values[(step * prime) % len(values)]
        for (name, values), prime in zip(COLUMNS.items(), (1, 3, 7, 2), strict=True)
    }
    for step in range(40)
]


@pytest.fixture(scope="module")
def things(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Catalog]:
    catalog = new_catalog(tmp_path_factory.mktemp("things") / "store")
    catalog.define("s", table("Thing", "n int4", "i int4", "f float8", "t text", "l text[]"))
    catalog.insert("Thing", *({"n": n, **row} for n, row in enumerate(ROWS)))
    yield catalog
    catalog.service.close()


def ordered(value: Any) -> Any:
    """Return a key that orders values of one column: NaN is the largest number."""
    if isinstance(value, str) and value in ("NaN", "Infinity"):
        return (1, 0.0) if value == "NaN" else (0, float("inf"))
    return (0, value) if isinstance(value, int | float) else value


TESTS: dict[str, Any] = {
    "=": lambda a, b: a == b,
    "::lt::": lambda a, b: a < b,
    "::leq::": lambda a, b: a <= b,
    "::gt::": lambda a, b: a > b,
    "::geq::": lambda a, b: a >= b,
}


def holds(row: dict[str, Any], part: Any) -> bool | None:
    """Say whether a filter holds for a row; None is unknown."""
    kind = part[0]
    if kind == "not":
        found = holds(row, part[1])
        return None if found is None else not found
    if kind in ("and", "or"):
        found = [holds(row, each) for each in part[1]]
        decisive = kind == "or"
        return decisive if decisive in found else None if None in found else not decisive
    if kind == "null":
        return row[part[1]] is None
    _, column, operator, quantifier, values = part
    value = row[column]
    if value is None:
        return None
    if isinstance(value, list):
        each = [any(e is not None and TESTS[operator](e, wanted) for e in value) for wanted in values]
    else:
        each = [TESTS[operator](ordered(value), ordered(wanted)) for wanted in values]
    return all(each) if quantifier == "all" else any(each)


def spelled(part: Any) -> str:
    kind = part[0]
    if kind == "not":
        return f"!({spelled(part[1])})"
    if kind in ("and", "or"):
        return "(" + ("&" if kind == "and" else ";").join(map(spelled, part[1])) + ")"
    if kind == "null":
        return f"{part[1]}::null::"
    _, column, operator, quantifier, values = part
    texts = [quote(str(value), safe="") for value in values]
    return f"{column}{operator}" + (f"{quantifier}({','.join(texts)})" if quantifier else texts[0])


def predicates() -> st.SearchStrategy[Any]:
    literals = {"i": NUMBERS[1:], "f": FLOATS[1:], "t": TEXTS[1:], "l": ["a", "ab", "é", "x"]}

    def of(column: str) -> st.SearchStrategy[Any]:
        value = st.sampled_from(literals[column])
        quantified = st.tuples(st.sampled_from(["any", "all"]), st.lists(value, min_size=1, max_size=6))
        right = st.one_of(st.tuples(st.just(""), st.lists(value, min_size=1, max_size=1)), quantified)
        return st.tuples(st.sampled_from(list(TESTS)), right).map(lambda p: ("test", column, p[0], *p[1]))

    nulls = st.sampled_from(list(COLUMNS)).map(lambda column: ("null", column))
    return st.one_of(nulls, *map(of, COLUMNS))


FILTERS = st.recursive(
    predicates(),
    lambda inner: st.one_of(
        inner.map(lambda part: ("not", part)),
        st.tuples(st.sampled_from(["and", "or"]), st.lists(inner, min_size=2, max_size=3)),
    ),
    max_leaves=6,
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(FILTERS)
def test_a_filter_means_what_it_says(things: Catalog, part: Any) -> None:
    expected = [n for n, row in enumerate(ROWS) if holds(row, part)]
    assert [row["n"] for row in things.get(f"/attribute/Thing/{spelled(part)}/n@sort(n)")] == expected


KEYS = st.lists(st.sampled_from(["i", "f", "t"]), unique=True, max_size=2)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(KEYS, st.lists(st.booleans(), min_size=3, max_size=3), st.integers(0, 39), st.integers(1, 7))
def test_pages_before_and_after_a_row_complete_it(
    things: Catalog, keys: list[str], downwards: list[bool], place: int, limit: int
) -> None:
    keys = [*keys, "n"]
    sort = ",".join(key + ("::desc::" if down else "") for key, down in zip(keys, downwards, strict=False))
    everything = things.get(f"/entity/Thing@sort({sort})")
    row = everything[place]
    page = ",".join("::null::" if row[key] is None else quote(str(row[key]), safe="") for key in keys)
    assert things.get(f"/entity/Thing@sort({sort})@after({page})?limit={limit}") == everything[place + 1 :][:limit]
    assert things.get(f"/entity/Thing@sort({sort})@before({page})?limit={limit}") == everything[:place][-limit:]


def test_null_is_the_largest_value(things: Catalog) -> None:
    upwards = [row["f"] for row in things.get("/attribute/Thing/n,f@sort(f,n)")]
    first_of_each = list(dict.fromkeys(upwards))
    assert first_of_each == [-2.5, 0.1, 1, 1e300, "Infinity", "NaN", None]
    assert [row["f"] for row in things.get("/attribute/Thing/n,f@sort(f::desc::,n)")] == upwards[::-1]
