"""Change elements of the model by sparse documents: only the fields that a document names are changed.

Floor 1, pure: a model and a document in, the new model out.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from deriva_local.acl.bindings import check_bindings
from deriva_local.acl.renames import followed
from deriva_local.acl.static import Kind
from deriva_local.model import edit, find, intake
from deriva_local.model.elements import Column, Document, ForeignKey, Key, Model, Schema, Table
from deriva_local.model.naming import constraint_name, identifier, schema_name
from deriva_local.wire.errors import bad_request, conflict, forbidden
from deriva_local.wire.types import type_from_document


def alter_schema(model: Model, schema: Schema, doc: Document) -> tuple[Model, Schema]:
    """Change a schema, its name included.

    Raises:
        Refusal: 409 if the new name is taken or reserved.
    """
    changed = replace(schema, **_said(doc, "schema"))
    if "schema_name" in doc and doc["schema_name"] != schema.name:
        changed = replace(changed, name=schema_name(doc["schema_name"]))
        if changed.name in model.schemas:
            raise conflict(f"Schema '{changed.name}' exists already.")
    after = edit.put_schema(model, changed)
    return (after if changed.name == schema.name else followed(model, after)), changed


def alter_table(model: Model, table: Table, doc: Document) -> tuple[Model, Table]:
    """Change a table; a new ``schema_name`` moves it, and its constraints with it.

    Raises:
        Refusal: 409 if there is no such schema, or the name or a name of its keys is taken there.
    """
    changed = replace(table, **_said(doc, "table"))
    if "table_name" in doc:
        changed = replace(changed, name=identifier(doc["table_name"], "table name"))
    home = model.schema_by_rid[table.schema]
    if "schema_name" in doc:
        home = find.schema(model, identifier(doc["schema_name"], "schema name"))
        changed = replace(changed, schema=home.rid)
    other = home.tables.get(changed.name)
    if other is not None and other.rid != table.rid:
        raise conflict(f"Table '{home.name}:{changed.name}' exists already.")
    if changed.schema != table.schema:
        clashing = sorted(find.key_names(home).intersection(key.name for key in changed.keys))
        if clashing:
            raise conflict(f"The constraint name '{clashing[0]}' is taken in schema '{home.name}'.")
    after = edit.put_table(model, changed)
    if changed.schema != table.schema:
        after = followed(model, after)
        changed = after.table_by_rid[changed.rid]
    check_bindings(after, changed)
    return after, changed


def alter_column(model: Model, table: Table, column: Column, doc: Document) -> tuple[Model, Column]:
    """Change a column.

    Raises:
        Refusal: 400 for the type or nullability of a system column, 403 for its default or name; 409 for a name that
            is taken, and for a type in which a foreign key can no longer be compared.
    """
    if column.is_system:
        _guard_system(column, doc)
    changed = replace(column, **_said(doc, "column"))
    if "name" in doc:
        changed = replace(changed, name=identifier(doc["name"], "column name"))
        if changed.name != column.name and changed.name in table.by_name:
            raise conflict(f"Column '{changed.name}' exists already in table '{table.name}'.")
    if "type" in doc:
        changed = replace(changed, type=type_from_document(doc["type"]))
    if "nullok" in doc:
        changed = replace(changed, nullok=intake.boolean(doc, "nullok", True))
    wanted = doc.get("default", changed.default)
    changed = replace(changed, default=intake.default(wanted, changed.name, changed.type))
    _check_users(model, table, column, changed)
    after = edit.put_table(model, edit.put_column(table, changed))
    if changed.name != column.name:
        after = followed(model, after)
    table = after.table_by_rid[table.rid]
    check_bindings(after, table)
    return after, table.by_rid[column.rid]


def _guard_system(column: Column, doc: Document) -> None:
    if "type" in doc and type_from_document(doc["type"]) != column.type:
        raise bad_request(f"The type of the system column '{column.name}' cannot be changed.")
    if "nullok" in doc and doc["nullok"] != column.nullok:
        raise bad_request(f"Whether the system column '{column.name}' may be null cannot be changed.")
    if "default" in doc and doc["default"] != column.default:
        raise forbidden(f"The default of the system column '{column.name}' cannot be changed.")
    if "name" in doc and doc["name"] != column.name:
        raise forbidden(f"The system column '{column.name}' cannot be renamed.")


def _check_users(model: Model, table: Table, old: Column, new: Column) -> None:
    """Refuse a type that breaks a key or foreign key of the column."""
    if old.type == new.type:
        return
    if new.type.storage.name == "json" and any(old.rid in key.columns for key in table.keys):
        raise conflict(f"Column '{old.name}' is part of a key, and type json has no equality.")
    links = [*table.foreign_keys, *model.referenced_by.get(table.rid, ())]
    for link in links:
        ends = zip(link.columns, link.referenced_columns, strict=True)
        tied = any(
            (link.table == table.rid and old.rid == own) or (link.referenced_table == table.rid and old.rid == other)
            for own, other in ends
        )
        if tied and new.type.storage != old.type.storage:
            raise conflict(f"Column '{old.name}' is part of foreign key '{link.name}': its type cannot be changed.")


def alter_key(model: Model, table: Table, key: Key, doc: Document) -> tuple[Model, Key]:
    """Change name, comment or annotations of a key.

    Raises:
        Refusal: 400 if ``unique_columns`` are others, 409 if the name is taken.
    """
    if "unique_columns" in doc:
        names = intake.column_names(doc["unique_columns"], "unique_columns")
        if set(names) != {table.by_rid[rid].name for rid in key.columns}:
            raise bad_request("The columns of a key cannot be changed: 'unique_columns' names others.")
    taken = find.key_names(model.schema_by_rid[table.schema])
    changed = replace(key, **_said(doc, None), name=_renamed(key.name, doc, taken))
    return edit.put_table(model, edit.put_key(table, changed)), changed


def alter_foreign_key(model: Model, link: ForeignKey, doc: Document) -> tuple[Model, ForeignKey]:
    """Change name, actions, comment, annotations, access control lists or bindings of a foreign key."""
    table = model.table_by_rid[link.table]
    taken = find.constraint_names(table)
    changed = replace(link, **_said(doc, "foreign_key"), name=_renamed(link.name, doc, taken))
    if "on_delete" in doc:
        changed = replace(changed, on_delete=intake.action(doc, "on_delete"))
    if "on_update" in doc:
        changed = replace(changed, on_update=intake.action(doc, "on_update"))
    after = edit.put_table(model, edit.put_foreign_key(table, changed))
    if changed.name != link.name:
        after = followed(model, after)
    table = after.table_by_rid[table.rid]
    check_bindings(after, table)
    return after, next(each for each in table.foreign_keys if each.rid == link.rid)


def _renamed(old: str, doc: Document, taken: set[str]) -> str:
    name = constraint_name(doc.get("names")) or old
    if name != old and name in taken:
        raise conflict(f"The constraint name '{name}' is taken.")
    return name


def _said(doc: Document, kind: Kind | None) -> dict[str, Any]:
    """Return the common fields that the document names, checked; ``kind`` None (a key) has no access control."""
    said: dict[str, Any] = {}
    if "comment" in doc:
        said["comment"] = intake.comment(doc)
    if "annotations" in doc:
        said["annotations"] = intake.annotations_of(doc)
    if "acls" in doc and kind is not None:
        said["acls"] = intake.acls(doc, kind)
    if "acl_bindings" in doc and kind in ("table", "column", "foreign_key"):
        said["acl_bindings"] = intake.acl_bindings(doc)
    return said
