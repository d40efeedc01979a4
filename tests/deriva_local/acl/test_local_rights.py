"""Rights by access control lists, and access bindings that make sense or do not: tables of cases."""

from __future__ import annotations

from itertools import count
from typing import Any

import pytest

from deriva_local.acl import rights
from deriva_local.acl.bindings import check_bindings
from deriva_local.acl.static import Onlooker
from deriva_local.model import alter, ddl
from deriva_local.model.elements import Acls, Model
from deriva_local.model.intake import SYSTEM_TYPES
from deriva_local.wire.crockford import encode
from deriva_local.wire.errors import Refusal

ALL = ("owner", "insert", "update", "delete", "select")


def model(catalog: Acls, schema: Acls, table: Acls) -> Model:
    """Return a model with S:P(name) and S:T(text, parent refers to P), with these lists."""
    numbers = count(1)

    def new_rid() -> str:
        return encode(next(numbers))

    system = [{"name": n, "type": {"typename": kind}, "nullok": null} for n, (kind, null) in SYSTEM_TYPES.items()]
    text = {"typename": "text"}
    parent = {"foreign_key_columns": [{"column_name": "parent"}],
              "referenced_columns": [{"table_name": "P", "column_name": "RID"}], "names": [["S", "to_parent"]]}  # fmt: skip
    documents: list[dict[str, Any]] = [
        {"table_name": "P", "column_definitions": [*system, {"name": "name", "type": text}]},
        {"table_name": "T", "foreign_keys": [parent], "acls": {name: list(who) for name, who in table.items()},
         "column_definitions": [*system, {"name": "text", "type": text}, {"name": "parent", "type": text}]},
    ]  # fmt: skip
    made = Model(1, {}, {}, catalog)
    lists = {name: list(who) for name, who in schema.items()}
    made, _ = ddl.create_schema(made, "S", {"acls": lists}, new_rid)
    for document in documents:
        document["keys"] = [{"unique_columns": ["RID"]}]
        made, table_made = ddl.create_table(made, "S", document, new_rid)
        made, _ = ddl.link_table(made, table_made, document, new_rid)
    return made


@pytest.mark.parametrize(
    ("roles", "catalog", "schema", "table", "expected"),
    [
        ({"me"}, {"owner": ("me",)}, {}, {}, ALL),
        ({"me"}, {"owner": ("me",)}, {"owner": ("x",)}, {"select": ()}, ALL),
        ({"x"}, {"owner": ("me",)}, {"owner": ("x",)}, {}, ALL),
        ({"x"}, {"owner": ("me",)}, {}, {}, ()),
        ({"x", "*"}, {"select": ("*",)}, {}, {}, ("select",)),
        ({"x", "*"}, {"select": ("*",)}, {"select": ()}, {}, ()),
        ({"x", "*"}, {"select": ("*",)}, {"select": ()}, {"select": ("x",)}, ("select",)),
        ({"x"}, {"write": ("x",)}, {}, {}, ("insert", "update", "delete", "select")),
        ({"x"}, {"write": ("x",)}, {"write": ()}, {}, ()),
        ({"x"}, {}, {}, {"insert": ("x",)}, ("insert",)),
        ({"x"}, {}, {}, {"update": ("x",)}, ("update", "select")),
        ({"x"}, {}, {}, {"delete": ("x",)}, ("delete", "select")),
    ],
)
def test_rights_on_a_table(
    roles: set[str], catalog: Acls, schema: Acls, table: Acls, expected: tuple[str, ...]
) -> None:
    made = model(catalog, schema, table)
    shown = rights.table_rights(Onlooker(frozenset(roles)), made, made.schemas["S"].tables["T"])
    assert tuple(name for name, right in shown.items() if right) == expected
    past = rights.table_rights(Onlooker(frozenset(roles), past=True), made, made.schemas["S"].tables["T"])
    assert tuple(name for name, right in past.items() if right) == tuple(n for n in expected if n == "select")


def test_rights_on_system_columns() -> None:
    made = model({"owner": ("me",)}, {}, {})
    table = made.schemas["S"].tables["T"]
    shown = {each.name: rights.column_rights(Onlooker(frozenset({"me"})), made, table, each) for each in table.columns}
    assert {name for name, each in shown.items() if not each["update"]} == {"RMT", "RMB"}
    assert {name for name, each in shown.items() if not each["insert"]} == {"RMT", "RMB"}
    assert all(each["select"] for each in shown.values())


# ------------------------------------------------------------------------------------------------------------ bindings


def binding(projection: Any, types: Any = ("select",), **more: Any) -> dict[str, Any]:
    return {"types": list(types), "projection": projection, **more}


OUT, IN = {"outbound": ["S", "to_parent"]}, {"inbound": ["S", "to_parent"]}


@pytest.mark.parametrize(
    ("given", "status"),
    [
        (binding("RCB"), None),
        (binding(["RCB"], projection_type="acl", scope_acl=["x"], comment="theirs"), None),
        (binding([OUT, "name"]), None),
        (binding([{**OUT, "alias": "p"}, {**IN, "context": "p"}, "text"]), None),
        (binding([{**OUT, "alias": "p"}, {"filter": ["base", "text"], "operand": "x"}, "name"]), None),
        (binding([{"and": [{"filter": "text", "operator": "::null::", "negate": True}, {"or": []}]}, "RCB"]), None),
        (False, None),
        (True, 400),
        (None, 400),
        ("RCB", 400),
        ({"projection": "RCB"}, 400),
        ({"types": ["select"]}, 400),
        ({"types": ["select", {}]}, 400),
        (binding("RCB", []), 400),
        (binding("RCB", ["insert"]), 400),
        (binding("RCB", projection_type="maybe"), 400),
        (binding("RCB", scope_acl="x"), 400),
        (binding([]), 400),
        (binding([OUT]), 400),
        (binding([5, "RCB"]), 400),
        (binding([{}, "RCB"]), 400),
        (binding([{"filter": "text", "operator": "::like::"}, "RCB"]), 400),
        (binding([{"outbound": "to_parent"}, "name"]), 400),
        (binding("nothing"), 409),
        (binding([OUT, "text"]), 409),
        (binding([IN, "name"]), 409),
        (binding([{"outbound": ["S", "other"]}, "name"]), 409),
        (binding([{**OUT, "context": "q"}, "name"]), 409),
        (binding([{"filter": ["q", "text"]}, "RCB"]), 409),
    ],
)
def test_bindings(given: Any, status: int | None) -> None:
    made = model({"owner": ("me",)}, {}, {})
    table = made.schemas["S"].tables["T"]
    document = {"acl_bindings": {"b": given}}
    if status is None:
        changed, _ = alter.alter_table(made, table, document)
        check_bindings(changed, changed.schemas["S"].tables["T"])
        return
    with pytest.raises(Refusal) as refused:
        alter.alter_table(made, table, document)
    assert refused.value.status == status


def test_a_binding_goes_with_what_it_leads_through() -> None:
    made = model({"owner": ("me",)}, {}, {})
    table = made.schemas["S"].tables["T"]
    bindings = {"own": binding("RCB"), "parents": binding([OUT, "name"]), "off": False}
    made, table = alter.alter_table(made, table, {"acl_bindings": bindings})
    made = ddl.drop_foreign_key(made, table.foreign_keys[0])
    assert set(made.schemas["S"].tables["T"].acl_bindings) == {"own", "off"}
    made = ddl.drop_column(made, made.schemas["S"].tables["T"], table.by_name["text"])
    assert set(made.schemas["S"].tables["T"].acl_bindings) == {"own", "off"}
