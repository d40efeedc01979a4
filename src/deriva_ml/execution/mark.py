"""Settling by hand what no machine can know: the state of an execution, with the reason that its user gives."""

from __future__ import annotations

from deriva_ml.catalog.rows import select, update_if
from deriva_ml.catalog.session import Catalog
from deriva_ml.errors import (
    DerivaMLBusyError,
    DerivaMLNotFoundError,
    DerivaMLStateInconsistency,
    DerivaMLValidationError,
)
from deriva_ml.execution import liveness
from deriva_ml.execution.provenance import settle_record
from deriva_ml.execution.run import Run, lock_file
from deriva_ml.execution.states import Event, ExecutionStatus, event_towards, status_named
from deriva_ml.execution.store import ExecutionStore
from deriva_ml.names import TableName, written_out
from deriva_ml.rid import is_local

S = ExecutionStatus
BY_HAND = (S.Stopped, S.Failed, S.Pending_Upload, S.Aborted)
"""What a person may say of a run. That it runs, only its process knows; that it is uploaded, only a commit."""


def mark(session: Catalog, store: ExecutionStore, rid: str, state: str, reason: str) -> ExecutionStatus:
    """Bring an execution to ``state`` in the catalog, and here if this workspace knows it; return the state it had.

    Where the two contradict each other, the catalog's state counts.

    Raises:
        DerivaMLValidationError: no such state, one that nobody can give by hand, or no reason.
        InvalidTransitionError: nothing leads there from the state it has.
        DerivaMLBusyError: a living process on this machine runs or commits it.
        DerivaMLNotFoundError: the catalog has no such execution.
        DerivaMLStateInconsistency: somebody else changed it at the same moment.
    """
    target = status_named(state)
    if target not in BY_HAND:
        raise DerivaMLValidationError(f"{target} is not given by hand; {', '.join(BY_HAND)} are.")
    if not reason.strip():
        raise DerivaMLValidationError("Say why: the reason is kept with the execution.")
    reason = written_out(reason)
    known = store.get(rid)
    if known is not None and is_local(known.rid):  # the catalog learns of it with all the rest
        _refuse_living(store, known.rid)
        _mark_run(Run(session, store, known.rid), known.status, target, reason)
        return known.status
    rid = rid if known is None else known.rid
    if known is None:
        there = _catalog_status(session, rid)
        _mark_catalog(session, rid, there, target, reason)
        return there
    _refuse_living(store, rid)
    run = Run(session, store, rid)
    said = run.row.found()
    there = known.status if said is None else said.status  # a run that the catalog has lost is settled here
    _mark_run(run, there, target, reason)
    return there


def _refuse_living(store: ExecutionStore, rid: str) -> None:
    for kind in ("run", "commit", "create"):
        path = lock_file(store.workspace, rid, kind)
        if not liveness.held_here(path):
            liveness.take(path, f"Execution {rid} cannot be marked").leave()
        elif kind != "create":
            raise DerivaMLBusyError(f"Execution {rid} is at work in this very process.")


def _catalog_status(session: Catalog, rid: str) -> ExecutionStatus:
    rows = select(session, TableName(session.ml_schema, "Execution"), {"RID": rid}, columns=["RID", "Status"])
    if not rows:
        raise DerivaMLNotFoundError(
            f"The catalog has no execution {rid}: `deriva-ml status` lists those that there are."
        )
    return S(rows[0]["Status"] or S.Created)


def _mark_run(run: Run, there: ExecutionStatus, target: ExecutionStatus, reason: str) -> None:
    here = run.registered.status
    if here is not there and target is not here:
        run.store.adopt(run.rid, there, f"the catalog says {there}")
        here = there
    events = _towards(here, target, run.rid)
    if not events:
        run.store.message(run.rid, reason)
        run.row.tell(None, target)
    for event in events:
        run.happen(event, reason, by_hand=True)


def _towards(here: ExecutionStatus, target: ExecutionStatus, rid: str) -> list[Event]:
    """Return the events that lead to ``target``. A dead run waits for its commit: who gives it up says that it failed, on the way."""
    if (here, target) == (S.Pending_Upload, S.Aborted):
        return [Event.FAIL, Event.ABORT]
    event = event_towards(here, target, rid)
    return [event] if event else []


def _mark_catalog(session: Catalog, rid: str, there: ExecutionStatus, target: ExecutionStatus, reason: str) -> None:
    _towards(there, target, rid)
    table = TableName(session.ml_schema, "Execution")
    if not update_if(session, table, rid, {"Status": there.value}, {"Status": target.value, "Status_Detail": reason}):
        raise DerivaMLStateInconsistency(f"Somebody else changed execution {rid} just now: look again, then mark it.")
    settle_record(session, rid, there, target)
