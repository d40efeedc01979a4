"""What only the runner of a notebook has is committed beside the notebook's outputs: the executed notebook, a rendering, the log."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deriva_ml.enums import ConnectionMode
from deriva_ml.execution.execution import Execution
from deriva_ml.files import write_whole
from deriva_ml.launch.notebook_markdown import cells_of, without_colours, written
from deriva_ml.launch.settlement import commit_and_fail, is_offline
from deriva_ml.ml import DerivaML


def keep(facts: Mapping[str, Any], executed: Path, failure: str | None) -> str:
    """Commit what the notebook and the runner have, or offline let it wait; return the RID of the execution that the kernel made.

    Raises:
        DerivaMLUploadError: the commit did not finish; ``deriva-ml-upload`` goes on with it.
    """
    execution = _reopened(facts)
    _stage(execution, executed, _log(executed, failure))
    _commit(execution, failure)
    return execution.execution_rid


def _reopened(facts: Mapping[str, Any]) -> Execution:
    ml = DerivaML(
        None if facts["hostname"] == "embedded" else facts["hostname"],
        facts["catalog_id"],
        working_dir=facts.get("home"),
        clean_execution_dir=False,
        mode=facts.get("mode", ConnectionMode.online),
    )
    return ml.resume_execution(facts["execution_rid"])


def _stage(execution: Execution, executed: Path, log: str) -> None:
    """Register what only the runner has: the executed notebook, its rendering, its log."""
    if executed.exists():
        kind = ["Notebook_Output"]
        execution.asset_file_path(
            "Execution_Asset", executed, kind, copy_file=True, description="The notebook with the outputs of this run"
        )
        page = execution.asset_file_path("Execution_Asset", f"{executed.stem}.md", kind, description="The same to read")
        write_whole(page, written(json.loads(executed.read_text())).encode())  # offline no commit follows that syncs it
    name = f"{executed.stem}.log"
    path = execution.asset_file_path("Execution_Metadata", name, description="What the cells printed")
    write_whole(path, log.encode())


def _log(executed: Path, failure: str | None) -> str:
    """Return what the cells printed, and how the run ended."""
    lines = []
    for number, cell in enumerate((cell for cell in cells_of(executed) if cell["cell_type"] == "code"), 1):
        said = "".join("".join(out.get("text", "")) for out in cell["outputs"] if out["output_type"] == "stream")
        tracebacks = ["\n".join(out.get("traceback", ())) for out in cell["outputs"] if out["output_type"] == "error"]
        lines += [f"[cell {number}]", said, *tracebacks] if said or tracebacks else []
    return without_colours("\n".join([*lines, failure or "All cells ran."])) + "\n"


def _commit(execution: Execution, failure: str | None) -> None:
    """Commit what the notebook and the runner staged; a failed run ends Failed again."""
    if failure is not None:
        commit_and_fail(execution, failure)
    elif not is_offline(execution):
        execution.commit_output_assets()
