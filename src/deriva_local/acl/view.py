"""A model as one client may see it: what is invisible is not there, what depends on the row is guarded.

Floor 1, pure. :class:`View` holds both the whole model and the visible part of it, whose elements are the same values.
Names are looked up in the visible part, so that the invisible behaves as absent; decisions are asked here. For an
owner both are one, and nothing is guarded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from deriva_local.acl import rights
from deriva_local.acl.projections import grant
from deriva_local.acl.rights import Decision
from deriva_local.acl.static import Onlooker
from deriva_local.lazy import cached_property
from deriva_local.model.elements import Column, ForeignKey, Model, Schema, Table
from deriva_local.query.plan import Grant, Guard, RowRights, Screen
from deriva_local.wire.errors import Refusal, forbidden, unauthorized

_KEPT = 64


class View:
    """What ``onlooker`` may see of ``full`` and do with it."""

    def __init__(self, full: Model, onlooker: Onlooker) -> None:
        self.full = full
        self.onlooker = onlooker
        self.owner = onlooker.holds("owner", full.acls)
        self._screens: dict[str, Screen | None] = {}

    @cached_property
    def model(self) -> Model:
        """The part of the model that is visible."""
        if self.owner:
            return self.full
        schemas = {
            schema.name: self._visible_schema(schema)
            for schema in self.full.schemas.values()
            if rights.on_schema(self.onlooker, self.full, schema, "enumerate")
        }
        return self._without_hidden_links(replace(self.full, schemas=schemas))

    # -------------------------------------------------------------------------------------------------------- decisions

    def on_catalog(self, right: str) -> bool:
        return rights.on_catalog(self.onlooker, self.full, right)

    def on_schema(self, schema: Schema, right: str) -> bool:
        return rights.on_schema(self.onlooker, self.full, schema, right)

    def on_table(self, table: Table, right: str) -> Decision:
        return rights.on_table(self.onlooker, self.full, table, right)

    def on_column(self, table: Table, column: Column, right: str) -> Decision:
        return rights.on_column(self.onlooker, self.full, table, column, right)

    def on_foreign_key(self, link: ForeignKey, right: str) -> Decision:
        return rights.on_foreign_key(self.onlooker, self.full, link, right)

    def selectable(self, table: Table) -> tuple[Column, ...]:
        """Return the columns of a visible table whose values may be read, at least in some rows."""
        if self.owner:
            return table.columns
        return tuple(each for each in table.columns if self.on_column(table, each, "select") is not False)

    def require(self, decision: Decision, what: str) -> None:
        """Let a decision pass that is not a plain no.

        Raises:
            Refusal: 403, or 401 for somebody who is not logged in; ``what`` completes "You may not …".
        """
        if decision is False:
            raise self.denied(what)

    def denied(self, what: str) -> Refusal:
        if self.onlooker.anonymous:
            return unauthorized(f"Nobody is logged in, and you may not {what}.")
        return forbidden(f"You may not {what}.")

    # ----------------------------------------------------------------------------------------------------------- guards

    def screen(self, table: Table) -> Screen | None:
        """Return what hides rows and values of a table, None where all is open.

        Raises:
            Refusal: 403 or 401 where no row may be read.
        """
        if self.owner:
            return None
        decision = self.on_table(table, "select")
        self.require(decision, f"read table '{table.name}'")
        if table.rid not in self._screens:
            self._screens[table.rid] = self._screen(table, decision)
        return self._screens[table.rid]

    def _screen(self, table: Table, decision: Decision) -> Screen | None:
        rows = None if decision else self.row_guard(table, "select")
        columns = tuple(
            (column, guard) for column in table.columns if (guard := self._column_guard(table, column, decision))
        )
        return None if rows is None and not columns else Screen(rows, columns)

    def _column_guard(self, table: Table, column: Column, on_rows: Decision) -> Guard | None:
        """Return what guards a column beyond what guards its rows; None if nothing does."""
        if self.on_column(table, column, "select") is not None:
            return None
        bindings = rights.column_bindings(table, column)
        names = set(rights.applicable(self.onlooker, "select", bindings))
        same = list(rights.applicable(self.onlooker, "select", table.acl_bindings))
        if on_rows is None and all(name in names and bindings[name] is table.acl_bindings[name] for name in same):
            return None
        return self._guard(table, "select", bindings)

    def row_guard(self, table: Table, right: str) -> Guard:
        """Return what a row must satisfy for ``right`` on it; for a right that depends on the row."""
        return self._guard(table, right, table.acl_bindings)

    def column_row_guard(self, table: Table, column: Column, right: str) -> Guard:
        """Return what a row must satisfy for ``right`` on one of its columns."""
        return self._guard(table, right, rights.column_bindings(table, column))

    def link_guard(self, link: ForeignKey, right: str) -> Guard:
        """Return what a referenced row must satisfy to be referred to."""
        return self._guard(self.full.table_by_rid[link.referenced_table], right, link.acl_bindings)

    def row_rights(self, instance: int, table: Table, with_columns: bool) -> RowRights:
        """Return what may be done to the rows of a table instance, where it matters row by row."""
        rows = tuple((right, self._by_row(table, right)) for right in ("update", "delete"))
        columns = tuple((column.name, self._column_by_row(table, column)) for column in table.columns)
        return RowRights(instance, self.full.table_by_rid[table.rid], rows, columns if with_columns else None)

    def _by_row(self, table: Table, right: str) -> bool | Guard:
        decision = self.on_table(table, right)
        return self.row_guard(table, right) if decision is None else decision

    def _column_by_row(self, table: Table, column: Column) -> bool | Guard:
        decision = not column.is_system and self.on_column(table, column, "update")
        return self.column_row_guard(table, column, "update") if decision is None else decision

    def _guard(self, start: Table, right: str, bindings: Mapping[str, Any]) -> Guard:
        start = self.full.table_by_rid[start.rid]
        found = (self._grant(start, bindings[name]) for name in rights.applicable(self.onlooker, right, bindings))
        return tuple(each for each in found if each is not None)

    def _grant(self, start: Table, binding: Mapping[str, Any]) -> Grant | None:
        """Return what a binding asks of a row; one that a rename has led astray lets nothing pass."""
        try:
            return grant(self.full, start, binding, self.onlooker.roles)
        except Refusal:
            return None

    # ------------------------------------------------------------------------------------------------------- visibility

    def _visible_schema(self, schema: Schema) -> Schema:
        tables = {
            table.name: self._visible_table(table)
            for table in schema.tables.values()
            if rights.on_table(self.onlooker, self.full, table, "enumerate") is not False
        }
        return replace(schema, tables=tables)

    def _visible_table(self, table: Table) -> Table:
        columns = tuple(each for each in table.columns if self.on_column(table, each, "enumerate") is not False)
        return replace(table, columns=columns) if len(columns) < len(table.columns) else table

    def _without_hidden_links(self, model: Model) -> Model:
        """Leave out the keys and foreign keys of which a column may not be read."""
        readable = {table.rid: {column.rid for column in self.selectable(table)} for table in model.tables()}

        def shown(table: Table) -> Table:
            own = readable[table.rid]
            keys = tuple(key for key in table.keys if own.issuperset(key.columns))
            links = tuple(link for link in table.foreign_keys if self._is_shown(link, readable))
            if len(keys) == len(table.keys) and len(links) == len(table.foreign_keys):
                return table
            return replace(table, keys=keys, foreign_keys=links)

        return replace(model, schemas=_mapped(model, shown))

    def _is_shown(self, link: ForeignKey, readable: Mapping[str, set[str]]) -> bool:
        near, far = readable[link.table], readable.get(link.referenced_table, set())
        ends = near.issuperset(link.columns) and far.issuperset(link.referenced_columns)
        return ends and self.on_foreign_key(link, "enumerate") is not False


def _mapped(model: Model, change: Callable[[Table], Table]) -> dict[str, Schema]:
    return {
        name: replace(schema, tables={table.name: change(table) for table in schema.tables.values()})
        for name, schema in model.schemas.items()
    }


_views: dict[tuple[int, Onlooker], View] = {}


def view_of(model: Model, roles: frozenset[str], past: bool = False) -> View:
    """Return the view of a model for somebody with these roles; the last ones asked for are kept."""
    key = (id(model), Onlooker(roles, past))
    found = _views.get(key)
    if found is None or found.full is not model:
        if len(_views) >= _KEPT:
            _views.clear()
        found = _views[key] = View(model, key[1])
    return found
