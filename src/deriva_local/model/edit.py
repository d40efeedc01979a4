"""A model with one element put in or taken out: the original stays as it is.

Floor 1, pure. Elements keep their places; a new one comes last.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Protocol, TypeVar

from deriva_local.model.elements import Column, ForeignKey, Key, Model, Schema, Table


class _WithRid(Protocol):
    @property
    def rid(self) -> str: ...


Element = TypeVar("Element", bound=_WithRid)


def put_schema(model: Model, schema: Schema) -> Model:
    """Return the model with this schema, new or in place of the one with its RID."""
    schemas = _put(model.schemas.values(), schema)
    return replace(model, schemas={each.name: each for each in schemas})


def drop_schema(model: Model, schema: Schema) -> Model:
    return replace(model, schemas={each.name: each for each in _without(model.schemas.values(), schema.rid)})


def put_table(model: Model, table: Table) -> Model:
    """Return the model with this table, new or in place of the one with its RID; it may have moved."""
    old = model.table_by_rid.get(table.rid)
    if old is not None and old.schema != table.schema:
        model = drop_table(model, old)
    schema = model.schema_by_rid[table.schema]
    tables = sorted(_put(schema.tables.values(), table), key=lambda each: _age(each.rid))
    return put_schema(model, replace(schema, tables={each.name: each for each in tables}))


def drop_table(model: Model, table: Table) -> Model:
    schema = model.schema_by_rid[table.schema]
    left = _without(schema.tables.values(), table.rid)
    return put_schema(model, replace(schema, tables={each.name: each for each in left}))


def put_column(table: Table, column: Column) -> Table:
    return replace(table, columns=tuple(_put(table.columns, column)))


def put_key(table: Table, key: Key) -> Table:
    return replace(table, keys=tuple(_put(table.keys, key)))


def put_foreign_key(table: Table, foreign_key: ForeignKey) -> Table:
    return replace(table, foreign_keys=tuple(_put(table.foreign_keys, foreign_key)))


def drop_column(table: Table, column: Column) -> Table:
    return replace(table, columns=tuple(_without(table.columns, column.rid)))


def drop_key(table: Table, key: Key) -> Table:
    return replace(table, keys=tuple(_without(table.keys, key.rid)))


def drop_foreign_key(table: Table, foreign_key: ForeignKey) -> Table:
    return replace(table, foreign_keys=tuple(_without(table.foreign_keys, foreign_key.rid)))


def _put(elements: Iterable[Element], element: Element) -> list[Element]:
    found = [element if each.rid == element.rid else each for each in elements]
    return found if any(each is element for each in found) else [*found, element]


def _without(elements: Iterable[Element], rid: str) -> list[Element]:
    return [each for each in elements if each.rid != rid]


def _age(rid: str) -> tuple[int, str]:
    """Return what sorts canonical RIDs by their number."""
    return len(rid), rid
