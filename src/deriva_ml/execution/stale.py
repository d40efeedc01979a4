"""Executions that wait for somebody: dead ones, those with something to commit, those that run who knows where."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from deriva_ml.catalog.rows import select
from deriva_ml.catalog.session import Catalog
from deriva_ml.environment.host import is_here
from deriva_ml.execution import liveness
from deriva_ml.execution.nested import REFUSED, WAITS, Nested
from deriva_ml.execution.run import lock_file
from deriva_ml.execution.staged import Staged
from deriva_ml.execution.states import ExecutionStatus
from deriva_ml.execution.store import ExecutionStore, Registered
from deriva_ml.names import TableName
from deriva_ml.rid import is_local
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
    waiting = {stale.rid for stale in here}
    here += [stale for stale in _unlinked(store) if stale.rid not in waiting]
    if session.offline:
        return here
    return [*_unknown_there(session, store, here), *_elsewhere(session, {found.rid for found in known})]


def _unknown_there(session: Catalog, store: ExecutionStore, here: list[Stale]) -> Iterator[Stale]:
    """Yield what waits here; of those that the catalog has lost, what to do about that."""
    wanted = [each.rid for each in here if not is_local(each.rid)]
    table = TableName(session.ml_schema, "Execution")
    there = {row["RID"] for row in select(session, table, {"RID": wanted}, columns=["RID"])} if wanted else set()
    for each in here:
        if is_local(each.rid) or each.rid in there:
            yield each
        else:
            keeps = f"`deriva-ml upload --seal --mode offline --execution {each.rid}` keeps what it staged"
            yield replace(
                each,
                why="the catalog has no such execution (any more)",
                advice=f"{keeps}; `deriva-ml mark {each.rid} Aborted --reason …` gives it up",
            )


def _local(store: ExecutionStore, found: Registered) -> Stale | None:
    advice = f"`deriva-ml upload --execution {found.rid}`"
    if found.status in (S.Running, S.Created):
        return _unended(store, found)
    if is_local(found.rid):
        return _stale(found, "it was begun offline, and the catalog does not know it yet", advice)
    if found.status is not S.Aborted and Staged(store, found.rid).has_pending():
        return _stale(found, "it has something to commit", advice)
    if found.status in (S.Stopped, S.Pending_Upload):
        return _stale(found, "it has ended, and was not committed", advice)
    return None


def _unlinked(store: ExecutionStore) -> Iterator[Stale]:
    """Yield the executions of which the catalog does not say yet, or was not to be made to say, which others they ran."""
    for link in Nested(store).links((WAITS, REFUSED)):
        found = store.get(link.parent) or store.get(link.child)
        if found is not None:
            why = (
                f"that {link.parent} ran {link.child} is not in the catalog: {link.reason or 'it waits until both are'}"
            )
            yield _stale(found, why, "`deriva-ml upload` sends it; `exe.add_nested_execution` says it anew")


def _unended(store: ExecutionStore, found: Registered) -> Stale | None:
    """Return why a run waits that has not ended, or not begun; None for one whose process lives."""
    host, running = found.owner.get("host"), found.status is S.Running
    by_hand = f"`deriva-ml mark {found.rid} {'STATE' if running else 'Aborted'} --reason …`"
    if not is_here(found.owner):
        why = f"it runs on {host}, or died there" if running else f"it waits on {host} to begin"
        return _stale(found, why, f"there: `deriva-ml resume {found.rid}`; or {by_hand}")
    if liveness.alive(lock_file(store.workspace, found.rid, "run" if running else "create")):
        return None
    if running:
        return _stale(found, "its process is gone", f"`deriva-ml resume {found.rid}`")
    why = "its process has ended, and the work never began"
    return _stale(found, why, f"`ml.resume_execution({found.rid!r})` begins it; or {by_hand}")


def _stale(found: Registered, why: str, advice: str) -> Stale:
    return Stale(found.rid, found.status, found.last_activity, why, advice)


def _elsewhere(session: Catalog, known: set[str]) -> Iterator[Stale]:
    wanted = {"Status": [state.value for state in UNFINISHED]}
    columns = ["RID", "Status", "RMT", "Description"]
    for row in select(session, TableName(session.ml_schema, "Execution"), wanted, columns=columns):
        if row["RID"] in known or row["Description"] == UNKNOWN_EXECUTION["Description"]:
            continue
        advice = f"on its machine: `deriva-ml resume {row['RID']}`; or `deriva-ml mark {row['RID']} STATE --reason …`"
        yield Stale(row["RID"], S(row["Status"]), row["RMT"], "this workspace does not know it", advice)
