"""Every snapshot of a catalog shows what a plain model in memory showed at that time."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deriva_local.service.app import Service
from deriva_local.service.messages import Request

SYSTEM = [
    {"name": name, "type": {"typename": f"ermrest_{name.lower()}"}, "nullok": name in ("RCB", "RMB")}
    for name in ("RID", "RCT", "RMT", "RCB", "RMB")
]


def int_column(name: str, default: int | None = None) -> dict[str, Any]:
    return {"name": name, "type": {"typename": "int4"}, "default": default}


def new_table(name: str) -> dict[str, Any]:
    return {
        "table_name": name,
        "column_definitions": [*SYSTEM, int_column("a"), {"name": "k", "type": {"typename": "text"}}],
        "keys": [{"unique_columns": ["RID"]}, {"unique_columns": ["k"]}],
    }


class Twin:
    """A catalog and its plain model, changed together; ``past`` holds a copy of the model per snapshot."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.service = Service(folder)
        self.chance = random.Random(seed)
        self.catalog = self.send("POST", "/ermrest/catalog", {})[1]["id"]
        self.tables: dict[str, dict[str, dict[str, Any]]] = {}
        self.past: dict[str, dict[str, dict[str, dict[str, Any]]]] = {}
        self.made = 0
        self.call("POST", "/schema/S")
        self.create_table()

    def send(self, method: str, target: str, body: Any = None) -> tuple[int, Any]:
        raw = b"" if body is None else json.dumps(body).encode()
        headers = {"content-type": "application/json"}
        response = self.service.handle(Request(method, target, headers, raw, self.service.owner))
        assert isinstance(response.body, bytes)
        is_json = response.headers.get("Content-Type") == "application/json"
        return response.status, json.loads(response.body) if is_json else response.body.decode()

    def call(self, method: str, below: str, body: Any = None, at: str = "") -> Any:
        status, reply = self.send(method, f"/ermrest/catalog/{self.catalog}{at}{below}", body)
        assert status < 300, (method, below, body, reply)
        return reply

    def remember(self) -> None:
        self.past[self.call("GET", "/")["snaptime"]] = copy.deepcopy(self.tables)

    def fresh(self) -> str:
        self.made += 1
        return f"n{self.made}"

    def a_table(self) -> str:
        return self.chance.choice(sorted(self.tables))

    def a_column(self, table: str) -> str | None:
        shown = self.call("GET", f"/schema/S/table/{table}")["column_definitions"]
        names = [each["name"] for each in shown[5:] if each["type"]["typename"] == "int4"]
        return self.chance.choice(names) if names else None

    def value(self) -> int | None:
        return self.chance.choice([None, 1, 2, 3, 4])

    # ------------------------------------------------------------------------------------------------ what can happen

    def create_table(self) -> None:
        name = self.fresh()
        self.call("POST", "/schema/S/table", new_table(name))
        self.tables[name] = {}

    def drop_table(self) -> None:
        if len(self.tables) > 1:
            name = self.a_table()
            self.call("DELETE", f"/schema/S/table/{name}")
            del self.tables[name]

    def rename_table(self) -> None:
        old, new = self.a_table(), self.fresh()
        self.call("PUT", f"/schema/S/table/{old}", {"table_name": new})
        self.tables[new] = self.tables.pop(old)

    def add_column(self) -> None:
        table, name, default = self.a_table(), self.fresh(), self.value()
        self.call("POST", f"/schema/S/table/{table}/column", int_column(name, default))
        for row in self.tables[table].values():
            row[name] = default

    def drop_column(self) -> None:
        table = self.a_table()
        if name := self.a_column(table):
            self.call("DELETE", f"/schema/S/table/{table}/column/{name}")
            for row in self.tables[table].values():
                del row[name]

    def rename_column(self) -> None:
        table, new = self.a_table(), self.fresh()
        if name := self.a_column(table):
            self.call("PUT", f"/schema/S/table/{table}/column/{name}", {"name": new})
            for row in self.tables[table].values():
                row[new] = row.pop(name)

    def retype_column(self) -> None:
        table = self.a_table()
        if name := self.a_column(table):
            self.call("PUT", f"/schema/S/table/{table}/column/{name}", {"type": {"typename": "text"}})
            for row in self.tables[table].values():
                row[name] = None if row[name] is None else str(row[name])

    def insert(self) -> None:
        table = self.a_table()
        names = [each["name"] for each in self.call("GET", f"/schema/S/table/{table}")["column_definitions"][5:]]
        rows = []
        for _ in range(self.chance.randint(1, 4)):
            row: dict[str, Any] = dict.fromkeys(names)
            numbers = [name for name in names if name != "k"]
            row.update({name: self.value() for name in numbers[:2]}, k=self.fresh())
            rows.append(row)
        made = self.call("POST", f"/entity/S:{table}?defaults=RID", rows)
        for row in made:
            kept = {name: row[name] for name in names}
            self.tables[table][row["RID"]] = kept

    def update(self) -> None:
        table = self.a_table()
        name = self.a_column(table)
        some = self.some_rows(table)
        if name and some:
            rows = [{"RID": rid, name: self.value()} for rid in some]
            self.call("PUT", f"/attributegroup/S:{table}/RID;{name}", rows)
            for row in rows:
                self.tables[table][row["RID"]][name] = row[name]

    def delete(self) -> None:
        table = self.a_table()
        some = self.some_rows(table)
        if some:
            self.call("DELETE", f"/entity/S:{table}/RID=any({','.join(some)})")
            for rid in some:
                del self.tables[table][rid]

    def insert_again(self) -> None:
        """Put a row back under its old RID and key."""
        table = self.a_table()
        some = self.some_rows(table)[:1]
        for rid in some:
            row = self.tables[table][rid]
            self.call("DELETE", f"/entity/S:{table}/RID={rid}")
            del self.tables[table][rid]
            self.remember()
            self.call("POST", f"/entity/S:{table}?nondefaults=RID", [{"RID": rid, **row}])
            self.tables[table][rid] = row

    def some_rows(self, table: str) -> list[str]:
        rids = sorted(self.tables[table])
        return self.chance.sample(rids, min(len(rids), self.chance.randint(1, 3)))

    def step(self) -> None:
        weights: dict[Callable[[], None], int] = {
            self.insert: 8, self.update: 10, self.delete: 4, self.insert_again: 2, self.create_table: 1,
            self.drop_table: 1, self.rename_table: 1, self.add_column: 2, self.drop_column: 1, self.rename_column: 1,
            self.retype_column: 1,
        }  # fmt: skip
        self.chance.choices(list(weights), list(weights.values()))[0]()
        self.remember()

    def shown(self, at: str) -> dict[str, dict[str, dict[str, Any]]]:
        """Return what the catalog shows at a moment, in the form of the model."""
        found = {}
        for name in self.call("GET", "/schema/S", at=at)["tables"]:
            rows = self.call("GET", f"/entity/S:{name}", at=at)
            system = {"RID", "RCT", "RMT", "RCB", "RMB"}
            found[name] = {row["RID"]: {c: v for c, v in row.items() if c not in system} for row in rows}
        return found


@pytest.mark.parametrize("seed", range(6))
def test_snapshots_show_what_was(tmp_path: Path, seed: int) -> None:
    twin = Twin(tmp_path / "store", seed)
    for _ in range(250):
        twin.step()
    assert twin.shown("") == twin.tables
    for snaptime, model in twin.past.items():
        assert twin.shown(f"@{snaptime}") == model, snaptime


@pytest.mark.parametrize("seed", range(2))
def test_truncation_forgets_the_older_part_alone(tmp_path: Path, seed: int) -> None:
    twin = Twin(tmp_path / "store", seed)
    for _ in range(80):
        twin.step()
    moments = list(twin.past)
    bound = moments[len(moments) // 2]
    twin.call("DELETE", f"/history/,{bound}")
    for snaptime in moments:
        if snaptime < bound:
            assert twin.send("GET", f"/ermrest/catalog/{twin.catalog}@{snaptime}/schema")[0] == 409
        else:
            assert twin.shown(f"@{snaptime}") == twin.past[snaptime]
    assert twin.shown("") == twin.tables
    for _ in range(10):
        twin.step()
    assert twin.shown("") == twin.tables
