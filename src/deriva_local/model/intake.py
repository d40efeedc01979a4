"""What a client's model document says, checked and turned into values.

Floor 1, pure. These functions look at one document alone; whether it fits the model is :mod:`deriva_local.model.ddl`'s
business. Every one raises :class:`Refusal` 400 for a document of the wrong shape.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from deriva_local.acl.static import FOR_EVERYBODY, NAMES, Kind
from deriva_local.model.elements import SYSTEM_COLUMNS, Acls, Action, Column, Document, Json, Type
from deriva_local.model.naming import identifier
from deriva_local.wire.errors import bad_request, conflict
from deriva_local.wire.types import codec, type_from_document

ACTIONS: tuple[Action, ...] = ("NO ACTION", "RESTRICT", "CASCADE", "SET NULL", "SET DEFAULT")
SYSTEM_TYPES: Mapping[str, tuple[str, bool]] = {
    "RID": ("ermrest_rid", False),
    "RCT": ("ermrest_rct", False),
    "RMT": ("ermrest_rmt", False),
    "RCB": ("ermrest_rcb", True),
    "RMB": ("ermrest_rmb", True),
}
"""Per system column, its type and whether it may be null."""


def document(value: Any, what: str) -> Document:
    """Return ``value`` if it is a JSON object."""
    if not isinstance(value, dict):
        raise bad_request(f"The {what} must be a JSON object.")
    return value


def documents(value: Any, what: str) -> list[Document]:
    """Return ``value`` if it is a list of JSON objects; null counts as none."""
    if value is None:
        return []
    if not isinstance(value, list):
        raise bad_request(f"'{what}' must be a list.")
    return [document(each, f"entry of '{what}'") for each in value]


def comment(doc: Document) -> str | None:
    found = doc.get("comment")
    if found is not None and not isinstance(found, str):
        raise bad_request("A comment must be text or null.")
    return found


def annotations_of(doc: Document) -> Document:
    found = doc.get("annotations")
    return {} if found is None else document(found, "value of 'annotations'")


def acls(doc: Document, kind: Kind) -> Acls:
    """Return the access control lists of a document; a list that is null is inherited, as if it were absent."""
    found = doc.get("acls")
    lists = {} if found is None else document(found, "value of 'acls'")
    return {name: acl(kind, name, members) for name, members in lists.items() if members is not None}


def acl(kind: Kind, name: str, members: Any) -> tuple[str, ...]:
    """Return one access control list.

    Raises:
        Refusal: 409 for a name that this kind of element has not, 400 for anything but a list of text, and for ``*``
            where not everybody may be let in.
    """
    if name not in NAMES[kind]:
        raise conflict(
            f"A {kind.replace('_', ' ')} has no access control list '{name}', only {', '.join(NAMES[kind])}."
        )
    if not isinstance(members, list) or not all(isinstance(member, str) for member in members):
        raise bad_request(f"The access control list '{name}' must be a list of text.")
    if "*" in members and kind != "foreign_key" and name not in FOR_EVERYBODY:
        raise bad_request(f"The access control list '{name}' must not name '*'.")
    return tuple(members)


def acl_bindings(doc: Document) -> Document:
    found = doc.get("acl_bindings")
    return {} if found is None else document(found, "value of 'acl_bindings'")


def boolean(doc: Document, name: str, default: bool) -> bool:
    found = doc.get(name)
    if found is None:
        return default
    if not isinstance(found, bool):
        raise bad_request(f"'{name}' must be true or false.")
    return found


def column(doc: Document, rid: str) -> Column:
    """Return the column that a document describes."""
    name = identifier(doc.get("name"), "column name")
    if "type" not in doc:
        raise bad_request(f"Column '{name}' has no type.")
    kind = type_from_document(doc["type"])
    return Column(
        rid,
        name,
        kind,
        boolean(doc, "nullok", True) and not kind.name.startswith("serial"),
        default(doc.get("default"), name, kind),
        comment(doc),
        annotations_of(doc),
        acls(doc, "column"),
        acl_bindings(doc),
    )


def default(value: Json, name: str, kind: Type) -> Json:
    """Return the default of a column, if its type can hold it.

    System and serial columns have defaults of their own making, whose spelling in a copied document is let go.
    """
    if value is None or name in SYSTEM_COLUMNS or kind.name.startswith("serial"):
        return None
    try:
        codec(kind).from_json(value)
    except ValueError as error:
        raise bad_request(f"The default of column '{name}' does not fit its type: {error}") from error
    return value


def system_columns(columns: Iterable[Column]) -> None:
    """Let columns pass that hold the five system columns as they must be."""
    found = {each.name: each for each in columns}
    for name, (kind, nullok) in SYSTEM_TYPES.items():
        if name not in found:
            raise bad_request(f"The system column '{name}' is missing. A table needs {', '.join(SYSTEM_COLUMNS)}.")
        if found[name].type.name != kind or found[name].nullok != nullok:
            must = "may be null" if nullok else "must not be null"
            raise bad_request(f"The system column '{name}' must have type {kind} and {must}.")


def column_names(value: Any, what: str) -> tuple[str, ...]:
    """Return a list of distinct column names."""
    if not isinstance(value, list) or not value or not all(isinstance(name, str) for name in value):
        raise bad_request(f"'{what}' must be a list of at least one column name.")
    if len(set(value)) < len(value):
        raise bad_request(f"'{what}' names a column twice.")
    return tuple(value)


def end(value: Any, what: str) -> tuple[tuple[str | None, str | None], tuple[str, ...]]:
    """Return one end of a foreign key: its (schema, table), None where not said, and its column names."""
    found = documents(value, what)
    if not found:
        raise bad_request(f"'{what}' must be a list of at least one column.")
    tables = {(_text(each, "schema_name", what), _text(each, "table_name", what)) for each in found}
    if len(tables) > 1:
        raise bad_request(f"The columns of '{what}' must be of one table.")
    return tables.pop(), tuple(identifier(each.get("column_name"), "column name") for each in found)


def _text(doc: Document, name: str, what: str) -> str | None:
    found = doc.get(name)
    if found is not None and not isinstance(found, str):
        raise bad_request(f"'{name}' in '{what}' must be text.")
    return found


def action(doc: Document, name: str) -> Action:
    """Return what a foreign key does on update or delete; case does not matter."""
    found = doc.get(name)
    if found is None:
        return "NO ACTION"
    for known in ACTIONS:
        if isinstance(found, str) and found.upper() == known:
            return known
    raise bad_request(f"'{name}' must be one of {', '.join(ACTIONS)}.")
