"""The jobs of a sweep: what their files in the workspace and the executions in the catalog tell of them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from deriva_ml.catalog.rows import select
from deriva_ml.errors import DerivaMLBusyError
from deriva_ml.execution.execution import Execution
from deriva_ml.execution.states import ExecutionStatus
from deriva_ml.launch.composed import begun_with, shown_overrides
from deriva_ml.launch.job import (
    ANY_OVERRIDES,
    COMMITTED,
    INTERRUPTED,
    NOT_STARTED,
    RETURN_VALUE,
    RUNS,
    WAITS,
    Job,
    last_metrics,
    read_job,
)
from deriva_ml.launch.settlement import commit_and_fail, is_offline
from deriva_ml.launch.sweep_plan import content_of
from deriva_ml.ml import DerivaML
from deriva_ml.names import TableName
from deriva_ml.workflow.registry import NEWEST_FIRST

_SUFFIX = re.compile(r"(?:^| )(?:\[overrides: (?P<overrides>.*)\] )?\[Job \d+\]$", re.DOTALL)


def jobs_in(folder: Path) -> list[Job]:
    """Return the jobs that have a file in ``folder``, in order."""
    jobs = [read_job(file) for file in folder.glob("*.json")] if folder.is_dir() else []
    return sorted(jobs, key=lambda job: job.number or 0)


def noting(
    folder: Path, parent: str | None, added: frozenset[str] = frozenset()
) -> Callable[[int, Sequence[str]], None]:
    """Return what notes a job before it starts: one that never does is then missed by nobody."""

    def note(number: int, overrides: Sequence[str]) -> None:
        file = folder / f"{number}.json"
        if not (file.exists() and read_job(file).is_done(begun_with(overrides, added))):
            Job(tuple(shown_overrides(overrides)), number, parent, file).write()

    return note


def losing(folder: Path) -> Callable[[int, str], None]:
    """Return what notes a job that its launcher lost, with the reason; one that has told how it ended stays as it is."""

    def lose(number: int, why: str) -> None:
        file = folder / f"{number}.json"
        if file.exists():
            _lose(read_job(file), why)

    return lose


def lose_the_rest(folder: Path, why: str) -> None:
    """Note of every job that has not ended that it was lost."""
    for job in jobs_in(folder):
        if job.error is None:
            _lose(job, why)


def _lose(job: Job, why: str) -> None:
    if job.status in (NOT_STARTED, RUNS):
        job.status = NOT_STARTED if job.rid is None else INTERRUPTED
        job.error = why
        job.write()


def is_running(ml: DerivaML, job: Job) -> bool:
    """Return whether a job's execution is at work on this machine."""
    return bool(job.rid) and job.status == RUNS and ml.resume_execution(str(job.rid)).status is ExecutionStatus.Running


def settle(ml: DerivaML, job: Job, parent: str) -> None:
    """What an interrupted job left is committed, then it is Failed; one that was committed in its last moment stays.

    One that ended well offline stays as well, and is committed when the catalog can be reached. What somebody has committed
    of a job that did not end well does not make it one that did.

    Raises:
        DerivaMLBusyError: it is still running.
    """
    if job.rid is None or job.status == COMMITTED or (job.status == WAITS and ml.session.offline):
        return
    execution = ml.resume_execution(job.rid)
    job.rid = execution.execution_rid  # begun offline, it may have its RID by now
    if job.status == WAITS and execution.status is not ExecutionStatus.Uploaded:
        execution.commit_output_assets()
    reason, badly = _repeated(job.number, parent), ml.executions.store.unhappy_end(job.rid)
    match execution.status:
        case ExecutionStatus.Running:
            raise DerivaMLBusyError(f"Job {job.number} of sweep {parent}, execution {job.rid}, is still running.")
        case ExecutionStatus.Uploaded if badly is not None:
            commit_and_fail(execution, badly)
        case ExecutionStatus.Uploaded:
            job.status, job.error = COMMITTED, None
            job.write()
        case ExecutionStatus.Pending_Upload:
            commit_and_fail(execution, reason)
        case ExecutionStatus.Failed if execution.pending_summary().has_pending and not is_offline(execution):
            commit_and_fail(execution, execution.error or reason)  # it failed offline
        case ExecutionStatus.Created | ExecutionStatus.Stopped:
            _abort(execution, reason)


def _abort(execution: Execution, reason: str) -> None:
    if execution.status is ExecutionStatus.Stopped:
        commit_and_fail(execution, reason)
    else:
        execution.abort(reason)


def _repeated(number: int | None, parent: str) -> str:
    return f"interrupted; job {number} of sweep {parent} ran again"


def gather(ml: DerivaML, parent: str, folder: Path) -> list[str]:
    """Write the files of jobs that the catalog has committed and this workspace knows nothing of; offline there are none.

    A job that another place began and never ended is marked as interrupted; what it staged stays in that place. Returns a
    sentence for each.
    """
    if ml.session.offline:
        return []
    links = select(ml.session, TableName(ml.ml_schema, "Execution_Execution"), {"Execution": parent})
    number_of = {row["Nested_Execution"]: row["Sequence"] for row in links if row["Sequence"] is not None}
    known = {ml.executions.store.current_name(job.rid) for job in jobs_in(folder) if job.rid}
    done = {job.number for job in jobs_in(folder) if job.status == COMMITTED}
    table = TableName(ml.ml_schema, "Execution")
    rows = select(ml.session, table, {"RID": list(number_of)}, sort=NEWEST_FIRST) if number_of else []
    said = []
    for row in rows:
        if row["RID"] in known:
            continue
        number, status = int(number_of[row["RID"]]), ExecutionStatus(row["Status"] or ExecutionStatus.Created)
        if status is ExecutionStatus.Uploaded:
            if number not in done:
                _found(ml, row, number, parent, folder / f"{number}.json")
                done.add(number)
        elif status in _ENDS:
            ml.mark_execution(row["RID"], _ENDS[status], _repeated(number, parent))
            said.append(f"Job {number}, execution {row['RID']}, was {status} in another workspace: it runs again.")
    return said


_ENDS = {
    ExecutionStatus.Created: ExecutionStatus.Aborted,
    ExecutionStatus.Running: ExecutionStatus.Failed,
    ExecutionStatus.Stopped: ExecutionStatus.Aborted,
    ExecutionStatus.Pending_Upload: ExecutionStatus.Failed,
}


def _found(ml: DerivaML, row: dict[str, Any], number: int, parent: str, file: Path) -> None:
    metrics = _metrics(ml, row["RID"])
    value = metrics.pop(RETURN_VALUE, None)
    overrides = overrides_in(row["Description"] or "")
    Job(overrides, number, parent, file, row["RID"], COMMITTED, metrics=metrics, value=value).write()


def overrides_in(description: str) -> tuple[str, ...]:
    """Return the overrides that the description of a job ends with, as one text.

    Example:
        >>> overrides_in("digits [overrides: model_config.lr=0.1, model_config.epochs=2] [Job 2]")
        ('model_config.lr=0.1, model_config.epochs=2',)
        >>> overrides_in("digits [Job 2]"), overrides_in("a description that somebody wrote afterwards")
        ((), ('(not known)',))
    """
    found = _SUFFIX.search(description)
    if found is None:
        return ANY_OVERRIDES
    return (found["overrides"],) if found["overrides"] else ()


def _metrics(ml: DerivaML, rid: str) -> dict[str, Any]:
    records: list[dict[str, Any]] = []
    for asset in ml.list_execution_assets(rid, "Output"):
        if asset.filename.endswith("metrics.jsonl"):
            lines = content_of(ml, asset).decode(errors="replace").splitlines()
            records += [record for line in lines if isinstance(record := _parsed(line), dict)]
    return last_metrics(records)


def _parsed(line: str) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        return None
