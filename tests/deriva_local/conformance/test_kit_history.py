"""Snapshots of data and of the model, RIDs that resolve, and the range of history."""

from __future__ import annotations

import pytest
from conformance_kit import Door, column, foreign_key, key, schema, table

from deriva_local.wire.crockford import micros_to_snap, snap_to_micros


@pytest.fixture
def history(mine: Door) -> Door:
    mine.made("/schema", [schema("S", table("T", column("a", nullok=False), column("n", "int4"), keys=[key("a")]))])
    return mine


def test_a_snapshot_keeps_what_it_saw(history: Door) -> None:
    empty = history.snapshot()
    (x,) = history.insert("S:T", {"a": "x", "n": 1})
    first = history.snapshot()
    history.put("/attributegroup/S:T/a;n", [{"a": "x", "n": 2}])
    second = history.snapshot()
    history.insert("S:T", {"a": "y"})
    history.delete("/entity/S:T/a=x")
    third = history.snapshot()
    assert empty.rows("/entity/S:T") == []
    assert first.rows("/entity/S:T") == [x]
    assert [(row["a"], row["n"]) for row in second.rows("/entity/S:T")] == [("x", 2)]
    assert [(row["a"], row["n"]) for row in third.rows("/entity/S:T")] == [("y", None)]
    assert third.rows("/entity/S:T") == history.rows("/entity/S:T")
    assert first.rows("/aggregate/S:T/n:=sum(n)") == [{"n": 1}]
    assert first.get("/entity/S:T?accept=csv").text.splitlines()[1].startswith(x["RID"])


def test_any_moment_is_clamped_to_the_last_change(history: Door) -> None:
    history.insert("S:T", {"a": "x"})
    last = history.snaptime()
    between = micros_to_snap(snap_to_micros(last) + 1)
    assert history.snapshot(between).snaptime() == last
    assert history.snapshot(between).rows("/schema")["snaptime"] == history.snapshot(last).rows("/schema")["snaptime"]
    assert history.snapshot(last.lower()).rows("/entity/S:T") == history.rows("/entity/S:T")
    far = micros_to_snap(snap_to_micros(last) + 10**15)
    assert history.snapshot(far).snaptime() == last


@pytest.mark.parametrize("snap", ["2", "not-a-time", "UUU"])
def test_moments_without_a_state_are_refused(history: Door, snap: str) -> None:
    assert history.snapshot(snap).get("/schema").status == 409


def test_every_change_advances_the_snaptime(history: Door) -> None:
    seen = [history.snaptime()]
    for request in (
        ("POST", "/entity/S:T", [{"a": "x"}]),
        ("POST", "/entity/S:T", []),
        ("PUT", "/attributegroup/S:T/a;n", [{"a": "nobody", "n": 1}]),
        ("PUT", "/annotation/x", 1),
        ("PUT", "/schema/S/table/T", {"comment": "c"}),
        ("POST", "/schema/S/table/T/column", column("new")),
        ("DELETE", "/entity/S:T"),
    ):
        assert history.send(*request).status < 300, request
        seen.append(history.snaptime())
    micros = [snap_to_micros(snap) for snap in seen]
    assert micros == sorted(set(micros))


def test_the_model_of_a_snapshot(history: Door) -> None:
    history.insert("S:T", {"a": "x", "n": 1})
    before = history.snapshot()
    old = before.rows("/schema")
    history.put("/schema/S/table/T/column/n", {"name": "m", "type": {"typename": "text"}})
    history.put("/schema/S/table/T", {"table_name": "U"})
    history.made("/schema/S/table/U/column", column("z", "int4", default=3, nullok=False))
    middle = history.snapshot()
    history.delete("/schema/S/table/U/column/a")
    history.delete("/schema/S/table/U")
    assert before.rows("/schema") == old
    assert before.rows("/schema")["schemas"]["S"]["rights"]["create"] is False
    assert before.rows("/attribute/S:T/a,n") == [{"a": "x", "n": 1}]
    assert middle.rows("/attribute/S:U/a,m,z") == [{"a": "x", "m": "1", "z": 3}]
    assert (history.get("/entity/S:U").status, middle.get("/entity/S:T").status) == (409, 409)
    assert before.get("/schema/S/table/U").status == 404


def test_joins_in_the_past(history: Door) -> None:
    child = table("C", column("t"), fkeys=[foreign_key("t", "T", "a", on_delete="CASCADE")])
    history.made("/schema/S/table", child)
    history.insert("S:T", {"a": "x"}, {"a": "y"})
    history.insert("S:C", {"t": "x"}, {"t": "x"})
    past = history.snapshot()
    history.delete("/entity/S:T/a=x")
    assert history.rows("/entity/S:T/S:C") == []
    assert len(past.rows("/entity/S:T/S:C")) == 2
    assert past.rows("/attributegroup/M:=S:T/S:C/M:a;n:=cnt(*)") == [{"a": "x", "n": 2}]
    assert [row["a"] for row in past.rows("/entity/M:=S:T/left(a)=(S:C:t)/RID::null::/$M")] == ["y"]


def test_rids_resolve(history: Door) -> None:
    (x,) = history.insert("S:T", {"a": "x"})
    alive = history.snapshot()
    found = {"schema_name": "S", "table_name": "T", "RID": x["RID"]}
    assert history.rows(f"/entity_rid/{x['RID'].lower().replace('-', '')}") == found
    history.delete("/entity/S:T")
    gone = history.rows(f"/entity_rid/{x['RID']}")
    assert {name: gone[name] for name in found} == found
    assert set(gone) == set(found) | {"deleted_at", "last_visible_at", "last_visible_snaptime"}
    assert history.snapshot(gone["last_visible_snaptime"]).rows("/entity/S:T") == [x]
    assert alive.rows(f"/entity_rid/{x['RID']}") == found
    column_rid = history.rows("/schema/S/table/T/column/a")["RID"]
    assert history.statuses(("GET", "/entity_rid/ZZZZ-ZZZY"), ("GET", f"/entity_rid/{column_rid}")) == [404, 404]


def test_the_range_of_history(history: Door) -> None:
    history.insert("S:T", {"a": "x"})
    whole = history.rows("/history/,")
    assert whole["amendver"] is None
    assert whole["snaprange"][1] == history.snaptime()
    assert snap_to_micros(whole["snaprange"][0]) < snap_to_micros(whole["snaprange"][1])
    assert history.get("/history/,2").status == 404
    assert history.snapshot().get("/history/,").status == 404
