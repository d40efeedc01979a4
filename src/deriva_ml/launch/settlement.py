"""What a run that did not end well left: committed, and then the execution says again that it failed."""

from __future__ import annotations

from deriva_ml.errors import DerivaMLException
from deriva_ml.execution.execution import Execution
from deriva_ml.execution.states import ExecutionStatus


def is_offline(execution: Execution) -> bool:
    """Return whether nothing can be committed, because the session is offline."""
    return execution.catalog is not None and execution.catalog.offline


def keep_what_is_left(execution: Execution, error: BaseException) -> None:
    """Commit what a failed run staged, and say Failed again; what goes wrong with that does not hide the failure."""
    failed = execution.status is ExecutionStatus.Failed and "upload failed" not in (execution.error or "")
    if execution.dry_run or is_offline(execution) or not failed or not execution.pending_summary().has_pending:
        return
    _commit_and_fail(execution, execution.error or str(error), error)


def fail_after_its_end(execution: Execution, error: BaseException) -> None:
    """A model that stopped or committed its own execution, and then failed, did not end well: commit the rest, and say Failed."""
    ended = execution.status in (ExecutionStatus.Stopped, ExecutionStatus.Uploaded)
    if ended and not execution.dry_run:
        _commit_and_fail(execution, f"{type(error).__name__}: {error}", error)


def _commit_and_fail(execution: Execution, reason: str, error: BaseException) -> None:
    try:
        commit_and_fail(execution, reason)
    except (DerivaMLException, OSError) as second:
        error.add_note(f"What execution {execution.execution_rid} left could not be committed: {second}")


def commit_and_fail(execution: Execution, reason: str) -> None:
    """Commit what is staged, or offline let it wait, and end Failed, for ``reason``.

    Raises:
        DerivaMLUploadError: the commit did not finish.
    """
    if not is_offline(execution):
        execution.commit_output_assets(clean_folder=False)
    execution.update_status(ExecutionStatus.Pending_Upload, reason)
    execution.update_status(ExecutionStatus.Failed, error=reason)
