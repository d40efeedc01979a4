"""The executions that ``run_notebook`` began in this kernel: how each ends when a cell fails, the kernel ends, or another begins."""

from __future__ import annotations

import atexit
import json
import os
import sys
from pathlib import Path
from typing import Any

from deriva_ml.errors import DerivaMLException
from deriva_ml.execution.execution import Execution
from deriva_ml.execution.states import ExecutionStatus
from deriva_ml.launch.settlement import is_offline
from deriva_ml.settings import SAVE_RID_VARIABLE

_BEGUN: list[Execution] = []


def followed() -> bool:
    """Return whether the runner started this kernel, and follows the notebook to its end."""
    return bool(os.environ.get(SAVE_RID_VARIABLE))


def tell_dry_run(found: str) -> None:
    """Tell the runner that nothing is recorded, on purpose; ``found`` is what was found of the inputs, if they were looked up."""
    Path(os.environ[SAVE_RID_VARIABLE]).write_text(json.dumps({"execution_rid": None, "said": found}))


def settle_earlier() -> None:
    """End what an earlier call began in this kernel and nobody ended: the first cell is run again, or says it twice.

    What has staged nothing is given up. Otherwise its outputs are committed under the runner, and wait for it in Jupyter.
    """
    for execution in _BEGUN:
        if execution.status is ExecutionStatus.Running:
            _settle(execution)
    _BEGUN.clear()


def _settle(execution: Execution) -> None:
    if not execution.pending_summary().has_pending:
        execution.abort("the notebook began again")
        return
    execution.execution_stop()
    if followed() and not is_offline(execution):
        execution.commit_output_assets()
    else:
        print(
            f"Execution {execution.execution_rid}, which this kernel began before, is stopped. What it staged waits: "
            f"`deriva-ml-upload --execution {execution.execution_rid}` commits it."
        )


def begin(execution: Execution) -> None:
    """Start the execution; under the runner a failing cell is its end, and so is the end of the last cell."""
    execution.execution_start()
    if execution.dry_run:
        return
    if followed() and not _BEGUN:
        shell = _shell()
        if shell is not None:
            shell.events.register("post_run_cell", _fail)
        atexit.register(_close)
    _BEGUN.append(execution)


def _shell() -> Any:
    ipython = sys.modules.get("IPython")
    return ipython.get_ipython() if ipython is not None else None


def _fail(result: Any) -> None:
    """A cell has ended: if by an error, so does the run. ``sys.exit()`` says that the notebook is at its end."""
    error = result.error_in_exec or result.error_before_exec
    if error is None or (isinstance(error, SystemExit) and not error.code):
        return
    for execution in _BEGUN:
        if execution.status is ExecutionStatus.Running:
            reason = f"cell {result.execution_count}: {type(error).__name__}: {error}"
            execution.update_status(ExecutionStatus.Failed, error=reason)


def _close() -> None:
    """The kernel ends in good order: so do the runs, unless the notebook has committed them."""
    for execution in _BEGUN:
        try:
            if execution.status is ExecutionStatus.Running:
                execution.execution_stop()
        except (DerivaMLException, OSError) as error:
            print(f"Execution {execution.execution_rid} could not be stopped: {error}", file=sys.stderr)
