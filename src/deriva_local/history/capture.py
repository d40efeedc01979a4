"""What of a model the past may show: tables whose history is not recorded at a moment are not there at that moment.

Floor 1, pure.
"""

from __future__ import annotations

from dataclasses import replace

from deriva_local.history.versions import is_captured
from deriva_local.model.elements import Model, Schema


def recorded(model: Model) -> Model:
    """Return the model without the tables that are not recorded, and without the foreign keys that lead to them."""
    hidden = {table.rid for table in model.tables() if not is_captured(table)}
    if not hidden:
        return model
    return replace(model, schemas={name: _recorded(schema, hidden) for name, schema in model.schemas.items()})


def _recorded(schema: Schema, hidden: set[str]) -> Schema:
    kept = {name: table for name, table in schema.tables.items() if table.rid not in hidden}
    tables = {
        name: replace(table, foreign_keys=tuple(k for k in table.foreign_keys if k.referenced_table not in hidden))
        for name, table in kept.items()
    }
    return replace(schema, tables=tables)
