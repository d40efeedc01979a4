"""Writing rows: inserts with their options, upserts, updates by correlation, deletes, and what integrity refuses."""

from __future__ import annotations

from typing import Any

import pytest
from conformance_kit import SYSTEM, Door, column, foreign_key, key, schema, table, without_system

T = table(
    "T",
    column("a", nullok=False),
    column("n", "int4", default=7),
    column("t"),
    column("tags", "text[]"),
    column("info", "jsonb"),
    column("color", "color_rgb_hex"),
    keys=[key("a")],
)


@pytest.fixture
def tables(mine: Door) -> Door:
    """A catalog with T above, and tables that refer to it with every action."""
    actions = ("NO ACTION", "RESTRICT", "CASCADE", "SET NULL", "SET DEFAULT")
    referring = [
        table(name.title().replace(" ", ""), column("t", default="dflt" if name == "SET DEFAULT" else None),
              fkeys=[foreign_key("t", "T", "a", on_delete=name, on_update=name)])
        for name in actions
    ]  # fmt: skip
    pair = table("Pair", column("x", "int4"), column("y", "int4"), column("v"), keys=[key("x", "y")])
    serial = table("Serial", column("id", "serial4", nullok=False), column("v"), keys=[key("id")])
    link = table("Link", column("uri", "ermrest_uri"), column("id", "ermrest_curie"))
    mine.made("/schema", [schema("S", T, *referring, pair, serial, link)])
    return mine


def values(door: Door, name: str, *columns: str) -> list[list[Any]]:
    """Return the columns of all rows of a table, sorted by the first."""
    rows = door.rows(f"/entity/S:{name}@sort({columns[0]})")
    return [[row[column] for column in columns] for row in rows]


# ------------------------------------------------------------------------------------------------------------- insert


def test_an_insert_returns_its_rows(tables: Door) -> None:
    made = tables.insert("S:T", {"a": "x", "n": 1, "unknown": 5}, {"a": "y", "tags": None})
    assert without_system(made) == [
        {"a": "x", "n": 1, "t": None, "tags": [], "info": None, "color": None},
        {"a": "y", "n": None, "t": None, "tags": None, "info": None, "color": None},
    ]
    assert made == tables.rows("/entity/S:T@sort(a)")
    assert len({row["RID"] for row in made}) == 2
    assert len({row["RCT"] for row in made} | {row["RMT"] for row in made}) == 1


def test_absent_and_null_differ_where_they_must(tables: Door) -> None:
    tables.insert("S:T", {"a": "1"}, {"a": "2", "info": None, "tags": None})
    assert values(tables, "T", "a", "tags", "info") == [["1", [], None], ["2", None, None]]
    assert [row["a"] for row in tables.rows("/entity/S:T/info::null::")] == ["1"]
    assert [row["a"] for row in tables.rows("/entity/S:T/tags::null::")] == ["2"]


@pytest.mark.parametrize(
    ("options", "row", "expected"),
    [
        ("", {"a": "x"}, None),
        ("?defaults=n", {"a": "x"}, 7),
        ("?defaults=n", {"a": "x", "n": 1}, 7),
        ("?defaults=RID,RCT,RMT,RCB,RMB,n", {"a": "x"}, 7),
        ("?defaults=t", {"a": "x", "n": 1}, 1),
    ],
)
def test_defaults_are_used_on_request(tables: Door, options: str, row: dict[str, Any], expected: Any) -> None:
    (made,) = tables.insert("S:T", row, options=options)
    assert made["n"] == expected


def test_a_serial_counts(tables: Door) -> None:
    tables.insert("S:Serial", {"v": "a"}, {"v": "b"}, options="?defaults=id")
    tables.insert("S:Serial", {"v": "c"}, options="?defaults=id")
    assert values(tables, "Serial", "v", "id") == [["a", 1], ["b", 2], ["c", 3]]


def test_a_uri_may_hold_the_rid_of_its_row(tables: Door) -> None:
    (made,) = tables.insert("S:Link", {"uri": "http://x/{RID}", "id": "X:{RID}"})
    assert (made["uri"], made["id"]) == (f"http://x/{made['RID']}", f"X:{made['RID']}")


def test_system_columns_may_be_given_on_request(tables: Door) -> None:
    row = {
        "a": "x",
        "RID": "2-AAAA",
        "RCT": "2001-02-03T04:05:06.123456+00:00",
        "RCB": None,
        "RMB": "me",
        "RMT": "2001-01-01",
    }
    (ignored,) = tables.insert("S:T", {**row, "a": "y"})
    assert ignored["RID"] != "2-AAAA" and ignored["RCT"] != row["RCT"]
    (made,) = tables.insert("S:T", row, options="?nondefaults=RID,RCT")
    assert (made["RID"], made["RCT"]) == ("2-AAAA", row["RCT"])
    assert made["RMT"] != "2001-01-01T00:00:00+00:00"
    (later,) = tables.insert("S:T", {"a": "z"})
    assert len(later["RID"]) >= len("2-AAAA") and later["RID"] > "2-AAAA"
    assert tables.rows("/entity_rid/2-aaaa") == {"schema_name": "S", "table_name": "T", "RID": "2-AAAA"}


def test_leases(tables: Door) -> None:
    leases = tables.insert("public:ERMrest_RID_Lease", {"ID": "token-1"}, {"ID": "token-2"})
    assert [lease["ID"] for lease in leases] == ["token-1", "token-2"]
    assert len({lease["RID"] for lease in leases}) == 2
    again = tables.insert("public:ERMrest_RID_Lease", {"ID": "token-1"}, {"ID": "token-3"}, options="?onconflict=skip")
    assert [lease["ID"] for lease in again] == ["token-3"]
    rid = leases[0]["RID"]
    assert [row["ID"] for row in tables.rows(f"/entity/public:ERMrest_RID_Lease/RID=any({rid})")] == ["token-1"]
    (made,) = tables.insert("S:T", {"a": "x", "RID": rid}, options="?nondefaults=RID")
    assert made["RID"] == rid
    assert tables.post("/entity/S:T?nondefaults=RID", [{"a": "y", "RID": rid}]).status == 409


def test_conflicts_abort_or_are_skipped(tables: Door) -> None:
    tables.insert("S:T", {"a": "x"})
    both = [{"a": "x", "t": "new"}, {"a": "y", "t": "new"}]
    assert tables.post("/entity/S:T", both).status == 409
    assert tables.post("/entity/S:T?onconflict=abort", both).status == 409
    assert tables.post("/entity/S:T?onconflict=other", both).status == 400
    assert values(tables, "T", "a", "t") == [["x", None]]
    made = tables.made("/entity/S:T?onconflict=skip", both)
    assert [row["a"] for row in made] == ["y"]
    assert values(tables, "T", "a", "t") == [["x", None], ["y", "new"]]
    assert tables.made("/entity/S:T?onconflict=skip", both) == []


def test_csv_and_streams(tables: Door) -> None:
    csv = 'a,n,t,tags,info\nx,1,"","{p,""q r""}","{""k"": 1}"\ny,,,,\n'
    assert tables.send("POST", "/entity/S:T", csv).status == 400, "CSV must have every column that has to be given"
    csv = csv.replace("info\n", "info,color\n").replace('1}"\n', '1}",#00ff00\n').replace(",,,,\n", ",,,,,\n")
    assert tables.send("POST", "/entity/S:T", csv).status == 200
    assert values(tables, "T", "a", "n", "t", "tags", "info", "color") == [
        ["x", 1, "", ["p", "q r"], {"k": 1}, "#00ff00"],
        ["y", None, None, None, None, None],
    ]
    stream = b'{"a": "z", "n": 3}\n{"a": "w"}\n'
    assert tables.send("POST", "/entity/S:T", stream, {"Content-Type": "application/x-json-stream"}).status == 200
    assert len(tables.rows("/entity/S:T")) == 4


@pytest.mark.parametrize(
    ("below", "body", "status"),
    [
        ("/entity/S:T", [{"n": 1}], 409),
        ("/entity/S:T", [{"a": None}], 409),
        ("/entity/S:T", [{"a": "z", "n": "x"}], 400),
        ("/entity/S:T", [{"a": "z", "n": 2**31}], 400),
        ("/entity/S:T", [{"a": "z", "tags": "x"}], 400),
        ("/entity/S:T", [{"a": "z", "t": "\0"}], 400),
        ("/entity/S:T", [{"a": "z", "color": "red"}], 409),
        ("/entity/S:T", [{"a": "z"}, {"a": "z"}], 400),
        ("/entity/S:T", b"{", 400),
        ("/entity/S:T", "a,n\nz,1\n", 400),
        ("/entity/S:T", "a,n,t,tags,info,color,nope\nz,1,,,,,\n", 409),
        ("/entity/S:T", "a,a,n,t,tags,info,color\nz,z,1,,,,\n", 400),
        ("/entity/S:T?nondefaults=RMT", [{"a": "z", "RMT": "2001-01-01"}], 403),
        ("/entity/S:T?nondefaults=RMB", [{"a": "z", "RMB": "x"}], 403),
        ("/entity/S:T?nondefaults=RID", [{"a": "z", "RID": "not!"}], 409),
        ("/entity/S:Cascade", [{"t": "nobody"}], 409),
        ("/entity/S:Nope", [{"a": "z"}], 409),
        ("/entity/S:T/S:Cascade", [{"t": "x"}], 400),
        ("/entity/S:T/a=x", [{"a": "z"}], 400),
    ],
)
def test_inserts_refused(tables: Door, below: str, body: Any, status: int) -> None:
    tables.insert("S:T", {"a": "x"})
    reply = tables.post(below, body)
    assert reply.status == status, reply.text
    assert values(tables, "T", "a") == [["x"]]


def test_another_content_type_is_refused(tables: Door) -> None:
    assert tables.send("POST", "/entity/S:T", b"<a/>", {"Content-Type": "text/xml"}).status == 415


def test_rows_of_one_batch_may_refer_to_each_other(mine: Door) -> None:
    tree = table(
        "Tree", column("id", nullok=False), column("up"), keys=[key("id")], fkeys=[foreign_key("up", "Tree", "id")]
    )
    mine.made("/schema", [schema("S", tree)])
    assert len(mine.insert("S:Tree", {"id": "leaf", "up": "root"}, {"id": "root", "up": None})) == 2
    assert mine.post("/entity/S:Tree", [{"id": "x", "up": "none"}]).status == 409
    assert mine.delete("/entity/S:Tree/id=root").status == 409
    assert mine.delete("/entity/S:Tree").status == 204


def test_a_null_in_a_foreign_key_refers_to_nothing(tables: Door) -> None:
    assert tables.insert("S:Cascade", {"t": None})[0]["t"] is None


# ------------------------------------------------------------------------------------------------------------- upsert


def test_a_put_of_entities_updates_or_inserts(tables: Door) -> None:
    (first,) = tables.insert("S:T", {"a": "x", "n": 1, "t": "old"})
    reply = tables.put("/entity/S:T", [{"a": "x", "n": 2}, {"a": "y", "n": 3, "t": "new"}])
    assert reply.status == 200
    assert {row["a"]: row["n"] for row in reply.json()} == {"x": 2, "y": 3}
    assert values(tables, "T", "a", "n", "t") == [["x", 2, None], ["y", 3, "new"]]
    (second,) = tables.rows("/entity/S:T/a=x")
    assert (second["RID"], second["RCT"]) == (first["RID"], first["RCT"])
    assert second["RMT"] > first["RMT"]
    assert tables.put("/entity/S:Link", [{"uri": "x"}]).status == 409


# ------------------------------------------------------------------------------------------------------------- update


def test_an_update_changes_what_it_names(tables: Door) -> None:
    (x, y) = tables.insert("S:T", {"a": "x", "n": 1, "t": "k"}, {"a": "y", "n": 1})
    body = [{"RID": x["RID"], "n": 5, "t": "ignored"}, {"RID": "2-ZZZZ", "n": 6}]
    reply = tables.put("/attributegroup/S:T/RID;n", body)
    assert (reply.status, reply.json()) == (200, [{"RID": x["RID"], "n": 5}])
    assert values(tables, "T", "a", "n", "t") == [["x", 5, "k"], ["y", 1, None]]
    changed = tables.rows("/entity/S:T/a=x")[0]
    assert changed["RMT"] > x["RMT"] and changed["RCT"] == x["RCT"]
    assert tables.rows("/entity/S:T/a=y")[0] == y


def test_compare_and_set(tables: Door) -> None:
    (x,) = tables.insert("S:T", {"a": "x", "n": 1})
    update = "/attributegroup/S:T/RID,RMT;n"
    won = tables.put(update, [{"RID": x["RID"], "RMT": x["RMT"], "n": 2}])
    lost = tables.put(update, [{"RID": x["RID"], "RMT": x["RMT"], "n": 3}])
    assert (len(won.json()), lost.status, lost.json()) == (1, 200, [])
    same = tables.put("/attributegroup/S:T/RID,old:=n;new:=n", [{"RID": x["RID"], "old": 2, "new": 4}])
    assert same.json() == [{"RID": x["RID"], "old": 2, "new": 4}]
    assert values(tables, "T", "a", "n") == [["x", 4]]


def test_keys_of_an_update_may_be_null_repeated_or_renamed(tables: Door) -> None:
    tables.insert("S:Pair", {"x": 1, "y": None, "v": "a"}, {"x": 1, "y": 2, "v": "b"}, {"x": 1, "y": 3, "v": "b"})
    assert len(tables.put("/attributegroup/S:Pair/y;v", [{"y": None, "v": "z"}]).json()) == 1
    assert len(tables.put("/attributegroup/S:Pair/old:=v;new:=v", [{"old": "b", "new": "c"}]).json()) in (1, 2)
    assert sorted(row["v"] for row in tables.rows("/entity/S:Pair")) == ["c", "c", "z"]
    (moved,) = tables.put("/attributegroup/S:Pair/o:=y;y", [{"o": 2, "y": 5}]).json()
    assert moved == {"o": 2, "y": 5}


@pytest.mark.parametrize(
    ("below", "body", "status"),
    [
        ("/attributegroup/S:T/RID", [{"RID": "1"}], 400),
        ("/attributegroup/S:T/a;nope", [{"a": "x", "nope": 1}], 409),
        ("/attributegroup/S:T/a;n", [{"a": "x", "n": "one"}], 400),
        ("/attributegroup/S:T/a;n", [{"a": "x", "n": 1}, {"a": "x", "n": 2}], 400),
        ("/attributegroup/S:T/o:=a;a", [{"o": "x", "a": "y"}], 409),
        ("/attributegroup/S:T/o:=a;a", [{"o": "x", "a": None}], 409),
        ("/attributegroup/S:T/a;color", [{"a": "x", "color": "red"}], 409),
        ("/attributegroup/S:Cascade/RID;t", [{"RID": "any", "t": "nobody"}], 200),
        ("/attributegroup/S:T/a;RMT", [{"a": "x", "RMT": "2001-01-01"}], 403),
        ("/attributegroup/S:T/a;RID", [{"a": "x", "RID": "1"}], 403),
        ("/attributegroup/S:T/S:Cascade/a;n", [{"a": "x", "n": 1}], 400),
    ],
)
def test_updates_refused(tables: Door, below: str, body: Any, status: int) -> None:
    tables.insert("S:T", {"a": "x", "n": 1}, {"a": "y", "n": 2})
    before = tables.rows("/entity/S:T@sort(a)")
    reply = tables.put(below, body)
    assert reply.status == status, reply.text
    assert tables.rows("/entity/S:T@sort(a)") == before


# ------------------------------------------------------------------------------------------------------------- delete


def test_deletes(tables: Door) -> None:
    tables.insert("S:T", {"a": "x", "n": 1}, {"a": "y", "n": 2}, {"a": "z", "n": 2})
    assert tables.statuses(("DELETE", "/entity/S:T/a=nobody"), ("DELETE", "/entity/S:T/n=2")) == [404, 204]
    assert values(tables, "T", "a") == [["x"]]
    assert tables.statuses(("DELETE", "/entity/S:T"), ("DELETE", "/entity/S:T")) == [204, 404]


def test_a_delete_takes_the_rows_of_the_context(tables: Door) -> None:
    tables.insert("S:T", {"a": "x"}, {"a": "y"})
    tables.insert("S:Cascade", {"t": "x"}, {"t": "y"})
    assert tables.delete("/entity/S:T/a=x/S:Cascade").status == 204
    assert values(tables, "Cascade", "t") == [["y"]]
    assert tables.delete("/entity/M:=S:T/S:Cascade/$M").status == 204
    assert (values(tables, "T", "a"), values(tables, "Cascade", "t")) == ([["x"]], [])
    assert tables.delete("/entity/M:=S:T/C:=left(a)=(S:Cascade:t)/C:RID::null::").status == 404
    assert tables.delete("/entity/M:=S:T/C:=left(a)=(S:Cascade:t)/C:RID::null::/$M").status == 204
    assert values(tables, "T", "a") == []


def test_a_delete_of_attributes_makes_them_null(tables: Door) -> None:
    tables.insert("S:Pair", {"x": 1, "y": 1, "v": "a"}, {"x": 2, "y": 1, "v": "b"})
    assert tables.delete("/attribute/S:Pair/x=1/v").status == 204
    assert values(tables, "Pair", "x", "v") == [[1, None], [2, "b"]]
    assert tables.delete("/attribute/S:Pair/x=9/v").status == 404
    assert tables.delete("/attribute/S:Pair/x=1/y").status == 409
    tables.made("/schema/S/table", table("Json", column("j", "json"), column("v")))
    tables.insert("S:Json", {"j": [1], "v": "a"})
    assert tables.delete("/attribute/S:Json/v").status == 409
    assert values(tables, "Json", "v") == [["a"]]


@pytest.mark.parametrize(
    ("name", "on_delete", "on_update"),
    [
        ("NoAction", 409, 409),
        ("Restrict", 409, 409),
        ("Cascade", [], [["new"]]),
        ("SetNull", [[None]], [[None]]),
        ("SetDefault", [["dflt"]], [["dflt"]]),
    ],
)
def test_what_happens_to_those_who_refer(tables: Door, name: str, on_delete: Any, on_update: Any) -> None:
    for outcome, change in (
        (on_update, lambda: tables.put("/attributegroup/S:T/o:=a;a", [{"o": "x", "a": "new"}])),
        (on_delete, lambda: tables.delete("/entity/S:T/a=any(x,new)")),
    ):
        tables.delete("/entity/S:NoAction"), tables.delete(f"/entity/S:{name}"), tables.delete("/entity/S:T")
        tables.insert("S:T", {"a": "x"}, {"a": "dflt"})
        (before,) = tables.insert(f"S:{name}", {"t": "x"})
        reply = change()
        if outcome == 409:
            assert reply.status == 409
            assert values(tables, name, "t") == [["x"]]
        else:
            assert reply.status in (200, 204), reply.text
            assert values(tables, name, "t") == outcome
            assert all(row["RMT"] > before["RMT"] for row in tables.rows(f"/entity/S:{name}"))


def test_a_snapshot_cannot_be_written(tables: Door) -> None:
    tables.insert("S:T", {"a": "x"})
    past = tables.snapshot()
    requests = [
        ("POST", "/entity/S:T", [{"a": "y"}]), ("PUT", "/entity/S:T", [{"a": "x"}]), ("DELETE", "/entity/S:T"),
        ("PUT", "/attributegroup/S:T/a;n", [{"a": "x", "n": 1}]), ("POST", "/schema/Z"), ("DELETE", "/schema/S/table/T"),
        ("PUT", "/annotation/x", 1), ("DELETE", ""),
    ]  # fmt: skip
    assert past.statuses(*requests) == [403] * len(requests)


def test_an_empty_insert_makes_nothing(tables: Door) -> None:
    assert tables.made("/entity/S:T", []) == []
    assert tables.rows("/entity/S:T") == []


def test_many_rows(tables: Door) -> None:
    rows = [{"x": number, "y": number % 7, "v": f"row {number}"} for number in range(2500)]
    assert len(tables.insert("S:Pair", *rows)) == 2500
    changed = [{"x": number, "v": "even"} for number in range(0, 2500, 2)]
    assert len(tables.put("/attributegroup/S:Pair/x;v", changed).json()) == 1250
    assert tables.rows("/attributegroup/S:Pair/v=even/v;n:=cnt(*)") == [{"v": "even", "n": 1250}]
    assert set(tables.rows("/entity/S:Pair/x=0")[0]) == {"x", "y", "v"} | SYSTEM
    assert tables.delete("/entity/S:Pair/x::lt::2000").status == 204
    assert tables.rows("/aggregate/S:Pair/n:=cnt(*)") == [{"n": 500}]
