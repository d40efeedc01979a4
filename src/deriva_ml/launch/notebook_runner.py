"""Running a notebook from outside: papermill executes it, and what only the runner has is committed beside its outputs."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import papermill
import yaml
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from papermill.exceptions import PapermillException, PapermillExecutionError

from deriva_ml.errors import DerivaMLConfigurationError, DerivaMLExecutionError
from deriva_ml.execution.states import ExecutionStatus
from deriva_ml.launch.kernel import kernel_for, language_of
from deriva_ml.launch.notebook_markdown import cells_of
from deriva_ml.launch.notebook_told import told
from deriva_ml.workflow.capture import Code

Keep = Callable[[Mapping[str, Any], Path, str | None], str]
"""Takes what the kernel says of its execution, the executed notebook, and why it failed; returns the execution's RID."""

_KERNEL_TROUBLE = (DeadKernelError, CellTimeoutError, RuntimeError)


@dataclass(frozen=True, slots=True)
class NotebookRequest:
    """The arguments of ``deriva-ml-run-notebook``."""

    notebook: Path
    parameters: Mapping[str, Any] = field(default_factory=dict)
    overrides: tuple[str, ...] = ()
    kernel: str | None = None
    log_output: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the run of a notebook ended: its execution, if it came that far, and why it failed, if it did."""

    execution_rid: str | None
    failure: str | None


def run(request: NotebookRequest, code: Code, keep: Callable[[], Keep]) -> Outcome:
    """Run the notebook, whose code is ``code``; what ``keep`` gives commits the executed notebook beside its outputs.

    Raises:
        DerivaMLConfigurationError: no such notebook, or no kernel for it.
        DerivaMLUploadError: the commit did not finish; ``deriva-ml-upload`` goes on with it.
    """
    notebook = request.notebook.absolute()
    if not notebook.is_file():
        raise DerivaMLConfigurationError(f"There is no notebook {request.notebook}.")
    with tempfile.TemporaryDirectory(prefix="deriva-ml-notebook-") as place:
        folder = Path(place)
        saved, executed = folder / "execution.json", folder / notebook.name
        with _variables(told(notebook, code, request.overrides, saved)):
            failure = _execute(request, notebook, executed)
        if not saved.exists():
            return Outcome(None, failure)
        rid = keep()(json.loads(saved.read_text()), executed, failure)
    return Outcome(rid, failure)


@contextmanager
def _variables(values: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _execute(request: NotebookRequest, notebook: Path, executed: Path) -> str | None:
    """Execute the notebook; return why it failed, None when it did not."""
    kernel = kernel_for(notebook, request.kernel)
    try:
        papermill.execute_notebook(
            str(notebook),
            str(executed),
            parameters=dict(request.parameters),
            kernel_name=kernel,
            language=language_of(kernel),
            cwd=str(notebook.parent),
            log_output=request.log_output,
            progress_bar=False,
        )
    except PapermillExecutionError as error:
        return f"cell {error.exec_count}: {error.ename}: {error.evalue}"
    except PapermillException as error:
        raise DerivaMLConfigurationError(f"{request.notebook} cannot be run: {error}") from error
    except _KERNEL_TROUBLE as error:
        return f"the kernel died in {_last_cell(executed)}: {str(error) or type(error).__name__}"
    return None


def _last_cell(executed: Path) -> str:
    """Return which cell was running when the kernel ended."""
    began = [cell for cell in cells_of(executed) if cell.get("metadata", {}).get("papermill", {}).get("start_time")]
    number = sum(cell["cell_type"] == "code" for cell in began)
    return f"cell {number}" if number else "its first work"


def parameters_of(notebook: Path) -> str:
    """Return the parameters that the notebook's tagged cell declares, as text.

    Raises:
        DerivaMLConfigurationError: no such notebook.
    """
    if not notebook.is_file():
        raise DerivaMLConfigurationError(f"There is no notebook {notebook}.")
    kernel = kernel_for(notebook)
    with tempfile.TemporaryDirectory(prefix="deriva-ml-notebook-") as place:
        content = json.loads(notebook.read_text())
        content["metadata"]["kernelspec"] = {"name": kernel, "language": language_of(kernel), "display_name": kernel}
        copy = Path(place) / notebook.name
        copy.write_text(json.dumps(content))
        found = papermill.inspect_notebook(str(copy))
    if not found:
        return f"{notebook.name} has no cell with the tag `parameters`."
    return "\n".join(_parameter(name, facts) for name, facts in found.items())


def _parameter(name: str, facts: Mapping[str, Any]) -> str:
    kind = "" if facts["inferred_type_name"] in (None, "None") else f": {facts['inferred_type_name']}"
    about = f"  # {facts['help']}" if facts.get("help") else ""
    return f"{name}{kind} = {facts['default']}{about}"


def read_parameters(file: Path | None, pairs: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """Return the parameters of a JSON or YAML file, and over them those given one by one.

    Raises:
        DerivaMLConfigurationError: the file cannot be read as parameters.
    """
    found: Any = {}
    if file is not None:
        try:
            found = yaml.safe_load(file.read_text())
        except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
            raise DerivaMLConfigurationError(f"{file} cannot be read as JSON or YAML: {error}") from error
    if not isinstance(found, dict):
        raise DerivaMLConfigurationError(f"{file} holds no parameters: it should be a mapping of names to values.")
    return {**found, **{name: _value(text) for name, text in pairs}}


def _value(text: str) -> Any:
    """Return a value typed on the command line: a number, true, false, null, a list or mapping in brackets, else the text."""
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        return text
    if isinstance(value, dict) and not text.lstrip().startswith("{"):
        return text
    return _number(text) if isinstance(value, str) else value


def _number(text: str) -> float | str:
    """Return the number that YAML takes for a text, like 1e-3; else the text."""
    try:
        return float(text)
    except ValueError:
        return text


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
