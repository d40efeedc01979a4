"""The model of a catalog at one moment: immutable schemas, tables, columns, keys and foreign keys.

Floor 0: values only. Every element carries the RID that is its identity; names are just attributes, so a rename
changes nothing that lies in SQLite. Elements refer to each other by RID, :class:`Model` finds them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from deriva_local.lazy import cached_property

Json: TypeAlias = Any
Document: TypeAlias = Mapping[str, Json]
Acls: TypeAlias = Mapping[str, tuple[str, ...]]

SYSTEM_COLUMNS = ("RID", "RCT", "RMT", "RCB", "RMB")
FOREVER = 2**63 - 1
"""The value of ``died`` of everything that is alive."""

Action: TypeAlias = Literal["NO ACTION", "RESTRICT", "CASCADE", "SET NULL", "SET DEFAULT"]


@dataclass(frozen=True, slots=True)
class Type:
    """A column type. ``base`` is the element type of an array or the base type of a domain."""

    name: str
    kind: Literal["scalar", "domain", "array"] = "scalar"
    base: Type | None = None

    @property
    def storage(self) -> Type:
        """Return the scalar or array type that a domain stands on (itself for the others)."""
        return self.base.storage if self.kind == "domain" and self.base is not None else self


@dataclass(frozen=True, slots=True)
class Column:
    rid: str
    name: str
    type: Type
    nullok: bool = True
    default: Json = None
    comment: str | None = None
    annotations: Document = field(default_factory=dict)
    acls: Acls = field(default_factory=dict)
    acl_bindings: Document = field(default_factory=dict)

    @property
    def is_system(self) -> bool:
        return self.name in SYSTEM_COLUMNS

    @property
    def physical(self) -> str:
        """Return the name of this column in SQLite, unquoted: system columns keep theirs, others go by RID."""
        return self.name if self.name in SYSTEM_COLUMNS else "c" + self.rid.replace("-", "")


@dataclass(frozen=True, slots=True)
class Key:
    """A unique key. ``columns`` are column RIDs in the order in which they were given."""

    rid: str
    name: str
    columns: tuple[str, ...]
    comment: str | None = None
    annotations: Document = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ForeignKey:
    """A reference from ``columns`` of ``table`` to ``referenced_columns`` of ``referenced_table``, all by RID."""

    rid: str
    name: str
    table: str
    columns: tuple[str, ...]
    referenced_table: str
    referenced_columns: tuple[str, ...]
    on_delete: Action = "NO ACTION"
    on_update: Action = "NO ACTION"
    comment: str | None = None
    annotations: Document = field(default_factory=dict)
    acls: Acls = field(default_factory=dict)
    acl_bindings: Document = field(default_factory=dict)


@dataclass(frozen=True)
class Table:
    """A table with its columns in order, its keys and the foreign keys that leave it."""

    rid: str
    schema: str
    name: str
    columns: tuple[Column, ...]
    keys: tuple[Key, ...] = ()
    foreign_keys: tuple[ForeignKey, ...] = ()
    comment: str | None = None
    annotations: Document = field(default_factory=dict)
    acls: Acls = field(default_factory=dict)
    acl_bindings: Document = field(default_factory=dict)

    @property
    def physical(self) -> str:
        """Return the name of this table in SQLite, unquoted."""
        return "t" + self.rid.replace("-", "")

    @cached_property
    def by_name(self) -> Mapping[str, Column]:
        return {column.name: column for column in self.columns}

    @cached_property
    def by_rid(self) -> Mapping[str, Column]:
        return {column.rid: column for column in self.columns}


@dataclass(frozen=True)
class Schema:
    """A schema with its tables by name, in order of creation. ``Table.schema`` is this element's RID."""

    rid: str
    name: str
    tables: Mapping[str, Table]
    comment: str | None = None
    annotations: Document = field(default_factory=dict)
    acls: Acls = field(default_factory=dict)


@dataclass(frozen=True)
class Model:
    """Everything that the catalog's model held at ``snaptime`` (microseconds since 1970 UTC)."""

    snaptime: int
    schemas: Mapping[str, Schema]
    annotations: Document = field(default_factory=dict)
    acls: Acls = field(default_factory=dict)

    def tables(self) -> Iterator[Table]:
        for schema in self.schemas.values():
            yield from schema.tables.values()

    @cached_property
    def schema_by_rid(self) -> Mapping[str, Schema]:
        return {schema.rid: schema for schema in self.schemas.values()}

    @cached_property
    def table_by_rid(self) -> Mapping[str, Table]:
        return {table.rid: table for table in self.tables()}

    @cached_property
    def referenced_by(self) -> Mapping[str, tuple[ForeignKey, ...]]:
        """Return, per table RID, the foreign keys of all tables that point at it."""
        found: dict[str, list[ForeignKey]] = {}
        for table in self.tables():
            for foreign_key in table.foreign_keys:
                found.setdefault(foreign_key.referenced_table, []).append(foreign_key)
        return {rid: tuple(keys) for rid, keys in found.items()}
