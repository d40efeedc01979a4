"""The laws of the model: names, records, and what lies between two models. No I/O."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

import pytest

from deriva_local.model import alter, ddl, edit
from deriva_local.model.changes import Alteration, compare, creation
from deriva_local.model.elements import Model, Table
from deriva_local.model.intake import SYSTEM_TYPES
from deriva_local.model.naming import constraint_name, foreign_key_name, identifier, key_name, shortened
from deriva_local.model.records import assemble, records_of
from deriva_local.wire.crockford import encode
from deriva_local.wire.errors import Refusal
from deriva_local.wire.types import TYPES


def column(name: str, typename: str = "text", **more: Any) -> dict[str, Any]:
    return {"name": name, "type": {"typename": typename}, **more}


def table(
    name: str, *columns: dict[str, Any], keys: tuple[str, ...] = (), links: tuple[str, ...] = ()
) -> dict[str, Any]:
    system = [column(each, kind, nullok=nullok) for each, (kind, nullok) in SYSTEM_TYPES.items()]
    return {
        "table_name": name,
        "column_definitions": [*system, *columns],
        "keys": [{"unique_columns": [each]} for each in ("RID", *keys)],
        "foreign_keys": [link(*each.split(">")) for each in links],
    }


def link(near: str, target: str) -> dict[str, Any]:
    name, _, far = target.partition(".")
    return {
        "foreign_key_columns": [{"column_name": near}],
        "referenced_columns": [{"schema_name": "S", "table_name": name, "column_name": far}],
    }


class Desk:
    """A model under work: schema S with T(a int4, k key) and U(a, t refers to T.k)."""

    def __init__(self) -> None:
        numbers = count(1)
        self.new_rid: Callable[[], str] = lambda: encode(next(numbers))
        self.model = Model(1, {}, {}, {"owner": ("me",)})
        self.model, _ = ddl.create_schema(self.model, "S", {}, self.new_rid)
        self.create(table("T", column("a", "int4"), column("k"), keys=("k",)))
        self.create(table("U", column("a"), column("t"), links=("t>T.k",)))

    def create(self, document: dict[str, Any]) -> Table:
        model, made = ddl.create_table(self.model, "S", document, self.new_rid)
        self.model, made = ddl.link_table(model, made, document, self.new_rid)
        return made

    def table(self, name: str) -> Table:
        return self.model.schemas["S"].tables[name]


@pytest.fixture
def desk() -> Desk:
    return Desk()


# --------------------------------------------------------------------------------------------------------------- names


@pytest.mark.parametrize(
    ("name", "fine"),
    [("a", True), ("ü" * 31, True), ("ü" * 32, False), ("x" * 63, True), ("x" * 64, False), ("", False),
     (None, False), (5, False), ("a\0b", False), ("a b/c:d", True)],
)  # fmt: skip
def test_identifiers(name: object, fine: bool) -> None:
    if fine:
        assert identifier(name, "name") == name
        return
    with pytest.raises(Refusal) as refused:
        identifier(name, "name")
    assert refused.value.status == 400


@pytest.mark.parametrize(
    ("names", "expected"),
    [(None, None), ([], None), ([["s", "n"]], "n"), ([["s", "n"], ["s", "m"]], 400), ([["s", 5]], 400),
     ([["n"]], 400), (["sn"], 400), ("n", 400), ([["", "n"]], "n")],
)  # fmt: skip
def test_constraint_names(names: object, expected: object) -> None:
    if expected != 400:
        assert constraint_name(names) == expected
        return
    with pytest.raises(Refusal) as refused:
        constraint_name(names)
    assert refused.value.status == 400


def test_names_of_constraints_are_made_up() -> None:
    assert key_name("T", ["a", "b"], set()) == "T_a_b_key"
    assert foreign_key_name("T", ["a"], {"T_a_fkey", "T_a_fkey1"}) == "T_a_fkey2"
    long = key_name("T" * 40, ["c" * 40], set())
    assert len(long.encode()) <= 63
    assert long.endswith("_key")
    assert long != key_name("T" * 40, ["c" * 41], set())
    assert len(shortened("ü" * 40, "_key").encode()) <= 63


# ------------------------------------------------------------------------------------------------------------- records


def test_a_model_survives_being_taken_apart(desk: Desk) -> None:
    model, _ = alter.alter_table(
        desk.model, desk.table("U"), {"comment": "c", "annotations": {"t": [1, None]}, "acls": {"select": ["*"]}}
    )
    assert assemble(model.snaptime, records_of(model)) == model
    assert assemble(model.snaptime, reversed(list(records_of(model)))) == model


def test_every_type_survives(desk: Desk) -> None:
    columns = [column(f"c{n}", name) for n, (name, kind) in enumerate(TYPES.items()) if kind.kind != "array"]
    made = desk.create(table("All", *[each for each in columns if each["type"]["typename"] != "numeric"]))
    again = assemble(1, records_of(desk.model)).table_by_rid[made.rid]
    assert again.columns == made.columns


# ------------------------------------------------------------------------------------------------------------- changes


def only(desk: Desk, model: Model) -> Alteration:
    (found,) = compare(desk.model, model).altered
    return found


def test_nothing_lies_between_a_model_and_itself(desk: Desk) -> None:
    assert not compare(desk.model, assemble(1, records_of(desk.model)))
    assert len(creation(desk.model).tables) == 2


def test_a_rename_touches_one_record_and_no_table(desk: Desk) -> None:
    model, _ = alter.alter_table(desk.model, desk.table("T"), {"table_name": "V"})
    changes = compare(desk.model, model)
    assert ([record.kind for record in changes.written], changes.retired, changes.altered) == (["table"], (), ())


def test_a_move_keeps_what_refers_to_the_table(desk: Desk) -> None:
    model, other = ddl.create_schema(desk.model, "Other", {}, desk.new_rid)
    model, moved = alter.alter_table(model, desk.table("T"), {"schema_name": "Other"})
    assert list(model.schemas["Other"].tables) == ["T"]
    assert list(model.schemas["S"].tables) == ["U"]
    assert moved.schema == other.rid
    assert model.referenced_by[moved.rid] == desk.model.referenced_by[moved.rid]


@pytest.mark.parametrize(
    ("table_name", "document", "field"),
    [("T", column("new"), "columns"), ("T", column("new", nullok=False, default="x"), "columns")],
)
def test_new_columns(desk: Desk, table_name: str, document: dict[str, Any], field: str) -> None:
    model, made = ddl.create_column(desk.model, desk.table(table_name), document, desk.new_rid)
    assert [each.rid for each in getattr(only(desk, model), field)] == [made.rid]


def test_stricter_columns_and_other_types(desk: Desk) -> None:
    old = desk.table("T").by_name["a"]
    model, new = alter.alter_column(desk.model, desk.table("T"), old, {"nullok": False, "type": {"typename": "text"}})
    found = only(desk, model)
    assert (found.required, found.retyped) == ((new,), ((old, new),))


def test_keys_and_references_come_and_go(desk: Desk) -> None:
    model, key = ddl.create_key(desk.model, desk.table("T"), {"unique_columns": ["a"]}, desk.new_rid)
    assert only(desk, model).keys == (key,)
    (reference,) = desk.table("U").foreign_keys
    model = ddl.drop_foreign_key(desk.model, reference)
    assert only(desk, model).gone_foreign_keys == (reference,)
    model = ddl.drop_key(model, model.schemas["S"].tables["T"], desk.table("T").keys[1])
    assert [len(each.gone_keys) for each in compare(desk.model, model).altered] == [1, 0]


def test_a_dropped_column_takes_what_uses_it(desk: Desk) -> None:
    model = ddl.drop_column(desk.model, desk.table("U"), desk.table("U").by_name["t"])
    found = only(desk, model)
    assert (len(found.gone_foreign_keys), found.columns) == (1, ())
    kinds = {record.kind for record in records_of(desk.model) if record.rid in compare(desk.model, model).retired}
    assert kinds == {"column", "foreign_key"}


@pytest.mark.parametrize(
    ("drop", "status"),
    [
        (lambda d: ddl.drop_schema(d.model, d.model.schemas["S"]), 409),
        (lambda d: ddl.drop_table(d.model, d.table("T")), 409),
        (lambda d: ddl.drop_column(d.model, d.table("T"), d.table("T").by_name["k"]), 409),
        (lambda d: ddl.drop_column(d.model, d.table("T"), d.table("T").by_name["RCT"]), 409),
        (lambda d: ddl.drop_key(d.model, d.table("T"), d.table("T").keys[0]), 409),
        (lambda d: ddl.drop_key(d.model, d.table("T"), d.table("T").keys[1]), 409),
    ],
)
def test_what_is_in_use_stays(desk: Desk, drop: Callable[[Desk], Model], status: int) -> None:
    with pytest.raises(Refusal) as refused:
        drop(desk)
    assert refused.value.status == status


def test_a_table_may_refer_to_itself(desk: Desk) -> None:
    made = desk.create(table("Tree", column("parent"), links=("parent>Tree.RID",)))
    assert desk.model.referenced_by[made.rid] == made.foreign_keys
    assert "Tree" not in ddl.drop_table(desk.model, made).schemas["S"].tables


def test_an_edit_leaves_the_original_alone(desk: Desk) -> None:
    before = list(records_of(desk.model))
    edit.drop_table(desk.model, desk.table("U"))
    alter.alter_schema(desk.model, desk.model.schemas["S"], {"schema_name": "Z"})
    assert list(records_of(desk.model)) == before


@pytest.mark.parametrize(
    ("name", "document", "status"),
    [
        ("RID", {"type": {"typename": "text"}}, 400), ("RCT", {"nullok": True}, 400), ("RMB", {"default": "x"}, 403),
        ("RID", {"name": "ID"}, 403), ("k", {"type": {"typename": "int4"}}, 409), ("k", {"name": "a"}, 409),
        ("a", {"default": "no number"}, 400), ("a", {"type": {"typename": "varchar"}}, 409),
        ("a", {"acls": {"owner": ["x"]}}, 409), ("a", {"acls": {"insert": ["*"]}}, 400), ("a", {"comment": 1}, 400),
    ],
)  # fmt: skip
def test_columns_that_cannot_become(desk: Desk, name: str, document: dict[str, Any], status: int) -> None:
    with pytest.raises(Refusal) as refused:
        alter.alter_column(desk.model, desk.table("T"), desk.table("T").by_name[name], document)
    assert refused.value.status == status


@pytest.mark.parametrize("name", ["RID", "RCT", "RMT", "RCB", "RMB"])
def test_a_system_column_may_say_what_it_is(desk: Desk, name: str) -> None:
    old = desk.table("T").by_name[name]
    same = {"name": name, "type": {"typename": f"ermrest_{name.lower()}"}, "nullok": old.nullok, "default": None}
    _, new = alter.alter_column(desk.model, desk.table("T"), old, {**same, "comment": "noted"})
    assert new.comment == "noted"


def test_defaults_of_copied_system_columns_are_let_go(desk: Desk) -> None:
    document = table("Copy")
    document["column_definitions"][0]["default"] = "_ermrest.urlb32_encode(nextval('_ermrest.rid_seq'))"
    assert desk.create(document).by_name["RID"].default is None
