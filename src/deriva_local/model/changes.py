"""What lies between two models: which records change, and what that asks of the tables in SQLite.

Floor 1, pure. A change of the model is always made as a new :class:`Model`; comparing it with the old one finds the
records to write and the physical work, so that no way of changing a model can forget either.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from deriva_local.model.elements import Column, ForeignKey, Key, Model, Table
from deriva_local.model.records import Record, catalog_record, records_of, schema_record, table_records


@dataclass(frozen=True, slots=True)
class Changes:
    """``written``: records that are new or say something else; ``retired``: RIDs of elements that are gone.

    ``tables`` are new tables; ``altered`` are those that were there before and need physical work.
    """

    written: tuple[Record, ...]
    retired: tuple[str, ...]
    tables: tuple[Table, ...]
    altered: tuple[Alteration, ...]

    def __bool__(self) -> bool:
        return bool(self.written or self.retired)


@dataclass(frozen=True, slots=True)
class Alteration:
    """What an existing table needs: new columns, keys and foreign keys, gone ones, and columns that became stricter."""

    before: Table
    after: Table
    columns: tuple[Column, ...]
    keys: tuple[Key, ...]
    foreign_keys: tuple[ForeignKey, ...]
    gone_keys: tuple[Key, ...]
    gone_foreign_keys: tuple[ForeignKey, ...]
    retyped: tuple[tuple[Column, Column], ...]
    required: tuple[Column, ...]

    def __bool__(self) -> bool:
        new = self.columns or self.keys or self.foreign_keys
        return bool(new or self.gone_keys or self.gone_foreign_keys or self.retyped or self.required)


def compare(before: Model, after: Model) -> Changes:
    """Return everything that has to happen for ``before`` to become ``after``."""
    old = {record.rid: record for record in _touched(before, after)}
    new = {record.rid: record for record in _touched(after, before)}
    written = tuple(record for rid, record in new.items() if old.get(rid) != record)
    retired = tuple(rid for rid in old if rid not in new)
    tables = tuple(table for table in after.tables() if table.rid not in before.table_by_rid)
    return Changes(written, retired, tables, tuple(_alterations(before, after)))


def creation(model: Model) -> Changes:
    """Return the changes that make ``model`` out of nothing."""
    return Changes(tuple(records_of(model)), (), tuple(model.tables()), ())


def _touched(model: Model, other: Model) -> Iterator[Record]:
    """Yield the records of ``model``, without those of tables that both models share as they are."""
    yield catalog_record(model)
    for schema in model.schemas.values():
        yield schema_record(schema)
        for table in schema.tables.values():
            if other.table_by_rid.get(table.rid) is not table:
                yield from table_records(table)


def _alterations(before: Model, after: Model) -> Iterator[Alteration]:
    for table in after.tables():
        old = before.table_by_rid.get(table.rid)
        if old is not None and old is not table and (alteration := _alteration(old, table)):
            yield alteration


def _alteration(old: Table, new: Table) -> Alteration:
    old_keys, new_keys = {key.rid for key in old.keys}, {key.rid for key in new.keys}
    old_links, new_links = {key.rid for key in old.foreign_keys}, {key.rid for key in new.foreign_keys}
    both = [(old.by_rid[column.rid], column) for column in new.columns if column.rid in old.by_rid]
    return Alteration(
        old,
        new,
        tuple(column for column in new.columns if column.rid not in old.by_rid),
        tuple(key for key in new.keys if key.rid not in old_keys),
        tuple(key for key in new.foreign_keys if key.rid not in old_links),
        tuple(key for key in old.keys if key.rid not in new_keys),
        tuple(key for key in old.foreign_keys if key.rid not in new_links),
        tuple((was, column) for was, column in both if was.type != column.type),
        tuple(column for was, column in both if was.nullok and not column.nullok),
    )
