"""A sweep of eight jobs through submitit on a real Slurm of one node; the workers open the catalog in its folder, or over HTTP."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from deriva_ml import DerivaML
from deriva_ml.catalog.rows import select
from deriva_ml.names import TableName
from torture.slurm_node import slurm, unpacked

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests" / "deriva_ml" / "launch"))

from launch_lab import write_project  # noqa: E402

CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "deriva-ml-torture" / "slurm"
SWEEP = ("-m", "model_config.lr=range(1,9)", "hydra/launcher=submitit_slurm", "hydra.launcher.timeout_min=5")
FIT = ("hydra.launcher.mem_gb=1", "hydra.launcher.cpus_per_task=1")


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A running Slurm, and a home of the test's own."""
    with slurm(unpacked(CACHE), tmp_path_factory.mktemp("slurm")) as found:
        yield {name: value for name, value in found.items() if not name.startswith("DERIVA_ML")}


def run(project: Path, environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "deriva_ml.cli.run", *arguments]
    return subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, timeout=500)


def statuses(ml: DerivaML) -> tuple[str, list[tuple[int, str]]]:
    parents = [run for run in ml.find_executions(sort=True) if run.list_execution_children()]
    table = TableName(ml.ml_schema, "Execution_Execution")
    links = select(ml.session, table, {"Execution": parents[0].execution_rid}, sort=("Sequence",))
    found = [(row["Sequence"], str(ml.lookup_execution(row["Nested_Execution"]).status)) for row in links]
    return str(parents[0].status), found


EXPECTED = ("Uploaded", [(number, "Uploaded") for number in range(8)])


def test_workers_on_the_node_open_the_catalog_in_its_folder(environment: dict[str, str], tmp_path: Path) -> None:
    project = write_project(tmp_path / "project")
    done = run(project, {**environment, "DERIVA_ML_HOME": str(tmp_path / "home")}, *SWEEP, *FIT)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "8 of 8 jobs committed" in done.stdout
    assert statuses(DerivaML(working_dir=tmp_path / "home")) == EXPECTED


def test_workers_reach_a_served_catalog_with_its_token(
    environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = write_project(tmp_path / "project")
    DerivaML(working_dir=tmp_path / "served").session.port.close()
    store = tmp_path / "served" / "catalog"
    command = [sys.executable, "-m", "deriva_ml.cli.serve", "--store", str(store), "--port", "0"]
    quiet = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=quiet) as server:
        assert server.stdout is not None
        address = server.stdout.readline().split()[0]
        token = (store / "token").read_text().strip()
        home = {"DERIVA_ML_HOME": str(tmp_path / "home"), "DERIVA_ML_TOKEN": token}
        done = run(project, {**environment, **home}, "--host", address, "--catalog", "1", *SWEEP, *FIT)
        monkeypatch.setenv("DERIVA_ML_TOKEN", token)
        try:
            assert done.returncode == 0, done.stdout + done.stderr
            assert statuses(DerivaML(address, "1", working_dir=tmp_path / "home")) == EXPECTED
        finally:
            server.terminate()


def test_jobs_that_slurm_never_starts_are_said_and_run_again(environment: dict[str, str], tmp_path: Path) -> None:
    """The node cannot ever give what the jobs ask for; then a job that waits in the queue is cancelled."""
    project = write_project(tmp_path / "project")
    home = {**environment, "DERIVA_ML_HOME": str(tmp_path / "home")}
    asked = ("-m", "model_config.lr=1,2,3", "hydra/launcher=submitit_slurm", "hydra.launcher.timeout_min=5")
    refused = run(project, home, *asked, "hydra.launcher.cpus_per_task=1", "hydra.launcher.mem_gb=1000000")
    assert refused.returncode == 1 and refused.stdout.count("not started: ") == 3, refused.stdout + refused.stderr
    parent = refused.stdout.split("--continue ")[1].split()[0]
    went_on = run(project, home, "--continue", parent, "hydra.launcher.mem_gb=1")
    assert went_on.returncode == 0 and "3 of 3 jobs committed" in went_on.stdout, went_on.stdout + went_on.stderr

    queued = (*asked, "hydra.launcher.cpus_per_task=2", "hydra.launcher.mem_gb=1")  # the node has two: one at a time
    command = [sys.executable, "-m", "deriva_ml.cli.run", *queued]
    slow = {**home, "WAIT": "6"}
    with subprocess.Popen(command, cwd=project, env=slow, stdout=subprocess.PIPE, text=True) as sweep:
        _cancel_one_that_waits(environment)
        said = sweep.communicate(timeout=300)[0]
    assert sweep.returncode == 1 and "2 of 3 jobs committed" in said, said
    assert "not started: Job" in said and "left Slurm's queue without a result" in said


def _cancel_one_that_waits(environment: dict[str, str]) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        ask = ["squeue", "-h", "-r", "-t", "PENDING", "-o", "%i"]
        waiting = subprocess.run(ask, env=environment, capture_output=True, text=True).stdout.split()
        if len(waiting) == 2:
            subprocess.run(["scancel", waiting[-1]], env=environment, check=True)
            return
        time.sleep(0.2)
    raise AssertionError("no job waits in the queue")
