"""Access bindings that follow a renaming: they name columns and constraints, and go on meaning the same ones.

Floor 1, pure. A binding is read in the model in which it was written, and written again with the names of the new one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeVar

from deriva_local.acl.projections import Projection
from deriva_local.model import edit
from deriva_local.model.elements import Column, ForeignKey, Model, Table
from deriva_local.url import ast
from deriva_local.wire.errors import Refusal

Bound = TypeVar("Bound", Table, Column, ForeignKey)


def followed(before: Model, after: Model) -> Model:
    """Return ``after`` with the bindings that it has in common with ``before`` put in the names that it uses."""
    for table in tuple(after.tables()):
        old = before.table_by_rid.get(table.rid)
        if old is not None and _has_bindings(old):
            after = edit.put_table(after, _table(before, after, old, table))
    return after


def _has_bindings(table: Table) -> bool:
    parts: tuple[Table | Column | ForeignKey, ...] = (table, *table.columns, *table.foreign_keys)
    return any(part.acl_bindings for part in parts)


def _table(before: Model, after: Model, old: Table, new: Table) -> Table:
    made = _element(before, after, old, old, new)
    for column in new.columns:
        if column.rid in old.by_rid:
            made = edit.put_column(made, _element(before, after, old, old.by_rid[column.rid], column))
    links = {link.rid: link for link in old.foreign_keys}
    for link in new.foreign_keys:
        if link.rid in links:
            start = before.table_by_rid[link.referenced_table]
            made = edit.put_foreign_key(made, _element(before, after, start, links[link.rid], link))
    return made


def _element(before: Model, after: Model, start: Table, old: Bound, new: Bound) -> Bound:
    """Return an element whose bindings, as far as nobody has changed them, follow."""
    follow = _Follow(before, after, start)
    kept = {
        name: follow.binding(binding) if binding == old.acl_bindings.get(name) else binding
        for name, binding in new.acl_bindings.items()
    }
    return new if kept == new.acl_bindings else replace(new, acl_bindings=kept)


class _Follow:
    """Reads projections that start at one table of the old model, and writes them for the new one."""

    def __init__(self, before: Model, after: Model, start: Table) -> None:
        self.before = before
        self.after = after
        self.start = start

    def binding(self, binding: Any) -> Any:
        if not isinstance(binding, dict):
            return binding
        try:
            return {**binding, "projection": self._projection(binding["projection"])}
        except Refusal:
            return binding  # it led nowhere before: there is nothing to follow

    def _projection(self, projection: Any) -> Any:
        walk = Projection(self.before, self.start)
        if not isinstance(projection, list):
            return self._column(walk, projection)
        made = [self._step(walk, step) for step in projection[:-1]]
        return [*made, self._column(walk, projection[-1])]

    def _step(self, walk: Projection, step: Mapping[str, Any]) -> Mapping[str, Any]:
        for direction in ("outbound", "inbound"):
            if direction in step:
                pair = self._pair(walk.constraint(step[direction]))
                walk.join(step)
                return {**step, direction: pair}
        return self._filter(walk, step)

    def _filter(self, walk: Projection, step: Mapping[str, Any]) -> Mapping[str, Any]:
        for word in ("and", "or"):
            if word in step:
                return {**step, word: [self._filter(walk, part) for part in step[word]]}
        return {**step, "filter": self._column(walk, step["filter"])}

    def _column(self, walk: Projection, named: Any) -> Any:
        """Return a column as it is named now: by its name, or by the pair of an alias and its name."""
        parts = tuple(named) if isinstance(named, list) else (named,)
        if parts[-1] == "*":
            return named
        ref = walk.column(ast.ColumnRef(parts))
        home = self.after.table_by_rid[walk.tables[walk.place(ref)].rid]
        column = home.by_rid.get(ref.column.rid, ref.column)
        return [*parts[:-1], column.name] if isinstance(named, list) else column.name

    def _pair(self, link: ForeignKey) -> list[str]:
        home = self.after.table_by_rid[link.table]
        now = next((each for each in home.foreign_keys if each.rid == link.rid), link)
        return [self.after.schema_by_rid[home.schema].name, now.name]
