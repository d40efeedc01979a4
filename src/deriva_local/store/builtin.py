"""What every new catalog begins with: schema ``public`` with the tables of clients, groups and RID leases.

The documents go through the same rules as those of a client.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from deriva_local.model import ddl
from deriva_local.model.elements import Model
from deriva_local.model.intake import SYSTEM_TYPES, acls

INDEXING = "tag:isrd.isi.edu,2018:indexing-preferences"
HIDDEN: dict[str, list[str]] = {"insert": [], "update": [], "delete": [], "select": [], "enumerate": []}


def new_model(snaptime: int, owner: tuple[str, ...], annotations: Mapping[str, Any], new_rid: ddl.NewRid) -> Model:
    """Return the model of a new catalog that belongs to ``owner``."""
    lists: dict[str, list[str]] = {name: [] for name in _CATALOG_LISTS} | {"owner": list(owner)}
    notes = {INDEXING: {"btree": True}, **annotations}
    model = Model(snaptime, {}, notes, acls({"acls": lists}, "catalog"))
    model, _ = ddl.create_schema(model, "public", {"comment": "The tables that every catalog has."}, new_rid)
    for document in TABLES:
        model, made = ddl.create_table(model, "public", document, new_rid)
        model, _ = ddl.link_table(model, made, document, new_rid)
    return model


_CATALOG_LISTS = ("create", "enumerate", "write", "insert", "update", "delete", "select")


def _column(name: str, type_name: str = "text", nullok: bool = True) -> dict[str, Any]:
    return {"name": name, "type": {"typename": type_name}, "nullok": nullok}


def _table(name: str, comment: str, columns: list[dict[str, Any]], key: list[str], **more: Any) -> dict[str, Any]:
    system = [_column(each, kind, nullok) for each, (kind, nullok) in SYSTEM_TYPES.items()]
    return {
        "table_name": name,
        "comment": comment,
        "column_definitions": [*system, *columns],
        "keys": [{"unique_columns": ["RID"]}, {"unique_columns": key}],
        **more,
    }


TABLES = (
    _table(
        "ERMrest_Client",
        "Who has used this catalog.",
        [
            _column("ID", nullok=False),
            _column("Display_Name"),
            _column("Full_Name"),
            _column("Email"),
            _column("Client_Object", "jsonb", nullok=False),
        ],
        ["ID"],
        acls=HIDDEN,
    ),
    _table(
        "ERMrest_Group",
        "The groups of clients that this catalog knows.",
        [_column("ID", nullok=False), _column("URL"), _column("Display_Name"), _column("Description")],
        ["ID"],
        acls=HIDDEN,
    ),
    _table(
        "ERMrest_RID_Lease",
        "RIDs that a client has reserved, to use them in rows of any table.",
        [_column("ID")],
        ["RCB", "ID"],
        acls={"update": [], "delete": [], "select": [], "enumerate": ["*"]},
        acl_bindings={
            "lessee_access": {
                "types": ["select", "update", "delete"],
                "projection": "RCB",
                "projection_type": "acl",
            }
        },
    ),
)
