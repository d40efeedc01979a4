"""``run_notebook`` in Jupyter: cells typed one by one into a kernel, which is mended, begun again, restarted and killed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.manager import KernelManager
from launch_lab import BEGIN, STAGE, commit, write_notebook, write_project

from deriva_ml import DerivaML
from deriva_ml.execution.record import ExecutionRecord

ANALYSIS = BEGIN.format(name='"analysis"')


class Jupyter:
    """Somebody who types cells into a notebook; what a front end does is a kernel, and a client that talks to it."""

    def __init__(self, project: Path, home: Path) -> None:
        self.project = project
        self.home = home
        self.kernel = KernelManager()
        self._client: Any = None

    def open(self, **variables: str) -> None:
        """Open the notebook: a kernel starts beside it."""
        self.kernel = KernelManager(kernel_name="python3")
        environment = {name: value for name, value in os.environ.items() if not name.startswith("DERIVA_ML")}
        environment |= {"DERIVA_ML_HOME": str(self.home), **variables}
        self.kernel.start_kernel(cwd=str(self.project / "notebooks"), env=environment)
        self._connect()

    def _connect(self) -> None:
        self._client = self.kernel.blocking_client()
        self._client.start_channels()
        self._client.wait_for_ready(timeout=60)

    def restart(self) -> None:
        """Choose "restart the kernel" from the menu."""
        self._client.stop_channels()
        self.kernel.restart_kernel()
        self._connect()

    def kill(self) -> None:
        """What the operating system does when memory is short."""
        self._client.stop_channels()
        self.kernel.signal_kernel(9)
        self.kernel.shutdown_kernel(now=True)

    def close(self) -> None:
        if self.kernel.has_kernel:
            self._client.stop_channels()
            self.kernel.shutdown_kernel(now=True)

    def type(self, cell: str) -> str:
        """Run a cell; return what it showed."""
        shown: list[str] = []

        def show(message: dict[str, Any]) -> None:
            content = message["content"]
            if message["msg_type"] == "error":
                shown.append(f"{content['ename']}: {content['evalue']}")
            else:
                shown.append(content.get("text") or content.get("data", {}).get("text/plain", ""))

        self._client.execute_interactive(cell, output_hook=show, timeout=60)
        return "".join(shown).strip()

    def newest(self) -> ExecutionRecord:
        """Open the catalog in another process than the kernel: this one."""
        return next(iter(DerivaML(working_dir=self.home).find_executions(sort=True)))


@pytest.fixture(scope="module")
def jupyter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Jupyter]:
    folder = tmp_path_factory.mktemp("typed")
    project = write_project(folder / "project")
    notebook = write_notebook(project / "notebooks" / "by_hand.ipynb", BEGIN.format(name=""), STAGE)
    commit(project, "a notebook")
    someone = Jupyter(project, folder / "home")
    someone.open(JPY_SESSION_NAME=str(notebook))
    yield someone
    someone.close()


def test_cell_by_cell(jupyter: Jupyter) -> None:
    """The configuration is named after the file; a failing cell is mended and run again; the last cell commits."""
    assert jupyter.type(BEGIN.format(name="")) == ""
    record = jupyter.newest()
    assert str(record.status) == "Running"
    assert str(record.workflow.url).endswith("/notebooks/by_hand.ipynb") and record.workflow.checksum
    assert jupyter.type("1 / 0") == "ZeroDivisionError: division by zero"
    assert jupyter.type("str(execution.status), type(config).__name__") == "('Running', 'BaseConfig')"
    jupyter.type(STAGE)
    assert "committed" in jupyter.type("print(execution.commit_output_assets())")
    record = jupyter.newest()
    assert str(record.status) == "Uploaded"
    assert "result.txt" in {asset.filename for asset in record.list_assets(asset_role="Output")}


def test_a_configuration_can_be_had_without_an_execution(jupyter: Jupyter) -> None:
    before = jupyter.newest().execution_rid
    jupyter.type("from deriva_ml.execution import BaseConfig, DerivaBaseConfig, get_notebook_configuration")
    compose = 'get_notebook_configuration(BaseConfig, {}, overrides=["description=tried"])'
    told = "found.description, found.config_choices['datasets']"
    for name in ('"analysis"', '"made_here"'):
        assert jupyter.type(f"found = {compose.format(name)}\n{told}") == "('tried', 'default_dataset')"
    assert jupyter.newest().execution_rid == before


def test_the_first_cell_is_run_again(jupyter: Jupyter) -> None:
    jupyter.type(ANALYSIS)
    empty = jupyter.newest()
    assert jupyter.type(f"{ANALYSIS}\n{STAGE}") == "8"
    staged = jupyter.newest()
    said = jupyter.type('ml, execution, config = run_notebook("analysis", overrides=["description=once more"])')
    assert f"deriva-ml-upload --execution {staged.execution_rid}" in said
    ml = DerivaML(working_dir=jupyter.home)
    found = [ml.lookup_execution(run.execution_rid) for run in (empty, staged, jupyter.newest())]
    assert [str(run.status) for run in found] == ["Aborted", "Stopped", "Running"]
    assert found[-1].description == "once more" and jupyter.type("config.description") == "'once more'"


@pytest.mark.parametrize("ending", ["restart", "kill"])
def test_the_next_open_tells_how_a_kernel_ended(jupyter: Jupyter, ending: str) -> None:
    """Nothing staged is lost, however the kernel ends."""
    jupyter.type(f"{ANALYSIS}\n{STAGE}")
    rid = jupyter.newest().execution_rid
    getattr(jupyter, ending)()
    ml = DerivaML(working_dir=jupyter.home)
    record = ml.lookup_execution(rid)
    assert str(record.status) == "Pending_Upload" and "ended without closing" in str(record.status_detail)
    ml.resume_execution(rid).commit_output_assets()
    assert "result.txt" in {asset.filename for asset in record.list_assets(asset_role="Output")}


def test_a_kernel_that_does_not_know_its_file_says_what_to_type(jupyter: Jupyter) -> None:
    """The one before was killed; this one has no front end that names the notebook, until VS Code does."""
    jupyter.open(JPY_SESSION_NAME="gone.ipynb")
    said = jupyter.type(BEGIN.format(name=""))
    assert said.startswith("DerivaMLConfigurationError:") and 'run_notebook("name")' in said
    named = jupyter.project / "notebooks" / "by_hand.ipynb"
    assert jupyter.type(f"__vsc_ipynb_file__ = {str(named)!r}\n{BEGIN.format(name='')}\nml, execution") != said
    assert jupyter.newest().workflow.name == "by_hand"
