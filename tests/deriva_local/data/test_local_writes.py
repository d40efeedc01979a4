"""Rows written: inserts, defaults, conflicts, updates by key, deletes, and what of it is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from zoo import DEFAULTS, Catalog, column, link, table

SYSTEM = ("RID", "RCT", "RMT", "RCB", "RMB")


def own(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in SYSTEM}


# ---------------------------------------------------------------------------------------------------------- inserting


def test_a_batch_has_one_moment_and_its_order(wild: Catalog) -> None:
    rows = wild.insert("zoo:Note", {"Text": "b"}, {"Text": "a"}, {"Text": None}, {"Other": 1})
    assert [row["Text"] for row in rows] == ["b", "a", None, None]
    assert len({row["RID"] for row in rows}) == 4
    assert len({row["RCT"] for row in rows} | {row["RMT"] for row in rows}) == 1
    assert {row["RCB"] for row in rows} == {row["RMB"] for row in rows} == {wild.service.owner.id}
    assert wild.get("/entity/zoo:Note@sort(RID)") == sorted(rows, key=lambda row: row["RID"])


VALUES: list[tuple[str, Any, Any]] = [
    ("boolean", "t", True), ("int2", -32768, -32768), ("int8", 2**63 - 1, 2**63 - 1), ("int4", "7", 7),
    ("float8", 1e-7, 1e-7), ("float8", 3, 3), ("float8", "NaN", "NaN"), ("float8", "-Infinity", "-Infinity"),
    ("float8", 1e300, 1e300), ("float8", 0.1 + 0.2, 0.1 + 0.2), ("float8", 123456789012345678, 123456789012345680),
    ("float4", 0.1, 0.1), ("text", "line\nfeed \"é\" \u2028", "line\nfeed \"é\" \u2028"), ("text", 5, "5"),
    ("date", "2024-2-3", "2024-02-03"), ("timestamptz", "2024-01-01T00:00:00+02:00", "2023-12-31T22:00:00+00:00"),
    ("timestamptz", "2024-01-01 00:00:00.100", "2024-01-01T00:00:00.1+00:00"), ("timestamp", "2024-01-01 1:02:03", "2024-01-01T01:02:03"),
    ("interval", "36 hours", "36:00:00"), ("uuid", "A0EEBC999C0B4EF8BB6D6BB9BD380A11", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
    ("jsonb", {"b": [1, None], "a": "x"}, {"a": "x", "b": [1, None]}), ("json", None, None), ("color_rgb_hex", "#00ff7F", "#00ff7F"),
    ("int4[]", [1, None, 2], [1, None, 2]), ("float8[]", [1, "Infinity", "NaN", None, 0.5], [1, "Infinity", "NaN", None, 0.5]),
    ("boolean[]", [True, False, None], [True, False, None]), ("timestamptz[]", ["2024-01-01"], ["2024-01-01T00:00:00+00:00"]),
    ("jsonb[]", [{"a": 1}, None], [{"a": 1}, None]), ("text[]", "{a,\"b c\",NULL}", ["a", "b c", None]), ("markdown", "*x*", "*x*"),
]  # fmt: skip


@pytest.mark.parametrize(("type_name", "sent", "kept"), VALUES)
def test_a_value_comes_back(empty: Catalog, type_name: str, sent: Any, kept: Any) -> None:
    empty.define("s", table("T", f"v {type_name}", "w int4"))
    assert empty.insert("T", {"v": sent})[0]["v"] == kept
    assert empty.get("/attribute/T/v,w") == [{"v": kept, "w": None}]
    again = empty.send(
        "POST",
        f"/entity/T?{DEFAULTS}",
        empty.send("GET", "/attribute/T/v,w", accept="text/csv").body,
        content_type="text/csv",
        accept="application/json",
    )
    assert again.status == 200, again.text
    if kept is not None:
        assert again.json()[0]["v"] == kept


BAD: list[tuple[int, str, Any]] = [
    (400, "int2", 32768), (400, "int8", 2**63), (400, "int4", 1.5), (400, "int4", "x"), (400, "int4", True), (400, "float8", "x"),
    (400, "float8", 10**400), (400, "boolean", "perhaps"), (400, "date", "2024-02-30"), (400, "timestamptz", "noon"), (400, "text", "a\0b"),
    (400, "text", "\ud800"), (400, "int4[]", [1, "x"]), (400, "int4[]", 7), (400, "uuid", "x"), (400, "jsonb", "a\0b"), (409, "color_rgb_hex", "red"),
]  # fmt: skip


@pytest.mark.parametrize(("status", "type_name", "value"), BAD)
def test_a_bad_value_is_refused_with_its_place(empty: Catalog, status: int, type_name: str, value: Any) -> None:
    empty.define("s", table("T", f"v {type_name}"))
    found, text = empty.refusal("POST", f"/entity/T?{DEFAULTS}", [{}, {"v": value}])
    assert found == status
    assert "Row 2, column 'v'" in text
    assert empty.get("/entity/T") == []


def test_what_is_absent(empty: Catalog) -> None:
    empty.define("s", table("T", "t text", "l text[]", "j jsonb", "k json", column("d text", default="x")))
    absent, null = empty.insert("T", {}, {"t": None, "l": None, "j": None, "k": None, "d": None})
    assert (own(absent), own(null)) == (
        {"t": None, "l": [], "j": None, "k": None, "d": None},
        {"t": None, "l": None, "j": None, "k": None, "d": None},
    )
    for name in ("j", "k"):
        assert [row["RID"] for row in empty.get(f"/entity/T/{name}::null::")] == [absent["RID"]]
    csv = empty.send("GET", "/attribute/T/l,j,k@sort(l)", accept="text/csv").text
    assert csv == "l,j,k\n{},,\n,null,null\n"


def test_defaults(empty: Catalog) -> None:
    empty.define("s", table("T", column("d int4", default=5), column("u ermrest_curie"), "n serial4", "t text"))
    assert [own(row) for row in empty.insert("T", {"t": "a", "n": 70}, {"t": "b", "n": 7}, more=",d")] == [
        {"d": 5, "u": None, "n": 70, "t": "a"},
        {"d": 5, "u": None, "n": 7, "t": "b"},
    ]
    assert [own(row)["n"] for row in empty.insert("T", {"t": "c"}, {"d": 9, "n": 70}, more=",d,n")] == [1, 2]
    assert own(empty.insert("T", {"d": 9}, more=",d,n")[0])["d"] == 5
    assert empty.refusal("POST", f"/entity/T?{DEFAULTS}", [{"t": "no serial"}])[0] == 409
    assert empty.refusal("POST", f"/entity/T?{DEFAULTS},d,u,n,t", [{}])[0] == 409
    assert empty.refusal("POST", "/entity/T?defaults=x", [{}])[0] == 409


def test_a_template_takes_the_rid(empty: Catalog) -> None:
    columns = [column("ID ermrest_curie", default="x:{RID}"), column("URI ermrest_uri"), column("other ermrest_curie")]
    empty.define("s", table("T", *columns))
    row = empty.insert("T", {"URI": "/id/{RID}/{RID}", "other": "{RID}"}, more=",ID")[0]
    rid = row["RID"]
    assert own(row) == {"ID": f"x:{rid}", "URI": f"/id/{rid}/{rid}", "other": "{RID}"}


def test_given_system_columns(wild: Catalog) -> None:
    past = "2001-02-03T04:05:06.789+00:00"
    rows = [{"RID": "zz-z6", "RCT": past, "RCB": wild.service.owner.id, "RMT": past}, {"RID": None, "RCT": None}]
    first, second = wild.send("POST", "/entity/zoo:Note?nondefaults=RID,RCT,RCB", rows).json()
    assert (first["RID"], first["RCT"]) == ("zz-z6", past)
    assert first["RMT"] > past
    assert second["RCT"] == second["RMT"]
    assert second["RID"] > "ZZZ6"
    assert wild.insert("zoo:Note", {})[0]["RID"] > second["RID"]
    for name, status in (("RMT", 403), ("RMB", 403), ("Nothing", 409)):
        assert wild.refusal("POST", f"/entity/zoo:Note?nondefaults={name}", [{"Text": "x"}])[0] == status
    for rid, status in (("u!", 409), ("", 409), ("zz-z6", 409)):
        assert wild.refusal("POST", "/entity/zoo:Note?nondefaults=RID", [{"RID": rid}])[0] == status
    foreign = wild.send("POST", "/entity/zoo:Note?nondefaults=RCB", [{"RCB": "somebody else"}]).json()[0]
    assert (foreign["RCB"], foreign["RMB"]) == ("somebody else", wild.service.owner.id)


def test_leased_rids_name_rows_of_any_table(wild: Catalog) -> None:
    lease = wild.send("POST", "/entity/public:ERMrest_RID_Lease", [{"ID": "mine"}, {"ID": "too"}])
    rids = [row["RID"] for row in lease.json()]
    assert [row["ID"] for row in lease.json()] == ["mine", "too"]
    made = wild.send("POST", "/entity/zoo:Note?nondefaults=RID", [{"RID": rid} for rid in rids]).json()
    assert [row["RID"] for row in made] == rids
    again = wild.send("POST", "/entity/public:ERMrest_RID_Lease?onconflict=skip", [{"ID": "mine"}, {"ID": "new"}])
    assert [row["ID"] for row in again.json()] == ["new"]


CONFLICTS = [
    (409, "NOT NULL", "/entity/zoo:Visit", [{"Day": "2024-01-01"}], "'Animal'"),
    (409, "a key that exists", "/entity/zoo:Person", [{"Name": "New"}, {"Name": "Ada"}], "Person_Name_key"),
    (400, "a key twice in the request", "/entity/zoo:Person", [{"Name": "New"}, {"Name": "New"}], "same key"),
    (409, "a reference to nothing", "/entity/zoo:Visit", [{"Animal": "Tom"}, {"Animal": "Ghost"}], "Visit_Animal_fkey"),
    (400, "several tables", "/entity/zoo:Visit/zoo:Animal", [{"Name": "x"}], "one table"),
    (400, "an unknown onconflict", "/entity/zoo:Person?onconflict=update", [{"Name": "x"}], "onconflict"),
    (400, "not an array of objects", "/entity/zoo:Person", [1], "object"),
    (409, "an unknown table", "/entity/zoo:Nothing", [{}], "Nothing"),
]


@pytest.mark.parametrize(("status", "path", "rows", "said"), [pytest.param(c[0], *c[2:], id=c[1]) for c in CONFLICTS])
def test_a_refused_insert_stores_nothing(wild: Catalog, status: int, path: str, rows: Any, said: str) -> None:
    found, text = wild.refusal("POST", path, rows)
    assert (found, said in text) == (status, True), text


def test_conflicts_can_be_skipped(wild: Catalog) -> None:
    rows = [{"Name": "Ada"}, {"Name": "Eve"}, {"Name": "Bob"}]
    reply = wild.send("POST", f"/entity/zoo:Person?onconflict=skip&{DEFAULTS}", rows)
    assert [row["Name"] for row in reply.json()] == ["Eve"]
    assert wild.send("POST", f"/entity/zoo:Person?onconflict=skip&{DEFAULTS}", rows).text == "[]\n"
    skipped = wild.send("POST", f"/entity/zoo:Animal?onconflict=skip&{DEFAULTS}", [{"Name": "Tom", "Species": "ghost"}])
    assert skipped.text == "[]\n"


def test_a_batch_may_refer_to_itself(wild: Catalog) -> None:
    wild.insert("zoo:Animal", {"Name": "Pup", "Mother": "Dam"}, {"Name": "Dam", "Mother": "Dam"})
    assert wild.refusal("POST", f"/entity/zoo:Animal?{DEFAULTS}", [{"Name": "Orphan", "Mother": "None"}])[0] == 409


def test_ten_thousand_rows_go_in_at_once(wild: Catalog) -> None:
    wild.insert("zoo:Animal", *({"Name": f"a{i}", "Mother": f"a{i // 2}", "Weight": i / 7} for i in range(10000)))
    assert wild.get("/aggregate/zoo:Animal/Mother=a5/n:=cnt(*),w:=sum(Weight)") == [{"n": 2, "w": 3}]


# --------------------------------------------------------------------------------------------- forms other than JSON


def test_csv_goes_in_and_comes_out(wild: Catalog) -> None:
    text = b'Text\nplain\n""\n\n"a ""quoted"", line\nbreak"\n'
    reply = wild.send("POST", "/entity/zoo:Note", text, content_type="text/csv", accept="application/json")
    assert [row["Text"] for row in reply.json()] == ["plain", "", None, 'a "quoted", line\nbreak']
    shown = wild.send("GET", "/attribute/zoo:Note/Text", accept="text/csv")
    assert shown.body == text
    assert shown.headers["Content-Type"] == "text/csv"


CSV_REFUSALS = [
    (409, b"Name,Nothing\nx,1\n"), (400, b"Name,Name\nx,y\n"), (400, b"Legs\n4\n"), (400, b"Name,Legs\nx\n"),
    (400, b"Name,Legs\nx,many\n"), (400, b'Name,Legs\n"x,1\n'), (400, b""),
]  # fmt: skip


@pytest.mark.parametrize(("status", "text"), CSV_REFUSALS)
def test_csv_must_fit_the_table(wild: Catalog, status: int, text: bytes) -> None:
    assert wild.refusal("POST", "/entity/zoo:Species", text, content_type="text/csv")[0] == status


def test_a_json_stream_goes_in_and_comes_out(wild: Catalog) -> None:
    stream = b'{"Text": "a"}\n\n{"Text": "b"}\n'
    reply = wild.send("POST", f"/entity/zoo:Note?{DEFAULTS}", stream, content_type="application/x-json-stream")
    assert [json.loads(line)["Text"] for line in reply.text.splitlines()] == ["a", "b"]
    assert wild.send("GET", "/entity/zoo:Note/Text=x", accept="application/x-json-stream").body == b""
    assert wild.refusal("POST", "/entity/zoo:Note", b"{}", content_type="text/plain")[0] == 415


def test_arrays_in_csv(calm: Catalog) -> None:
    path = "/attribute/zoo:Animal/Name=any(Tom,Al)/Name,Tags,Tame@sort(Name)"
    assert calm.send("GET", path, accept="text/csv").text == 'Name,Tags,Tame\nAl,,\nTom,"{loud,grey}",t\n'
    assert (
        calm.send("GET", path + "?accept=csv&arrays=json").text == 'Name,Tags,Tame\nAl,,\nTom,"[""loud"",""grey""]",t\n'
    )


def test_a_download_has_a_name(calm: Catalog) -> None:
    for option, kind, suffix in (("accept=csv", "text/csv", "csv"), ("accept=json", "application/json", "json")):
        headers = calm.send("GET", f"/entity/zoo:Note?{option}&download=my%20n%C3%B6te").headers
        assert headers["Content-Disposition"] == f"attachment; filename*=UTF-8''my%20n%C3%B6te.{suffix}"
        assert headers["Content-Type"] == kind


def test_a_table_may_be_wide(empty: Catalog) -> None:
    empty.define("s", table("T", *(f"c{i} int4" for i in range(1100))))
    row = empty.insert("T", {f"c{i}": i for i in range(1100)})[0]
    assert own(row) == {f"c{i}": i for i in range(1100)}
    assert empty.get("/entity/T/c1099=1099/*::regexp::1098") == [row]


# ----------------------------------------------------------------------------------------------------------- updating


def test_an_update_finds_rows_by_key(wild: Catalog) -> None:
    before = wild.get("/entity/zoo:Animal/Name=Tom")[0]
    rows = [{"Name": "Tom", "Weight": 5, "Tags": None}, {"Name": "Nobody", "Weight": 1}]
    reply = wild.send("PUT", "/attributegroup/zoo:Animal/Name;Weight,Tags", rows)
    assert (reply.status, reply.json()) == (200, [{"Name": "Tom", "Weight": 5, "Tags": None}])
    after = wild.get("/entity/zoo:Animal/Name=Tom")[0]
    assert after == {**before, "Weight": 5, "Tags": None, "RMT": after["RMT"]}
    assert after["RMT"] > before["RMT"]


def test_an_update_by_values_that_are_no_key(wild: Catalog) -> None:
    reply = wild.send(
        "PUT", "/attributegroup/zoo:Animal/Species,Vet;Weight", [{"Species": "cat", "Vet": None, "Weight": 9}]
    )
    assert reply.json() == [{"Species": "cat", "Vet": None, "Weight": 9}]
    assert wild.get("/attribute/zoo:Animal/Weight=9/Name") == [{"Name": "Kit"}]
    many = [{"Weight": weight, "Tame": False} for weight in [None, 2, *range(100, 130)]]
    assert wild.send("PUT", "/attributegroup/zoo:Animal/Weight;Tame", many).json() == many[:2]


def test_names_can_be_swapped_in_an_update(wild: Catalog) -> None:
    rows = [{"old": "Ada", "new": "Ida"}, {"old": "Cy", "new": "Ada"}]
    assert wild.send("PUT", "/attributegroup/zoo:Note/old:=Text;new:=Text", rows).text == "[]\n"
    status, text = wild.refusal("PUT", "/attributegroup/zoo:Person/old:=Name;new:=Name", rows)
    assert (status, "Animal_Vet_fkey" in text) == (409, True)
    free = [{"old": "cat", "new": "dog"}, {"old": "eel", "new": "cat"}]
    assert wild.send("PUT", "/attributegroup/zoo:Species/old:=Name;new:=Name", free).json() == free
    assert {row["Name"]: row["Species"] for row in wild.get("/attribute/zoo:Animal/Name,Species")} == {
        "Tom": "dog", "Kit": "dog", "Uhu": "owl", "Al": "cat",
    }  # fmt: skip


def test_compare_and_set_by_rmt(wild: Catalog) -> None:
    row = wild.get("/attribute/zoo:Animal/Name=Tom/RID,RMT")[0]
    path = "/attributegroup/zoo:Animal/RID,RMT;Weight"
    assert len(wild.send("PUT", path, [{**row, "Weight": 1}]).json()) == 1
    assert wild.send("PUT", path, [{**row, "Weight": 2}]).text == "[]\n"
    assert wild.get("/attribute/zoo:Animal/Name=Tom/Weight") == [{"Weight": 1}]


UPDATE_REFUSALS = [
    (400, "/attributegroup/zoo:Animal/Name", [{"Name": "Tom"}]),
    (403, "/attributegroup/zoo:Animal/Name;RMT", [{"Name": "Tom", "RMT": "2024-01-01"}]),
    (403, "/attributegroup/zoo:Animal/Name;RID", [{"Name": "Tom", "RID": "1-A"}]),
    (400, "/attributegroup/zoo:Animal/Name;x:=Name,x:=Weight", [{"Name": "Tom", "x": "a"}]),
    (400, "/attributegroup/zoo:Animal/Name;Name", [{"Name": "Tom"}]),
    (400, "/attributegroup/zoo:Animal/RID;x:=Name,y:=Name", [{"RID": "1", "x": "a", "y": "b"}]),
    (400, "/attributegroup/zoo:Animal/Name;n:=cnt(*)", [{"Name": "Tom", "n": 1}]),
    (400, "/attributegroup/zoo:Animal/Name;Weight", [{"Name": "Tom", "Weight": 1}, {"Name": "Tom", "Weight": 2}]),
    (400, "/attributegroup/zoo:Animal/Name=Tom/Name;Weight", [{"Name": "Tom", "Weight": 1}]),
    (409, "/attributegroup/zoo:Animal/Name;Nothing", [{"Name": "Tom", "Nothing": 1}]),
    (409, "/attributegroup/zoo:Animal/Name;Keeper", [{"Name": "Tom", "Keeper": "Ghost"}]),
    (409, "/attributegroup/zoo:Visit/RID;Animal", None),
    (409, "/attributegroup/zoo:Person/old:=Name;Name", [{"old": "Cy", "Name": "Ada"}]),
    (405, "/attribute/zoo:Animal/Name", []),
    (405, "/aggregate/zoo:Animal/n:=cnt(*)", []),
    (409, "/entity/zoo:Note", [{"Text": "no key"}]),
    (400, "/entity/zoo:Person", [{"Name": "x"}, {"Name": "x"}]),
]


@pytest.mark.parametrize(("status", "path", "rows"), UPDATE_REFUSALS, ids=[case[1] for case in UPDATE_REFUSALS])
def test_a_refused_update_changes_nothing(wild: Catalog, status: int, path: str, rows: Any) -> None:
    if rows is None:
        rows = [{"RID": row["RID"], "Animal": None} for row in wild.get("/entity/zoo:Visit?limit=1")]
    assert wild.refusal("PUT", path, rows)[0] == status


def test_put_entity_updates_or_inserts(wild: Catalog) -> None:
    before = wild.get("/entity/zoo:Species/Name=cat")[0]
    reply = wild.send("PUT", "/entity/zoo:Species", [{"Name": "ant", "Legs": 6}, {"Name": "cat"}]).json()
    assert reply[0] == {"Name": "cat", "Legs": None}
    assert own(reply[1]) == {"Name": "ant", "Legs": 6}
    assert reply[1]["RID"]
    after = wild.get("/entity/zoo:Species/Name=cat")[0]
    assert (after["RID"], after["RCT"], after["RMT"] > before["RMT"]) == (before["RID"], before["RCT"], True)


# ----------------------------------------------------------------------------------------------------------- deleting


def test_delete_follows_the_path(wild: Catalog) -> None:
    assert wild.send("DELETE", "/entity/zoo:Animal/Name=Tom/zoo:Visit/Cost=50").status == 204
    assert len(wild.get("/entity/zoo:Visit")) == 2
    assert wild.send("DELETE", "/entity/zoo:Animal/zoo:Visit").status == 204
    assert wild.refusal("DELETE", "/entity/zoo:Visit")[0] == 404


def test_values_can_be_emptied(wild: Catalog) -> None:
    assert wild.send("DELETE", "/attribute/zoo:Animal/Species=cat/Weight,Tags").status == 204
    assert [row["Weight"] for row in wild.get("/attribute/zoo:Animal/Name,Weight@sort(Name)")] == [None, None, None, 2]
    refusals = [("Name", 409), ("RMT", 403), ("Nothing", 409)]
    assert [wild.refusal("DELETE", f"/attribute/zoo:Animal/{name}")[0] for name, _ in refusals] == [
        s for _, s in refusals
    ]
    assert wild.refusal("DELETE", "/attribute/zoo:Animal/Name=x/Weight")[0] == 404
    assert wild.refusal("DELETE", "/attribute/zoo:Visit/RID,Animal")[0] in (403, 409)


# -------------------------------------------------------------------------------------------------------- every change


def test_every_mutation_moves_time_and_tag(wild: Catalog) -> None:
    mutations: list[tuple[str, str, Any]] = [
        ("POST", "/entity/zoo:Note", []), ("POST", "/entity/zoo:Note", [{"Text": "x"}]),
        ("PUT", "/attributegroup/zoo:Note/RID;Text", [{"RID": "none", "Text": "y"}]),
        ("PUT", "/attributegroup/zoo:Animal/Name;Weight", [{"Name": "Tom", "Weight": 4.5}]),
        ("PUT", "/entity/zoo:Species", []), ("DELETE", "/attribute/zoo:Note/Text", b""), ("DELETE", "/entity/zoo:Note", b""),
    ]  # fmt: skip
    for method, path, rows in mutations:
        snap, tag = wild.snaptime(), wild.send("GET", "/entity/zoo:Note").headers["ETag"]
        reply = wild.send(method, path, rows)
        assert reply.status in (200, 204), (method, path, reply.text)
        assert wild.snaptime() != snap
        assert wild.send("GET", "/entity/zoo:Note").headers["ETag"] == reply.headers["ETag"] != tag
        assert wild.send("GET", "/entity/zoo:Note", if_none_match=reply.headers["ETag"]).status == 304


def test_a_mutation_may_be_bound_to_a_state(wild: Catalog) -> None:
    tag = wild.send("GET", "/entity/zoo:Note").headers["ETag"]
    assert wild.send("POST", "/entity/zoo:Note", [{"Text": "a"}], if_match=tag).status == 200
    assert wild.refusal("POST", "/entity/zoo:Note", [{"Text": "b"}], if_match=tag)[0] == 412


def test_links_may_be_added_later_only_if_they_hold(empty: Catalog) -> None:
    empty.define("s", table("P", "k text not-null", keys=("k",)), table("C", "p text"))
    empty.insert("P", {"k": "a"})
    empty.insert("C", {"p": "a"}, {"p": None}, {"p": "b"})
    document = {
        **link("p", "s", "P", "k"),
        "foreign_key_columns": [{"schema_name": "s", "table_name": "C", "column_name": "p"}],
    }
    assert empty.refusal("POST", "/schema/s/table/C/foreignkey", document)[0] == 409
    empty.send("DELETE", "/entity/C/p=b")
    assert empty.send("POST", "/schema/s/table/C/foreignkey", document).status == 201
    assert empty.refusal("POST", "/entity/C?defaults=RID", [{"p": "b"}])[0] == 409
