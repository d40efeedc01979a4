"""Lets a mutation pass if the client may do it to the very columns, rows and references that it touches.

A right on a table or column is decided before anything happens; one that depends on the row, by one query over the
rows as they are before the change; a reference, by one query over what was written. For an owner none of this runs.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from deriva_local.acl.view import View
from deriva_local.data.integrity import as_list
from deriva_local.history.versions import quoted
from deriva_local.model.elements import FOREVER, Column, ForeignKey, Table
from deriva_local.query.fragment import all_of
from deriva_local.query.guards import ROW, compile_guard
from deriva_local.query.plan import Guard
from deriva_local.store.database import WriteSession
from deriva_local.wire.errors import conflict
from deriva_local.wire.tabular import Rows


def closed_columns(view: View, table: Table, rights: Iterable[str]) -> frozenset[str]:
    """Return the names of the columns, system columns apart, that the client may not write in one of these ways."""
    if view.owner:
        return frozenset()
    return frozenset(
        column.name
        for column in table.columns
        if not column.is_system and any(view.on_column(table, column, right) is False for right in rights)
    )


def refuse_closed(view: View, seen: Table, rows: Rows, closed: Collection[str]) -> None:
    """Let rows pass that bring no value for a closed column; what the client does not see is no column at all.

    Raises:
        Refusal: 403 or 401 for a value, 409 for a CSV column that the client does not see.
    """
    if rows.columns is not None:
        for name in rows.columns:
            if name not in seen.by_name:
                raise conflict(f"The CSV has a column '{name}' that is not known here.")
    for name in closed:
        if name in seen.by_name and _brings(rows, name):
            raise view.denied(f"write column '{name}' of table '{seen.name}'")


def _brings(rows: Rows, name: str) -> bool:
    if rows.columns is not None:
        return name in rows.columns
    return any(row.get(name) is not None for row in rows.rows)  # type: ignore[union-attr]


def check_rows(
    session: WriteSession, view: View, table: Table, right: str, rids: Sequence[str], columns: Iterable[Column] = ()
) -> None:
    """Let live rows pass if the client may update or delete every one of them, in every one of the columns.

    Raises:
        Refusal: 403 if one is denied.
    """
    if view.owner:
        return
    guards: list[Guard] = []
    if view.on_table(table, right) is None:
        guards.append(view.row_guard(table, right))
    for column in columns:
        if view.on_column(table, column, right) is None:
            guards.append(view.column_row_guard(table, column, right))
    for guard in (each for place, each in enumerate(guards) if each not in guards[:place]):
        passes = compile_guard(guard, past=False)
        sql = (
            f"SELECT 1 FROM json_each(?) AS J CROSS JOIN {quoted(table.physical)} AS {ROW} "
            f"ON {ROW}.died = {FOREVER} AND {ROW}.RID = J.value WHERE NOT ifnull({passes.text}, 0) LIMIT 1"
        )
        if session.connection.execute(sql, (_listed(rids), *passes.params)).fetchone():
            raise view.denied(f"{right} one of these rows of table '{table.name}'")


def visible_rows(
    session: WriteSession, view: View, table: Table, rids: Sequence[str], columns: Iterable[Column]
) -> frozenset[str]:
    """Return the RIDs of those live rows that the client sees, with the values that they have in the columns.

    Raises:
        Refusal: 403 if it may not read any row.
    """
    screen = view.screen(table)
    if screen is None or not rids:
        return frozenset(rids)
    asked = {column.rid for column in columns}
    guards = [guard for column, guard in screen.columns if column.rid in asked]
    passes = all_of([compile_guard(guard, past=False) for guard in (screen.rows, *guards) if guard is not None])
    sql = (
        f"SELECT {ROW}.RID FROM json_each(?) AS J CROSS JOIN {quoted(table.physical)} AS {ROW} "
        f"ON {ROW}.died = {FOREVER} AND {ROW}.RID = J.value WHERE {passes.text}"
    )
    return frozenset(rid for (rid,) in session.connection.execute(sql, (_listed(rids), *passes.params)))


def check_links(
    session: WriteSession, view: View, table: Table, right: str, columns: Collection[str], rids: Sequence[str]
) -> None:
    """Let rows just written pass if the client may refer to what they refer to, over the columns (RIDs) written.

    Raises:
        Refusal: 403 for a reference to a row that the client may not refer to.
    """
    if view.owner or not rids:
        return
    for link in table.foreign_keys:
        if not set(link.columns).isdisjoint(columns) and view.on_foreign_key(link, right) is not True:
            _check_link(session, view, table, link, right, rids)


def _check_link(
    session: WriteSession, view: View, table: Table, link: ForeignKey, right: str, rids: Sequence[str]
) -> None:
    guard = view.link_guard(link, right) if view.on_foreign_key(link, right) is None else ()
    passes = compile_guard(guard, past=False)
    target = session.model.table_by_rid[link.referenced_table]
    near = [f"C.{quoted(table.by_rid[rid].physical)}" for rid in link.columns]
    far = [f"{ROW}.{quoted(target.by_rid[rid].physical)}" for rid in link.referenced_columns]
    filled = " AND ".join(f"{column} IS NOT NULL" for column in near)
    same = " AND ".join(f"{one} = {other}" for one, other in zip(far, near, strict=True))
    sql = (
        f"SELECT 1 FROM json_each(?) AS J CROSS JOIN {quoted(table.physical)} AS C "
        f"ON C.died = {FOREVER} AND C.RID = J.value WHERE {filled} AND NOT EXISTS "
        f"(SELECT 1 FROM {quoted(target.physical)} AS {ROW} WHERE {ROW}.died = {FOREVER} AND {same} "
        f"AND {passes.text}) LIMIT 1"
    )
    if session.connection.execute(sql, (_listed(rids), *passes.params)).fetchone():
        raise view.denied(f"refer to a row of table '{target.name}' by foreign key '{link.name}'")


def _listed(rids: Sequence[str]) -> str:
    return as_list([(rid,) for rid in rids], 1)
