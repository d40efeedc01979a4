"""The documents in which a client reads the model.

Floor 1, pure. A :class:`Portrait` knows who looks, and so which rights and access control lists to show.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from deriva_local.acl import rights
from deriva_local.acl.static import Onlooker
from deriva_local.acl.view import View
from deriva_local.model.elements import Acls, Column, ForeignKey, Key, Model, Schema, Table
from deriva_local.wire.crockford import micros_to_snap
from deriva_local.wire.types import type_document

Shown: TypeAlias = dict[str, Any]

FEATURES: Mapping[str, Any] = {
    "trs": True,
    "tcrs": True,
    "history_control": True,
    "implicit_fkey_index": True,
    "catalog_post_input": True,
    "catalog_alias": True,
    "indexing_preferences": {"btree": True, "btree_column_list": False, "trgm": False, "gin_array": False},
    "quantified_value_lists": True,
    "quantified_rid_lists": True,
    "rid_lease": True,
    "csv_array_json": True,
}
"""What this service offers beyond the oldest protocol, as clients ask for it."""


@dataclass(frozen=True)
class Portrait:
    """The documents of a model, as the onlooker of ``view`` sees them. Owners see access control lists as well."""

    view: View

    @property
    def model(self) -> Model:
        return self.view.model

    def whole(self, snaptime: int) -> Shown:
        """Return the document of ``/schema``."""
        model = self.model
        return {
            "snaptime": micros_to_snap(snaptime),
            "annotations": model.annotations,
            "rights": rights.catalog_rights(self.onlooker, model),
            "features": FEATURES,
            "schemas": {name: self.schema(schema) for name, schema in model.schemas.items()},
            **self._acls((model.acls,), model.acls),
        }

    def schema(self, schema: Schema) -> Shown:
        model, schema = self.model, self.model.schema_by_rid.get(schema.rid, schema)
        return {
            "RID": schema.rid,
            "schema_name": schema.name,
            "comment": schema.comment,
            "rights": rights.schema_rights(self.onlooker, self.model, schema),
            "annotations": schema.annotations,
            "tables": {name: self.table(table) for name, table in schema.tables.items()},
            **self._acls((model.acls, schema.acls), schema.acls),
        }

    def table(self, table: Table) -> Shown:
        table = self.model.table_by_rid.get(table.rid, table)
        return {
            "RID": table.rid,
            "schema_name": self.model.schema_by_rid[table.schema].name,
            "table_name": table.name,
            "rights": rights.table_rights(self.onlooker, self.model, table),
            "column_definitions": [self.column(table, column) for column in table.columns],
            "keys": [self.key(table, key) for key in table.keys],
            "foreign_keys": [self.foreign_key(key) for key in table.foreign_keys],
            "kind": "table",
            "comment": table.comment,
            "annotations": table.annotations,
            **self._acls(self._lists(table), table.acls, table.acl_bindings),
        }

    def column(self, table: Table, column: Column) -> Shown:
        return {
            "RID": column.rid,
            "name": column.name,
            "rights": rights.column_rights(self.onlooker, self.model, table, column),
            "type": type_document(column.type),
            "default": column.default,
            "nullok": column.nullok,
            "comment": column.comment,
            "annotations": column.annotations,
            **self._acls(self._lists(table), column.acls, column.acl_bindings),
        }

    def key(self, table: Table, key: Key) -> Shown:
        return {
            "RID": key.rid,
            "comment": key.comment,
            "annotations": key.annotations,
            "unique_columns": [table.by_rid[rid].name for rid in key.columns],
            "names": [[self.model.schema_by_rid[table.schema].name, key.name]],
        }

    def foreign_key(self, link: ForeignKey) -> Shown:
        return {
            "RID": link.rid,
            "foreign_key_columns": self._columns(link.table, link.columns),
            "referenced_columns": self._columns(link.referenced_table, link.referenced_columns),
            "rights": rights.foreign_key_rights(self.onlooker, self.model, link),
            "comment": link.comment,
            "annotations": link.annotations,
            "names": [[self._schema_of(self.model.table_by_rid[link.table]), link.name]],
            "on_delete": link.on_delete,
            "on_update": link.on_update,
            **self._acls(self._lists(self.model.table_by_rid[link.table]), link.acls, link.acl_bindings),
        }

    def _columns(self, table_rid: str, column_rids: tuple[str, ...]) -> list[Shown]:
        table = self.model.table_by_rid[table_rid]
        schema = self._schema_of(table)
        return [
            {"schema_name": schema, "table_name": table.name, "column_name": table.by_rid[rid].name}
            for rid in column_rids
        ]

    def _schema_of(self, table: Table) -> str:
        return self.model.schema_by_rid[table.schema].name

    @property
    def onlooker(self) -> Onlooker:
        return self.view.onlooker

    def _lists(self, table: Table) -> tuple[Acls, ...]:
        return self.model.acls, self.model.schema_by_rid[table.schema].acls, table.acls

    def _acls(self, lists: tuple[Acls, ...], acls: Acls, bindings: Mapping[str, Any] | None = None) -> Shown:
        """Return the access control of an element, for whom the lists down to it make an owner."""
        if not self.view.owner and not self.onlooker.holds("owner", *lists):
            return {}
        return {"acls": acls} if bindings is None else {"acls": acls, "acl_bindings": bindings}
