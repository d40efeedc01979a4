"""Running a notebook from outside: papermill executes it, and what only the runner has is committed beside its outputs."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deriva_ml.errors import DerivaMLExecutionError
from deriva_ml.execution.states import ExecutionStatus
from deriva_ml.launch.kernel import kernel_for
from deriva_ml.launch.kernel_ahead import StartedKernel, kernel_ahead
from deriva_ml.launch.notebook_told import told, told_of
from deriva_ml.workflow.capture import Code

Execute = Callable[["NotebookRequest", StartedKernel, Path], str | None]
"""Executes the cells of the notebook in the kernel, writes the executed notebook; returns why it failed, if it did."""
Keep = Callable[[Mapping[str, Any], Path, str | None], str]
"""Takes what the kernel says of its execution, the executed notebook, and why it failed; returns the execution's RID."""


@dataclass(frozen=True, slots=True)
class NotebookRequest:
    """The arguments of ``deriva-ml-run-notebook``; ``given`` are parameters of a file, ``typed`` those typed, as texts."""

    notebook: Path
    given: Mapping[str, Any] = field(default_factory=dict)
    typed: tuple[tuple[str, str], ...] = ()
    overrides: tuple[str, ...] = ()
    kernel: str | None = None
    host: str | None = None
    catalog: str | None = None
    log_output: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the run of a notebook ended: its execution, if it came that far, and why it failed, if it did."""

    execution_rid: str | None
    failure: str | None


def run_recorded(
    request: NotebookRequest, code: Callable[[], Code], execute: Callable[[], Execute], keep: Callable[[], Keep]
) -> Outcome:
    """Run the notebook: begin its kernel, execute its cells there, commit what came of it beside the notebook's outputs.

    ``code``, ``execute`` and ``keep`` give what takes a while to find out or to load, when it is needed.

    Raises:
        DerivaMLConfigurationError: no such notebook, no kernel for it, or parameters that it does not declare.
        DerivaMLUploadError: the commit did not finish; ``deriva-ml-upload`` goes on with it.
    """
    notebook = request.notebook.absolute()
    kernel = kernel_for(notebook, request.kernel)
    with tempfile.TemporaryDirectory(prefix="deriva-ml-notebook-") as place:
        folder = Path(place)
        saved, executed = folder / "execution.json", folder / notebook.name
        known = told(notebook, request.overrides, saved)
        with kernel_ahead(kernel, notebook.parent, known, lambda: told_of(code()), folder / "told.json") as started:
            cells = execute()
            started.tell(told_of(code()))
            failure = cells(request, started, executed)
        if not saved.exists():
            return Outcome(None, failure)
        rid = keep()(json.loads(saved.read_text()), executed, failure)
    return Outcome(rid, failure)


def failed(outcome: Outcome) -> DerivaMLExecutionError | None:
    """Return the error that the outcome is, None when all cells ran."""
    if outcome.failure is None:
        return None
    where = (
        f"Execution {outcome.execution_rid} is {ExecutionStatus.Failed}; what it left is committed"
        if outcome.execution_rid
        else "No execution was begun"
    )
    return DerivaMLExecutionError(f"{outcome.failure}\n{where}.")
