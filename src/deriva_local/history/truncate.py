"""The span of history that a catalog keeps, and how it forgets the older part."""

from __future__ import annotations

from typing import Any

from deriva_local.history.versions import quoted
from deriva_local.model.elements import Table
from deriva_local.store import layout
from deriva_local.store.database import ReadSession, WriteSession
from deriva_local.wire.errors import not_found


def span(session: ReadSession, start: int | None, until: int | None) -> tuple[int, int]:
    """Return the first and the last moment between two bounds: ``start`` included, ``until`` not.

    Raises:
        Refusal: 404 if nothing happened between them.
    """
    question = "SELECT min(time), max(time) FROM moment WHERE time >= ? AND time < ?"
    bounds = (start if start is not None else -(2**63), until if until is not None else 2**63 - 1)
    row: Any = session.connection.execute(question, bounds).fetchone()
    if row[0] is None:
        raise not_found("Nothing happened in this range of history.")
    return row[0], row[1]


def truncate(session: WriteSession, until: int) -> None:
    """Forget every version, element and moment that was over at ``until``; what was alive then stays readable.

    Raises:
        Refusal: 404 if there is nothing before ``until``.
    """
    row: Any = session.connection.execute("SELECT max(time) FROM moment WHERE time <= ?", (until,)).fetchone()
    if row[0] is None:
        raise not_found("The catalog has no history that old.")
    session.connection.execute("DELETE FROM moment WHERE time < ?", (row[0],))
    for table_rid, dropped in layout.dropped_tables(session.connection):
        if dropped <= until:
            session.connection.execute(f"DROP TABLE {quoted(Table(table_rid, '', '', ()).physical)}")
    session.connection.execute("DELETE FROM element WHERE died <= ?", (until,))
    remaining = [table.physical for table in session.model.tables()]
    remaining += [Table(rid, "", "", ()).physical for rid, _ in layout.dropped_tables(session.connection)]
    for physical in remaining:
        session.connection.execute(f"DELETE FROM {quoted(physical)} WHERE died <= ?", (until,))
    session.data_changed()
