"""A run belongs to the process that began it: nobody else moves it while that process lives, its own workers included."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
from pathlib import Path

import pytest

from deriva_ml import DerivaML, Workflow
from deriva_ml.errors import DerivaMLBusyError
from deriva_ml.execution import ExecutionStatus, liveness
from deriva_ml.execution.run import lock_file

S = ExecutionStatus

RUNS = """
import sys
from deriva_ml import DerivaML, Workflow
ml = DerivaML()
workflow = Workflow(name="w", workflow_type="Training", url="https://example.org/w", checksum="w")
with ml.create_execution(workflow=workflow) as exe:
    staged = exe.asset_file_path("Image", "model.pt")
    staged.write_text("half")
    print(exe.execution_rid, flush=True)
    sys.stdin.readline()
    staged.write_text("the whole")
    exe.asset_file_path("Image", "late.txt").write_text("late")
print(exe.status)
exe.commit_output_assets(progress_callback=lambda step: (print("committing", flush=True), sys.stdin.readline()) if step.file_name == "late.txt" and step.phase == "Staging" else None)
print(exe.status)
"""


def test_a_living_run_and_a_living_commit_are_not_moved_from_elsewhere(local_lab: DerivaML) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", RUNS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as run:
        assert run.stdin is not None
        assert run.stdout is not None
        rid = run.stdout.readline().strip()
        exe = local_lab.resume_execution(rid)
        for move in ("Pending_Upload", "Stopped", "Failed", "Aborted"):
            with pytest.raises(DerivaMLBusyError, match=rf"{rid} cannot be moved from Running: process {run.pid}"):
                exe.update_status(move)
        with pytest.raises(DerivaMLBusyError, match="cannot be committed here"):
            exe.commit_output_assets()
        assert "cannot be committed here" in local_lab.commit_pending_executions(execution_rids=rid).errors[0]
        exe.update_status("Running", "a message is free")
        record, (snapshot,) = local_lab.lookup_execution(rid), local_lab.list_executions()
        for move in ("Pending_Upload", "Stopped", "Failed", "Aborted"):
            with pytest.raises(DerivaMLBusyError, match=rf"{rid} cannot be moved: process {run.pid}"):
                record.update_status(move, "from elsewhere")
            with pytest.raises(DerivaMLBusyError, match=f"process {run.pid}"):
                snapshot.update_status(move, ml=local_lab)
        record.update_status("Running", "so is this one")
        print(file=run.stdin, flush=True)
        assert run.stdout.readline().strip() == "Stopped"
        assert run.stdout.readline().strip() == "committing"
        with pytest.raises(DerivaMLBusyError, match="cannot be moved from Pending_Upload"):
            exe.update_status("Failed", "not from here")
        with pytest.raises(DerivaMLBusyError, match="cannot be moved: process"):
            local_lab.lookup_execution(rid).update_status("Uploaded")
        upload = subprocess.Popen(
            [sys.executable, "-m", "deriva_ml.cli.upload"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert upload.stderr is not None
        assert f"Execution {rid}: another process commits it just now; waiting" in upload.stderr.readline()
        print(file=run.stdin, flush=True)
        assert run.stdout.readline().strip() == "Uploaded"
    said, wrong = upload.communicate(timeout=60)
    assert (upload.returncode, f"{rid} was committed by another process meanwhile" in said) == (0, True), said + wrong
    assert {a.filename: a.length for a in exe.list_assets("Output") if a.asset_table == "Image"} == {
        "model.pt": 9,
        "late.txt": 4,
    }


@pytest.mark.parametrize("end", ["raise ValueError('a worker')", "sys.exit(0)", "pass"])
def test_a_worker_that_leaves_the_block_does_not_end_the_run(local_lab: DerivaML, end: str) -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            f"""
import os, sys
from deriva_ml import DerivaML, Workflow
ml = DerivaML()
workflow = Workflow(name="w", workflow_type="Training", url="https://example.org/w", checksum="w")
with ml.create_execution(workflow=workflow) as exe:
    child = os.fork()
    if child == 0:
        exe.log_metrics({{"worker": 1}})
        {end}
    else:
        os.waitpid(child, 0)
        print(exe.status)
        exe.log_metrics({{"parent": 2}})
if child == 0:
    os._exit(0)
print(exe.status, exe.rid, len(exe.metrics))
""",
        ],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout.split()[:2] == ["Running", "Stopped"], done.stderr
    assert done.stdout.split()[3] == "2"


def owned_by_another_host(ml: DerivaML, workflow: Workflow) -> str:
    """A run of this workspace that says that another machine runs it."""
    exe = ml.create_execution(workflow=workflow)
    exe.execution_start()
    exe._run.store.annotate(exe.rid, owner=json.dumps({"host": "far-away", "pid": 1}))
    liveness.release(exe._run.lock_file("run"))
    return exe.rid


def test_a_run_of_another_host_is_not_called_dead(local_lab: DerivaML, workflow: Workflow) -> None:
    rid = owned_by_another_host(local_lab, workflow)
    exe = local_lab.resume_execution(rid)
    for move in (exe.commit_output_assets, lambda: exe.update_status("Pending_Upload"), exe.abort):
        with pytest.raises(DerivaMLBusyError, match=f"runs on far-away, or died there(?s:.)*deriva-ml mark {rid}"):
            move()
    report = local_lab.commit_pending_executions(execution_rids=rid)
    assert "far-away" in report.errors[0]
    assert local_lab.mark_execution(rid, "Pending_Upload", "its disk burnt") == S.Running
    assert exe.commit_output_assets().execution_rids == [rid]


def test_a_dead_run_can_be_given_up_by_hand(local_lab: DerivaML, workflow: Workflow) -> None:
    rid = owned_by_another_host(local_lab, workflow)
    local_lab.mark_execution(rid, "Pending_Upload", "died")
    local_lab.mark_execution(rid, "Aborted", "not worth keeping")
    record = local_lab.lookup_execution(rid)
    assert (record.status, record.status_detail) == (S.Aborted, "not worth keeping")


def test_naming_the_state_that_it_has_leaves_the_cause(local_lab: DerivaML, workflow: Workflow) -> None:
    rid = owned_by_another_host(local_lab, workflow)
    local_lab.mark_execution(rid, "Pending_Upload", "ended by SIGTERM")
    exe = local_lab.resume_execution(rid)
    exe.update_status("Pending_Upload")
    assert local_lab.lookup_execution(rid).status_detail == "ended by SIGTERM"
    exe.update_status("Pending_Upload", "looked at")
    assert local_lab.lookup_execution(rid).status_detail == "looked at"


def test_the_dead_are_nobodys(local_lab: DerivaML) -> None:
    """The lock of a killed process is free: its run is settled and committed by whoever comes."""
    killed = RUNS.replace("sys.stdin.readline()", "__import__('os').kill(__import__('os').getpid(), 9)", 1)
    run = subprocess.run([sys.executable, "-c", killed], capture_output=True, text=True)
    exe = local_lab.resume_execution(run.stdout.strip())
    assert exe.status is S.Pending_Upload
    assert exe.commit_output_assets().total_uploaded == 1


@pytest.mark.parametrize("other", ["through a link", "another way"])
def test_a_home_under_another_name_is_the_same_home(
    local_lab: DerivaML, home: Path, workflow: Workflow, tmp_path: Path, other: str
) -> None:
    """Locks belong to the process, not to the name of their file: a second one would end the first."""
    (tmp_path / "link").symlink_to(home)
    exe = local_lab.create_execution(workflow=workflow)
    with exe:
        DerivaML(working_dir=tmp_path / "link" if other == "through a link" else home / ".." / home.name)
        assert exe.status is S.Running
        assert liveness.alive(lock_file(local_lab.workspace, exe.execution_rid, "run"))
    assert exe.status is S.Stopped


def test_a_lock_has_one_keeper_whatever_leads_to_its_file(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "home")
    lock = liveness.take(tmp_path / "home" / "x.create", "a test")
    kept = liveness.keeper(tmp_path / "home" / "x.create")
    assert liveness.keeper(tmp_path / "link" / "x.create") is kept
    gc.collect()
    assert lock.held
    del kept
    gc.collect()
    assert not lock.held
    assert not liveness.alive(tmp_path / "nowhere" / "x.create")
