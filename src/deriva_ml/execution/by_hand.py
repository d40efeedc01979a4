"""States that users give to runs: none that a living process of others has, and never Uploaded while something waits."""

from __future__ import annotations

from pathlib import Path

from deriva_ml.errors import DerivaMLValidationError
from deriva_ml.execution import liveness
from deriva_ml.execution.run import Run, lock_file
from deriva_ml.execution.staged import Staged
from deriva_ml.execution.states import Event, ExecutionStatus, event_towards, status_named
from deriva_ml.execution.store import ExecutionStore

LIVES = ("run", "commit", "create")


def refuse_others_living(workspace: Path, rid: str) -> None:
    """Refuse to move an execution that another process of this machine has: one that runs it, commits it or has just created it.

    Raises:
        DerivaMLBusyError: that is so; the message says who.
    """
    for path in (lock_file(workspace, rid, kind) for kind in LIVES):
        if liveness.alive(path) and not liveness.held_here(path):
            liveness.take(path, f"Execution {rid} cannot be moved").leave()


def move(run: Run, status: ExecutionStatus | str, message: str | None, error: str | None) -> None:
    """Bring a run to another state; naming the present one changes the message alone.

    Raises:
        InvalidTransitionError: no edge leads there.
        DerivaMLBusyError: another process runs or commits it.
        DerivaMLValidationError: there is no such state, or it is Uploaded and something waits for a commit.
    """
    target = status_named(str(status))
    if event_towards(run.registered.status, target, run.rid) is Event.COMMITTED:
        _refuse_waiting(run.staged)
    run.go(target, message if error is None else error, is_error=error is not None)


def refuse_unknown(workspace: Path | None, rid: str) -> None:
    """Refuse to call a run Uploaded of which it is not known here that nothing waits.

    Raises:
        DerivaMLValidationError: that is so.
    """
    store = ExecutionStore(workspace) if workspace is not None and workspace.is_dir() else None
    if store is None or store.get(rid) is None:
        raise DerivaMLValidationError(
            f"This workspace does not know what execution {rid} has staged: that it is Uploaded, only a commit where it ran can tell."
        )
    _refuse_waiting(Staged(store, rid))


def _refuse_waiting(staged: Staged) -> None:
    if staged.has_pending():
        raise DerivaMLValidationError(
            f"Execution {staged.rid} has something staged that the catalog does not have: that it is Uploaded, only a commit can tell "
            f"(`commit_output_assets()`, or `deriva-ml upload --execution {staged.rid}`)."
        )
