"""Who may do what by access control lists: their names, their inheritance, and the rights that documents show.

Floor 1, pure. A right is True, False, or None where it depends on the data of each row.

    owner ⇒ everything       write ⇒ insert, update, delete, select       update, delete ⇒ select
    create, write, insert, update, delete, select ⇒ enumerate

A local list, even an empty one, overrides the inherited one of that name; only ``owner`` adds up on the way down.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from deriva_local.model.elements import Acls, Column, ForeignKey, Model, Schema, Table
from deriva_local.service.messages import Client
from deriva_local.wire.errors import bad_request, conflict, not_offered

Kind: TypeAlias = Literal["catalog", "schema", "table", "column", "foreign_key"]

NAMES: Mapping[Kind, tuple[str, ...]] = {
    "catalog": ("owner", "create", "enumerate", "write", "insert", "update", "delete", "select"),
    "schema": ("owner", "create", "enumerate", "write", "insert", "update", "delete", "select"),
    "table": ("owner", "enumerate", "write", "insert", "update", "delete", "select"),
    "column": ("enumerate", "write", "insert", "update", "select"),
    "foreign_key": ("enumerate", "write", "insert", "update"),
}
"""The lists that each kind of element can have."""

FOR_EVERYBODY = frozenset({"enumerate", "select"})
"""The lists that may name ``*``; those of foreign keys all may."""

IMPLIED_BY: Mapping[str, tuple[str, ...]] = {
    "owner": ("owner",),
    "create": ("create", "owner"),
    "write": ("write", "owner"),
    "insert": ("insert", "write", "owner"),
    "update": ("update", "write", "owner"),
    "delete": ("delete", "write", "owner"),
    "select": ("select", "update", "delete", "write", "owner"),
    "enumerate": ("enumerate", "create", "write", "insert", "update", "delete", "select", "owner"),
}
"""Per right, the lists of which any one gives it."""

FOREIGN_KEY_ACLS: Acls = {"insert": ("*",), "update": ("*",)}
"""What a foreign key has when nobody says otherwise."""

UNWRITABLE = ("RMT", "RMB")
"""System columns that nobody writes."""


@dataclass(frozen=True, slots=True)
class Onlooker:
    """Somebody with these roles who looks at the model, live or at a moment of the past (``past``)."""

    roles: frozenset[str]
    past: bool = False

    def holds(self, right: str, *lists: Acls) -> bool:
        """Tell whether lists from the catalog down to an element, as inherited, give ``right``."""
        if self.roles.intersection(lists[0].get("owner", ())):
            return True
        return any(self.roles.intersection(_inherited(name, lists)) for name in IMPLIED_BY[right])

    def owns(self, *lists: Acls) -> bool:
        return self.holds("owner", *lists)


Rights: TypeAlias = dict[str, bool | None]


def catalog_rights(onlooker: Onlooker, model: Model) -> Rights:
    return _rights(onlooker, ("owner", "create"), model.acls)


def schema_rights(onlooker: Onlooker, model: Model, schema: Schema) -> Rights:
    return _rights(onlooker, ("owner", "create"), model.acls, schema.acls)


def table_rights(onlooker: Onlooker, model: Model, table: Table) -> Rights:
    schema = model.schema_by_rid[table.schema]
    return _rights(onlooker, ("owner", "insert", "update", "delete", "select"), model.acls, schema.acls, table.acls)


def column_rights(onlooker: Onlooker, model: Model, table: Table, column: Column) -> Rights:
    """Return the rights on a column; RMT and RMB are never written."""
    schema = model.schema_by_rid[table.schema]
    lists = (model.acls, schema.acls, table.acls, column.acls)
    rights = _rights(onlooker, ("insert", "update", "select", "delete"), *lists)
    if column.name in UNWRITABLE:
        rights |= {"insert": False, "update": False}
    return rights


def foreign_key_rights(onlooker: Onlooker, model: Model, foreign_key: ForeignKey) -> Rights:
    table = model.table_by_rid[foreign_key.table]
    schema = model.schema_by_rid[table.schema]
    return _rights(onlooker, ("insert", "update"), model.acls, schema.acls, table.acls, foreign_key.acls)


def owners(listed: Any, client: Client) -> tuple[str, ...]:
    """Return the owners that a document gives, or the client where it gives none.

    Raises:
        Refusal: 400 for anything but a list of text or null, 409 if the client is not among them.
    """
    if listed is None:
        return (client.id,)
    if not isinstance(listed, list) or not all(isinstance(role, str) for role in listed):
        raise bad_request("'owner' must be a list of text.")
    if not client.roles.intersection(listed):
        raise conflict("The list of owners must include you.")
    return tuple(listed)


def require_owner(model: Model, client: Client) -> None:
    """Let the owner of the catalog pass.

    Raises:
        Refusal: 501, because rights of others than the owner are not decided here.
    """
    if not client.roles.intersection(model.acls.get("owner", ())):
        raise not_offered(
            f"Client '{client.id}' does not own this catalog, and this service answers nobody else: "
            "access control for other users is not offered. A Deriva server has it."
        )


def _rights(onlooker: Onlooker, names: tuple[str, ...], *lists: Acls) -> Rights:
    if onlooker.past:
        return {name: name == "select" and onlooker.holds(name, *lists) for name in names}
    return {name: onlooker.holds(name, *lists) for name in names}


def _inherited(name: str, lists: tuple[Acls, ...]) -> tuple[str, ...]:
    if name == "owner":
        return tuple(role for acls in lists for role in acls.get("owner", ()))
    for acls in reversed(lists):
        if name in acls:
            return acls[name]
    return ()
