"""Random stories of composite keys, cascades in circles, changing types and amended history, against plain Python.

Area has the key ``(a, b)``. Plot refers to it by ``(a, b)`` and to another plot by ``next``, with actions that change
on the way. After each step the rows are those of the model; at the end every snapshot shows what it showed when it was
taken, but for what was amended or redacted since.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import pytest
from conformance_kit import SYSTEM, Door, column, foreign_key, key, schema, table
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from deriva_local.service.app import Service
from deriva_local.wire.crockford import micros_to_snap, snap_to_micros
from deriva_local.wire.types import TYPES, type_document

NAMES, NUMBERS = st.sampled_from(["x", "y", ""]), st.integers(1, 2)
AREAS = st.lists(st.tuples(NAMES, NUMBERS), min_size=1, max_size=3)
ACTIONS = st.sampled_from(["CASCADE", "SET NULL", "NO ACTION"])
TO_AREA = "/schema/S/table/Plot/foreignkey/{a},b/reference/S:Area/a,b"
TO_NEXT = "/schema/S/table/Plot/foreignkey/next/reference/S:Plot/RID"
Row = dict[str, Any]
Pair = tuple[Any, Any]


@dataclass
class Seen:
    """What a snapshot showed: the note of table Area, the rows of both tables, and the name of the column of Plot."""

    time: int
    note: Any
    areas: dict[str, Row]
    plots: dict[str, Row]


@dataclass
class Version:
    """A row of Area between two moments."""

    born: int
    row: Row
    died: int | None = None


@dataclass
class Links:
    """What the two foreign keys of Plot do; ``to_area`` None: that one is not there."""

    to_area: tuple[str, str] | None = ("CASCADE", "CASCADE")
    to_next: str = "SET NULL"


@dataclass
class World:
    """The plain model."""

    areas: dict[str, Row] = field(default_factory=dict)
    plots: dict[str, Row] = field(default_factory=dict)
    links: Links = field(default_factory=Links)

    def pairs(self) -> set[Pair]:
        return {(row["a"], row["b"]) for row in self.areas.values()}

    def dangling(self) -> bool:
        return any(refers(row) and (row["a"], row["b"]) not in self.pairs() for row in self.plots.values())

    def deleted(self, areas: set[str], plots: set[str]) -> World | None:
        """Return what is left of the world without these rows; None if somebody holds one of them."""
        lost = {(self.areas[rid]["a"], self.areas[rid]["b"]) for rid in areas}
        gone = set(plots)
        while more := {rid for rid, row in self.plots.items() if self._falls(row, lost, gone)} - gone:
            gone |= more
        left = World({rid: row for rid, row in self.areas.items() if rid not in areas}, {}, self.links)
        for rid, row in self.plots.items():
            if rid not in gone:
                kept = self._loosened(row, lost, gone)
                if kept is None:
                    return None
                left.plots[rid] = kept
        return left

    def _falls(self, row: Row, lost: set[Pair], gone: set[str]) -> bool:
        by_area = self.links.to_area is not None and self.links.to_area[0] == "CASCADE" and (row["a"], row["b"]) in lost
        return by_area or (self.links.to_next == "CASCADE" and row["next"] in gone)

    def _loosened(self, row: Row, lost: set[Pair], gone: set[str]) -> Row | None:
        row = dict(row)
        if self.links.to_area is not None and (row["a"], row["b"]) in lost:
            if self.links.to_area[0] == "NO ACTION":
                return None
            row |= {"a": None, "b": None}
        if row["next"] in gone:
            if self.links.to_next == "NO ACTION":
                return None
            row["next"] = None
        return row


def refers(row: Row) -> bool:
    return row["a"] is not None and row["b"] is not None


class Story(RuleBasedStateMachine):
    """A catalog beside its plain model."""

    def __init__(self, service: Service) -> None:
        super().__init__()
        self.door = Door.in_process(service).new_catalog()
        follow = {"on_delete": "CASCADE", "on_update": "CASCADE"}
        self.door.made("/schema", [schema("S",
            table("Area", column("a", nullok=False), column("b", "int2", nullok=False), column("label"), keys=[key("b", "a")]),
            table("Plot", column("a"), column("b", "int2"), column("size", "int4"), column("next"), fkeys=[
                foreign_key("a b", "Area", "a b", **follow), foreign_key("next", "Plot", "RID", on_delete="SET NULL")]),
        )])  # fmt: skip
        self.area_rid = self.door.rows("/schema/S/table/Area")["RID"]
        self.label_rid = self.door.rows("/schema/S/table/Area/column/label")["RID"]
        self.world = World()
        self.column = "a"
        self.note: Any = None
        self.seen: list[Seen] = []
        self.versions: dict[str, list[Version]] = {}

    # -------------------------------------------------------------------------------------------------------- reading

    def live(self, name: str, door: Door | None = None) -> dict[str, Row]:
        return {row["RID"]: row for row in (door or self.door).rows(f"/entity/S:{name}")}

    def to_area(self) -> str:
        """Return the address of the foreign key to Area."""
        return TO_AREA.format(a=quote(self.column, safe=""))

    def plain(self, row: Row) -> Row:
        return {("a" if name == self.column else name): value for name, value in row.items() if name not in SYSTEM}

    @invariant()
    def the_rows_are_those_of_the_model(self) -> None:
        areas, plots = self.live("Area"), self.live("Plot")
        assert {
            rid: {name: row[name] for name in ("a", "b", "label")} for rid, row in areas.items()
        } == self.world.areas
        assert {rid: self.plain(row) for rid, row in plots.items()} == self.world.plots
        self._remember(areas)

    def _remember(self, areas: dict[str, Row]) -> None:
        """Keep the versions of the rows of Area, with the moments between which each was there."""
        now = snap_to_micros(self.door.snaptime())
        for rid, row in areas.items():
            known = self.versions.setdefault(rid, [])
            if not known or known[-1].row != row:
                self._end(rid, now)
                known.append(Version(now, row))
        for rid in self.versions.keys() - areas.keys():
            self._end(rid, now)

    def _end(self, rid: str, now: int) -> None:
        known = self.versions[rid]
        if known and known[-1].died is None:
            known[-1].died = now

    # -------------------------------------------------------------------------------------------------------- writing

    @rule(pairs=AREAS, label=st.none() | NAMES, put=st.booleans())
    def bring_areas(self, pairs: list[Pair], label: str | None, put: bool) -> None:
        given = [{"a": a, "b": b, "label": label} for a, b in pairs]
        reply = self.door.send("PUT" if put else "POST", "/entity/S:Area", given)
        if len(set(pairs)) < len(pairs):
            assert reply.status == 400
        elif not put and set(pairs) & self.world.pairs():
            assert reply.status == 409
        else:
            assert reply.status == 200, reply.text
            for row in self.live("Area").values():
                if (row["a"], row["b"]) in pairs:
                    self.world.areas[row["RID"]] = {"a": row["a"], "b": row["b"], "label": label}

    @rule(pairs=st.lists(st.tuples(st.none() | NAMES, st.none() | NUMBERS), min_size=1, max_size=3), size=NUMBERS)
    def bring_plots(self, pairs: list[Pair], size: int) -> None:
        reply = self.door.post("/entity/S:Plot", [{self.column: a, "b": b, "size": size} for a, b in pairs])
        wanted = {(a, b) for a, b in pairs if a is not None and b is not None}
        if self.world.links.to_area is not None and not wanted <= self.world.pairs():
            assert reply.status == 409
        else:
            assert reply.status == 200, reply.text
            self.world.plots.update((row["RID"], self.plain(row)) for row in reply.json())

    @precondition(lambda self: self.world.plots)
    @rule(data=st.data())
    def make_circles(self, data: st.DataObject) -> None:
        """Let every plot lead to some plot, itself included, in one request."""
        rids = st.sampled_from(sorted(self.world.plots))
        given = [{"RID": rid, "next": data.draw(st.none() | rids)} for rid in self.world.plots]
        assert len(self.door.put("/attributegroup/S:Plot/RID;next", given).json()) == len(given)
        for row in given:
            self.world.plots[row["RID"]]["next"] = row["next"]

    @precondition(lambda self: self.world.areas)
    @rule(data=st.data(), new=st.tuples(NAMES, NUMBERS))
    def change_a_key(self, data: st.DataObject, new: Pair) -> None:
        old = data.draw(st.sampled_from(sorted(self.world.pairs())))
        given = [{"oa": old[0], "ob": old[1], "a": new[0], "b": new[1]}]
        reply = self.door.put("/attributegroup/S:Area/oa:=a,ob:=b;a,b", given)
        links = self.world.links.to_area
        referring = [row for row in self.world.plots.values() if (row["a"], row["b"]) == old] if links else []
        if new != old and (new in self.world.pairs() or (links and links[1] == "NO ACTION" and referring)):
            assert reply.status == 409
            return
        assert reply.json() == given
        for row in self.world.areas.values():
            if (row["a"], row["b"]) == old:
                row["a"], row["b"] = new
        for row in referring if new != old else ():
            row["a"], row["b"] = new if links and links[1] == "CASCADE" else (None, None)

    @rule(pairs=AREAS)
    def delete_areas(self, pairs: list[Pair]) -> None:
        chosen = ";".join(f"a={quote(a, safe='')}&b={b}" for a, b in pairs)
        rids = {rid for rid, row in self.world.areas.items() if (row["a"], row["b"]) in pairs}
        self._deleted(f"/entity/S:Area/{chosen}", rids, set())

    @precondition(lambda self: self.world.plots)
    @rule(data=st.data())
    def delete_plots(self, data: st.DataObject) -> None:
        rids = data.draw(st.sets(st.sampled_from(sorted(self.world.plots)), min_size=1, max_size=3))
        self._deleted(f"/entity/S:Plot/RID=any({','.join(rids)})", set(), rids)

    def _deleted(self, below: str, areas: set[str], plots: set[str]) -> None:
        left = self.world.deleted(areas, plots)
        expected = 404 if not areas | plots else 409 if left is None else 204
        assert self.door.delete(below).status == expected
        if expected == 204 and left is not None:
            self.world = left

    # ---------------------------------------------------------------------------------------------------------- model

    @precondition(lambda self: self.world.links.to_area is not None)
    @rule(on_delete=ACTIONS, on_update=ACTIONS, to_next=ACTIONS)
    def change_the_actions(self, on_delete: str, on_update: str, to_next: str) -> None:
        actions = {"on_delete": on_delete.lower(), "on_update": on_update}
        assert self.door.put(self.to_area(), actions).status == 200
        assert self.door.put(TO_NEXT, [{"on_delete": to_next}]).status == 200
        self.world.links = Links((on_delete, on_update), to_next)

    @rule()
    def drop_or_make_the_link(self) -> None:
        if self.world.links.to_area is not None:
            assert self.door.delete(self.to_area()).status == 204
            self.world.links.to_area = None
            return
        reply = self.door.post("/schema/S/table/Plot/foreignkey", foreign_key(f"{self.column} b", "Area", "a b"))
        assert reply.status == (409 if self.world.dangling() else 201), reply.text
        if reply.status == 201:
            self.world.links.to_area = ("NO ACTION", "NO ACTION")

    @rule(kind=st.sampled_from(["int4", "text", "float8", "int8", "jsonb", "markdown", "int2"]))
    def change_the_type(self, kind: str) -> None:
        reply = self.door.put("/schema/S/table/Plot/column/size", {"type": type_document(TYPES[kind])})
        assert reply.status == 200, reply.text
        for row in self.world.plots.values():
            if row["size"] is not None:
                row["size"] = str(row["size"]) if kind in ("text", "markdown") else int(row["size"])

    @rule(name=st.sampled_from(["a", "alpha", "ä:*"]))
    def rename_the_column(self, name: str) -> None:
        address = f"/schema/S/table/Plot/column/{quote(self.column, safe='')}"
        assert self.door.put(address, {"name": name}).status == 200
        self.column = name

    @rule(note=NUMBERS)
    def write_a_note(self, note: int) -> None:
        assert self.door.put("/schema/S/table/Area/annotation/note", note).status in (201, 204)
        self.note = note

    # -------------------------------------------------------------------------------------------------------- history

    @rule()
    def look(self) -> None:
        plots = {rid: self.plain(row) for rid, row in self.live("Plot").items()}
        self.seen.append(Seen(snap_to_micros(self.door.snaptime()), self.note, self.live("Area"), plots))

    @precondition(lambda self: len(self.seen) > 1)
    @rule(data=st.data(), note=st.integers(10, 12), redact=st.booleans())
    def amend(self, data: st.DataObject, note: int, redact: bool) -> None:
        start, until = sorted(data.draw(st.tuples(*[st.sampled_from([each.time for each in self.seen])] * 2)))
        span = f"/history/{micros_to_snap(start)},{micros_to_snap(until)}"
        tag = self.door.get("/entity/S:Area").headers["etag"]
        if redact:
            reply = self.door.delete(f"{span}/attribute/{self.label_rid}")
        else:
            reply = self.door.put(f"{span}/annotation/{self.area_rid}", {"note": note})
        assert reply.status == (204 if start < until else 404), reply.text
        assert self.door.get("/entity/S:Area").headers["etag"] == tag
        for seen in self.seen if reply.status == 204 else ():
            if redact:
                self._redact(seen, start, until)
            elif start <= seen.time < until:
                seen.note = note

    def _redact(self, seen: Seen, start: int, until: int) -> None:
        for rid, row in seen.areas.items():
            (version,) = [each for each in self.versions[rid] if each.born <= seen.time < (each.died or 2**62)]
            if start <= version.born and version.died is not None and version.died <= until:
                seen.areas[rid] = {**row, "label": None}

    @precondition(lambda self: len(self.seen) > 3)
    @rule()
    def forget_the_beginning(self) -> None:
        gone, *self.seen = sorted(self.seen, key=lambda each: each.time)
        until = self.seen[0].time
        assert self.door.delete(f"/history/,{micros_to_snap(until)}").status == 204
        if gone.time < until:
            assert self.door.snapshot(micros_to_snap(gone.time)).get("/schema").status == 409

    def teardown(self) -> None:
        for seen in self.seen:
            past = self.door.snapshot(micros_to_snap(seen.time))
            assert past.rows("/schema/S/table/Area")["annotations"].get("note") == seen.note
            assert self.live("Area", past) == seen.areas
            (name,) = [
                each["name"]
                for each in past.rows("/schema/S/table/Plot/column")[5:]
                if each["name"] not in ("b", "size", "next")
            ]
            shown = {rid: {("a" if at == name else at): value for at, value in row.items() if at not in SYSTEM} for rid, row in self.live("Plot", past).items()}  # fmt: skip
            assert shown == seen.plots
            near = f"S:Plot:{quote(name, safe='')},S:Plot:b"
            joined = past.rows(f"/attribute/A:=S:Area/P:=(a,b)=({near})/r:=P:RID")
            pairs = {(row["a"], row["b"]) for row in seen.areas.values()}
            assert {row["r"] for row in joined} == {
                rid for rid, row in seen.plots.items() if (row["a"], row["b"]) in pairs
            }


@pytest.fixture
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    opened = Service(tmp_path_factory.mktemp("stories") / "store")
    yield opened
    opened.close()


def test_any_story_of_keys_and_history_reads_the_same_in_plain_python(fresh: Service) -> None:
    run_state_machine_as_test(
        lambda: Story(fresh),
        settings=settings(
            max_examples=25,
            stateful_step_count=30,
            derandomize=True,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
