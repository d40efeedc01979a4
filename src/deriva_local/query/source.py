"""Turns the table instances of a path into the FROM and WHERE of a statement.

Floor 1, pure. Only the living rows of each instance count: those alive now, or those alive at a moment of the past.
"""

from __future__ import annotations

from collections.abc import Sequence

from deriva_local.history.versions import at, live, quoted
from deriva_local.model.elements import Table
from deriva_local.query.conditions import compile_condition, physical
from deriva_local.query.fragment import Late, Sql, all_of, any_of, joined
from deriva_local.query.plan import Instance, Ref, Selection
from deriva_local.query.values import collation

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
        source = _table(place, instance, past, apart)
        if place:
            on = any_of([_link(link) for link in instance.links])
            kept = [on] if apart else [alive(f"T{place}", past, place in loose), on]
            parts.append(joined(" ", [Sql(_JOINS[instance.outer]), source, Sql("ON"), all_of(kept)]))
        else:
            parts.append(source)
    where = [] if apart else [alive("T0", past, 0 in loose)]
    return joined(" ", parts), where + [compile_condition(each) for each in selection.conditions]


def _table(place: int, instance: Instance, past: bool, apart: bool) -> Sql:
    name = quoted(instance.table.physical)
    if apart:
        return alive("B", past).within(f"(SELECT * FROM {name} AS B WHERE {{0}}) AS T{place}")
    return Sql(f"{name} AS T{place}")


def alive(alias: str, past: bool, loose: bool = False) -> Sql:
    """Return the one predicate in which live and past differ.

    Nearly all rows are alive: the planner must not take this for a good reason to read a table by it alone. For a
    ``loose`` table the ``+`` forbids it that, so that it makes an index for the join.
    """
    if past:
        return Sql(at(alias, "?"), (Late.MOMENT, Late.MOMENT))
    return Sql(f"likelihood({'+' if loose else ''}{live(alias)}, 0.9375)")


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


def _link(pairs: Sequence[tuple[Ref, Ref]]) -> Sql:
    return all_of([Sql(f"{physical(left)} = {physical(right)}{collation(left.column.type)}") for left, right in pairs])
