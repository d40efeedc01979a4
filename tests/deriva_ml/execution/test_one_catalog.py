"""One catalog, whatever its address: in its folder, and served under one port or another; and another catalog at an address that was its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from deriva_ml import DerivaML, DerivaMLStateInconsistency, Workflow
from deriva_ml.catalog.identity import PROVENANCE_TAG
from deriva_ml.catalog.port import Request
from deriva_ml.catalog.session import Catalog
from deriva_ml.execution import ExecutionStatus
from deriva_ml.execution.execution import Execution
from deriva_ml.names import encode
from deriva_ml.schema.install import install

S = ExecutionStatus


@contextmanager
def served(home: Path) -> Iterator[str]:
    """The address of ``deriva-ml serve`` for the store of a home."""
    command = [sys.executable, "-m", "deriva_ml.cli.serve", "--store", str(home), "--port", "0", "--open"]
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


def test_what_waits_for_one_catalog_is_never_sent_to_another_at_its_address(
    local_lab: DerivaML, workflow: Workflow, home: Path, tmp_path: Path
) -> None:
    waits = far_run(DerivaML(mode="offline"), workflow, "for the first catalog")
    sealed = waits.seal()
    local_lab.session.port.close()
    (home / "catalog").rename(tmp_path / "first")
    second = DerivaML()  # the same address, and a catalog that knows nothing of the first one
    assert second.commit_pending_executions().execution_rids == []
    assert second.workspace != local_lab.workspace and second.list_executions() == []
    with pytest.raises(DerivaMLStateInconsistency, match="Choose the one that it was made for"):
        second.load_sealed_bag(sealed)
    assert DerivaML(mode="offline").workspace == second.workspace  # to which the address led last
    second.session.port.close()
    shutil.rmtree(home / "catalog")
    (tmp_path / "first").rename(home / "catalog")
    first = DerivaML()
    assert first.workspace == local_lab.workspace
    assert first.commit_pending_executions().errors == []
    assert [run.description for run in first.find_executions()] == ["for the first catalog"]


def test_a_clone_on_the_same_server_is_another_catalog(local_lab: DerivaML, home: Path) -> None:
    port, session = local_lab.session.port, local_lab.session
    note = session.document()["annotations"][PROVENANCE_TAG]
    made = session.read(port.send(Request("POST", "/ermrest/catalog", {"content-type": "application/json"}, b"{}")))
    clone = Catalog(port, made["id"])
    install(clone)
    clone.request("PUT", f"/annotation/{encode(PROVENANCE_TAG)}", json=note)
    opened = DerivaML(catalog_id=made["id"])
    assert opened.workspace != local_lab.workspace and opened.session.identity != session.identity
