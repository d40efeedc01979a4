"""The three forms of rows, how a client asks for them, and how each type looks in them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from conformance_kit import Door, column, schema, table

CSV, JSON, STREAM = "text/csv", "application/json", "application/x-json-stream"


@pytest.mark.parametrize(
    ("asked", "form"),
    [
        ({}, JSON),
        ({"Accept": "*/*"}, JSON),
        ({"Accept": JSON}, JSON),
        ({"Accept": CSV}, CSV),
        ({"Accept": STREAM}, STREAM),
        ({"Accept": f"text/html, {CSV}"}, CSV),
        ({"Accept": f"{JSON}, {CSV}"}, JSON),
        ({"Accept": f"{JSON};q=0.9, {CSV};q=0.5"}, CSV),
        ({"Accept": f"{CSV};q=0.9, {STREAM}; q=0.8, {JSON}"}, STREAM),
        ({"Accept": f"{CSV};q=0, {JSON}"}, JSON),
    ],
)
def test_the_form_follows_the_accept_header(samples: Door, asked: dict[str, str], form: str) -> None:
    for below in (
        "/entity/S:Species",
        "/attribute/S:Species/ID",
        "/attributegroup/S:Species/ID",
        "/aggregate/S:Species/n:=cnt(*)",
    ):
        reply = samples.send("GET", below, headers=asked)
        assert (reply.status, reply.headers["content-type"]) == (200, form)


@pytest.mark.parametrize(
    ("option", "form"), [("csv", CSV), ("json", JSON), ("text%2Fcsv", CSV), ("application%2Fx-json-stream", STREAM)]
)
def test_the_form_follows_the_option(samples: Door, option: str, form: str) -> None:
    reply = samples.get(f"/entity/S:Species?accept={option}", Accept=JSON)
    assert reply.headers["content-type"] == form


@pytest.mark.parametrize(
    ("form", "empty", "full"),
    [
        (JSON, "[]\n", None),
        (STREAM, "", '{"ID":"bird","Legs":2}\n{"ID":"cat","Legs":4}\n{"ID":"fish","Legs":0}\n'),
        (CSV, "ID,Legs\n", "ID,Legs\nbird,2\ncat,4\nfish,0\n"),
    ],
)
def test_bodies(samples: Door, form: str, empty: str, full: str | None) -> None:
    assert samples.get("/attribute/S:Species/ID=none/ID,Legs", Accept=form).text == empty
    body = samples.get("/attribute/S:Species/ID,Legs@sort(ID)", Accept=form).text
    if full is None:
        assert json.loads(body) == [{"ID": "bird", "Legs": 2}, {"ID": "cat", "Legs": 4}, {"ID": "fish", "Legs": 0}]
        assert body.endswith("\n")
    elif form == STREAM:
        assert [json.loads(line) for line in body.splitlines()] == [json.loads(line) for line in full.splitlines()]
    else:
        assert body == full


def test_a_download_has_a_name(samples: Door) -> None:
    reply = samples.get("/entity/S:Species?download=my%20%C3%BC", Accept=CSV)
    assert reply.headers["content-disposition"] == "attachment; filename*=UTF-8''my%20%C3%BC.csv"
    reply = samples.get("/entity/S:Species?download=x")
    assert reply.headers["content-disposition"] == "attachment; filename*=UTF-8''x.json"


def test_csv_of_the_samples(samples: Door) -> None:
    path = "/attribute/S:Sample/ID,Name,Weight,Active,Born,Seen,Tags,Info@sort(ID)"
    assert samples.get(path, Accept=CSV).text.splitlines() == [
        "ID,Name,Weight,Active,Born,Seen,Tags,Info",
        '1,Anna,1.5,t,2020-01-01,2021-06-01 10:00:00+00,"{a,b}","{""x"": 1}"',
        '2,bob,2,f,2021-05-05,2021-06-01 10:00:00.5+00,"{b,NULL}","[1, 2]"',
        '3,"Cy, ""C""",,,,,{},"""x"""',
        '4,"",NaN,t,1999-12-31,1969-12-31 23:59:59.999999+00,,null',
        "5,,-Infinity,t,2020-01-01,,{c},",
    ]
    arrays = samples.get("/attribute/S:Sample/Tags@sort(Tags)?arrays=json", Accept=CSV).text
    assert '"[""a"",""b""]"' in arrays.replace(", ", ",")


VALUES: list[tuple[str, Any, Any]] = [
    ("i2", -32768, -32768), ("i8", 2**63 - 1, 2**63 - 1), ("i8", "17", 17), ("f4", 0.1, 0.1), ("f8", 1e300, 1e300),
    ("f8", "Infinity", "Infinity"), ("f8", "NaN", "NaN"), ("f8", 1, 1), ("b", True, True), ("b", "f", False),
    ("t", "", ""), ("t", 'a "quote", a\nline, ü, 🙂', 'a "quote", a\nline, ü, 🙂'), ("t", 5, "5"), ("m", "*x*", "*x*"),
    ("d", "2020-02-29", "2020-02-29"), ("ts", "2020-01-02 03:04:05.60", "2020-01-02T03:04:05.6"),
    ("tz", "2020-01-02T03:04:05.123456-08:00", "2020-01-02T11:04:05.123456+00:00"),
    ("tz", "2020-01-02", "2020-01-02T00:00:00+00:00"), ("j", {"b": 1, "a": [None]}, {"a": [None], "b": 1}),
    ("jb", "text", "text"), ("jb", [], []), ("jb", 1.5, 1.5), ("ta", ["x", None, "", "a,b"], ["x", None, "", "a,b"]),
    ("ta", [], []), ("ia", [1, None, -1], [1, None, -1]),
]  # fmt: skip


def test_every_value_comes_back_as_it_went_in(door: Door) -> None:
    catalog = door.new_catalog()
    names = [(f"c{position}", name, given, shown) for position, (name, given, shown) in enumerate(VALUES)]
    types = {"i2": "int2", "i8": "int8", "f4": "float4", "f8": "float8", "b": "boolean", "t": "text", "m": "markdown", "d": "date", "ts": "timestamp", "tz": "timestamptz", "j": "json", "jb": "jsonb", "ta": "text[]", "ia": "int4[]"}  # fmt: skip
    catalog.made("/schema", [schema("S", table("V", *(column(at, types[name]) for at, name, _, _ in names)))])
    given = {at: value for at, _, value, _ in names}
    shown = {at: value for at, _, _, value in names}
    (made,) = catalog.insert("S:V", given)
    assert {at: made[at] for at in shown} == shown
    (read,) = catalog.rows("/entity/S:V")
    assert read == made
    csv = catalog.get("/entity/S:V", Accept=CSV).text
    stream = catalog.get("/entity/S:V", Accept=STREAM).text
    assert json.loads(stream) == read
    for body, form in ((csv, CSV), (stream, STREAM)):
        other = door.new_catalog()
        other.made("/schema", [schema("S", table("V", *(column(at, types[name]) for at, name, _, _ in names)))])
        reply = other.send("POST", "/entity/S:V?nondefaults=RID,RCT,RCB", body.encode(), {"Content-Type": form})
        assert reply.status == 200, reply.text
        (copy,) = other.rows("/entity/S:V")
        assert {at: copy[at] for at in [*shown, "RID", "RCT", "RCB"]} == {
            at: read[at] for at in [*shown, "RID", "RCT", "RCB"]
        }


def test_the_reply_of_a_write_has_the_form_of_its_body(mine: Door) -> None:
    mine.made("/schema", [schema("S", table("T", column("a")))])
    for body, form in ((b"a\nx\n", CSV), (b'{"a": "y"}\n', STREAM), (b'[{"a": "z"}]', JSON)):
        reply = mine.send("POST", "/entity/S:T", body, {"Content-Type": form})
        assert (reply.status, reply.headers["content-type"]) == (200, form)
