"""Which table a RID belongs to: rows that are there, and rows that were."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from deriva_local.acl.view import View
from deriva_local.history.clock import iso
from deriva_local.history.versions import at, live, quoted
from deriva_local.model.elements import FOREVER, Model, Table
from deriva_local.store import layout
from deriva_local.store.database import ReadSession
from deriva_local.wire.crockford import micros_to_snap, normalise
from deriva_local.wire.errors import not_found

LEASES = "ERMrest_RID_Lease"
"""The table of reserved RIDs: a row that took its RID from there is the one that the RID means."""

_AT_ONCE = 200
"""Tables that one statement looks into."""


@dataclass(frozen=True, slots=True)
class Found:
    """A row's table, and when the row was deleted (None: it is there)."""

    schema: str
    table: str
    died: int | None


def resolve_rid(session: ReadSession, view: View, rid: str) -> dict[str, Any]:
    """Return the document of ``/entity_rid/RID``: the table of a row, and for a deleted one when it was last seen.

    Rows of tables that ``view`` does not show are not found.

    Raises:
        Refusal: 404 for a RID that no row has or had; the RIDs of model elements are none of rows.
    """
    try:
        wanted = normalise(rid)
    except ValueError as error:
        raise not_found(f"'{rid}' is not a RID.") from error
    spellings = (wanted,) if wanted == rid else (wanted, rid)
    for spelling in spellings:
        found = _alive(session, view.model, spelling)
        if (found is None or found.table == LEASES) and session.moment is None:
            found = _dead(session, view, spelling) or found
        if found is not None:
            return _document(session, found, spelling)
    raise not_found(f"No row has the RID '{wanted}'.")


def _document(session: ReadSession, found: Found, rid: str) -> dict[str, Any]:
    shown: dict[str, Any] = {"schema_name": found.schema, "table_name": found.table, "RID": rid}
    if found.died is None:
        return shown
    row: Any = session.connection.execute("SELECT max(time) FROM moment WHERE time < ?", (found.died,)).fetchone()
    last = row[0] if row[0] is not None else found.died - 1
    return shown | {
        "deleted_at": iso(found.died),
        "last_visible_at": iso(last),
        "last_visible_snaptime": micros_to_snap(last),
    }


def _alive(session: ReadSession, model: Model, rid: str) -> Found | None:
    past = session.moment is not None
    predicate = at("t", "?2") if past else live("t")
    parameters = (rid, session.moment) if past else (rid,)
    # an owner's claim leaves the lease behind: the row that claimed the RID is the one asked for
    tables = sorted(model.tables(), key=lambda table: table.name == LEASES)
    for some in _batches(tables):
        parts = [
            f"SELECT {number} FROM {quoted(table.physical)} AS t WHERE t.RID = ?1 AND {predicate}"
            for number, table in enumerate(some)
        ]
        row: Any = session.connection.execute(" UNION ALL ".join(parts) + " LIMIT 1", parameters).fetchone()
        if row is not None:
            table = some[row[0]]
            return Found(session.model.schema_by_rid[table.schema].name, table.name, None)
    return None


def _dead(session: ReadSession, view: View, rid: str) -> Found | None:
    """Look for the last version of a deleted row, in tables that are there and, for the owner, in tables that are not."""
    found = [each for each in (_last_version(session, table, rid) for table in view.model.tables()) if each]
    if view.owner:
        found += _in_dropped_tables(session, rid)
    return max(found, key=lambda each: each.died or 0, default=None)


def _last_version(session: ReadSession, table: Table, rid: str) -> Found | None:
    question = f"SELECT max(died) FROM {quoted(table.physical)} WHERE RID = ? AND died < ?"
    row: Any = session.connection.execute(question, (rid, FOREVER)).fetchone()
    if row[0] is None:
        return None
    return Found(session.model.schema_by_rid[table.schema].name, table.name, row[0])


def _in_dropped_tables(session: ReadSession, rid: str) -> Iterator[Found]:
    """Look into the tables that were dropped; their rows died with them, at the latest."""
    for table_rid, dropped in layout.dropped_tables(session.connection):
        physical = Table(table_rid, "", "", ()).physical
        question = f"SELECT max(died) FROM {quoted(physical)} WHERE RID = ?"
        row: Any = session.connection.execute(question, (rid,)).fetchone()
        if row[0] is not None:
            model: Model = layout.load_model(session.connection, dropped - 1, live=False)
            table = model.table_by_rid[table_rid]
            yield Found(model.schema_by_rid[table.schema].name, table.name, min(row[0], dropped))


def _batches(tables: list[Table]) -> Iterator[list[Table]]:
    for start in range(0, len(tables), _AT_ONCE):
        yield tables[start : start + _AT_ONCE]
