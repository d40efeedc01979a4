"""Turns the guards of rows into SQL predicates: one grant must hold, and a grant that leads away from its row becomes
an EXISTS over the tables that it leads through.

Floor 1, pure.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

from deriva_local.acl.projections import BASE
from deriva_local.history.versions import quoted
from deriva_local.query.conditions import compile_condition
from deriva_local.query.fragment import Sql, all_of, any_of, joined
from deriva_local.query.plan import Grant, Guard, RowRights
from deriva_local.query.tables import alive, link_of

ROW = f"T{BASE}"
"""The alias that the guarded row must have where a guard is used."""


def compile_guard(guard: Guard, past: bool) -> Sql:
    """Return the predicate of a guard, which speaks of the row as :data:`ROW`."""
    return any_of([_grant(each, past) for each in guard])


def compile_rights(rights: RowRights, past: bool) -> Sql:
    """Return the JSON text of what may be done to the row that has the RID of its instance."""
    fields = [*_flags(rights.rights, past)]
    if rights.columns is not None:
        fields.append(
            joined(" || ',' || ", list(_flags(rights.columns, past))).within("'\"column_update\":{' || {0} || '}'")
        )
    shown = joined(" || ',' || ", fields).within("'{' || {0} || '}'")
    source = f"FROM {quoted(rights.table.physical)} AS {ROW} WHERE {ROW}.RID = T{rights.instance}.RID AND"
    return joined(" ", [shown.within("(SELECT {0}"), Sql(source), alive(ROW, past), Sql(")")])


def _flags(flags: Iterable[tuple[str, bool | Guard]], past: bool) -> Iterator[Sql]:
    for name, flag in flags:
        label = json.dumps(name, ensure_ascii=False) + ":"
        if isinstance(flag, bool):
            yield Sql("?", (label + ("true" if flag else "false"),))
        else:
            truth = compile_guard(flag, past).within("CASE WHEN {0} THEN 'true' ELSE 'false' END")
            yield joined(" || ", [Sql("?", (label,)), truth])


def _grant(grant: Grant, past: bool) -> Sql:
    conditions = [compile_condition(each) for each in grant.conditions]
    if not grant.instances:
        return all_of(conditions)
    numbered = list(enumerate(grant.instances, BASE + 1))
    sources = ", ".join(f"{quoted(instance.table.physical)} AS T{place}" for place, instance in numbered)
    links = [link_of(link) for instance in grant.instances for link in instance.links]
    lives = [alive(f"T{place}", past) for place, _ in numbered]
    return joined(" ", [Sql(f"EXISTS (SELECT 1 FROM {sources} WHERE"), all_of([*lives, *links, *conditions]), Sql(")")])
