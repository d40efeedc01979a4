"""``deriva-ml-upload``: exit code 0 when all was committed, 1 when some was not, 2 when nothing could be begun."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from deriva_ml import DerivaML, Workflow

SECONDS = 60


def upload(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "deriva_ml.cli.upload", *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=SECONDS, cwd=cwd, env={**os.environ}
    )


@pytest.fixture
def waiting(home: Path) -> tuple[DerivaML, str, str]:
    """Two executions that wait: one whole, one that lacks a file."""
    ml = DerivaML()
    workflow = Workflow(name="x", workflow_type="Training", url="https://example.org/x", checksum="x")
    rids = []
    for name, written in (("whole", True), ("broken", False)):
        with ml.create_execution(workflow=workflow) as exe:
            path = exe.asset_file_path("Execution_Asset", f"{name}.txt")
            if written:
                path.write_text(name)
        rids.append(exe.rid)
    ml.session.port.close()
    return ml, rids[0], rids[1]


def test_one_execution_is_committed_and_cleaned(waiting: tuple[DerivaML, str, str]) -> None:
    ml, whole, _ = waiting
    done = upload("--execution", whole, "--clean")
    assert (done.returncode, done.stderr.count("\n")) == (0, 2)
    assert f"execution {whole}: uploading, 1 file, 5 bytes" in done.stderr
    assert f"Execution {whole}: 1 row committed" in done.stdout
    assert str(ml.lookup_execution(whole).status) == "Uploaded"
    assert not (ml.workspace / "executions" / whole).exists()


def test_a_part_that_fails_is_told_and_the_rest_is_done(waiting: tuple[DerivaML, str, str]) -> None:
    ml, whole, broken = waiting
    done = upload("--json")
    assert done.returncode == 1
    report = json.loads(done.stdout)
    assert set(report["execution_rids"]) == {whole, broken}
    assert (report["total_uploaded"], report["total_failed"]) == (1, 1)
    assert f"Error: {broken}: " in done.stderr
    assert "no file was written" in done.stderr
    assert str(ml.lookup_execution(whole).status) == "Uploaded"


def test_the_place_can_be_named(home: Path, tmp_path: Path, waiting: tuple[DerivaML, str, str]) -> None:
    _, whole, _ = waiting
    elsewhere = upload("--working-dir", str(tmp_path / "empty"))
    assert (elsewhere.returncode, elsewhere.stdout.strip()) == (0, "Nothing is waiting to be committed.")
    assert upload("--working-dir", str(home), "--execution", whole).returncode == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--mode", "offline"], "cannot be made offline"),
        (["--host", "localhost:1", "--catalog", "1"], "localhost:1 does not answer"),
        (["--catalog", "99"], "99"),
        (["--nonsense"], "No such option"),
    ],
    ids=["offline", "host", "catalog", "usage"],
)
def test_what_cannot_be_begun_is_one_sentence(home: Path, arguments: list[str], message: str) -> None:
    done = upload(*arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
