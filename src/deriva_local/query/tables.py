"""One table instance in SQL: which of its rows live, and how it is linked to others.

Floor 1, pure.
"""

from __future__ import annotations

from collections.abc import Sequence

from deriva_local.history.versions import at, live
from deriva_local.query.conditions import physical
from deriva_local.query.fragment import Late, Sql, all_of
from deriva_local.query.plan import Ref
from deriva_local.query.values import collation


def alive(alias: str, past: bool, loose: bool = False) -> Sql:
    """Return the one predicate in which live and past differ.

    Nearly all rows are alive: the planner must not take this for a good reason to read a table by it alone. For a
    ``loose`` table the ``+`` forbids it that, so that it makes an index for the join.
    """
    if past:
        return Sql(at(alias, "?"), (Late.MOMENT, Late.MOMENT))
    return Sql(f"likelihood({'+' if loose else ''}{live(alias)}, 0.9375)")


def link_of(pairs: Sequence[tuple[Ref, Ref]]) -> Sql:
    """Return that all pairs of columns are equal."""
    return all_of([Sql(f"{physical(left)} = {physical(right)}{collation(left.column.type)}") for left, right in pairs])
