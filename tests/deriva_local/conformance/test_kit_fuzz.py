"""Random writes and model changes, and after each the service against a plain Python model: now, and at every snapshot.

Parent has the key ``k``. Child refers to it and follows it (CASCADE), Guest refers to it and holds it (NO ACTION).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from conformance_kit import SYSTEM, Door, column, foreign_key, key, schema, table
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from deriva_local.service.app import Service

KEYS = st.sampled_from(["a", "b", "c", "d", "e f", "ü/%", ""])
NUMBERS = st.none() | st.integers(-3, 3)
PARENTS = st.lists(st.tuples(KEYS, NUMBERS), min_size=1, max_size=4)
REFERRING = st.sampled_from(["Child", "Guest"])
Row = dict[str, Any]


class Catalog(RuleBasedStateMachine):
    """A catalog beside its plain model: rows by RID, per table; ``extra`` are the added columns with their defaults."""

    def __init__(self, service: Service) -> None:
        super().__init__()
        follow, hold = {"on_delete": "CASCADE", "on_update": "CASCADE"}, {}
        self.door = Door.in_process(service).new_catalog()
        self.door.made("/schema", [schema("S",
            table("Parent", column("k", nullok=False), column("n", "int4"), keys=[key("k")]),
            table("Child", column("p"), fkeys=[foreign_key("p", "Parent", "k", **follow)]),
            table("Guest", column("p"), fkeys=[foreign_key("p", "Parent", "k", **hold)]),
        )])  # fmt: skip
        self.rows: dict[str, dict[str, Row]] = {"Parent": {}, "Child": {}, "Guest": {}}
        self.parent = "Parent"
        self.number: str | None = "n"
        self.seen: list[tuple[str, str, dict[str, list[Row]]]] = []

    # ------------------------------------------------------------------------------------------------------ the model

    def name(self, table: str) -> str:
        return self.parent if table == "Parent" else table

    def held(self, keys: set[str]) -> bool:
        return any(row["p"] in keys for row in self.rows["Guest"].values())

    def known(self) -> set[str]:
        return {row["k"] for row in self.rows["Parent"].values()}

    def live(self, table: str) -> list[Row]:
        rows = self.door.rows(f"/entity/S:{self.name(table)}@sort(RID)")
        assert isinstance(rows, list)
        return rows

    def with_number(self, number: Any) -> Row:
        return {} if self.number is None else {self.number: number}

    # --------------------------------------------------------------------------------------------------------- writes

    @rule(parents=PARENTS, skip=st.booleans())
    def insert_parents(self, parents: list[tuple[str, Any]], skip: bool) -> None:
        given = [{"k": k, **self.with_number(n)} for k, n in parents]
        keys = [k for k, _ in parents]
        reply = self.door.post(f"/entity/S:{self.parent}{'?onconflict=skip' if skip else ''}", given)
        if len(set(keys)) < len(keys):
            assert reply.status == 400
        elif set(keys) & self.known() and not skip:
            assert reply.status == 409
        else:
            expected = [row for row in given if row["k"] not in self.known()]
            made = reply.json()
            assert [{name: row[name] for name in expected[0]} for row in made] == expected if expected else made == []
            self.rows["Parent"].update((row["RID"], user(row)) for row in made)

    @rule(table=REFERRING, keys=st.lists(st.none() | KEYS, min_size=1, max_size=3))
    def insert_referring(self, table: str, keys: list[str | None]) -> None:
        reply = self.door.post(f"/entity/S:{table}", [{"p": k} for k in keys])
        if set(keys) - {None} <= self.known():
            assert reply.status == 200, reply.text
            self.rows[table].update((row["RID"], user(row)) for row in reply.json())
        else:
            assert reply.status == 409

    @precondition(lambda self: self.number is not None)
    @rule(parents=PARENTS)
    def upsert_parents(self, parents: list[tuple[str, Any]]) -> None:
        given = [{"k": k, **self.with_number(n)} for k, n in dict(parents).items()]
        reply = self.door.put(f"/entity/S:{self.parent}", given)
        assert reply.status == 200, reply.text
        by_key = {row["k"]: rid for rid, row in self.rows["Parent"].items()}
        read = {row["k"]: row for row in self.live("Parent")}
        for row in given:
            rid = by_key.get(row["k"], read[row["k"]]["RID"])
            self.rows["Parent"][rid] = {**dict.fromkeys(user(read[row["k"]])), **row}

    @precondition(lambda self: self.number is not None and self.rows["Parent"])
    @rule(data=st.data(), number=NUMBERS)
    def update_a_number(self, data: st.DataObject, number: Any) -> None:
        rid = data.draw(st.sampled_from(sorted(self.rows["Parent"])))
        before = self.door.rows(f"/entity/S:{self.parent}/RID={rid}")[0]
        changed = self.door.put(
            f"/attributegroup/S:{self.parent}/RID,RMT;{self.number}", [{**before, **self.with_number(number)}]
        )
        assert len(changed.json()) == 1
        stale = self.door.put(
            f"/attributegroup/S:{self.parent}/RID,RMT;{self.number}", [{**before, **self.with_number(99)}]
        )
        assert stale.json() == []
        self.rows["Parent"][rid] |= self.with_number(number)

    @precondition(lambda self: self.rows["Parent"])
    @rule(data=st.data(), new=KEYS)
    def rename_a_key(self, data: st.DataObject, new: str) -> None:
        rid = data.draw(st.sampled_from(sorted(self.rows["Parent"])))
        old = self.rows["Parent"][rid]["k"]
        reply = self.door.put(f"/attributegroup/S:{self.parent}/o:=k;k", [{"o": old, "k": new}])
        if new != old and (new in self.known() or self.held({old})):
            assert reply.status == 409
            return
        assert reply.json() == [{"o": old, "k": new}]
        self.rows["Parent"][rid]["k"] = new
        for row in self.rows["Child"].values():
            row["p"] = new if row["p"] == old else row["p"]

    @rule(keys=st.sets(KEYS, min_size=1, max_size=3))
    def delete_parents(self, keys: set[str]) -> None:
        quoted = ",".join(quote(each, safe="") for each in sorted(keys))
        reply = self.door.delete(f"/entity/S:{self.parent}/k=any({quoted})")
        gone = keys & self.known()
        if not gone:
            assert reply.status == 404
        elif self.held(gone):
            assert reply.status == 409
        else:
            assert reply.status == 204
            self.rows["Parent"] = {rid: row for rid, row in self.rows["Parent"].items() if row["k"] not in gone}
            self.rows["Child"] = {rid: row for rid, row in self.rows["Child"].items() if row["p"] not in gone}

    @rule(table=REFERRING)
    def delete_referring(self, table: str) -> None:
        """Delete those whose parent has no number, found by a join."""
        if self.number is None:
            return
        reply = self.door.delete(f"/entity/S:{self.parent}/{self.number}::null::/S:{table}")
        loose = {row["k"] for row in self.rows["Parent"].values() if row[self.number] is None}
        gone = [rid for rid, row in self.rows[table].items() if row["p"] in loose]
        assert reply.status == (204 if gone else 404)
        for rid in gone:
            del self.rows[table][rid]

    # ---------------------------------------------------------------------------------------------------------- model

    @rule(name=st.sampled_from(["Parent", "Elder", "Other"]))
    def rename_the_table(self, name: str) -> None:
        reply = self.door.put(f"/schema/S/table/{self.parent}", {"table_name": name})
        assert reply.status == 200
        self.parent = name

    @rule(name=st.sampled_from(["n", "m", "count"]))
    def rename_or_add_the_number(self, name: str) -> None:
        columns = f"/schema/S/table/{self.parent}/column"
        if self.number is None:
            assert self.door.post(columns, column(name, "int4", default=5, nullok=True)).status == 201
            for row in self.rows["Parent"].values():
                row[name] = 5
        else:
            assert self.door.put(f"{columns}/{self.number}", {"name": name}).status == 200
            for row in self.rows["Parent"].values():
                row[name] = row.pop(self.number)
        self.number = name

    @precondition(lambda self: self.number is not None)
    @rule()
    def drop_the_number(self) -> None:
        assert self.door.delete(f"/schema/S/table/{self.parent}/column/{self.number}").status == 204
        for row in self.rows["Parent"].values():
            del row[self.number]
        self.number = None

    # ------------------------------------------------------------------------------------------------------ judgement

    @invariant()
    def the_rows_are_those_of_the_model(self) -> None:
        for name, rows in self.rows.items():
            assert {row["RID"]: user(row) for row in self.live(name)} == rows
        pairs = [row["p"] for row in self.rows["Child"].values() if row["p"] is not None]
        groups = self.door.rows(f"/attributegroup/P:=S:{self.parent}/S:Child/P:k;n:=cnt(*)")
        assert {group["k"]: group["n"] for group in groups} == {k: pairs.count(k) for k in set(pairs)}

    @rule()
    def take_a_snapshot(self) -> None:
        self.seen.append((self.door.snaptime(), self.parent, {name: self.live(name) for name in self.rows}))

    def teardown(self) -> None:
        for snaptime, parent, tables in self.seen:
            past = self.door.snapshot(snaptime)
            for name, rows in tables.items():
                shown = parent if name == "Parent" else name
                assert past.rows(f"/entity/S:{shown}@sort(RID)") == rows
            joined = past.rows(f"/attribute/S:{parent}/C:=S:Child/RID@sort(RID)")
            assert [row["RID"] for row in joined] == [row["RID"] for row in tables["Child"] if row["p"] is not None]


def user(row: Row) -> Row:
    return {name: value for name, value in row.items() if name not in SYSTEM}


@pytest.fixture
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    opened = Service(tmp_path_factory.mktemp("fuzz") / "store")
    yield opened
    opened.close()


def test_any_story_reads_the_same_in_the_service_and_in_plain_python(fresh: Service) -> None:
    run_state_machine_as_test(
        lambda: Catalog(fresh),
        settings=settings(
            max_examples=40,
            stateful_step_count=30,
            derandomize=True,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
