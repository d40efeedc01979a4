"""Tables and their parts as users define them, and as the catalog's model spells them.

A law: values in, documents out.

Example:
    >>> table = TableDefinition("Subject", [ColumnDefinition("Age", BuiltinTypes.int2)], comment="Who took part.")
    >>> [column["name"] for column in table.document("lab")["column_definitions"]]
    ['RID', 'RCT', 'RMT', 'RCB', 'RMB', 'Age']
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from deriva_ml.enums import BuiltinTypes
from deriva_ml.errors import DerivaMLValidationError
from deriva_ml.names import LONGEST_NAME, SYSTEM_COLUMNS, check_name

Json: TypeAlias = dict[str, Any]

DerivaSystemColumns = frozenset(SYSTEM_COLUMNS)
DerivaAssetColumns = frozenset({"Filename", "URL", "Length", "MD5", "Description", *SYSTEM_COLUMNS})

DOMAINS = {
    "ermrest_rid": "text",
    "ermrest_rcb": "text",
    "ermrest_rmb": "text",
    "ermrest_rct": "timestamptz",
    "ermrest_rmt": "timestamptz",
    "markdown": "text",
    "longtext": "text",
    "ermrest_curie": "text",
    "ermrest_uri": "text",
    "color_rgb_hex": "text",
}
DISPLAY = "tag:misd.isi.edu,2015:display"
SYSTEM = (
    ("RID", "ermrest_rid", False, "Record ID"),
    ("RCT", "ermrest_rct", False, "Creation Time"),
    ("RMT", "ermrest_rmt", False, "Modified Time"),
    ("RCB", "ermrest_rcb", True, "Created By"),
    ("RMB", "ermrest_rmb", True, "Modified By"),
)


def type_document(name: BuiltinTypes | str) -> Json:
    """Return how the model spells the type called ``name`` (``int4``, ``text[]``, a member of BuiltinTypes).

    Raises:
        DerivaMLValidationError: there is no such type.
    """
    text = name.value if isinstance(name, BuiltinTypes) else str(name)
    element = text.removesuffix("[]")
    if element not in BuiltinTypes.__members__:
        raise DerivaMLValidationError(
            f"There is no column type {text!r}. There are: {', '.join(BuiltinTypes.__members__)}."
        )
    if element != text:
        return {"typename": text, "is_array": True, "base_type": type_document(element)}
    if text in DOMAINS:
        return {"typename": text, "is_domain": True, "base_type": {"typename": DOMAINS[text]}}
    return {"typename": text}


def constraint_name(table: str, columns: Iterable[str], suffix: str) -> str:
    """Return the name of a key or foreign key, shortened with a hash where it would be too long."""
    name = "_".join([table, *columns, suffix])
    if len(name.encode()) <= LONGEST_NAME:
        return name
    mark = hashlib.sha256(name.encode()).hexdigest()[:8]
    room = LONGEST_NAME - len(mark) - len(suffix.encode()) - 2
    return f"{name.encode()[:room].decode(errors='ignore')}_{mark}_{suffix}"


@dataclass(frozen=True)
class ColumnDefinition:
    """A column to be made; ``type`` is a member of BuiltinTypes or its name, ``"text[]"`` for an array."""

    name: str
    type: BuiltinTypes | str
    nullok: bool = True
    default: Any = None
    comment: str | None = None
    annotations: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_name(self.name, "name of a column")
        type_document(self.type)

    def document(self) -> Json:
        """Return the column as the model spells it."""
        return {
            "name": self.name,
            "type": type_document(self.type),
            "nullok": self.nullok,
            "default": self.default,
            "comment": self.comment,
            "annotations": dict(self.annotations),
        }

    to_dict = document


@dataclass(frozen=True)
class KeyDefinition:
    """Columns whose values together are unique."""

    colnames: Sequence[str]
    constraint_names: Sequence[Sequence[str]] | None = None
    comment: str | None = None
    annotations: Mapping[str, Any] = field(default_factory=dict)

    def document(self, schema: str, table: str) -> Json:
        """Return the key as the model spells it."""
        names = self.constraint_names or [[schema, constraint_name(table, self.colnames, "key")]]
        return {
            "unique_columns": list(self.colnames),
            "names": [list(name) for name in names],
            "comment": self.comment,
            "annotations": dict(self.annotations),
        }


@dataclass(frozen=True)
class ForeignKeyDefinition:
    """A reference from ``colnames`` to the key ``pk_colnames`` of the table ``pk_sname:pk_tname``."""

    colnames: Sequence[str]
    pk_sname: str
    pk_tname: str
    pk_colnames: Sequence[str] = ("RID",)
    on_update: str = "NO ACTION"
    on_delete: str = "NO ACTION"
    comment: str | None = None
    constraint_names: Sequence[Sequence[str]] | None = None
    annotations: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if len(self.colnames) != len(self.pk_colnames):
            raise DerivaMLValidationError(
                f"A foreign key joins as many columns as it refers to: {self.colnames} and {self.pk_colnames} differ."
            )

    def document(self, schema: str, table: str) -> Json:
        """Return the foreign key as the model spells it."""
        names = self.constraint_names or [[schema, constraint_name(table, self.colnames, "fkey")]]
        return {
            "foreign_key_columns": [_place(schema, table, column) for column in self.colnames],
            "referenced_columns": [_place(self.pk_sname, self.pk_tname, column) for column in self.pk_colnames],
            "names": [list(name) for name in names],
            "on_update": self.on_update,
            "on_delete": self.on_delete,
            "comment": self.comment,
            "annotations": dict(self.annotations),
        }


@dataclass(frozen=True, init=False)
class TableDefinition:
    """A table to be made; the system columns, the key RID and the references to who wrote a row come by themselves.

    The parts go by ``column_defs``, ``key_defs``, ``fkey_defs`` or by ``columns``, ``keys``, ``foreign_keys``.
    """

    name: str
    column_defs: tuple[ColumnDefinition, ...]
    key_defs: tuple[KeyDefinition, ...]
    fkey_defs: tuple[ForeignKeyDefinition, ...]
    comment: str | None
    annotations: Mapping[str, Any]

    def __init__(
        self,
        name: str,
        column_defs: Iterable[ColumnDefinition] = (),
        key_defs: Iterable[KeyDefinition] = (),
        fkey_defs: Iterable[ForeignKeyDefinition] = (),
        comment: str | None = None,
        annotations: Mapping[str, Any] | None = None,
        *,
        columns: Iterable[ColumnDefinition] = (),
        keys: Iterable[KeyDefinition] = (),
        foreign_keys: Iterable[ForeignKeyDefinition] = (),
    ) -> None:
        parts = {
            "name": check_name(name, "name of a table"),
            "column_defs": (*column_defs, *columns),
            "key_defs": (*key_defs, *keys),
            "fkey_defs": (*fkey_defs, *foreign_keys),
            "comment": comment,
            "annotations": dict(annotations or {}),
        }
        for part, value in parts.items():
            object.__setattr__(self, part, value)
        _check_columns(self)

    @property
    def columns(self) -> tuple[ColumnDefinition, ...]:
        return self.column_defs

    @property
    def keys(self) -> tuple[KeyDefinition, ...]:
        return self.key_defs

    @property
    def foreign_keys(self) -> tuple[ForeignKeyDefinition, ...]:
        return self.fkey_defs

    def document(self, schema: str) -> Json:
        """Return the table as the model of the schema ``schema`` spells it."""
        writers = [ForeignKeyDefinition([column], "public", "ERMrest_Client", ["ID"]) for column in ("RCB", "RMB")]
        own = [key for key in self.key_defs if tuple(key.colnames) != ("RID",)]
        return {
            "kind": "table",
            "schema_name": schema,
            "table_name": self.name,
            "comment": self.comment,
            "annotations": dict(self.annotations),
            "column_definitions": [*_system_columns(), *(column.document() for column in self.column_defs)],
            "keys": [key.document(schema, self.name) for key in (KeyDefinition(["RID"]), *own)],
            "foreign_keys": [key.document(schema, self.name) for key in (*writers, *self.fkey_defs)],
        }


def _system_columns() -> list[Json]:
    return [
        ColumnDefinition(name, kind, nullok, annotations={DISPLAY: {"name": shown}}).document()
        for name, kind, nullok, shown in SYSTEM
    ]


def _place(schema: str, table: str, column: str) -> Json:
    return {"schema_name": schema, "table_name": table, "column_name": column}


def _check_columns(table: TableDefinition) -> None:
    """Refuse what the catalog would refuse less clearly: names that occur twice, keys over columns that are not there."""
    names = [column.name for column in table.column_defs]
    twice = sorted({name for name in names if names.count(name) > 1 or name in SYSTEM_COLUMNS})
    if twice:
        raise DerivaMLValidationError(f"Table {table.name!r} would have two columns {', '.join(twice)}.")
    used = [name for key in table.key_defs for name in key.colnames]
    used += [name for key in table.fkey_defs for name in key.colnames]
    absent = sorted({name for name in used if name not in names and name not in SYSTEM_COLUMNS})
    if absent:
        raise DerivaMLValidationError(
            f"Table {table.name!r} has a key over columns that it does not have: {', '.join(absent)}."
        )
