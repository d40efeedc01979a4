"""Executing the cells of a notebook: the adapter of papermill."""

from __future__ import annotations

import logging
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import papermill
from jupyter_client.manager import AsyncKernelManager
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from papermill.clientwrap import PapermillNotebookClient
from papermill.engines import Engine, papermill_engines
from papermill.exceptions import PapermillException, PapermillExecutionError
from papermill.iorw import load_notebook_node
from papermill.log import logger

from deriva_ml.errors import DerivaMLConfigurationError
from deriva_ml.launch.kernel_ahead import StartedKernel
from deriva_ml.launch.notebook_markdown import cells_of
from deriva_ml.launch.notebook_parameters import check_declared, for_catalog, values
from deriva_ml.launch.notebook_runner import Ending, NotebookRequest
from deriva_ml.launch.notebook_stop import stopping

_ENGINE = "deriva-ml"
_KERNEL_TROUBLE = (DeadKernelError, CellTimeoutError, RuntimeError)
logger.setLevel(logging.ERROR)  # what it warns of is refused here, or meant


class _Client(PapermillNotebookClient):  # type: ignore[misc]
    """Papermill's client; what cells print goes to where people look, not into a log."""

    def log_output_message(self, output: Any) -> None:
        if output.output_type == "stream":
            print(output.text, end="", flush=True, file=sys.stderr if output.name == "stderr" else sys.stdout)
        elif "text/plain" in output.get("data", ()):
            print(output.data["text/plain"], flush=True)


class _Engine(Engine):  # type: ignore[misc]
    """Papermill's own engine, but with a kernel that runs already."""

    @classmethod
    def execute_managed_notebook(
        cls, nb_man: Any, kernel_name: str, *, kernel: AsyncKernelManager, log_output: bool = False, **_: Any
    ) -> None:
        client = _Client(nb_man, km=kernel, kernel_name=kernel_name, log=logger, log_output=log_output, timeout=None)
        try:
            client.execute()
        finally:
            if client.kc is not None:
                client.kc.stop_channels()


papermill_engines.register(_ENGINE, _Engine)


@dataclass(frozen=True, slots=True)
class Declared:
    """What a notebook declares: default, type and help of each parameter, and whether it has a cell for them at all."""

    parameters: Mapping[str, Mapping[str, Any]]
    tagged: bool

    @property
    def defaults(self) -> dict[str, str]:
        """The source text of each parameter's default."""
        return {name: str(facts["default"]) for name, facts in self.parameters.items()}


def declared(notebook: Path, kernel: str, language: str) -> Declared:
    """Return which parameters the notebook declares, read as the language of ``kernel`` whatever it was written for.

    Raises:
        DerivaMLConfigurationError: papermill cannot read it.
    """
    try:
        content = load_notebook_node(str(notebook))
        content = nbformat.from_dict(content)  # type: ignore[no-untyped-call]  # format 3 comes as something less
        content.metadata["kernelspec"] = {"name": kernel, "language": language, "display_name": kernel}
        found = papermill.inspect_notebook(content)
    except (PapermillException, ValueError, AttributeError, KeyError, TypeError) as error:
        raise DerivaMLConfigurationError(f"{notebook} cannot be read as a notebook: {error}") from error
    return Declared(found, any("parameters" in cell.metadata.tags for cell in content.cells))


def parameters_of(notebook: Path, kernel: str, language: str) -> str:
    """Return the parameters that the notebook's tagged cell declares, as text.

    Raises:
        DerivaMLConfigurationError: papermill cannot read it.
    """
    found = declared(notebook, kernel, language)
    if not found.tagged:
        return f"{notebook.name} has no cell with the tag `parameters`."
    if not found.parameters:
        return f"The cell of {notebook.name} with the tag `parameters` assigns nothing that can be read from here."
    return "\n".join(_parameter(name, facts) for name, facts in found.parameters.items())


def _parameter(name: str, facts: Mapping[str, Any]) -> str:
    kind = "" if facts["inferred_type_name"] in (None, "None") else f": {facts['inferred_type_name']}"
    about = f"  # {facts['help']}" if facts.get("help") else ""
    return f"{name}{kind} = {facts['default']}{about}"


def execute(request: NotebookRequest, kernel: StartedKernel, executed: Path) -> Ending:
    """Execute the notebook in ``kernel``, write it with its outputs as ``executed``; return how it ended.

    Raises:
        DerivaMLConfigurationError: papermill does not take the notebook, or it does not declare a parameter.
    """
    notebook = request.notebook.absolute()
    parameters = _parameters(request, declared(notebook, kernel.manager.kernel_name, kernel.language))
    try:
        with stopping(kernel.process) as stop:
            papermill.execute_notebook(
                _unformatted(notebook),
                _unformatted(executed),
                engine_name=_ENGINE,
                parameters=parameters,
                kernel_name=kernel.manager.kernel_name,
                language=kernel.language,
                cwd=str(notebook.parent),
                log_output=request.log_output,
                progress_bar=False,
                kernel=kernel.manager,
            )
    except PapermillExecutionError as error:
        if stop.signal is not None:
            return _stopped(stop.signal, executed)
        return Ending(f"cell {error.exec_count}: {error.ename}: {error.evalue}")
    except PapermillException as error:
        raise DerivaMLConfigurationError(f"{notebook} cannot be run: {error}") from error
    except _KERNEL_TROUBLE as error:
        return Ending(f"the kernel died in {_last_cell(executed)}: {str(error) or type(error).__name__}")
    except KeyboardInterrupt:
        return _stopped(stop.signal or signal.SIGINT, executed)
    return Ending()


def _stopped(by: signal.Signals, executed: Path) -> Ending:
    return Ending(f"stopped by {by.name} in {_last_cell(executed)}", by)


def _parameters(request: NotebookRequest, found: Declared) -> dict[str, Any]:
    """Return the parameters to run with; all of them are names that the notebook declares."""
    given = {**request.given, **values(request.typed, found.defaults)}
    check_declared(given, found.parameters, request.notebook.name)
    if given and not found.tagged:
        print(f"{request.notebook.name} has no cell with the tag `parameters`: they come first.", file=sys.stderr)
    return {**for_catalog(request.host, request.catalog, found.parameters), **given}


def _unformatted(path: Path) -> str:
    """Return the path so that papermill, which fills in parameters between braces, leaves it as it is."""
    return str(path).replace("{", "{{").replace("}", "}}")


def _last_cell(executed: Path) -> str:
    """Return which cell was running when the kernel ended."""
    began = [cell for cell in cells_of(executed) if cell.get("metadata", {}).get("papermill", {}).get("start_time")]
    number = sum(cell["cell_type"] == "code" for cell in began)
    return f"cell {number}" if number else "its first work"
