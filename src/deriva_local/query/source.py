"""Turns the table instances of a path into the FROM and WHERE of a statement.

Floor 1, pure. Only the living rows of each instance count: those alive now, or those alive at a moment of the past.
"""

from __future__ import annotations

from collections.abc import Sequence

from deriva_local.history.versions import quoted
from deriva_local.model.elements import Table
from deriva_local.query.conditions import compile_condition
from deriva_local.query.fragment import Sql, all_of, any_of, joined
from deriva_local.query.guards import ROW, compile_guard
from deriva_local.query.plan import Instance, Ref, Screen, Selection
from deriva_local.query.tables import alive, link_of

_JOINS = {"inner": "JOIN", "left": "LEFT JOIN", "right": "RIGHT JOIN", "full": "FULL JOIN"}


def source_of(selection: Selection, past: bool) -> tuple[Sql, list[Sql]]:
    """Return the joined tables of a path and the predicates of its filters.

    The liveness of a joined table belongs to its join. A right or full join also invents rows on its left side, so
    there each table is cut down to its living rows first.
    """
    apart = any(each.outer in ("right", "full") for each in selection.instances)
    loose = set() if past else _without_index(selection)
    parts: list[Sql] = []
    for place, instance in enumerate(selection.instances):
        source = table_as(place, instance, past, apart)
        if place:
            on = any_of([link_of(link) for link in instance.links])
            kept = [on] if apart else [alive(f"T{place}", past, place in loose), on]
            parts.append(joined(" ", [Sql(_JOINS[instance.outer]), source, Sql("ON"), all_of(kept)]))
        else:
            parts.append(source)
    where = [] if apart else [alive("T0", past, 0 in loose)]
    return joined(" ", parts), where + [compile_condition(each) for each in selection.conditions]


def table_as(place: int, instance: Instance, past: bool, apart: bool = False) -> Sql:
    """Return one table of a FROM clause, under the alias of its place; a screen cuts it down to what may be seen."""
    if instance.screen is not None:
        return _screened(instance, instance.screen, past).within(f"({{0}}) AS T{place}")
    name = quoted(instance.table.physical)
    if apart:
        return alive("B", past).within(f"(SELECT * FROM {name} AS B WHERE {{0}}) AS T{place}")
    return Sql(f"{name} AS T{place}")


def _screened(instance: Instance, screen: Screen, past: bool) -> Sql:
    """Return the living rows that may be seen, with NULL for the values that may not."""
    guards = {column.rid: guard for column, guard in screen.columns}
    columns = []
    for column in instance.table.columns:
        name, guard = quoted(column.physical), guards.get(column.rid)
        shown = (
            Sql(f"{ROW}.{name}")
            if guard is None
            else compile_guard(guard, past).within(f"CASE WHEN {{0}} THEN {ROW}.{name} END")
        )
        columns.append(shown.within(f"{{0}} AS {name}"))
    if "RID" not in instance.table.by_name:
        columns.append(Sql(f"{ROW}.RID"))
    where = [alive(ROW, past)] + ([] if screen.rows is None else [compile_guard(screen.rows, past)])
    source = Sql(f", born, died FROM {quoted(instance.table.physical)} AS {ROW} WHERE")
    return joined(" ", [Sql("SELECT"), joined(", ", columns), source, all_of(where)])


def _without_index(selection: Selection) -> set[int]:
    """Return the instances that are joined over columns for which no index of theirs, nor of the other end, helps."""
    found: set[int] = set()
    for place, instance in enumerate(selection.instances):
        if len(instance.links) != 1 or _is_indexed(instance.table, [far for _, far in instance.links[0]]):
            continue
        near = [left for left, _ in instance.links[0]]
        if instance.outer != "inner":
            found.add(place)
        elif not any(_is_indexed(selection.instances[each.instance].table, [each]) for each in near):
            found.update([place, *(each.instance for each in near)])
    return found


def _is_indexed(table: Table, refs: Sequence[Ref]) -> bool:
    """Tell whether an index starts with one of the columns."""
    starts = {key.columns[0] for key in table.keys} | {key.columns[0] for key in table.foreign_keys}
    return any(ref.column.rid in starts and ref.column.name not in ("RCB", "RMB") for ref in refs)
