"""Access control lists, enforced on every endpoint: tables of who asks what, and what comes of it."""

from __future__ import annotations

from typing import Any

import pytest
from rights_lab import DEFAULTS, SAMPLE, SCHEMA, TEAM, Lab

from deriva_local.service.messages import Client

EVERY_DOOR: list[tuple[str, str, Any]] = [
    ("GET", "/", b""),
    ("GET", "/schema", b""),
    ("GET", "/schema/lab", b""),
    ("GET", SAMPLE, b""),
    ("GET", f"{SAMPLE}/column", b""),
    ("GET", f"{SAMPLE}/key", b""),
    ("GET", f"{SAMPLE}/foreignkey", b""),
    ("GET", f"{SAMPLE}/annotation", b""),
    ("GET", f"{SAMPLE}/comment", b""),
    ("GET", f"{SAMPLE}/acl", b""),
    ("GET", "/annotation", b""),
    ("GET", "/acl", b""),
    ("GET", "/history/,", b""),
    ("GET", "/entity_rid/1", b""),
    ("GET", "/textfacet/x", b""),
    ("GET", "/entity/lab:Sample", b""),
    ("GET", "/attribute/lab:Sample/Label", b""),
    ("GET", "/attributegroup/lab:Sample/Label", b""),
    ("GET", "/aggregate/lab:Sample/n:=cnt(*)", b""),
    ("POST", "/entity/lab:Sample", [{"Label": "z"}]),
    ("PUT", "/entity/lab:Sample", [{"Label": "z"}]),
    ("PUT", "/attributegroup/lab:Sample/Label;Note", [{"Label": "a", "Note": "z"}]),
    ("DELETE", "/entity/lab:Sample", b""),
    ("DELETE", "/attribute/lab:Sample/Note", b""),
    ("POST", "/schema", [{"schema_name": "more"}]),
    ("POST", "/schema/more", b""),
    ("PUT", "/schema/lab", {"comment": "z"}),
    ("DELETE", "/schema/lab", b""),
    ("POST", "/schema/lab/table", {"table_name": "z"}),
    ("PUT", SAMPLE, {"comment": "z"}),
    ("DELETE", SAMPLE, b""),
    ("POST", f"{SAMPLE}/column", {"name": "z", "type": {"typename": "text"}}),
    ("PUT", f"{SAMPLE}/column/Note", {"comment": "z"}),
    ("DELETE", f"{SAMPLE}/column/Note", b""),
    ("POST", f"{SAMPLE}/key", {"unique_columns": ["Note"]}),
    ("PUT", f"{SAMPLE}/key/Label", {"comment": "z"}),
    ("DELETE", f"{SAMPLE}/key/Label", b""),
    ("POST", f"{SAMPLE}/foreignkey", {}),
    ("PUT", f"{SAMPLE}/foreignkey/Team/reference/lab:Team/Name", {"comment": "z"}),
    ("DELETE", f"{SAMPLE}/foreignkey/Team/reference/lab:Team/Name", b""),
    ("PUT", f"{SAMPLE}/annotation/z", 1),
    ("DELETE", f"{SAMPLE}/annotation/z", b""),
    ("PUT", f"{SAMPLE}/comment", b"z"),
    ("PUT", f"{SAMPLE}/acl/select", ["*"]),
    ("PUT", f"{SAMPLE}/acl_binding/z", {"types": ["select"], "projection": "RCB"}),
    ("PUT", "/acl/owner", ["eve"]),
    ("PUT", "/annotation/z", 1),
    ("DELETE", "/history/,ZZZZ", b""),
    ("POST", "?vacuum", b""),
    ("DELETE", "", b""),
]
READABLE = {("GET", path) for method, path, _ in EVERY_DOOR if method == "GET"} - {
    ("GET", f"{SAMPLE}/acl"),
    ("GET", "/acl"),
}


@pytest.mark.parametrize("who", ["eve", "nobody"])
def test_a_catalog_that_is_closed_is_closed_at_every_door(lab: Lab, who: str) -> None:
    expected = 401 if who == "nobody" else 403
    found = {(method, path): lab.status(who, method, path, body) for method, path, body in EVERY_DOOR}
    assert found == dict.fromkeys(found, expected)


@pytest.mark.parametrize("who", ["eve", "nobody"])
def test_who_may_read_may_do_nothing_else(lab: Lab, who: str) -> None:
    lab.allow(enumerate=["*"], select=["*"])
    expected = 401 if who == "nobody" else 403
    lab.done("owner", "PUT", f"{SAMPLE}/comment", b"about samples")
    for method, path, body in EVERY_DOOR:
        status = lab.status(who, method, path, body)
        wanted = 200 if (method, path) in READABLE else expected
        if path == "/entity_rid/1":
            wanted = 404
        assert (method, path, status) == (method, path, wanted)


def test_the_rows_are_still_as_they_were(lab: Lab) -> None:
    before = lab.get("owner", "/entity/lab:Sample@sort(Label)")
    for who in ("eve", "nobody"):
        for method, path, body in EVERY_DOOR:
            lab.status(who, method, path, body)
    assert lab.get("owner", "/entity/lab:Sample@sort(Label)") == before


@pytest.mark.parametrize("hidden", [TEAM, f"{SAMPLE}/column/Team", f"{TEAM}/column/Name", f"{SAMPLE}/column/RID"])
@pytest.mark.parametrize("lists", [{"owner": ["ann"]}, {"write": ["ann"]}, {"select": ["ann"], "insert": ["ann"]}])
def test_no_door_fails_for_who_sees_a_part(lab: Lab, hidden: str, lists: dict[str, list[str]]) -> None:
    lab.allow(enumerate=["*"])
    lab.allow(SAMPLE, **lists)
    lab.allow(hidden, enumerate=[], select=[])
    for method, path, body in EVERY_DOOR:
        assert lab.status("ann", method, path, body) in (200, 201, 204, 400, 403, 404, 409)


WRITES: dict[str, tuple[str, str, Any]] = {
    "read": ("GET", "/entity/lab:Sample", b""),
    "insert": ("POST", f"/entity/lab:Sample?{DEFAULTS}", [{"Label": "z"}]),
    "upsert": ("PUT", "/entity/lab:Sample", [{"Label": "d", "Note": "z"}]),
    "update": ("PUT", "/attributegroup/lab:Sample/Label;Note", [{"Label": "d", "Note": "z"}]),
    "clear": ("DELETE", "/attribute/lab:Sample/Label=a/Note", b""),
    "delete": ("DELETE", "/entity/lab:Sample/Label=d", b""),
    "table": ("PUT", SAMPLE, {"comment": "z"}),
    "schema": ("PUT", SCHEMA, {"comment": "z"}),
    "create": ("POST", "/schema", [{"schema_name": "other"}]),
}


@pytest.mark.parametrize(
    ("lists", "allowed"),
    [
        ({"/": {"enumerate": ["*"]}}, ""),
        ({"/": {"enumerate": ["*"], "select": ["ann"]}}, "read"),
        ({"/": {"select": ["ann"]}}, "read"),
        ({"/": {"write": ["ann"]}}, "read insert upsert update clear delete"),
        ({"/": {"insert": ["ann"]}}, "insert"),
        ({"/": {"update": ["ann"]}}, "read update clear"),
        ({"/": {"delete": ["ann"]}}, "read delete"),
        ({"/": {"insert": ["ann"], "update": ["ann"]}}, "read insert upsert update clear"),
        ({"/": {"write": ["reds"]}, SAMPLE: {"write": []}}, ""),
        ({"/": {"write": ["reds"]}, SAMPLE: {"write": [], "select": ["*"]}}, "read"),
        ({"/": {"enumerate": ["*"]}, SCHEMA: {"write": ["ann"]}}, "read insert upsert update clear delete"),
        ({SCHEMA: {"write": ["ann"]}}, ""),
        ({"/": {"enumerate": ["*"]}, SAMPLE: {"owner": ["ann"]}}, "read insert upsert update clear delete table"),
        ({"/": {"enumerate": ["*"]}, SCHEMA: {"owner": ["reds"]}}, "read insert upsert update clear delete table schema"),
        ({"/": {"create": ["ann"]}}, "create"),
        ({"/": {"owner": ["ann", "local"]}}, " ".join(WRITES)),
        ({"/": {"write": ["bob"], "select": ["bob"], "enumerate": ["*"]}}, ""),
    ],
)  # fmt: skip
def test_rights_down_the_tree(lab: Lab, lists: dict[str, dict[str, list[str]]], allowed: str) -> None:
    mine = lab.get("owner", "/acl/owner")
    for place, given in lists.items():
        kept = {name: [*mine, *who] if (place, name) == ("/", "owner") else who for name, who in given.items()}
        lab.allow("" if place == "/" else place, **kept)
    for name, (method, path, body) in WRITES.items():
        assert (name, lab.status("ann", method, path, body) < 300) == (name, name in allowed.split(" "))


def test_what_is_invisible_behaves_as_absent(lab: Lab) -> None:
    lab.allow(select=["*"])
    lab.allow(TEAM, select=[], enumerate=[])
    lab.allow(f"{SAMPLE}/column/Grade", select=[], enumerate=[])
    shown = lab.get("eve", "/schema")["schemas"]
    assert list(shown["lab"]["tables"]) == ["Sample"]
    sample = shown["lab"]["tables"]["Sample"]
    names = [column["name"] for column in sample["column_definitions"]]
    assert "Grade" not in names
    assert "Label" in names
    assert [link["names"][0][1] for link in sample["foreign_keys"]] == ["up"]
    assert "acls" not in sample
    assert set(shown["public"]["tables"]) == {"ERMrest_RID_Lease"}
    for method, path, status in [
        ("GET", TEAM, 404),
        ("GET", f"{TEAM}/column", 409),
        ("GET", "/entity/lab:Team", 409),
        ("GET", "/entity/Team", 409),
        ("GET", f"{SAMPLE}/column/Grade", 404),
        ("GET", f"{SAMPLE}/foreignkey/Team", 404),
        ("GET", "/entity/lab:Sample/lab:Team", 409),
        ("GET", "/entity/lab:Sample/Grade=x", 409),
        ("GET", "/attribute/lab:Sample/Grade", 409),
        ("GET", "/entity/lab:Sample@sort(Grade)", 409),
        ("GET", f"/entity_rid/{lab.rids['red']}", 404),
        ("GET", f"/entity_rid/{lab.rids['a']}", 200),
    ]:
        assert (path, lab.status("eve", method, path)) == (path, status)
    assert "Grade" not in lab.get("eve", "/entity/lab:Sample")[0]
    assert b"Grade" not in lab.done("eve", "GET", "/entity/lab:Sample", accept="text/csv").body
    assert lab.get("eve", "/entity/lab:Sample/*::regexp::%5Ex%24") == []
    assert "Grade" not in lab.get("eve", "/aggregate/lab:Sample/all:=array(*)")[0]["all"][0]


def test_a_column_that_is_seen_but_not_read(lab: Lab) -> None:
    lab.allow(select=["*"], enumerate=["*"])
    lab.allow(f"{SAMPLE}/column/Grade", select=[])
    shown = {each["name"]: each["rights"]["select"] for each in lab.get("eve", f"{SAMPLE}/column")}
    assert shown["Grade"] is False
    assert shown["Note"] is True
    assert "Grade" not in lab.get("eve", "/entity/lab:Sample")[0]
    for path in (
        "/attribute/lab:Sample/Grade",
        "/entity/lab:Sample/Grade=x",
        "/attributegroup/lab:Sample/Grade",
        "/aggregate/lab:Sample/n:=cnt(Grade)",
        "/attribute/S:=lab:Sample/(Grade)=(lab:Sample:Label)/Label",
    ):
        assert (path, lab.status("eve", "GET", path)) == (path, 403)
        assert (path, lab.status("nobody", "GET", path)) == (path, 401)


def test_keys_hide_with_their_columns(lab: Lab) -> None:
    lab.allow(select=["*"], enumerate=["*"])
    lab.allow(f"{SAMPLE}/column/Label", select=[])
    assert [key["unique_columns"] for key in lab.get("eve", f"{SAMPLE}/key")] == [["RID"]]
    assert [link["names"][0][1] for link in lab.get("eve", f"{SAMPLE}/foreignkey")] == ["to_team"]


def test_owners_alone_see_the_lists(lab: Lab) -> None:
    lab.allow(select=["*"], enumerate=["*"])
    lab.allow(SAMPLE, owner=["ann"])
    tables = lab.get("ann", "/schema")["schemas"]["lab"]["tables"]
    assert "acls" in tables["Sample"]
    assert "acl_bindings" in tables["Sample"]["column_definitions"][0]
    assert "acls" not in tables["Team"]
    assert "acls" not in lab.get("ann", "/")
    assert lab.status("ann", "GET", f"{SAMPLE}/acl") == 200
    assert lab.status("ann", "GET", f"{TEAM}/acl") == 403
    assert lab.status("nobody", "GET", f"{TEAM}/acl") == 401


@pytest.mark.parametrize("place", ["", SCHEMA, SAMPLE])
def test_nobody_gives_up_their_own_ownership(lab: Lab, place: str) -> None:
    lab.allow(enumerate=["*"])
    if place:
        lab.allow(place, owner=["ann"])
        who = "ann"
    else:
        who = "owner"
    assert lab.status(who, "PUT", f"{place}/acl/owner", ["eve"]) == 403
    assert lab.status(who, "PUT", f"{place}/acl", {"owner": ["eve"]}) == 403
    if place:
        assert lab.status(who, "PUT", place, {"acls": {"owner": []}}) == 403
        assert lab.status(who, "PUT", f"{place}/acl/owner", ["reds"]) == 200


def test_who_creates_something_owns_it(lab: Lab) -> None:
    lab.allow(create=["ann"], enumerate=["*"])
    lab.done("ann", "POST", "/schema/hers")
    assert lab.get("ann", "/schema/hers/acl/owner") == ["ann"]
    document = lab.get("owner", SAMPLE)
    system = [each for each in document["column_definitions"] if each["name"] in ("RID", "RCT", "RMT", "RCB", "RMB")]
    table = {"table_name": "T", "column_definitions": system, "keys": [{"unique_columns": ["RID"]}]}
    lab.done("ann", "POST", "/schema/hers/table", table)
    assert lab.status("ann", "DELETE", "/schema/hers/table/T") == 204
    lab.allow("/schema/lab", create=["bob"])
    lab.done("bob", "POST", "/schema/lab/table", table)
    assert lab.get("bob", "/schema/lab/table/T")["acls"] == {"owner": ["bob"]}
    assert lab.status("bob", "POST", "/schema/theirs") == 403


def test_a_foreign_key_leads_only_where_its_maker_sees(lab: Lab) -> None:
    lab.allow(enumerate=["*"])
    lab.allow(SAMPLE, owner=["ann"])
    link = {
        "foreign_key_columns": [{"column_name": "Note"}],
        "referenced_columns": [{"schema_name": "lab", "table_name": "Team", "column_name": "Name"}],
    }
    lab.done("owner", "DELETE", "/attribute/lab:Sample/Note")
    lab.allow(TEAM, enumerate=[])
    assert lab.status("ann", "POST", f"{SAMPLE}/foreignkey", link) == 409
    lab.allow(TEAM, enumerate=["ann"])
    assert lab.status("ann", "POST", f"{SAMPLE}/foreignkey", link) == 409
    lab.allow(TEAM, select=["ann"])
    assert lab.status("ann", "POST", f"{SAMPLE}/foreignkey", link) == 201


# ------------------------------------------------------------------------------------------------------ rows and leases


def test_columns_that_may_not_be_written(lab: Lab) -> None:
    lab.allow(write=["ann"])
    lab.allow(f"{SAMPLE}/column/Grade", insert=[], update=[], write=[], select=["ann"])
    lab.done("owner", "PUT", f"{SAMPLE}/column/Grade", {"default": "new"})
    made = lab.done("ann", "POST", f"/entity/lab:Sample?{DEFAULTS}", [{"Label": "e", "Note": "n"}]).json()[0]
    assert (made["Label"], made["Grade"], made["RCB"]) == ("e", "new", "ann")
    assert lab.status("ann", "POST", "/entity/lab:Sample", [{"Label": "f", "Grade": "x"}]) == 403
    assert lab.status("ann", "POST", "/entity/lab:Sample", b"Label,Grade\nf,x\n", content_type="text/csv") == 403
    assert lab.status("ann", "PUT", "/entity/lab:Sample", [{"Label": "a", "Grade": "x"}]) == 403
    assert lab.status("ann", "PUT", "/attributegroup/lab:Sample/Label;Grade", [{"Label": "a", "Grade": "z"}]) == 403
    assert lab.status("ann", "DELETE", "/attribute/lab:Sample/Grade") == 403
    lab.done("ann", "PUT", "/entity/lab:Sample", [{"Label": "a", "Note": "changed"}])
    assert [(row["Note"], row["Grade"]) for row in lab.get("owner", "/entity/lab:Sample/Label=a")] == [("changed", "x")]


def test_who_inserts_is_shown_what_they_may_see_of_it(lab: Lab) -> None:
    lab.allow(insert=["ann"])
    lab.allow(f"{SAMPLE}/column/Grade", insert=[])
    lab.done("owner", "PUT", f"{SAMPLE}/column/Grade", {"default": "secret"})
    made = lab.done("ann", "POST", f"/entity/lab:Sample?{DEFAULTS}", [{"Label": "e"}]).json()[0]
    assert made["Label"] == "e"
    assert made["RID"]
    assert "Grade" not in made
    assert lab.status("ann", "GET", "/entity/lab:Sample") == 403


@pytest.mark.parametrize("column", ["RCT", "RCB", "RMT", "RMB"])
def test_system_columns_belong_to_the_service(lab: Lab, column: str) -> None:
    lab.allow(write=["ann"])
    row = {"Label": "e", column: "bob" if column.endswith("B") else "2020-01-01"}
    assert lab.status("ann", "POST", f"/entity/lab:Sample?nondefaults={column}", [row]) == 403
    assert lab.status("ann", "PUT", f"/attributegroup/lab:Sample/Label;{column}", [row | {"Label": "a"}]) == 403
    wanted = 200 if column in ("RCT", "RCB") else 403
    assert lab.status("owner", "POST", f"/entity/lab:Sample?nondefaults={column}", [row | {"RCB": None}]) == wanted


def test_a_rid_must_be_leased_by_who_brings_it_along(lab: Lab) -> None:
    lab.allow(insert=["ann", "bob"], enumerate=["*"])
    lease = "/entity/public:ERMrest_RID_Lease"
    rid = lab.done("ann", "POST", lease, [{"ID": "one"}]).json()[0]["RID"]
    assert [row["RID"] for row in lab.get("ann", lease)] == [rid]
    assert lab.get("bob", lease) == []
    target = "/entity/lab:Sample?nondefaults=RID"
    assert lab.status("bob", "POST", target, [{"RID": rid, "Label": "e"}]) == 403
    assert lab.status("ann", "POST", target, [{"RID": "ZZZZ", "Label": "e"}]) == 403
    made = lab.done("ann", "POST", target, [{"RID": rid, "Label": "e"}, {"RID": None, "Label": "f"}]).json()
    assert made[0]["RID"] == rid
    assert lab.get("ann", lease) == []
    assert lab.status("ann", "POST", target, [{"RID": rid, "Label": "g"}]) == 403
    kept = lab.done("owner", "POST", lease, [{"ID": "two"}]).json()[0]["RID"]
    lab.done("owner", "POST", target, [{"RID": kept, "Label": "h"}])
    assert [row["RID"] for row in lab.get("owner", lease)] == [kept]


# ------------------------------------------------------------------------------------------------------------- history


def test_the_past_is_only_read_and_by_the_rights_of_its_time(lab: Lab) -> None:
    lab.allow(enumerate=["*"], select=["ann"], write=["ann"])
    then = lab.get("owner", "/")["snaptime"]
    lab.allow(select=[], write=[])
    at = f"{lab.base}@{then}"
    shown = lab.ask("ann", "GET", "/schema", base=at).json()["schemas"]["lab"]["tables"]["Sample"]["rights"]
    assert shown == {"owner": False, "insert": False, "update": False, "delete": False, "select": True}
    assert lab.ask("ann", "GET", "/entity/lab:Sample", base=at).status == 200
    assert lab.status("ann", "GET", "/entity/lab:Sample") == 403
    assert lab.ask("eve", "GET", "/entity/lab:Sample", base=at).status == 403
    assert lab.ask("ann", "POST", "/entity/lab:Sample", [{"Label": "z"}], base=at).status == 403


def test_somebody_without_a_name_over_http(served: Any) -> None:
    base = served.send("POST", "/ermrest/catalog", {}).headers["location"]
    assert served.send("GET", f"{base}/schema", token=False).status == 401
    assert served.send("PUT", f"{base}/acl/enumerate", ["*"]).status == 200
    assert served.send("GET", f"{base}/schema", token=False).status == 200
    lease = f"{base}/entity/public:ERMrest_RID_Lease"
    assert served.send("GET", lease, token=False).status == 200
    assert served.send("GET", f"{base}/entity/public:ERMrest_Client", token=False).status == 409
    assert served.send("POST", lease, [{"ID": "x"}], token=False).status == 401


def test_whoever_reads_is_known_to_the_catalog(lab: Lab) -> None:
    lab.allow(enumerate=["*"])
    for path in ("/schema", "/entity/lab:Team"):
        lab.ask("ann", "GET", path)
    lab.ask("nobody", "GET", "/schema")
    lab.ask("eve", "HEAD", "")
    people = lab.get("owner", "/entity/public:ERMrest_Client")
    assert {row["ID"] for row in people} == {lab.service.owner.id, "ann", "eve"}
    assert {row["RCB"] for row in people if row["ID"] == "ann"} == {"ann"}
    assert [row["ID"] for row in lab.get("owner", "/entity/public:ERMrest_Group")] == ["reds"]
    before = lab.get("owner", "")["snaptime"]
    lab.get("ann", "/schema")
    assert lab.get("owner", "")["snaptime"] == before


def test_an_id_that_somebody_has_reserved(lab: Lab) -> None:
    lab.clients["adam"], lab.clients["anna"] = Client.user("adam", ["admin"]), Client.user("anna", ["admin"])
    made = lab.ask("adam", "POST", "", {"id": "kept"}, base="/ermrest/alias")
    assert made.status == 201
    wanted = {"id": "kept"}
    assert [lab.ask(who, "POST", "", wanted, base="/ermrest/catalog").status for who in ("anna", "adam")] == [403, 201]
