"""The model: its documents, how they are created, altered and dropped, and what is refused with which status."""

from __future__ import annotations

from typing import Any

import pytest
from conformance_kit import SYSTEM, SYSTEM_COLUMNS, Door, column, foreign_key, key, schema, table

TAG = "tag%3Aexample.org%2C2026%3Ax"
T, U = "/schema/S/table/T", "/schema/S/table/U"


@pytest.fixture
def model(mine: Door) -> Door:
    """A catalog with T(a, n) and U(a, t, t2), where U.t refers to T.a; T has two rows, U has one."""
    mine.made("/schema", [schema("S",
        table("T", column("a", nullok=False), column("n", "int4"), keys=[key("a")]),
        table("U", column("a"), column("t"), column("t2"), fkeys=[foreign_key("t", "T", "a")]),
    )])  # fmt: skip
    mine.insert("S:T", {"a": "x", "n": 1}, {"a": "y", "n": 2})
    mine.insert("S:U", {"a": "u", "t": "x"})
    return mine


# ---------------------------------------------------------------------------------------------------------- documents


def test_documents(model: Door) -> None:
    whole = model.rows("/schema")
    assert set(whole) >= {"snaptime", "annotations", "rights", "features", "schemas", "acls"}
    shown = whole["schemas"]["S"]
    assert (shown["schema_name"], shown["comment"], shown["annotations"]) == ("S", None, {})
    assert shown["rights"] == {"owner": True, "create": True}
    tables = shown["tables"]
    assert tables["T"]["rights"] == {"owner": True, "insert": True, "update": True, "delete": True, "select": True}
    assert (tables["T"]["kind"], tables["T"]["table_name"], tables["T"]["schema_name"]) == ("table", "T", "S")
    columns = {each["name"]: each for each in tables["T"]["column_definitions"]}
    assert set(columns) == SYSTEM | {"a", "n"}
    assert (columns["a"]["type"], columns["a"]["nullok"], columns["a"]["default"]) == (
        {"typename": "text"},
        False,
        None,
    )
    assert columns["RCT"]["type"] == {
        "typename": "ermrest_rct",
        "is_domain": True,
        "base_type": {"typename": "timestamptz"},
    }
    (reference,) = tables["U"]["foreign_keys"]
    assert reference["foreign_key_columns"] == [{"schema_name": "S", "table_name": "U", "column_name": "t"}]
    assert reference["referenced_columns"] == [{"schema_name": "S", "table_name": "T", "column_name": "a"}]
    assert (reference["on_delete"], reference["on_update"]) == ("NO ACTION", "NO ACTION")
    assert reference["names"] == [["S", "U_t_fkey"]]
    assert reference["acls"] == {"insert": ["*"], "update": ["*"]}
    assert sorted(each["names"][0][1] for each in tables["T"]["keys"]) == ["T_RID_key", "T_a_key"]
    every = [shown, *tables.values(), *columns.values(), reference, *tables["T"]["keys"]]
    assert len({each["RID"] for each in every}) == len(every)


def test_each_element_has_an_address(model: Door) -> None:
    whole = model.rows("/schema")["schemas"]["S"]
    assert model.rows("/schema/S") == whole
    assert model.rows("/schema/S/table") == list(whole["tables"].values())
    assert model.rows(T) == whole["tables"]["T"]
    assert model.rows(f"{T}/column") == whole["tables"]["T"]["column_definitions"]
    assert model.rows(f"{T}/column/a") in whole["tables"]["T"]["column_definitions"]
    assert model.rows(f"{T}/key") == whole["tables"]["T"]["keys"]
    assert model.rows(f"{T}/key/a") in whole["tables"]["T"]["keys"]
    references = whole["tables"]["U"]["foreign_keys"]
    for address in ("", "/t", "/t/reference", "/t/reference/S:T", "/t/reference/S:T/a"):
        assert model.rows(f"{U}/foreignkey{address}") == references


@pytest.mark.parametrize(
    ("below", "status"),
    [
        ("/schema/X", 404), ("/schema/S/table/X", 404), ("/schema/X/table/T", 409), (f"{T}/column/X", 404),
        (f"{T}/key/n", 404), (f"{U}/foreignkey/a", 404), (f"{U}/foreignkey/X", 409), ("/schema/S/table/X/column/a", 409),
        ("/schema/X/table", 409),
        (f"{U}/foreignkey/t2/reference/S:T/a", 200), (f"{T}/annotation/x", 404), (f"{T}/comment", 404), (f"{T}/acl/x", 404),
    ],
)  # fmt: skip
def test_what_does_not_exist(model: Door, below: str, status: int) -> None:
    assert model.get(below).status == status


# ------------------------------------------------------------------------------------------------------------- create


def test_schemas(mine: Door) -> None:
    reply = mine.post("/schema/S")
    assert (reply.status, reply.body) == (201, b"")
    assert mine.statuses(("POST", "/schema/S"), ("POST", "/schema/_ermrest"), ("POST", f"/schema/{'x' * 64}")) == [
        409,
        409,
        400,
    ]
    assert [each["schema_name"] for each in mine.made("/schema", [schema("A"), schema("B")])] == ["A", "B"]
    assert set(mine.made("/schema", {"schemas": {"C": schema("C")}})["schemas"]) == {"C"}
    assert set(mine.rows("/schema")["schemas"]) >= {"S", "A", "B", "C", "public"}


def test_a_batch_is_made_whole_or_not_at_all(mine: Door) -> None:
    forward = table("A", column("b"), fkeys=[foreign_key("b", "B", "k")])
    made = mine.made("/schema", [schema("S", forward, table("B", column("k", nullok=False), keys=[key("k")]))])
    assert len(made[0]["tables"]["A"]["foreign_keys"]) == 1
    loose = [
        {"schema_name": "S", **table("C", column("b"))},
        {
            **foreign_key("b", "B", "k"),
            "foreign_key_columns": [{"schema_name": "S", "table_name": "C", "column_name": "b"}],
        },
    ]
    made = mine.made("/schema", loose)
    assert [each["table_name"] for each in made] == ["C"]
    assert len(mine.rows("/schema/S/table/C/foreignkey")) == 1
    before = mine.rows("/schema")
    bad = [schema("X", table("D")), schema("Y", table("E", column("b"), fkeys=[foreign_key("b", "none", "k")]))]
    assert mine.post("/schema", bad).status == 409
    assert mine.rows("/schema") == before


def without(document: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in document.items() if name not in names}


@pytest.mark.parametrize(
    ("document", "status"),
    [
        (table("N"), 201),
        (table("T"), 409),
        (without(table("N"), "table_name"), 400),
        ({**table("N"), "kind": "view"}, 409),
        ({**table("N"), "keys": []}, 400),
        ({**table("N"), "column_definitions": SYSTEM_COLUMNS[:4]}, 400),
        ({**table("N"), "column_definitions": [column("RID"), *SYSTEM_COLUMNS[1:]]}, 400),
        (table("N" * 64), 400),
        (table("ü" * 32), 400),
        (table("N", comment=5), 400),
        (table("N", annotations=[]), 400),
        (table("N", column("a"), column("a")), 409),
        (table("N", {"name": "a", "type": {"typename": "varchar"}}), 409),
        (table("N", column("a"), keys=[key("x")]), 400),
        (table("N", column("a"), keys=[key("RID")]), 409),
        (table("N", column("a"), fkeys=[foreign_key("a", "T", "n")]), 409),
        (table("N", column("a"), fkeys=[foreign_key("x", "T", "a")]), 409),
        (table("N", column("a"), fkeys=[foreign_key("a", "X", "a")]), 409),
        (table("N", column("a"), fkeys=[foreign_key("a", "T", "a", on_delete="EXPLODE")]), 400),
        (table("N", column("a"), fkeys=[foreign_key("a", "T", "a", on_delete="set null")]), 201),
        (table("N", column("a"), fkeys=[foreign_key("a", "T", "a"), foreign_key("a", "T", "a")]), 409),
    ],
)
def test_tables(model: Door, document: dict[str, Any], status: int) -> None:
    reply = model.post("/schema/S/table", document)
    assert reply.status == status, reply.text
    if status == 201:
        assert reply.json() == model.rows("/schema/S/table/N")
    else:
        assert set(model.rows("/schema")["schemas"]["S"]["tables"]) == {"T", "U"}


def test_a_parent_that_is_missing_is_a_conflict(model: Door) -> None:
    requests = [("POST", "/schema/X/table", table("N")), ("POST", "/schema/S/table/X/column", column("a"))]
    requests += [
        ("POST", "/schema/S/table/X/key", key("a")),
        ("POST", "/schema/S/table/X/foreignkey", foreign_key("a", "T", "a")),
    ]
    assert model.statuses(*requests) == [409] * 4


@pytest.mark.parametrize(
    ("document", "status"),
    [
        (column("new"), 201),
        (column("new", "text[]", nullok=True, comment="c", annotations={"a": 1}), 201),
        (column("new", "int4", default=5, nullok=False), 201),
        (column("new", nullok=False), 409),
        (column("a"), 409),
        pytest.param(column("n" * 64), 400, marks=pytest.mark.deviation),
        ({"type": {"typename": "text"}}, 400),
        ({"name": "new", "type": {"typename": "text[]"}}, 409),
        (column("new", "int4", default="x"), 400),
    ],
)
def test_columns(model: Door, document: dict[str, Any], status: int) -> None:
    reply = model.post(f"{T}/column", document)
    assert reply.status == status, reply.text
    if status == 201:
        shown = reply.json()
        assert {name: shown[name] for name in document} == document
        assert shown == model.rows(f"{T}/column/new")
        assert {row["new"] for row in model.rows("/entity/S:T")} == {document.get("default")}


def test_keys(model: Door) -> None:
    (made,) = model.made(f"{T}/key", key("n", comment="c", names=[["S", "my_key"]]))
    assert (made["unique_columns"], made["names"], made["comment"]) == (["n"], [["S", "my_key"]], "c")
    assert model.post("/entity/S:T", [{"a": "z", "n": 1}]).status == 409
    requests = [
        ("POST", f"{T}/key", key("n")),
        ("POST", f"{T}/key", key("X")),
        ("POST", f"{T}/key", key("a", "n", names=[[5, 6]])),
    ]
    assert model.statuses(*requests) == [409, 400, 400]
    model.insert("S:U", {"a": "u"})
    assert model.post(f"{U}/key", key("a")).status == 409
    assert model.post(f"{U}/key", key("a", "t")).status == 201
    assert model.rows(f"{U}/key/t,a")["unique_columns"] == ["a", "t"]
    assert model.statuses(("DELETE", f"{T}/key/n"), ("GET", f"{T}/key/n"), ("DELETE", f"{T}/key/n")) == [204, 404, 404]
    assert model.post("/entity/S:T", [{"a": "z", "n": 1}]).status == 200


def test_foreign_keys(model: Door) -> None:
    model.insert("S:U", {"t2": "nobody"})
    assert model.post(f"{U}/foreignkey", foreign_key("t2", "T", "a")).status == 409
    model.put("/attributegroup/S:U/t2;new:=t2", [{"t2": "nobody", "new": "y"}])
    (made,) = model.made(f"{U}/foreignkey", foreign_key("t2", "T", "a", on_delete="CASCADE", comment="c"))
    assert (made["on_delete"], made["comment"], made["names"]) == ("CASCADE", "c", [["S", "U_t2_fkey"]])
    assert model.post(f"{U}/foreignkey", foreign_key("t2", "T", "a")).status == 409
    assert model.post("/entity/S:U", [{"t2": "nobody"}]).status == 409
    full = f"{U}/foreignkey/t2/reference/S:T/a"
    assert model.rows(full) == [made]
    changed = model.put(full, {"on_delete": "SET NULL", "annotations": {"x": 1}})
    assert (changed.status, changed.json()["on_delete"], changed.json()["annotations"]) == (200, "SET NULL", {"x": 1})
    assert model.put(full, [{"comment": "d"}]).json()["comment"] == "d"
    assert model.statuses(("DELETE", f"{U}/foreignkey/t2"), ("DELETE", full), ("GET", full)) == [405, 204, 200]
    assert model.rows(full) == []


# -------------------------------------------------------------------------------------------------------------- alter


def test_renames_and_moves_keep_the_rows(model: Door) -> None:
    rid = model.rows(T)["RID"]
    assert model.put(T, {"table_name": "V", "comment": "c"}).json()["table_name"] == "V"
    assert model.statuses(("GET", T), ("GET", "/entity/S:T")) == [404, 409]
    moved = model.rows("/schema/S/table/V")
    assert (moved["RID"], moved["comment"]) == (rid, "c")
    assert len(model.rows("/entity/S:V")) == 2
    assert model.rows(U)["foreign_keys"][0]["referenced_columns"][0]["table_name"] == "V"
    model.post("/schema/Z")
    assert model.put("/schema/S/table/V", {"schema_name": "Z"}).status == 200
    assert model.rows("/entity/Z:V/S:U")[0]["a"] == "u"
    assert model.put("/schema/Z", {"schema_name": "Y"}).status == 200
    assert model.put("/schema/Y/table/V/column/a", {"name": "b"}).status == 200
    assert sorted(row["b"] for row in model.rows("/attribute/Y:V/b")) == ["x", "y"]
    assert model.rows("/schema/Y/table/V/key/b")["unique_columns"] == ["b"]
    assert model.put("/schema/S/table/U", {"table_name": "U"}).status == 200
    assert model.put("/schema/Y/table/V/column/b", {"name": "n"}).status == 409


@pytest.mark.parametrize(
    ("below", "document", "status"),
    [
        ("/schema/S", {"comment": "c", "annotations": {"x": None}}, 200),
        ("/schema/S", {"schema_name": "public"}, 409),
        (T, {"annotations": {"x": 1}, "acls": {"select": ["*"]}}, 200),
        (T, {"comment": 5}, 400),
        (T, {"annotations": []}, 400),
        (T, {"table_name": "U"}, 409),
        (T, {"table_name": "x" * 64}, 400),
        (f"{T}/column/n", {"type": {"typename": "text"}}, 200),
        (f"{T}/column/n", {"type": {"typename": "int8"}, "comment": "big"}, 200),
        (f"{T}/column/n", {"nullok": False, "default": 7}, 200),
        (f"{T}/column/a", {"type": {"typename": "int4"}}, 409),
        (f"{U}/column/t2", {"nullok": False}, 409),
        (f"{T}/column/RID", {"comment": "c", "annotations": {"x": 1}}, 200),
        pytest.param(f"{T}/column/RID", {"name": "XID"}, 403, marks=pytest.mark.deviation),
        (f"{T}/column/RCT", {"type": {"typename": "text"}}, 400),
        (f"{T}/column/RMT", {"default": 5}, 403),
        (f"{T}/key/a", {"names": [["S", "other"]], "comment": "c"}, 200),
    ],
)
def test_alter(model: Door, below: str, document: dict[str, Any], status: int) -> None:
    before = model.rows("/schema")
    reply = model.put(below, document)
    assert reply.status == status, reply.text
    if status == 200:
        shown = reply.json()
        assert {name: shown[name] for name in document} == document
        assert model.rows(below) == shown
    else:
        assert model.rows("/schema") == before


def test_a_type_change_converts_what_is_stored(model: Door) -> None:
    assert model.put(f"{T}/column/n", {"type": {"typename": "text"}}).status == 200
    assert sorted(row["n"] for row in model.rows("/entity/S:T")) == ["1", "2"]
    assert model.put(f"{T}/column/n", {"type": {"typename": "float8"}}).status == 200
    assert sorted(row["n"] for row in model.rows("/entity/S:T/n::gt::1")) == [2]


# --------------------------------------------------------------------------------------------------------------- drop


def test_drops(model: Door) -> None:
    refused = [("DELETE", "/schema/S"), ("DELETE", T), ("DELETE", f"{T}/column/a"), ("DELETE", f"{T}/key/a")]
    assert model.statuses(*refused) == [409, 409, 409, 409]
    assert model.delete(f"{U}/column/t").status == 204
    assert model.rows(f"{U}/foreignkey") == []
    assert model.delete(f"{T}/column/a").status == 204
    assert [each["unique_columns"] for each in model.rows(f"{T}/key")] == [["RID"]]
    assert model.delete(f"{T}/key/RID").status == 409
    assert set(model.rows("/entity/S:T")[0]) == SYSTEM | {"n"}
    assert model.statuses(("DELETE", T), ("DELETE", U), ("DELETE", "/schema/S"), ("DELETE", "/schema/S")) == [
        204,
        204,
        204,
        404,
    ]
    assert model.statuses(("GET", "/entity/S:T"), ("GET", "/schema/S")) == [409, 404]


def test_a_name_may_be_used_again(model: Door) -> None:
    assert model.statuses(("DELETE", f"{T}/column/n"), ("POST", f"{T}/column", column("n"))) == [204, 201]
    assert {row["n"] for row in model.rows("/entity/S:T")} == {None}
    assert model.statuses(("DELETE", U), ("POST", "/schema/S/table", table("U", column("z")))) == [204, 201]
    assert model.rows("/entity/S:U") == []


# ---------------------------------------------------------------------------------------------- annotations, comments


@pytest.mark.parametrize(
    "subject", ["", "/schema/S", T, f"{T}/column/a", f"{T}/key/a", f"{U}/foreignkey/t/reference/S:T/a"]
)
def test_annotations(model: Door, subject: str) -> None:
    one = f"{subject}/annotation/{TAG}"
    requests = [("GET", one), ("PUT", one, {"x": [1]}), ("PUT", one, b"again"), ("PUT", one, [None])]
    assert model.statuses(*requests) == [404, 201, 400, 204]
    assert model.rows(one) == [None]
    assert model.rows(f"{subject}/annotation")["tag:example.org,2026:x"] == [None]
    assert model.statuses(("DELETE", one), ("DELETE", one), ("PUT", f"{subject}/annotation", {"a": None})) == [
        204,
        404,
        204,
    ]
    assert model.rows(f"{subject}/annotation") == {"a": None}
    assert model.send("DELETE", f"{subject}/annotation").status == 405


@pytest.mark.parametrize(
    "subject", ["/schema/S", T, f"{T}/column/a", f"{T}/key/a", f"{U}/foreignkey/t/reference/S:T/a"]
)
def test_comments(model: Door, subject: str) -> None:
    comment = f"{subject}/comment"
    assert model.send("PUT", comment, "a ü".encode(), {"Content-Type": "text/plain"}).status == 204
    reply = model.get(comment)
    assert (reply.status, reply.text, reply.headers["content-type"]) == (200, "a ü\n", "text/plain")
    assert model.statuses(("DELETE", comment), ("GET", comment)) == [204, 404]


def test_access_lists(model: Door) -> None:
    owner = model.rows("/acl/owner")
    assert set(model.rows("/acl")) >= {"owner", "create", "select", "enumerate"}
    assert model.rows("/acl/create") == []
    reply = model.put(f"{T}/acl/select", ["*"])
    assert (reply.status, reply.json()) == (200, ["*"])
    assert model.rows(f"{T}/acl") == {"select": ["*"]}
    requests = [
        ("PUT", f"{T}/acl/nope", ["x"]),
        ("PUT", f"{T}/acl/select", b"x"),
        ("PUT", f"{T}/acl/insert", ["*"]),
        ("PUT", "/acl/owner", ["other"]),
    ]
    assert model.statuses(*requests) == [409, 400, 400, 403]
    assert model.rows("/acl/owner") == owner
    reply = model.put("/acl", {"owner": owner, "select": ["*"], "enumerate": ["*"]})
    assert reply.status == 200
    assert (reply.json()["select"], reply.json()["insert"]) == (["*"], [])
    assert model.statuses(("DELETE", f"{T}/acl/select"), ("DELETE", f"{T}/acl/nope")) == [204, 404]
    assert model.rows(f"{T}/acl") == {}


def test_access_bindings_are_kept(model: Door) -> None:
    binding = {
        "types": ["update", "delete"],
        "projection": ["RCB"],
        "projection_type": "acl",
        "scope_acl": ["*"],
        "comment": "c",
    }
    assert model.put(T, {"acl_bindings": {"guard": binding}}).status == 200
    shown = model.rows(T)["acl_bindings"]["guard"]
    assert (shown["types"], shown["projection"], shown["projection_type"]) == (["update", "delete"], ["RCB"], "acl")
    assert model.rows(f"{T}/acl_binding/guard") == shown
    assert model.put(f"{T}/acl_binding/bad", {"types": ["update"], "projection": ["nope"]}).status == 409
    assert model.put(f"{T}/acl_binding/bad", {"types": ["fly"], "projection": ["RCB"]}).status == 400
    assert model.put(f"{T}/column/n/acl_binding/guard", False).status in (200, 201)
    assert model.delete(f"{T}/acl_binding/guard").status == 204
    assert model.rows(T)["acl_bindings"] == {}


def test_documents_go_around(model: Door) -> None:
    """What one catalog shows, another takes: that is how catalogs are copied."""
    shown = model.rows("/schema")["schemas"]["S"]
    copy = model.new_catalog()
    assert copy.post("/schema", [shown]).status == 201
    again = copy.rows("/schema")["schemas"]["S"]
    assert bare(again) == bare(shown)


def bare(document: Any) -> Any:
    """Return a document without the RIDs of its elements."""
    if isinstance(document, dict):
        return {name: bare(value) for name, value in document.items() if name != "RID"}
    return [bare(value) for value in document] if isinstance(document, list) else document
