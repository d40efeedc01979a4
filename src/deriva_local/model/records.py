"""A model as flat records, one per element: the form in which the catalog's file keeps it through time.

Floor 1, pure: :func:`records_of` takes a model apart, :func:`assemble` puts it together again. A record's ``doc`` is
JSON text of what the element says of itself; who contains it is ``parent``. Elements stand in the order of their RIDs,
which is the order in which they were made.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from deriva_local.model.elements import Acls, Column, ForeignKey, Json, Key, Model, Schema, Table
from deriva_local.wire.crockford import decode
from deriva_local.wire.types import type_document, type_from_document

Kind: TypeAlias = Literal["catalog", "schema", "table", "column", "key", "foreign_key"]

CATALOG = "catalog"
"""The record of the catalog itself has no RID; this stands in its place."""


@dataclass(frozen=True, slots=True)
class Record:
    """One element of the model: its RID, what it is, the RID of what contains it, and its JSON text."""

    rid: str
    kind: Kind
    parent: str
    doc: str


# ------------------------------------------------------------------------------------------------------- taking apart


def records_of(model: Model) -> Iterator[Record]:
    """Yield the records of a whole model."""
    yield catalog_record(model)
    for schema in model.schemas.values():
        yield schema_record(schema)
        for table in schema.tables.values():
            yield from table_records(table)


def catalog_record(model: Model) -> Record:
    return _record(CATALOG, "catalog", "", annotations=model.annotations, acls=model.acls)


def schema_record(schema: Schema) -> Record:
    return _record(
        schema.rid,
        "schema",
        CATALOG,
        name=schema.name,
        comment=schema.comment,
        annotations=schema.annotations,
        acls=schema.acls,
    )


def table_records(table: Table) -> Iterator[Record]:
    """Yield the records of a table and of everything in it."""
    yield _record(
        table.rid,
        "table",
        table.schema,
        name=table.name,
        comment=table.comment,
        annotations=table.annotations,
        acls=table.acls,
        acl_bindings=table.acl_bindings,
    )
    for column in table.columns:
        yield _column_record(table, column)
    for key in table.keys:
        yield _key_record(table, key)
    for foreign_key in table.foreign_keys:
        yield _foreign_key_record(foreign_key)


def _column_record(table: Table, column: Column) -> Record:
    return _record(
        column.rid,
        "column",
        table.rid,
        name=column.name,
        type=type_document(column.type),
        nullok=column.nullok,
        default=column.default,
        comment=column.comment,
        annotations=column.annotations,
        acls=column.acls,
        acl_bindings=column.acl_bindings,
    )


def _key_record(table: Table, key: Key) -> Record:
    return _record(
        key.rid,
        "key",
        table.rid,
        name=key.name,
        columns=key.columns,
        comment=key.comment,
        annotations=key.annotations,
    )


def _foreign_key_record(foreign_key: ForeignKey) -> Record:
    return _record(
        foreign_key.rid,
        "foreign_key",
        foreign_key.table,
        name=foreign_key.name,
        columns=foreign_key.columns,
        referenced_table=foreign_key.referenced_table,
        referenced_columns=foreign_key.referenced_columns,
        on_delete=foreign_key.on_delete,
        on_update=foreign_key.on_update,
        comment=foreign_key.comment,
        annotations=foreign_key.annotations,
        acls=foreign_key.acls,
        acl_bindings=foreign_key.acl_bindings,
    )


def _record(rid: str, kind: Kind, parent: str, **said: Json) -> Record:
    return Record(rid, kind, parent, json.dumps(said, ensure_ascii=False, separators=(",", ":")))


# --------------------------------------------------------------------------------------------------- putting together


def assemble(snaptime: int, records: Iterable[Record]) -> Model:
    """Return the model that the records of one moment make."""
    ordered = sorted(records, key=_order)
    said = json.loads(f"[{','.join(record.doc for record in ordered)}]")
    children: dict[tuple[str, Kind], list[tuple[str, dict[str, Any]]]] = {}
    for record, document in zip(ordered, said, strict=True):
        children.setdefault((record.parent, record.kind), []).append((record.rid, document))
    own = children[("", "catalog")][0][1]
    schemas = [_schema(rid, told, children) for rid, told in children.get((CATALOG, "schema"), ())]
    return Model(snaptime, {schema.name: schema for schema in schemas}, own["annotations"], _acls(own))


Children: TypeAlias = Mapping[tuple[str, Kind], list[tuple[str, dict[str, Any]]]]


def _order(record: Record) -> int:
    return -1 if record.kind == "catalog" else decode(record.rid)


def _schema(rid: str, said: dict[str, Any], children: Children) -> Schema:
    tables = [_table(table, rid, told, children) for table, told in children.get((rid, "table"), ())]
    named = {table.name: table for table in tables}
    return Schema(rid, said["name"], named, said["comment"], said["annotations"], _acls(said))


def _table(rid: str, schema: str, said: dict[str, Any], children: Children) -> Table:
    def of(kind: Kind, make: Callable[[str, str, dict[str, Any]], Any]) -> tuple[Any, ...]:
        return tuple(make(child, rid, told) for child, told in children.get((rid, kind), ()))

    return Table(
        rid,
        schema,
        said["name"],
        of("column", _column),
        of("key", _key),
        of("foreign_key", _foreign_key),
        said["comment"],
        said["annotations"],
        _acls(said),
        said["acl_bindings"],
    )


def _column(rid: str, table: str, said: dict[str, Any]) -> Column:
    return Column(
        rid,
        said["name"],
        type_from_document(said["type"]),
        said["nullok"],
        said["default"],
        said["comment"],
        said["annotations"],
        _acls(said),
        said["acl_bindings"],
    )


def _key(rid: str, table: str, said: dict[str, Any]) -> Key:
    return Key(rid, said["name"], tuple(said["columns"]), said["comment"], said["annotations"])


def _foreign_key(rid: str, table: str, said: dict[str, Any]) -> ForeignKey:
    return ForeignKey(
        rid,
        said["name"],
        table,
        tuple(said["columns"]),
        said["referenced_table"],
        tuple(said["referenced_columns"]),
        said["on_delete"],
        said["on_update"],
        said["comment"],
        said["annotations"],
        _acls(said),
        said["acl_bindings"],
    )


def _acls(said: Mapping[str, Any]) -> Acls:
    return {name: tuple(members) for name, members in said["acls"].items()}
