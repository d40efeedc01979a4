"""What foreign keys do when the rows they point at go or change: every action, chains, cycles, and refusals."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from zoo import Catalog, link, table

ACTIONS = ("NO ACTION", "RESTRICT", "CASCADE", "SET NULL", "SET DEFAULT")


def family(catalog: Catalog, on_delete: str = "NO ACTION", on_update: str = "NO ACTION") -> None:
    """Make parents a, b and z, and a child of each of a and b; the default parent is z."""
    parent: dict[str, Any] = {"name": "p", "type": {"typename": "text"}, "default": "z"}
    to_parent = link("p", "s", "P", "k", on_delete=on_delete, on_update=on_update)
    catalog.define("s", table("P", "k text not-null", keys=("k",)), table("C", "n int4", parent, links=(to_parent,)))
    catalog.insert("P", {"k": "a"}, {"k": "b"}, {"k": "z"})
    catalog.insert("C", {"n": 1, "p": "a"}, {"n": 2, "p": "b"}, {"n": 3, "p": None})


def children(catalog: Catalog) -> dict[int, str | None]:
    return {row["n"]: row["p"] for row in catalog.get("/attribute/C/n,p@sort(n)")}


DELETED = {
    "CASCADE": {2: "b", 3: None},
    "SET NULL": {1: None, 2: "b", 3: None},
    "SET DEFAULT": {1: "z", 2: "b", 3: None},
}
CHANGED = {**DELETED, "CASCADE": {1: "x", 2: "b", 3: None}}


@pytest.mark.parametrize("action", ACTIONS)
def test_deleting_a_parent(empty: Catalog, action: str) -> None:
    family(empty, on_delete=action)
    if action not in DELETED:
        status, text = empty.refusal("DELETE", "/entity/P/k=a")
        assert (status, "C_p_fkey" in text) == (409, True)
        return
    before = empty.get("/entity/C/n=1")[0]
    assert empty.send("DELETE", "/entity/P/k=a").status == 204
    assert children(empty) == DELETED[action]
    for row in empty.get("/entity/C/n=1"):
        assert row["RMT"] > before["RMT"]


@pytest.mark.parametrize("action", ACTIONS)
def test_changing_the_key_of_a_parent(empty: Catalog, action: str) -> None:
    family(empty, on_update=action)
    path, rows = "/attributegroup/P/o:=k;n:=k", [{"o": "a", "n": "x"}]
    if action not in CHANGED:
        assert empty.refusal("PUT", path, rows)[0] == 409
        return
    assert empty.send("PUT", path, rows).status == 200
    assert children(empty) == CHANGED[action]


def test_a_default_that_does_not_exist_is_refused(empty: Catalog) -> None:
    family(empty, on_delete="SET DEFAULT")
    empty.send("DELETE", "/entity/P/k=z")
    status, text = empty.refusal("DELETE", "/entity/P/k=a")
    assert (status, "(p) = (z)" in text) == (409, True)


def test_a_null_that_must_not_be_is_refused(empty: Catalog) -> None:
    to_parent = link("p", "s", "P", "k", on_delete="SET NULL")
    empty.define("s", table("P", "k text not-null", keys=("k",)), table("C", "p text not-null", links=(to_parent,)))
    empty.insert("P", {"k": "a"})
    empty.insert("C", {"p": "a"})
    assert empty.refusal("DELETE", "/entity/P")[0] == 409


def test_nothing_happens_to_rows_whose_parent_keeps_its_key(empty: Catalog) -> None:
    family(empty, on_update="CASCADE")
    before = empty.get("/entity/C")
    assert empty.send("PUT", "/attributegroup/P/o:=k;n:=k", [{"o": "a", "n": "a"}]).status == 200
    assert empty.get("/entity/C") == before


def test_a_chain_of_new_keys_moves_each_child_once(empty: Catalog) -> None:
    family(empty, on_update="CASCADE")
    rows = [{"o": "z", "n": "y"}, {"o": "b", "n": "z"}, {"o": "a", "n": "b"}]
    assert empty.send("PUT", "/attributegroup/P/o:=k;n:=k", rows).status == 200
    assert children(empty) == {1: "b", 2: "z", 3: None}


def test_a_cycle_of_tables_can_be_deleted(empty: Catalog) -> None:
    to_parent = link("parent", "s", "T", "k", on_delete="CASCADE")
    empty.define("s", table("T", "k int4 not-null", "parent int4", keys=("k",), links=(to_parent,)))
    empty.insert("T", *({"k": k, "parent": (k + 1) % 50} for k in range(50)), {"k": 99, "parent": 99})
    assert empty.send("DELETE", "/entity/T/k=7").status == 204
    assert [row["k"] for row in empty.get("/entity/T")] == [99]
    assert empty.send("DELETE", "/entity/T/k=99").status == 204


def test_keys_of_several_columns(empty: Catalog) -> None:
    pair = link("a,b", "s", "P", "x,y", on_delete="CASCADE", on_update="CASCADE")
    empty.define(
        "s", table("P", "x text", "y int4", keys=("x,y",)), table("C", "n int4", "b int4", "a text", links=(pair,))
    )
    empty.insert("P", {"x": "u", "y": 1}, {"x": "u", "y": 2}, {"x": None, "y": 1})
    rows = [("u", 1), ("u", 2), ("u", None), (None, 7), (None, None)]
    empty.insert("C", *({"n": n, "a": a, "b": b} for n, (a, b) in enumerate(rows)))
    assert empty.refusal("POST", "/entity/C", [{"a": "u", "b": 3}])[0] == 409
    empty.send("PUT", "/attributegroup/P/x,o:=y;n:=y", [{"x": "u", "o": 1, "n": 9}, {"x": None, "o": 1, "n": 5}])
    assert [(r["n"], r["a"], r["b"]) for r in empty.get("/entity/C@sort(n)")][:3] == [
        (0, "u", 9),
        (1, "u", 2),
        (2, "u", None),
    ]
    empty.send("DELETE", "/entity/P/x=u")
    assert [row["n"] for row in empty.get("/entity/C@sort(n)")] == [2, 3, 4]


def test_a_deleted_row_frees_its_key_and_its_past_stays(empty: Catalog) -> None:
    family(empty, on_delete="CASCADE")
    snap = empty.snaptime()
    then = empty.get("/entity/C@sort(n)")
    for _ in range(3):
        empty.send("DELETE", "/entity/P/k=a")
        empty.insert("P", {"k": "a"})
    assert empty.get("/entity/C@sort(n)", snapshot=snap) == then
    assert [row["n"] for row in empty.get("/entity/C@sort(n)")] == [2, 3]


def test_any_sequence_of_changes_leaves_every_snapshot_as_it_was(empty: Catalog) -> None:
    """Random writes against a store of plain dictionaries, and every moment read back at the end."""
    family(empty, on_delete="SET NULL", on_update="CASCADE")
    chance = random.Random(7)
    seen: dict[str, Any] = {}
    for step in range(120):
        _random_change(empty, chance, step)
        seen[empty.snaptime()] = _everything(empty)
    assert len(seen) > 60
    for snap, rows in seen.items():
        assert _everything(empty, snap) == rows
    living = {row["k"] for row in empty.get("/entity/P")}
    assert {row["p"] for row in empty.get("/entity/C")} - {None} <= living


def _random_change(catalog: Catalog, chance: random.Random, step: int) -> None:
    key, other, number = chance.choice("abcdz"), chance.choice("abcdz"), chance.randrange(6)
    changes: list[tuple[str, str, Any]] = [
        ("POST", "/entity/P?onconflict=skip", [{"k": key}]),
        ("POST", "/entity/C", [{"n": step, "p": None}, {"n": number, "p": None}]),
        ("PUT", "/attributegroup/C/n;p", [{"n": number, "p": key}]),
        ("PUT", "/attributegroup/P/o:=k;n:=k", [{"o": key, "n": other}]),
        ("DELETE", f"/entity/P/k={key}", b""),
        ("DELETE", f"/entity/C/n={number}", b""),
        ("PUT", "/entity/P", [{"k": key}, {"k": other}] if key != other else [{"k": key}]),
    ]
    reply = catalog.send(*chance.choice(changes))
    assert reply.status in (200, 204, 404, 409), reply.text


def _everything(catalog: Catalog, snapshot: str = "") -> str:
    tables = [catalog.get(f"/entity/{name}@sort(RID)", snapshot=snapshot) for name in ("P", "C")]
    joined = catalog.get("/attribute/x:=C/P:=left(p)=(P:k)/$x/n,p,k:=P:k,RID@sort(RID)", snapshot=snapshot)
    return json.dumps([tables, joined])


def test_snapshots_are_read_only(wild: Catalog) -> None:
    snap = wild.snaptime()
    for method, path in (("POST", "/entity/zoo:Note"), ("PUT", "/entity/zoo:Person"), ("DELETE", "/entity/zoo:Visit")):
        assert wild.send(method, path, [{"Name": "x"}], snapshot=snap).status == 403
