"""A login that expires in the middle of a run: a clear error, nothing lost, and the next commit goes on after the next login."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from deriva_ml import DerivaML, DerivaMLUploadError, Workflow
from deriva_ml.execution import ExecutionStatus
from deriva_ml.schema import create_ml_catalog


@pytest.fixture
def guarded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, str]]:
    """A server that asks for its token, and that token, which is in the environment."""
    store = tmp_path / "store"
    command = [sys.executable, "-m", "deriva_ml.cli.serve", "--store", str(store), "--port", "0"]
    quiet = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=quiet) as server:
        assert server.stdout is not None
        address = server.stdout.readline().split()[0]
        token = (store / "token").read_text().strip()
        monkeypatch.setenv("DERIVA_ML_TOKEN", token)
        yield address, token
        server.terminate()


def test_a_commit_goes_on_after_the_next_login(
    guarded: tuple[str, str], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address, token = guarded
    ml = DerivaML(address, create_ml_catalog(address, "domain").catalog_id)
    workflow = Workflow(name="w", workflow_type="Training", url="https://example.org/w", checksum="w")
    with ml.create_execution(workflow=workflow) as exe:
        for number in range(3):
            exe.asset_file_path("Execution_Asset", f"{number}.txt").write_text(f"{number}")
        monkeypatch.setenv("DERIVA_ML_TOKEN", "expired")
        ml.session.port.credential = {"bearer-token": "expired"}  # type: ignore[attr-defined]
    with pytest.raises(
        DerivaMLUploadError, match=r"does not know you \(401\): log in with(?s:.)*goes on where this stopped"
    ):
        exe.commit_output_assets()
    assert exe.status is ExecutionStatus.Failed
    monkeypatch.setenv("DERIVA_ML_TOKEN", token)
    assert exe.commit_output_assets().total_uploaded == 3
    assert ml.lookup_execution(exe.rid).status == "Uploaded"
    ml.session.port.close()
