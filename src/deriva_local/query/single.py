"""Tells whether a join yields each row of its context table at most once, so that nothing needs to be sorted out.

Floor 1, pure. It does where every other table is reached over a key of its own, as when foreign keys are followed.
"""

from __future__ import annotations

from collections.abc import Iterable

from deriva_local.query.plan import Instance, Ref, Selection


def is_single(selection: Selection) -> bool:
    """Tell whether a row of the context table, alive now, leads to at most one row of each other table."""
    if any(each.outer != "inner" or len(each.links) > 1 for each in selection.instances):
        return False
    ends = [pair for each in selection.instances for link in each.links for pair in (_sides(link), _sides(link)[::-1])]
    reached, before = {selection.context}, 0
    while len(reached) > before:
        before = len(reached)
        reached |= {
            there[0].instance
            for here, there in ends
            if {ref.instance for ref in here} <= reached and _is_key(selection.instances, there)
        }
    return len(reached) == len(selection.instances)


def _sides(link: Iterable[tuple[Ref, Ref]]) -> tuple[tuple[Ref, ...], tuple[Ref, ...]]:
    left, right = zip(*link, strict=True)
    return left, right


def _is_key(instances: tuple[Instance, ...], refs: tuple[Ref, ...]) -> bool:
    """Tell whether columns of one table, with given values, name at most one of its living rows."""
    if len({ref.instance for ref in refs}) > 1:
        return False
    columns = {ref.column.rid for ref in refs}
    return any(columns.issuperset(key.columns) for key in instances[refs[0].instance].table.keys)
