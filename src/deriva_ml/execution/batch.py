"""Committing what several executions left staged; the failure of one does not keep the others back."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping

from deriva_ml.catalog.session import Catalog
from deriva_ml.clock import pause
from deriva_ml.errors import DerivaMLBusyError, DerivaMLException, DerivaMLOfflineError
from deriva_ml.execution import liveness, nesting
from deriva_ml.execution.bring import waits
from deriva_ml.execution.commit import commit
from deriva_ml.execution.manifest import EntryState
from deriva_ml.execution.recover import recover_workspace, reopen
from deriva_ml.execution.report import UploadCallback, UploadItem, UploadReport
from deriva_ml.execution.run import Run, lock_file
from deriva_ml.execution.staged import Staged
from deriva_ml.execution.states import ExecutionStatus
from deriva_ml.execution.store import ExecutionStore, Registered
from deriva_ml.rid import rid_list

log = logging.getLogger(__name__)

S = ExecutionStatus
LOOK_AGAIN = 0.2
"""How many seconds pass between two looks at whether another process has ended its commit."""
TRIES = 3


def pending_rids(store: ExecutionStore) -> list[str]:
    """Return the executions that a commit has something to do for, oldest first; running, new and aborted ones have not.

    A run that failed and left nothing stays Failed: only the one whose upload failed is tried again. Of those begun offline,
    all that have ended wait.
    """
    found = store.select(
        "status IN ('Stopped', 'Failed', 'Pending_Upload', 'Uploaded') "
        "OR (mode = 'offline' AND catalog_status IS NULL AND status = 'Aborted')"
    )
    return [run.rid for run in found if waits(store, run.rid) or _waits(store, run)][::-1]


def _waits(store: ExecutionStore, run: Registered) -> bool:
    ended = run.status is S.Uploaded or (run.status is S.Failed and store.unhappy_end(run.rid) is not None)
    return not ended or Staged(store, run.rid).has_pending()


def commit_pending(
    session: Catalog,
    store: ExecutionStore,
    rids: str | Iterable[str] | None = None,
    *,
    clean: bool = False,
    progress: UploadCallback | None = None,
    told: Callable[[str, UploadReport], None] | None = None,
) -> UploadReport:
    """Commit executions of a workspace: those named, or all that have something waiting.

    One that another process is at comes last, when that has ended: what it has not brought, this does. The report has one error for
    each that failed; ``told`` is called with the report of each.

    Raises:
        DerivaMLOfflineError: the session is offline; everything waits.
    """
    if session.offline:
        raise DerivaMLOfflineError(
            f"Nothing can be committed offline; what executions have staged waits here. When {session.host} can be reached, open it "
            "online (without mode=offline), or `deriva-ml upload`. For a machine that reaches it: `exe.seal()`."
        )
    waited = pending_rids(store)  # whatever the catalog says of them meanwhile, the report does
    recover_workspace(session, store.workspace)
    total, elsewhere = UploadReport(), list[str]()

    def take(rid: str, report: UploadReport) -> None:
        total.add(report)
        if told is not None:
            told(rid, report)

    for rid in rid_list(rids) if rids is not None else dict.fromkeys([*waited, *pending_rids(store)]):
        try:
            take(rid, _commit_one(session, store, rid, clean, progress))
        except DerivaMLBusyError:
            elsewhere.append(rid)
    for rid in elsewhere:
        take(rid, _when_free(session, store, rid, clean, progress))
    _tell_links(session, store, total)
    return total


def _when_free(
    session: Catalog, store: ExecutionStore, rid: str, clean: bool, progress: UploadCallback | None
) -> UploadReport:
    """Commit an execution that another process was at, once that has ended; it may have left nothing to do."""
    for _ in range(TRIES):
        if _others_commit(store, rid):
            log.warning("Execution %s: another process commits it just now; waiting until that has ended.", rid)
        while _others_commit(store, rid):
            pause(LOOK_AGAIN)
        try:
            report = _commit_one(session, store, rid, clean, progress)
        except DerivaMLBusyError as error:
            busy = error
            continue
        if not (report.errors or report.total_uploaded) and store.require(rid).status is S.Uploaded:
            report.notes.append(f"{rid} was committed by another process meanwhile")
        return report
    return _report_failure(store, rid, busy)


def _others_commit(store: ExecutionStore, rid: str) -> bool:
    """Return whether a living process other than this one commits an execution, or brings it to the catalog, under one of its names."""
    paths = [lock_file(store.workspace, name, "commit") for name in (rid, store.current_name(rid))]
    return any(liveness.alive(path) and not liveness.held_here(path) for path in paths)


def _is_at_work(store: ExecutionStore, rid: str) -> bool:
    """Return whether an execution goes on itself, or is committed by this very process: nobody waits for that."""
    found = store.get(rid)
    own = found is not None and liveness.held_here(lock_file(store.workspace, found.rid, "commit")) is not None
    return found is None or own or found.status in (S.Running, S.Created)


def _tell_links(session: Catalog, store: ExecutionStore, total: UploadReport) -> None:
    """Send the links between executions that wait: the catalog may know both ends now."""
    try:
        total.notes += [said for said in nesting.tell(session, store) if said not in total.notes]
    except DerivaMLException as error:
        total.errors.append(f"links between executions wait: {error}")


def _commit_one(
    session: Catalog, store: ExecutionStore, rid: str, clean: bool, progress: UploadCallback | None
) -> UploadReport:
    """Commit one execution; what goes wrong is in the report.

    Raises:
        DerivaMLBusyError: another process is at it just now.
    """
    try:
        run = reopen(session, store, rid)
        if run.registered.status is S.Aborted:  # given up, offline or by somebody in the catalog, which knows it now
            return UploadReport(execution_rids=[run.rid], notes=_given_up(run))
        if run.registered.status is S.Failed and not _waits(store, run.registered):
            return UploadReport(execution_rids=[run.rid])
        report = commit(run, clean=clean, progress=progress)
        if run.rid != rid:
            report.notes.append(f"{rid}, begun offline, is {run.rid} in the catalog")
        return report
    except DerivaMLException as error:
        if isinstance(error, DerivaMLBusyError) and not _is_at_work(store, rid):
            raise
        return _report_failure(store, rid, error)


def _report_failure(store: ExecutionStore, rid: str, error: DerivaMLException) -> UploadReport:
    report = UploadReport(execution_rids=[rid], errors=[f"{rid}: {error}"])
    if store.get(rid) is not None:
        _count_failed(store, rid, report, getattr(error, "failures", {}))
    return report


def _given_up(run: Run) -> list[str]:
    """Return what is to be said of a run that was given up with something staged: it stays here, and is not committed."""
    if not run.staged.has_pending():
        return []
    why = run.registered.detail or run.registered.error or "no reason was given"
    return [f"{run.rid} is Aborted ({why}): what it has staged is not committed, and stays in {run.folder}"]


def _count_failed(store: ExecutionStore, rid: str, report: UploadReport, reasons: Mapping[str, str]) -> None:
    staged = Staged(store, rid)
    for entry in staged.entries(EntryState.PENDING, EntryState.SEALED):
        report.count(entry.schema, entry.table, failed=1)
        reason = reasons.get(entry.label)
        report.items.append(
            UploadItem(
                rid, entry.table, entry.file_name, "failed", length=entry.length, schema=entry.schema, reason=reason
            )
        )
    for (schema, table), number in staged.feature_tables(staged.newest_feature()).items():
        report.count(schema, table, failed=number)
        report.items.append(UploadItem(rid, table, "", "failed", schema=schema, count=number))
