"""RIDs that a client has reserved: whoever is not the owner of the catalog may only bring along such as are theirs.

The row that takes a RID ends its lease, in the same transaction.
"""

from __future__ import annotations

from collections.abc import Sequence

from deriva_local.data.integrity import as_list
from deriva_local.history.versions import quoted, remove
from deriva_local.model.elements import FOREVER, Table
from deriva_local.store.database import WriteSession
from deriva_local.wire.errors import forbidden

SCHEMA, TABLE = "public", "ERMrest_RID_Lease"


def check_leases(session: WriteSession, rids: Sequence[str]) -> None:
    """Let RIDs pass that the client has leased.

    Raises:
        Refusal: 403 for one that is not leased, or leased to somebody else.
    """
    if not rids:
        return
    table = _leases(session)
    if table is not None:
        held = session.connection.execute(
            f"SELECT count(DISTINCT J.value) FROM json_each(?) AS J CROSS JOIN {quoted(table.physical)} AS L "
            f"ON L.died = {FOREVER} AND L.RID = J.value WHERE L.RCB = ?",
            (as_list([(rid,) for rid in rids], 1), session.client.id),
        ).fetchall()[0][0]
        if held == len(set(rids)):
            return
    raise forbidden("You may only bring along RIDs that you have leased.")


def end_leases(session: WriteSession, rids: Sequence[str]) -> None:
    """End the leases of RIDs that rows have taken."""
    table = _leases(session)
    if table is None or not rids:
        return
    for statement in remove(table, "RID IN (SELECT value FROM json_each(?2))"):
        session.connection.execute(statement, (session.now, as_list([(rid,) for rid in rids], 1)))


def _leases(session: WriteSession) -> Table | None:
    schema = session.model.schemas.get(SCHEMA)
    return schema.tables.get(TABLE) if schema else None
