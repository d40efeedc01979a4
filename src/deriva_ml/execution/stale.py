"""Executions that wait for somebody: dead ones, those with something to commit, those that run who knows where."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from deriva_ml.catalog.rows import select
from deriva_ml.catalog.session import Catalog
from deriva_ml.environment.host import host_name
from deriva_ml.errors import DerivaMLBusyError
from deriva_ml.execution import liveness
from deriva_ml.execution.run import lock_file
from deriva_ml.execution.staged import Staged
from deriva_ml.execution.states import ExecutionStatus
from deriva_ml.execution.store import ExecutionStore, Registered
from deriva_ml.names import TableName
from deriva_ml.schema.tables import UNKNOWN_EXECUTION

S = ExecutionStatus
UNFINISHED = (S.Created, S.Running, S.Stopped, S.Pending_Upload)


@dataclass(frozen=True, slots=True)
class Stale:
    """One execution that waits: since when, why, and what to do."""

    rid: str
    status: ExecutionStatus
    since: str
    why: str
    advice: str


def find_stale(session: Catalog, store: ExecutionStore) -> list[Stale]:
    """Return what waits in this workspace, then what the catalog calls unfinished and this workspace does not know."""
    known = store.select()
    here = [stale for found in known if (stale := _local(store, found))]
    return here + list(_elsewhere(session, {found.rid for found in known}))


def _local(store: ExecutionStore, found: Registered) -> Stale | None:
    if found.status is S.Running:
        host = found.owner.get("host")
        if host != host_name():
            why = f"it runs on {host}, or died there"
            return _stale(
                found, why, f"there: `deriva-ml resume {found.rid}`; or `deriva-ml mark {found.rid} STATE --reason …`"
            )
        if _alive(store, found.rid):
            return None
        return _stale(found, "its process is gone", f"`deriva-ml resume {found.rid}`")
    if found.status is S.Aborted or not Staged(store, found.rid).has_pending():
        unfinished = found.status in (S.Stopped, S.Pending_Upload)
        return (
            _stale(found, "it has ended, and was not committed", f"`deriva-ml upload --execution {found.rid}`")
            if unfinished
            else None
        )
    if found.status is S.Created:
        return None
    return _stale(found, "it has something to commit", f"`deriva-ml upload --execution {found.rid}`")


def _stale(found: Registered, why: str, advice: str) -> Stale:
    return Stale(found.rid, found.status, found.last_activity, why, advice)


def _alive(store: ExecutionStore, rid: str) -> bool:
    path = lock_file(store.workspace, rid, "run")
    if liveness.held_here(path):
        return True
    try:
        liveness.take(path, "a look").release()
    except DerivaMLBusyError:
        return True
    return False


def _elsewhere(session: Catalog, known: set[str]) -> Iterator[Stale]:
    wanted = {"Status": [state.value for state in UNFINISHED]}
    columns = ["RID", "Status", "RMT", "Description"]
    for row in select(session, TableName(session.ml_schema, "Execution"), wanted, columns=columns):
        if row["RID"] in known or row["Description"] == UNKNOWN_EXECUTION["Description"]:
            continue
        advice = f"on its machine: `deriva-ml resume {row['RID']}`; or `deriva-ml mark {row['RID']} STATE --reason …`"
        yield Stale(row["RID"], S(row["Status"]), row["RMT"], "this workspace does not know it", advice)
