"""One catalog, whatever its address: in its folder, and served under one port or another; and another catalog at an address that was its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from deriva_ml import DerivaML, DerivaMLOfflineError, DerivaMLStateInconsistency, Workflow
from deriva_ml.execution import ExecutionStatus
from deriva_ml.execution.execution import Execution

S = ExecutionStatus


@contextmanager
def served(home: Path, port: int = 0) -> Iterator[str]:
    """The address of ``deriva-ml serve`` for the store of a home."""
    command = [sys.executable, "-m", "deriva_ml.cli.serve", "--store", str(home), "--port", str(port), "--open"]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        yield process.stdout.readline().split()[0].removeprefix("http://")
        process.terminate()


def far_run(ml: DerivaML, workflow: Workflow, name: str) -> Execution:
    with ml.create_execution(workflow=workflow, description=name) as exe:
        exe.asset_file_path("Image", f"{name}.txt").write_text(name)
    return exe


def test_by_whatever_address_it_is_one_catalog(local_lab: DerivaML, workflow: Workflow, tmp_path: Path) -> None:
    away = DerivaML(mode="offline")
    here, sealed_here = far_run(away, workflow, "in the folder"), far_run(away, workflow, "sealed in the folder").seal()
    with served(local_lab.working_dir) as address:
        road = DerivaML(address, 1)
        assert (road.workspace, road.session.identity) == (local_lab.workspace, local_lab.session.identity)
        by_address = far_run(DerivaML(address, 1, mode="offline"), workflow, "by its address")
        report = road.commit_pending_executions(execution_rids=[here.rid])
        assert report.errors == []

        other = DerivaML(address, 1, working_dir=tmp_path / "other")  # another machine, which reaches the server only
        assert other.load_sealed_bag(sealed_here).errors == []
        far = DerivaML(address, 1, working_dir=tmp_path / "other", mode="offline")
        sealed_there = far_run(far, workflow, "sealed by its address").seal()
    assert local_lab.load_sealed_bag(sealed_there).errors == []
    assert DerivaML().commit_pending_executions(execution_rids=[by_address.rid]).errors == []
    told = {run.description for run in local_lab.find_executions(status=S.Uploaded)}
    assert told == {"in the folder", "sealed in the folder", "by its address", "sealed by its address"}


def test_what_another_catalog_waits_for_is_never_sent_to_this_one(
    local_lab: DerivaML, workflow: Workflow, tmp_path: Path
) -> None:
    with served(local_lab.working_dir) as address:
        DerivaML(address, 1, working_dir=tmp_path / "machine")
    away = DerivaML(address, 1, working_dir=tmp_path / "machine", mode="offline")
    waits = far_run(away, workflow, "for the first catalog")
    sealed = waits.seal()
    stranger = DerivaML(working_dir=tmp_path / "stranger")
    with pytest.raises(DerivaMLStateInconsistency, match="Choose the one that it was made for"):
        stranger.load_sealed_bag(sealed)
    with served(stranger.working_dir, int(address.rpartition(":")[2])) as same_address:
        assert same_address == address
        second = DerivaML(address, 1, working_dir=tmp_path / "machine")
        assert second.commit_pending_executions().execution_rids == []
        assert second.workspace != waits.working_dir.parents[1]
        with pytest.raises(DerivaMLOfflineError, match="Open it online once"):
            DerivaML(address, 2, working_dir=tmp_path / "machine", mode="offline")
        assert DerivaML(address, 1, working_dir=tmp_path / "machine", mode="offline").workspace == second.workspace
    with served(local_lab.working_dir) as another_port:
        first = DerivaML(another_port, 1, working_dir=tmp_path / "machine")
        assert first.commit_pending_executions().errors == []
        assert [run.description for run in first.find_executions()] == ["for the first catalog"]
    stranger.session.port.close()
