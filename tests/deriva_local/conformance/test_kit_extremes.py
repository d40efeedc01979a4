"""Names that look like grammar, and requests that are far too long, wide or deep: answered or refused, never failed."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest
from conformance_kit import Door, column, schema, table

NAMES = [
    "n", "o", "limit", "null", "any", "all", "desc", "entity", "left", "right", "full", "bin", "cnt", "array", "trs",
    "a b", "ü", "%", "+", "a:b", "a/b", "a'b", 'a"b', "(x)", "$", "&;", "a,b", "0", "::null::", ".", "~", "-", "_", "!",
    "A:=b", "born", "died", "rowid", "T0", "J", "E", "value", "key", "json", "select", "RIDx", "rid", "\t", "🙂", "x" * 63,
]  # fmt: skip


def test_any_name_stands_anywhere(mine: Door) -> None:
    mine.made("/schema", [schema("S", table("N", *(column(name, "int4") for name in NAMES)))])
    mine.insert("S:N", {name: number for number, name in enumerate(NAMES)})
    for number, name in enumerate(NAMES):
        c = quote(name, safe="")
        for below in (
            f"/entity/S:N/{c}={number}",
            f"/entity/S:N/({c}::geq::any({number},9999);!{c}::null::)",
            f"/attribute/{c}:=S:N/{c}:{c}@sort({c})@after({number - 1})",
            f"/attributegroup/S:N/{c};z:=cnt({c})@sort({c}::desc::)",
            f"/aggregate/S:N/{c}:=max({c})",
        ):
            assert [row[name] for row in mine.rows(below)] == [number], below
        assert mine.get(f"/attribute/S:N/{c}", Accept="text/csv").text.endswith(f"\n{number}\n")
        assert mine.rows(f"/schema/S/table/N/column/{c}")["name"] == name


def nested(depth: int) -> str:
    return "(" * depth + "ID=1" + ")" * depth


def named_ids(count: int) -> str:
    return ",".join(f"c{number}:=ID" for number in range(count))


@pytest.mark.parametrize(
    ("below", "status"),
    [
        (f"/entity/S:Sample/Name={'x' * 100_000}", 200),
        (f"/entity/S:Sample/{'&'.join(['!ID=2'] * 3000)}", 200),
        (f"/entity/S:Sample/{';'.join(['ID=2'] * 3000)}", 200),
        (f"/entity/S:Sample/{nested(64)}", 200),
        pytest.param(f"/entity/S:Sample/{nested(65)}", 400, marks=pytest.mark.deviation),
        pytest.param(f"/entity/S:Sample/{nested(1000)}", 400, marks=pytest.mark.deviation),
        pytest.param(f"/entity/S:Sample/{'!(' * 1000}ID=1{')' * 1000}", 400, marks=pytest.mark.deviation),
        (f"/entity/S:Tree{'/(Parent)' * 59}", 200),
        pytest.param(f"/entity/S:Tree{'/(Parent)' * 60}", 400, marks=pytest.mark.deviation),
        (f"/attribute/S:Sample/{named_ids(1500)}", 200),
        pytest.param(f"/attribute/S:Sample/{named_ids(2001)}", 400, marks=pytest.mark.deviation),
        pytest.param(f"/attributegroup/S:Sample/{named_ids(2001)}?accept=csv", 400, marks=pytest.mark.deviation),
    ],
    ids=lambda value: str(value)[:40],
)
def test_long_wide_and_deep_addresses(samples: Door, below: str, status: int) -> None:
    assert samples.get(below).status == status


@pytest.mark.deviation
@pytest.mark.parametrize(("depth", "status"), [(100, 200), (101, 400), (500, 400), (990, 400), (100_000, 400)])
def test_deep_values(mine: Door, depth: int, status: int) -> None:
    mine.made("/schema", [schema("S", table("T", column("j", "jsonb"), column("k", "json")))])
    value = b"[" * depth + b"]" * depth
    both = b'{"j": ' + value + b', "k": ' + value + b"}"
    for form in ("application/json", "application/x-json-stream"):
        body = b"[" + both + b"]" if form.endswith("/json") else both
        assert mine.send("POST", "/entity/S:T", body, {"Content-Type": form}).status == status
    note: Any = mine.send("PUT", "/schema/S/annotation/x", value)
    assert note.status == (201 if status == 200 else 400)
    assert mine.get("/schema").status == 200
    if status == 200:
        where = f"/attributegroup/S:T/j={quote(value.decode())}/j;n:=cnt(*)@sort(j)"
        assert [row["n"] for row in mine.rows(where)] == [2]


@pytest.mark.deviation
def test_a_binding_may_not_be_deep_either(mine: Door) -> None:
    mine.made("/schema", [schema("S", table("T", column("a")))])
    step: dict[str, Any] = {"filter": "a"}
    for _ in range(40):
        step = {"and": [step]}
    binding = {"types": ["select"], "projection": [step, "RCB"]}
    assert mine.put("/schema/S/table/T/acl_binding/b", binding).status == 200
    for _ in range(25):
        step = {"or": [step]}
    assert mine.put("/schema/S/table/T/acl_binding/c", {**binding, "projection": [step, "RCB"]}).status == 400
