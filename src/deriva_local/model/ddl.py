"""Create elements of the model, and drop them: a model and a document in, the new model out.

Floor 1, pure. The rules about what may stand beside what live here; what they mean for tables in SQLite follows from
the difference of the two models (:mod:`deriva_local.model.changes`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TypeAlias

from deriva_local.acl.bindings import check_bindings, pruned
from deriva_local.acl.static import FOREIGN_KEY_ACLS
from deriva_local.model import edit, find, intake
from deriva_local.model.elements import SYSTEM_COLUMNS, Column, Document, ForeignKey, Key, Model, Schema, Table
from deriva_local.model.naming import constraint_name, foreign_key_name, identifier, key_name, schema_name
from deriva_local.wire.errors import bad_request, conflict
from deriva_local.wire.types import comparable

NewRid: TypeAlias = Callable[[], str]
"""Hands out the RID of a new element."""

# ------------------------------------------------------------------------------------------------------------- create


def create_schema(model: Model, name: str, doc: Document, new_rid: NewRid) -> tuple[Model, Schema]:
    """Add an empty schema.

    Raises:
        Refusal: 409 if the name is taken or reserved.
    """
    if schema_name(name) in model.schemas:
        raise conflict(f"Schema '{name}' exists already.")
    made = Schema(new_rid(), name, {}, intake.comment(doc), intake.annotations_of(doc), intake.acls(doc, "schema"))
    return edit.put_schema(model, made), made


def create_table(model: Model, schema: str, doc: Document, new_rid: NewRid) -> tuple[Model, Table]:
    """Add a table with its columns and keys; its foreign keys and bindings are left to :func:`link_table`.

    Raises:
        Refusal: 409 if the name is taken or the kind is not a table; 400 without its system columns and key on RID.
    """
    if doc.get("kind") not in (None, "table"):
        raise conflict(f"A '{doc['kind']}' cannot be created, only a table.")
    if doc.get("table_name") is None:
        raise bad_request("The table has no 'table_name'.")
    name = identifier(doc["table_name"], "table name")
    home = find.schema(model, schema)
    if doc.get("schema_name") not in (None, schema):
        raise bad_request(f"The document of table '{name}' names schema '{doc['schema_name']}', not '{schema}'.")
    if name in home.tables:
        raise conflict(f"Table '{schema}:{name}' exists already.")
    made = Table(
        new_rid(),
        home.rid,
        name,
        _columns(doc, new_rid),
        (),
        (),
        intake.comment(doc),
        intake.annotations_of(doc),
        intake.acls(doc, "table"),
    )
    intake.system_columns(made.columns)
    model = edit.put_table(model, made)
    for key in intake.documents(doc.get("keys"), "keys"):
        model, _ = create_key(model, model.table_by_rid[made.rid], key, new_rid)
    made = model.table_by_rid[made.rid]
    if not any(key.columns == (made.by_name["RID"].rid,) for key in made.keys):
        raise bad_request(f"Table '{name}' must have a key on exactly (RID).")
    return model, made


def _columns(doc: Document, new_rid: NewRid) -> tuple[Column, ...]:
    found = [
        intake.column(each, new_rid()) for each in intake.documents(doc.get("column_definitions"), "column_definitions")
    ]
    names = [column.name for column in found]
    if len(set(names)) < len(names):
        raise conflict("The table names a column twice.")
    return tuple(replace(column, acl_bindings={}) for column in found)


def link_table(model: Model, table: Table, doc: Document, new_rid: NewRid) -> tuple[Model, Table]:
    """Add what a table's document says of foreign keys and of bindings, once every table it speaks of is there."""
    for each in intake.documents(doc.get("foreign_keys"), "foreign_keys"):
        model, _ = create_foreign_key(model, model.table_by_rid[table.rid], each, new_rid)
    table = model.table_by_rid[table.rid]
    table = replace(table, acl_bindings=intake.acl_bindings(doc))
    for each in intake.documents(doc.get("column_definitions"), "column_definitions"):
        column = replace(table.by_name[each["name"]], acl_bindings=intake.acl_bindings(each))
        table = edit.put_column(table, column)
    model = edit.put_table(model, table)
    check_bindings(model, table)
    return model, table


def create_column(model: Model, table: Table, doc: Document, new_rid: NewRid) -> tuple[Model, Column]:
    """Add a column.

    Raises:
        Refusal: 409 if the name is taken, 400 for a bad document.
    """
    made = intake.column(doc, new_rid())
    if made.name in table.by_name:
        raise conflict(f"Column '{made.name}' exists already in table '{table.name}'.")
    table = edit.put_column(table, made)
    model = edit.put_table(model, table)
    check_bindings(model, table)
    return model, made


def create_key(model: Model, table: Table, doc: Document, new_rid: NewRid) -> tuple[Model, Key]:
    """Add a unique key.

    Raises:
        Refusal: 400 for an unknown column, 409 for a key on the same columns or a name that is taken.
    """
    names = intake.column_names(doc.get("unique_columns"), "unique_columns")
    columns = find.columns(table, names, missing=400)
    if any(set(key.columns) == set(columns) for key in table.keys):
        raise conflict(f"Table '{table.name}' has a key on ({', '.join(names)}) already.")
    for rid in columns:
        _refuse_json(table.by_rid[rid])
    taken = find.key_names(model.schema_by_rid[table.schema]) | {link.name for link in table.foreign_keys}
    name = constraint_name(doc.get("names"))
    if name in taken:
        raise conflict(f"The constraint name '{name}' is taken.")
    made = Key(
        new_rid(), name or key_name(table.name, names, taken), columns, intake.comment(doc), intake.annotations_of(doc)
    )
    return edit.put_table(model, edit.put_key(table, made)), made


def _refuse_json(column: Column) -> None:
    if column.type.storage.name == "json":
        raise conflict(f"Column '{column.name}' has type json, which has no equality: it cannot be part of a key.")


def create_foreign_key(model: Model, table: Table, doc: Document, new_rid: NewRid) -> tuple[Model, ForeignKey]:
    """Add a foreign key.

    Raises:
        Refusal: 409 for an unknown table or column, without a key on exactly the referenced columns, for columns of
            types that cannot be equal, and for a second foreign key of the same mapping.
    """
    home, names = intake.end(doc.get("foreign_key_columns"), "foreign_key_columns")
    target, target_names = intake.end(doc.get("referenced_columns"), "referenced_columns")
    own_schema = model.schema_by_rid[table.schema].name
    if (home[0] or own_schema, home[1] or table.name) != (own_schema, table.name):
        raise bad_request(f"The foreign key's columns must be of table '{own_schema}:{table.name}'.")
    if target[1] is None:
        raise bad_request("The referenced columns must name their table.")
    referenced = find.table(model, target[0] or own_schema, target[1])
    made = ForeignKey(
        new_rid(),
        "",
        table.rid,
        find.columns(table, names),
        referenced.rid,
        find.columns(referenced, target_names),
        intake.action(doc, "on_delete"),
        intake.action(doc, "on_update"),
        intake.comment(doc),
        intake.annotations_of(doc),
        FOREIGN_KEY_ACLS if doc.get("acls") is None else intake.acls(doc, "foreign_key"),
        intake.acl_bindings(doc),
    )
    _check_reference(table, referenced, made)
    taken = find.constraint_names(table)
    name = constraint_name(doc.get("names"))
    if name in taken:
        raise conflict(f"The constraint name '{name}' is taken.")
    made = replace(made, name=name or foreign_key_name(table.name, names, taken))
    table = edit.put_foreign_key(table, made)
    model = edit.put_table(model, table)
    check_bindings(model, table)
    return model, made


def _check_reference(table: Table, referenced: Table, made: ForeignKey) -> None:
    if len(made.columns) != len(made.referenced_columns):
        raise bad_request("A foreign key needs as many columns as it references.")
    if len(set(made.columns)) < len(made.columns) or len(set(made.referenced_columns)) < len(made.referenced_columns):
        raise bad_request("A foreign key must not name a column twice.")
    if not any(set(key.columns) == set(made.referenced_columns) for key in referenced.keys):
        names = ", ".join(referenced.by_rid[rid].name for rid in made.referenced_columns)
        raise conflict(f"Table '{referenced.name}' has no key on exactly ({names}), so nothing can refer to it.")
    for own, other in zip(made.columns, made.referenced_columns, strict=True):
        left, right = table.by_rid[own], referenced.by_rid[other]
        if not comparable(left.type, right.type):
            raise conflict(
                f"Column '{left.name}' of type {left.type.name} cannot refer to "
                f"'{right.name}' of type {right.type.name}."
            )
    if any(find.mapping(each) == find.mapping(made) for each in table.foreign_keys):
        raise conflict(f"Table '{table.name}' has this foreign key already.")


# --------------------------------------------------------------------------------------------------------------- drop


def drop_schema(model: Model, schema: Schema) -> Model:
    """Take out a schema.

    Raises:
        Refusal: 409 if it is not empty.
    """
    if schema.tables:
        raise conflict(f"Schema '{schema.name}' is not empty: it has {_listed(schema.tables)}.")
    return edit.drop_schema(model, schema)


def drop_table(model: Model, table: Table) -> Model:
    """Take out a table.

    Raises:
        Refusal: 409 if another table refers to it.
    """
    others = [key for key in model.referenced_by.get(table.rid, ()) if key.table != table.rid]
    if others:
        raise conflict(f"Table '{table.name}' is referred to by {_referrers(model, others)}.")
    return pruned(edit.drop_table(model, table))


def drop_column(model: Model, table: Table, column: Column) -> Model:
    """Take out a column, and with it the keys and foreign keys that use it.

    Raises:
        Refusal: 409 for a system column, and if another table refers to the column.
    """
    if column.name in SYSTEM_COLUMNS:
        raise conflict(f"The system column '{column.name}' cannot be dropped.")
    using = [key for key in model.referenced_by.get(table.rid, ()) if column.rid in key.referenced_columns]
    others = [key for key in using if key.table != table.rid]
    if others:
        raise conflict(f"Column '{column.name}' is referred to by {_referrers(model, others)}.")
    gone = {key.rid for key in using}
    table = replace(
        edit.drop_column(table, column),
        keys=tuple(key for key in table.keys if column.rid not in key.columns),
        foreign_keys=tuple(key for key in table.foreign_keys if column.rid not in key.columns and key.rid not in gone),
    )
    return pruned(edit.put_table(model, table))


def drop_key(model: Model, table: Table, key: Key) -> Model:
    """Take out a key.

    Raises:
        Refusal: 409 for the key on RID, the last key without nullable columns, and if a foreign key uses it.
    """
    using = [
        each for each in model.referenced_by.get(table.rid, ()) if set(each.referenced_columns) == set(key.columns)
    ]
    if using:
        raise conflict(f"Key '{key.name}' is used by {_referrers(model, using)}.")
    if key.columns == (table.by_name["RID"].rid,):
        raise conflict("The key on RID cannot be dropped.")
    return edit.put_table(model, edit.drop_key(table, key))


def drop_foreign_key(model: Model, foreign_key: ForeignKey) -> Model:
    """Take out a foreign key, and the bindings that go through it."""
    table = model.table_by_rid[foreign_key.table]
    return pruned(edit.put_table(model, edit.drop_foreign_key(table, foreign_key)))


def _referrers(model: Model, foreign_keys: Iterable[ForeignKey]) -> str:
    named = {f"'{model.table_by_rid[key.table].name}' ({key.name})" for key in foreign_keys}
    return _listed(named)


def _listed(names: Iterable[str]) -> str:
    found = sorted(names)
    return ", ".join(found[:5]) + (f" and {len(found) - 5} more" if len(found) > 5 else "")
