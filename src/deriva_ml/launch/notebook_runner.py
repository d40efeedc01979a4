"""Running a notebook from outside: papermill executes it, and what only the runner has is committed beside its outputs."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deriva_ml.errors import DerivaMLExecutionError
from deriva_ml.launch.kernel import kernel_for
from deriva_ml.launch.kernel_ahead import StartedKernel, kernel_ahead
from deriva_ml.launch.notebook_told import told, told_of
from deriva_ml.rid import is_local
from deriva_ml.workflow.capture import Code

Execute = Callable[["NotebookRequest", StartedKernel, Path], "Ending"]
"""Executes the cells of the notebook in the kernel, writes the executed notebook; returns how they ended."""
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
class Ending:
    """How the cells ended: why they failed, if they did, and the signal that stopped them, if one did."""

    failure: str | None = None
    stopped_by: int | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the run of a notebook ended. ``said`` is what it told of itself where it recorded nothing on purpose."""

    ending: Ending
    execution_rid: str | None = None
    said: str | None = None


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
            ending = cells(request, started, executed)
        facts = json.loads(saved.read_text()) if saved.exists() else None
        if facts is None:
            return Outcome(ending)
        if facts["execution_rid"] is None:
            return Outcome(ending, said=facts["said"])
        return Outcome(ending, keep()(facts, executed, ending.failure))


def reported(outcome: Outcome, notebook: str) -> str:
    """Return what to say of an outcome.

    Raises:
        DerivaMLExecutionError: a cell failed, or nothing was recorded although nobody asked for that.
    """
    failure, rid = outcome.ending.failure, outcome.execution_rid
    if failure is not None:
        left = "waits for the catalog" if rid and is_local(rid) else "is committed"
        kept = f"Execution {rid} is Failed; what it left {left}." if rid else "No execution was begun."
        raise DerivaMLExecutionError(f"{failure}\n{kept}")
    if rid is not None and is_local(rid):
        return f"Execution {rid} waits: `deriva-ml upload --execution {rid}` commits it when the catalog is back."
    if rid is not None:
        return f"Execution {rid}: Uploaded"
    if outcome.said is None:
        raise DerivaMLExecutionError(
            f"{notebook} ran, and nothing of it is recorded: no cell began an execution. "
            "A first cell does: `ml, execution, config = run_notebook()`, from deriva_ml.execution."
        )
    return "\n".join(text for text in (outcome.said, "A dry run: nothing is recorded.") if text)
