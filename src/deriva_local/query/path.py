"""Gives the steps of a path their meaning: which tables exist, how they join, which column a name is.

Floor 1, pure: an address and a view of a model in, a :class:`~deriva_local.query.plan.Selection` or a refusal out.
"""

from __future__ import annotations

from collections.abc import Iterable

from deriva_local.acl.view import View
from deriva_local.model.elements import Column, ForeignKey, Model, Table
from deriva_local.query.filters import bind_filter
from deriva_local.query.plan import Condition, Instance, Link, Outer, Ref, Selection, Whole
from deriva_local.url import ast
from deriva_local.wire.errors import bad_request, conflict
from deriva_local.wire.types import comparable


def find_table(model: Model, name: ast.TableRef) -> Table:
    """Return the table that ``T`` or ``S:T`` names.

    Raises:
        Refusal: 409 when there is none, or several schemas have a table of that name.
    """
    if name.schema is not None:
        schema = model.schemas.get(name.schema)
        if schema is None:
            raise conflict(f"Schema '{name.schema}' does not exist.")
        if name.table not in schema.tables:
            raise conflict(f"Table '{name.schema}:{name.table}' does not exist.")
        return schema.tables[name.table]
    found = [schema for schema in model.schemas.values() if name.table in schema.tables]
    if not found:
        raise conflict(f"Table '{name.table}' does not exist.")
    if len(found) > 1:
        places = ", ".join(schema.name for schema in found)
        raise conflict(f"Table name '{name.table}' is ambiguous: it exists in the schemas {places}.")
    return found[0].tables[name.table]


LONGEST = 60
"""So many tables SQLite joins in one query, with room for what rights and groups add."""


class PathBinder:
    """Follows a path step by step. After :meth:`follow` it resolves the names of filters and projections."""

    def __init__(self, view: View) -> None:
        self.view = view
        self.model = view.model
        self.instances: list[Instance] = []
        self.aliases: dict[str, int] = {}
        self.conditions: list[Condition] = []
        self.context = 0

    def follow(self, path: ast.Path) -> Selection:
        """Return the selection that ``path`` names.

        Raises:
            Refusal: 409 for a name that does not exist or a join that is not possible, 400 for a malformed path, 401 or
                403 for what may not be read.
        """
        for step in path.steps:
            self._step(step)
        return Selection(tuple(self.instances), tuple(self.conditions), self.context)

    @property
    def table(self) -> Table:
        """Return the table of the context."""
        return self.instances[self.context].table

    # ------------------------------------------------------------------------------------------------------ names

    def column(self, name: ast.ColumnRef) -> Ref:
        """Return the column of the path that a filter or projection names.

        Raises:
            Refusal: 409 when there is no such column in the path.
        """
        found = self._resolve(name)
        if isinstance(found, Ref):
            return found
        table, column = found
        places = [place for place, instance in enumerate(self.instances) if instance.table is table]
        if self.context in places:
            return Ref(self.context, column)
        if len(places) == 1:
            return Ref(places[0], column)
        raise conflict(f"Column '{':'.join(name.parts)}' is not in the path: give its table an alias in the path.")

    def instance(self, name: ast.ColumnRef) -> int:
        """Return the table instance that ``*`` or ``alias:*`` speaks of.

        Raises:
            Refusal: 409 when there is no such alias.
        """
        if len(name.parts) == 1:
            return self.context
        if len(name.parts) == 2 and name.parts[0] in self.aliases:
            return self.aliases[name.parts[0]]
        raise conflict(f"'{':'.join(name.parts)}' names no table alias of the path.")

    def columns(self, instance: int) -> tuple[Ref, ...]:
        """Return all columns of a table instance that may be read, in order."""
        return tuple([Ref(instance, column) for column in self.view.selectable(self.instances[instance].table)])

    def whole(self, name: ast.ColumnRef) -> Whole:
        """Return the whole rows that ``*`` or ``alias:*`` speaks of."""
        instance = self.instance(name)
        return Whole(instance, tuple(ref.column for ref in self.columns(instance)))

    def _readable(self, table: Table, name: str) -> Column:
        column = _column_of(table, name)
        if not self.view.owner:
            self.view.require(
                self.view.on_column(table, column, "select"), f"read column '{name}' of table '{table.name}'"
            )
        return column

    def _resolve(self, name: ast.ColumnRef) -> Ref | tuple[Table, Column]:
        parts = name.parts
        if len(parts) == 1:
            return Ref(self.context, self._readable(self.table, parts[0]))
        if len(parts) == 2 and parts[0] in self.aliases:
            place = self.aliases[parts[0]]
            return Ref(place, self._readable(self.instances[place].table, parts[1]))
        table = find_table(self.model, ast.TableRef(parts[-2], parts[0] if len(parts) == 3 else None))
        return table, self._readable(table, parts[-1])

    def _ends(self, names: Iterable[ast.ColumnRef]) -> list[Ref | tuple[Table, Column]]:
        """Return the columns of one side of a join; a bare name behind ``table:column`` means that table's column."""
        ends: list[Ref | tuple[Table, Column]] = []
        for name in names:
            last = ends[-1] if ends else None
            if isinstance(last, tuple) and len(name.parts) == 1:
                ends.append((last[0], self._readable(last[0], name.parts[0])))
            else:
                ends.append(self._resolve(name))
        return ends

    # ------------------------------------------------------------------------------------------------------ steps

    def _step(self, step: ast.Step) -> None:
        if isinstance(step, ast.FilterStep):
            self.conditions.append(bind_filter(self, step.filter))
        elif isinstance(step, ast.ContextStep):
            if step.alias not in self.aliases:
                raise bad_request(f"'{step.alias}' names no table alias of the path.")
            self.context = self.aliases[step.alias]
        elif isinstance(step, ast.TableStep):
            self._table_step(step)
        elif isinstance(step, ast.LinkStep):
            self._link_step(step)
        else:
            self._join_step(step)

    def _add(self, table: Table, alias: str | None, links: Iterable[Link] = (), outer: Outer = "inner") -> None:
        if alias is not None:
            if alias in self.aliases:
                raise bad_request(f"Table alias '{alias}' occurs twice in the path.")
            self.aliases[alias] = len(self.instances)
        if len(self.instances) == LONGEST:
            raise bad_request(f"A path may lead through {LONGEST} tables, not more.")
        self.instances.append(Instance(table, alias, outer, tuple(links), self.view.screen(table)))
        self.context = len(self.instances) - 1

    def _table_step(self, step: ast.TableStep) -> None:
        table = find_table(self.model, step.table)
        if not self.instances:
            return self._add(table, step.alias)
        if table is self.table:
            raise conflict(f"Table '{table.name}' cannot be joined to itself by name: name the columns to join on.")
        links = [*self._outward(self.context, table), *self._inward(self.context, table)]
        if not links:
            raise conflict(f"No foreign key connects '{self.table.name}' and '{table.name}'.")
        return self._add(table, step.alias, links)

    def _link_step(self, step: ast.LinkStep) -> None:
        found = self._ends(step.columns)
        left = [end for end in found if isinstance(end, Ref)]
        right = [end for end in found if not isinstance(end, Ref)]
        if left and right:
            raise conflict("The columns of a join must all belong to the path, or all to the table that is joined.")
        candidates = self._links_from(left) if left else self._links_to(right)
        shown = ", ".join(":".join(name.parts) for name in step.columns)
        if not candidates:
            raise conflict(f"No foreign key joins the path over ({shown}).")
        if len(candidates) > 1:
            raise conflict(f"The join over ({shown}) is ambiguous: {len(candidates)} foreign keys fit.")
        table, link = candidates[0]
        self._add(table, step.alias, [link])

    def _links_from(self, ends: list[Ref]) -> list[tuple[Table, Link]]:
        """Return every foreign key that has exactly these columns of the path at one end, with its other table."""
        place = ends[0].instance
        if any(end.instance != place for end in ends):
            raise conflict("The columns of a join must belong to one table.")
        table, columns = self.instances[place].table, {end.column.rid for end in ends}
        found = [
            (self.model.table_by_rid[key.referenced_table], self._outward_link(place, table, key))
            for key in table.foreign_keys
            if set(key.columns) == columns
        ]
        return found + [
            (self.model.table_by_rid[key.table], self._inward_link(place, table, key))
            for key in self.model.referenced_by.get(table.rid, ())
            if set(key.referenced_columns) == columns
        ]

    def _links_to(self, ends: list[tuple[Table, Column]]) -> list[tuple[Table, Link]]:
        """Return every foreign key between the context and exactly these columns of another table."""
        table = ends[0][0]
        if any(other is not table for other, _ in ends):
            raise conflict("The columns of a join must belong to one table.")
        columns, context = {column.rid for _, column in ends}, self.table
        found = [
            (table, self._inward_link(self.context, context, key))
            for key in table.foreign_keys
            if key.referenced_table == context.rid and set(key.columns) == columns
        ]
        return found + [
            (table, self._outward_link(self.context, context, key))
            for key in context.foreign_keys
            if key.referenced_table == table.rid and set(key.referenced_columns) == columns
        ]

    def _join_step(self, step: ast.JoinStep) -> None:
        if len(step.left) != len(step.right):
            raise bad_request("Both sides of a join must name the same number of columns.")
        left = [self.column(name) for name in step.left]
        right = self._ends(step.right)
        far = [end for end in right if not isinstance(end, Ref)]
        if len(far) < len(right):
            raise conflict("The right side of a join must name a table's columns as table:column, not by an alias.")
        if any(table is not far[0][0] for table, _ in far):
            raise conflict("The right side of a join must name columns of one table.")
        place = len(self.instances)
        link = tuple((near, Ref(place, column)) for near, (_, column) in zip(left, far, strict=True))
        for ours, theirs in link:
            if not comparable(ours.column.type, theirs.column.type):
                types = f"{ours.column.type.name} and {theirs.column.type.name}"
                raise conflict(f"'{ours.column.name}' and '{theirs.column.name}' cannot be equal: they are {types}.")
        self._add(far[0][0], step.alias, [link], step.outer)

    # ------------------------------------------------------------------------------------------------------ links

    def _outward(self, place: int, other: Table) -> list[Link]:
        table = self.instances[place].table
        return [
            self._outward_link(place, table, key) for key in table.foreign_keys if key.referenced_table == other.rid
        ]

    def _inward(self, place: int, other: Table) -> list[Link]:
        table = self.instances[place].table
        return [self._inward_link(place, table, key) for key in other.foreign_keys if key.referenced_table == table.rid]

    def _outward_link(self, place: int, table: Table, key: ForeignKey) -> Link:
        """Return the pairs of a foreign key that leaves ``table``, seen from it."""
        other = self.model.table_by_rid[key.referenced_table]
        return self._link(place, table, key.columns, other, key.referenced_columns)

    def _inward_link(self, place: int, table: Table, key: ForeignKey) -> Link:
        """Return the pairs of a foreign key that points at ``table``, seen from it."""
        other = self.model.table_by_rid[key.table]
        return self._link(place, table, key.referenced_columns, other, key.columns)

    def _link(self, place: int, near: Table, ours: Iterable[str], far: Table, theirs: Iterable[str]) -> Link:
        new = len(self.instances)
        return tuple(
            (Ref(place, near.by_rid[our]), Ref(new, far.by_rid[their])) for our, their in zip(ours, theirs, strict=True)
        )


def _column_of(table: Table, name: str) -> Column:
    column = table.by_name.get(name)
    if column is None:
        raise conflict(f"Column '{name}' does not exist in table '{table.name}'.")
    return column
