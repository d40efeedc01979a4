"""What the past keeps and what it forgets: deleted rows, dropped tables, keys that did not always hold."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from deriva_local.service.app import Service
from deriva_local.service.messages import Request

SYSTEM = [
    {"name": name, "type": {"typename": f"ermrest_{name.lower()}"}, "nullok": name in ("RCB", "RMB")}
    for name in ("RID", "RCT", "RMT", "RCB", "RMB")
]
T = {
    "table_name": "T",
    "column_definitions": [*SYSTEM, {"name": "k", "type": {"typename": "text"}}],
    "keys": [{"unique_columns": ["RID"]}],
}


class Door:
    """A catalog with the table ``S:T``."""

    def __init__(self, folder: Path) -> None:
        self.service = Service(folder)
        self.send("POST", "/ermrest/catalog", {})
        self.made("POST", "/schema", [{"schema_name": "S", "tables": {"T": T}}])

    def send(self, method: str, target: str, body: Any = None) -> tuple[int, Any]:
        raw = b"" if body is None else json.dumps(body).encode()
        headers = {"content-type": "application/json"}
        response = self.service.handle(Request(method, target, headers, raw, self.service.owner))
        assert isinstance(response.body, bytes)
        is_json = response.headers.get("Content-Type") == "application/json"
        return response.status, json.loads(response.body) if is_json else response.body.decode()

    def made(self, method: str, below: str, body: Any = None) -> Any:
        status, reply = self.send(method, "/ermrest/catalog/1" + below, body)
        assert status < 300, reply
        return reply

    def status(self, method: str, below: str, body: Any = None) -> int:
        return self.send(method, "/ermrest/catalog/1" + below, body)[0]

    def insert(self, *keys: str) -> list[str]:
        rows = self.made("POST", "/entity/S:T?defaults=RID", [{"k": key} for key in keys])
        return [row["RID"] for row in rows]

    @property
    def snap(self) -> str:
        return str(self.made("GET", "/")["snaptime"])


@pytest.fixture
def door(tmp_path: Path) -> Door:
    return Door(tmp_path / "store")


def test_a_deleted_row_tells_when_it_was_last_seen(door: Door) -> None:
    (rid,) = door.insert("x")
    last = door.snap
    door.made("DELETE", f"/entity/S:T/RID={rid}")
    found = door.made("GET", f"/entity_rid/{rid.lower()}")
    assert (found["table_name"], found["RID"], found["last_visible_snaptime"]) == ("T", rid, last)
    assert found["last_visible_at"] < found["deleted_at"]
    seen = door.made("GET", f"@{last}/entity_rid/{rid}")
    assert seen == {"schema_name": "S", "table_name": "T", "RID": rid}


def test_a_row_of_a_dropped_table_is_a_deleted_row(door: Door) -> None:
    rid, gone = door.insert("x", "y")
    door.made("DELETE", f"/entity/S:T/RID={gone}")
    last = door.snap
    door.made("PUT", "/schema/S/table/T", {"table_name": "Renamed"})
    end = door.snap
    door.made("DELETE", "/schema/S/table/Renamed")
    found = door.made("GET", f"/entity_rid/{rid}")
    assert (found["table_name"], found["last_visible_snaptime"]) == ("Renamed", end)
    assert door.made("GET", f"/entity_rid/{gone}")["last_visible_snaptime"] < last
    assert door.made("GET", f"@{last}/entity/S:T")[0]["RID"] == rid
    door.made("DELETE", f"/history/,{door.snap}")
    assert door.status("GET", f"/entity_rid/{rid}") == 404


@pytest.mark.parametrize("rid", ["2", "ZZZ-ZZZZ", "not!a-rid", "%20"])
def test_rids_of_no_row(door: Door, rid: str) -> None:
    assert door.status("GET", f"/entity_rid/{rid}") in (400, 404)


def test_a_key_may_come_that_did_not_always_hold(door: Door) -> None:
    door.insert("twice", "twice")
    before = door.snap
    door.made("DELETE", "/entity/S:T")
    rids = door.insert("twice", "once")
    door.made("POST", "/schema/S/table/T/key", {"unique_columns": ["k"]})
    assert door.status("POST", "/entity/S:T?defaults=RID", [{"k": "once"}]) == 409
    door.made("PUT", "/attributegroup/S:T/RID;k", [{"RID": rids[0], "k": "other"}])
    door.insert("twice")
    assert [row["k"] for row in door.made("GET", f"@{before}/entity/S:T")] == ["twice", "twice"]
    door.made("DELETE", "/schema/S/table/T/key/k")
    door.insert("twice")


def test_a_key_that_does_not_hold_is_refused(door: Door) -> None:
    door.insert("twice", "twice")
    before = door.snap
    assert door.status("POST", "/schema/S/table/T/key", {"unique_columns": ["k"]}) == 409
    assert door.snap == before
    assert len(door.made("GET", "/schema/S/table/T/key")) == 1


def test_a_column_with_a_default_changes_the_rows_that_are_there(door: Door) -> None:
    (rid,) = door.insert("x")
    before, old = door.snap, door.made("GET", "/entity/S:T")[0]
    column = {"name": "n", "type": {"typename": "int4"}, "nullok": False, "default": 7}
    door.made("POST", "/schema/S/table/T/column", column)
    new = door.made("GET", "/entity/S:T")[0]
    assert (new["n"], new["RID"], new["RCT"]) == (7, rid, old["RCT"])
    assert new["RMT"] > old["RMT"]
    assert door.made("GET", f"@{before}/entity/S:T") == [old]


def test_a_serial_column_numbers_the_rows_that_are_there(door: Door) -> None:
    door.insert("a", "b")
    door.made("POST", "/schema/S/table/T/column", {"name": "n", "type": {"typename": "serial4"}})
    door.made("POST", "/entity/S:T?defaults=RID,n", [{"k": "c"}])
    assert sorted(row["n"] for row in door.made("GET", "/entity/S:T")) == [1, 2, 3]


def test_a_type_change_converts_values_and_keeps_the_time_of_the_row(door: Door) -> None:
    door.insert("1", "2", "1")
    old = door.made("GET", "/entity/S:T")
    before = door.snap
    door.made("PUT", "/schema/S/table/T/column/k", {"type": {"typename": "int4"}})
    new = door.made("GET", "/entity/S:T")
    assert [(row["k"], row["RMT"]) for row in new] == [(int(row["k"]), row["RMT"]) for row in old]
    assert door.made("GET", f"@{before}/entity/S:T") == old
    door.made("PUT", "/schema/S/table/T/column/k", {"type": {"typename": "text"}})
    door.insert("no number")
    assert door.status("PUT", "/schema/S/table/T/column/k", {"type": {"typename": "int4"}}) == 409
    assert door.made("GET", "/schema/S/table/T/column/k")["type"] == {"typename": "text"}


def test_the_range_of_history_narrows(door: Door) -> None:
    first, last = door.made("GET", "/history/,")["snaprange"]
    door.insert("x")
    middle = door.snap
    door.insert("y")
    assert door.made("GET", f"/history/,{middle}")["snaprange"] == [first, last]
    assert door.made("GET", f"/history/{middle},")["snaprange"] == [middle, door.snap]
    assert door.status("GET", f"/history/{middle},{middle}") == 404


def test_truncation_needs_an_end_and_no_beginning(door: Door) -> None:
    snap = door.snap
    assert door.status("DELETE", "/history/,") == 400
    assert door.status("DELETE", f"/history/{snap},{snap}") == 400
    assert door.status("DELETE", "/history/,2") == 404
    assert [door.status("DELETE", f"/history/,{snap}") for _ in range(2)] == [204, 204]


@pytest.mark.parametrize(
    ("method", "below", "body"),
    [("POST", "/schema/Z", None), ("PUT", "/schema/S", {}), ("DELETE", "/schema/S/table/T", None),
     ("PUT", "/annotation/x", 1), ("PUT", "/acl/select", ["*"]), ("DELETE", "", None)],
)  # fmt: skip
def test_the_past_is_not_changed(door: Door, method: str, below: str, body: Any) -> None:
    assert door.status(method, f"@{door.snap}{below}", body) == 403
