"""What happens when the store is opened again: runs whose process is gone are told from living ones, and both sides agree.

A run on another host (see :func:`~deriva_ml.environment.host.is_here`) is never called dead. A dead one goes to Pending_Upload, never to Failed: how it ended is not known.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import apsw

from deriva_ml.catalog.rows import Row, select
from deriva_ml.catalog.session import Catalog
from deriva_ml.environment.host import is_here, likely_cause, may_live
from deriva_ml.errors import (
    OUT_OF_REACH,
    DerivaMLBusyError,
    DerivaMLCatalogError,
    DerivaMLIntegrityError,
    DerivaMLNotFoundError,
    DerivaMLStateInconsistency,
    InvalidTransitionError,
)
from deriva_ml.execution import liveness, nesting
from deriva_ml.execution.bring import bring, tell_history, waits
from deriva_ml.execution.catalog_row import REBUILT, Said
from deriva_ml.execution.catch_up import catch_up
from deriva_ml.execution.configuration import plain
from deriva_ml.execution.create import CREATING, WAITING
from deriva_ml.execution.manifest import rebuild
from deriva_ml.execution.provenance import settle_inputs
from deriva_ml.execution.reconcile import Verdict, verdict
from deriva_ml.execution.restored import bring_again
from deriva_ml.execution.run import Run, lock_file
from deriva_ml.execution.staged import Staged
from deriva_ml.execution.staging import MANIFEST
from deriva_ml.execution.states import Event, ExecutionStatus
from deriva_ml.execution.store import ExecutionStore, Registered
from deriva_ml.execution.waiting_inputs import tell_inputs
from deriva_ml.names import TableName
from deriva_ml.rid import is_local

log = logging.getLogger(__name__)

S = ExecutionStatus

_INTERRUPTED = "creation was interrupted"


def recover_workspace(session: Catalog, workspace: Path) -> list[str]:
    """Settle the runs of this host whose process is gone, and tell the catalog what it does not know yet; return the RIDs of the dead.

    A dead run that was Running goes to Pending_Upload. One that was Created is Aborted when its process was killed before
    the work began, or in the middle of its creation; a process that ended in order may have left it for another to begin.
    """
    if session.snapshot or not (workspace / "store.sqlite").exists():
        return []
    store = ExecutionStore(workspace)
    found = store.select("status IN ('Running', 'Created')")
    dead = [run.rid for run in found if is_here(run.owner) and settle(session, store, run)]
    if not session.offline:
        catch_up(session, store, _reconcile)
    return dead


def settle(session: Catalog, store: ExecutionStore, found: Registered) -> bool:
    """Recover one execution of this host, unless somebody holds its lock and so lives; return whether it was dead."""
    path = lock_file(store.workspace, found.rid, "run" if found.status is S.Running else "create")
    if found.status is S.Running and not path.exists() and may_live(found.owner):
        return False  # somebody has removed the lock file: nobody can tell any more
    try:
        lock = liveness.take(path, "recovery")
    except DerivaMLBusyError:
        return False
    end = _end_of(store.require(found.rid), lock.before) if store.require(found.rid).status is found.status else None
    if end is None:
        lock.leave()
        return False
    try:
        _end(Run(session, store, found.rid), *end)
        log.warning("Execution %s: %s. It is %s now.", found.rid, end[1], store.require(found.rid).status)
        return True
    finally:
        lock.release()


def _end_of(found: Registered, holder: Mapping[str, Any]) -> tuple[Event, str] | None:
    """Return how an execution ended whose lock is free and was last held by ``holder``; None for one that did not end."""
    if found.status is S.Running:
        return Event.RECOVER, likely_cause(found.owner)
    if holder.get("stage") == CREATING or (found.catalog_status is None and found.mode != "offline"):
        return Event.ABORT, _INTERRUPTED
    if holder.get("stage") == WAITING:
        return Event.ABORT, f"{likely_cause(holder)}, before the work began"
    return None


def _end(run: Run, event: Event, cause: str) -> None:
    running = event is Event.RECOVER
    try:
        elsewhere = _driven_on(run) if running else None
        if elsewhere is not None:
            run.store.adopt(run.rid, elsewhere.status, f"{cause}; {elsewhere}")
        else:
            run.happen(event, cause)
    except (DerivaMLStateInconsistency, InvalidTransitionError, DerivaMLCatalogError) as error:
        level = logging.WARNING if running else logging.INFO  # an interrupted creation may have no row yet
        log.log(level, "Execution %s: the catalog could not be told: %s", run.rid, error)


def _driven_on(run: Run) -> Said | None:
    """Return where somebody else has brought a dead run meanwhile: by hand, or by going on with its sweep."""
    if is_local(run.rid):
        return None
    try:
        there = run.row.found()
    except OUT_OF_REACH:
        return None
    follows = there is not None and verdict(S.Running, there.status, {S.Created, S.Running}) is Verdict.FOLLOW
    return there if follows else None


def reopen(session: Catalog, store: ExecutionStore, rid: str) -> Run:
    """Return the execution ``rid`` to go on with: dead or alive is settled, and store and catalog agree.

    Raises:
        DerivaMLNotFoundError: neither the workspace nor the catalog has it.
        DerivaMLStateInconsistency: they contradict each other in a way that nobody can settle.
    """
    found = store.get(rid)
    if found is None:
        found = _rebuilt(session, store, rid)
    if is_here(found.owner) and found.status in (S.Running, S.Created):
        settle(session, store, found)
    if session.offline:
        return Run(session, store, found.rid)
    run = Run(session, store, bring(session, store, found.rid) if waits(store, found.rid) else found.rid)
    _reconcile(run)
    tell_inputs(run)
    nesting.tell(session, store, run.rid)
    return run


def _reconcile(run: Run) -> None:
    """Make store and catalog agree, whichever of the two knows more."""
    said = run.row.found()
    if said is None:
        if run.registered.status is not S.Aborted:
            log.warning("%s", run.row.gone())
        return
    here, there = run.registered.status, said.status
    passed = {S(row[1]) for row in run.store.history(run.rid)} | {S.Created}
    match verdict(here, there, passed):
        case Verdict.TELL if here is S.Uploaded and bring_again(run):
            pass
        case Verdict.AGREE if here is S.Uploaded and run.row.is_older() and bring_again(run):
            pass
        case Verdict.AGREE:
            pass
        case Verdict.TELL if there in passed:
            tell_history(run)
        case Verdict.TELL:
            run.row.tell(None, here)
        case Verdict.FOLLOW:
            run.store.adopt(run.rid, there, str(said))
        case Verdict.CONTRADICT:
            raise DerivaMLStateInconsistency(
                f"Execution {run.rid} is {here} in this workspace and {there} in the catalog, and no step leads from one to the "
                f"other. `ml.lookup_execution({run.rid!r})` shows the catalog's side; `deriva-ml mark {run.rid} STATE --reason …` "
                "settles it."
            )
    settle_inputs(run)


def _rebuilt(session: Catalog, store: ExecutionStore, rid: str) -> Registered:
    """Return an execution of which the store knows nothing, from the catalog's row and the manifest in its folder."""
    if session.offline or is_local(rid):
        return store.require(rid)
    manifest = store.folder(rid) / MANIFEST
    row = _row(session, store, rid)
    if not manifest.is_file():
        store.require(rid)
    return _take_over(
        store,
        row,
        manifest.read_bytes(),
        "left a record that was lost, and rebuilt from the manifest, without values, metrics and parameters that waited",
    )


def adopt(session: Catalog, store: ExecutionStore, rid: str) -> Run:
    """Return an execution that another workspace began, to go on with here; what is staged there stays there.

    Whoever calls this knows that nobody is at work on it any more: a run of another workspace cannot be told dead from here.

    Raises:
        DerivaMLNotFoundError: the catalog has no such execution.
        DerivaMLStateInconsistency: this workspace knows it, and catalog and workspace contradict each other.
    """
    if store.get(rid) is None and not (store.folder(rid) / MANIFEST).is_file():
        _take_over(store, _row(session, store, rid), None, "taken over from another workspace")
    return reopen(session, store, rid)


def _row(session: Catalog, store: ExecutionStore, rid: str) -> Row:
    rows = select(session, TableName(session.ml_schema, "Execution"), {"RID": rid})
    if not rows:
        raise DerivaMLNotFoundError(
            f"Neither the catalog nor the workspace {store.workspace} has an execution {rid}. `ml.list_executions()` lists those here."
        )
    return rows[0]


def _take_over(store: ExecutionStore, row: Row, manifest: bytes | None, detail: str) -> Registered:
    """Register what the catalog's row, and the manifest if there is one, tell of an execution."""
    rid = row["RID"]
    whose, entries = (rid, []) if manifest is None else rebuild(manifest)
    if whose != rid and not is_local(whose):  # begun offline, it may not know its RID yet
        raise DerivaMLIntegrityError(
            f"{store.folder(rid) / MANIFEST} is that of execution {whose}, not of {rid}: put the right one there, or move it away."
        )
    status = S(row["Status"] or S.Created)
    found = Registered(
        rid=rid, uuid=f"{REBUILT}{rid}", workflow_rid=row["Workflow"], description=row["Description"] or "", config=plain({}),
        status=S.Pending_Upload if status is S.Running else status, catalog_status=status, detail=detail,
        error=None, mode="online", owner={}, created_at=row["RCT"], last_activity=row["RMT"], start_time=row.get("Start_Time"),
        stop_time=row.get("Stop_Time"), duration=None, download_duration=None, upload_duration=None,
    )  # fmt: skip
    staged, said = Staged(store, rid), row.get("Status_Detail")

    def write(connection: apsw.Connection) -> None:
        for entry in entries:
            staged.write(connection, entry)
        if status in (S.Running, S.Failed, S.Pending_Upload):
            event = Event.FAIL if status is S.Failed else Event.RECOVER
            how = "; ".join(filter(None, [said, detail]))
            store.take_history(
                connection, rid, [(event.value, S.Running.value, found.status.value, how, found.last_activity)], []
            )

    store.register(found, write)
    return found
