"""However a process ends, its run is not Running when the catalog is opened next, and what is known of the cause is said."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from deriva_ml import DerivaML, DerivaMLBusyError, DerivaMLValidationError, Workflow
from deriva_ml.environment.host import pid_namespace
from deriva_ml.execution import ExecutionStatus
from deriva_ml.execution.run import lock_file
from deriva_ml.execution.store import ExecutionStore

S = ExecutionStatus


def running_child(
    home: Path, workflow: Workflow, then: Callable[[], object], *, in_thread: bool = False
) -> tuple[int, str]:
    """Fork a process that starts a run, perhaps in another thread, and goes on with ``then``; return its id and the run's RID."""
    told = home.parent / "rid.txt"
    told.unlink(missing_ok=True)
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)  # under nohup it is ignored
        exe = DerivaML(working_dir=home).create_execution(workflow=workflow)
        if in_thread:
            thread = threading.Thread(target=exe.__enter__)
            thread.start()
            thread.join()
        else:
            exe.__enter__()
        exe.log_metrics({"loss": 1})
        told.with_suffix(".tmp").write_text(exe.rid)
        told.with_suffix(".tmp").replace(told)
        then()
        os._exit(0)
    while not told.exists():
        time.sleep(0.01)
    return child, told.read_text()


def end(child: int, number: signal.Signals | None) -> int:
    if number is not None:
        os.kill(child, number)
    return os.waitpid(child, 0)[1]


@pytest.mark.parametrize(
    ("number", "detail"),
    [
        (signal.SIGTERM, "ended by SIGTERM"),
        (signal.SIGHUP, "ended by SIGHUP"),
        (signal.SIGKILL, "ended without closing"),
        (None, "ended without closing"),
    ],
)
def test_a_run_whose_process_is_gone_can_be_uploaded_and_says_why(
    local_lab: DerivaML, home: Path, workflow: Workflow, number: signal.Signals | None, detail: str
) -> None:
    child, rid = running_child(home, workflow, (lambda: os._exit(3)) if number is None else signal.pause)
    status = end(child, number)
    assert (
        os.WTERMSIG(status) == number if number else os.WEXITSTATUS(status) == 3
    )  # the signal still means what it did
    found = DerivaML(working_dir=home).lookup_execution(rid)
    assert found.status is S.Pending_Upload
    assert (found.status_detail or "").startswith(detail)
    exe = local_lab.resume_execution(rid)
    assert exe.commit_output_assets().total_uploaded == 1
    assert exe.status is S.Uploaded


@pytest.fixture
def heard() -> Iterator[None]:
    """SIGINT as a terminal has it: a shell that runs the tests in the background has it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("heard")
def test_ctrl_c_fails_the_run_and_names_itself(local_lab: DerivaML, workflow: Workflow) -> None:
    with pytest.raises(KeyboardInterrupt), local_lab.create_execution(workflow=workflow) as exe:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(5)
    assert exe.status is S.Failed
    assert (exe.error or "").startswith("KeyboardInterrupt")


def test_a_suspended_process_is_alive(local_lab: DerivaML, home: Path, workflow: Workflow) -> None:
    child, rid = running_child(home, workflow, signal.pause)
    os.kill(child, signal.SIGSTOP)
    os.waitpid(child, os.WUNTRACED)
    assert DerivaML(working_dir=home).lookup_execution(rid).status is S.Running
    end(child, signal.SIGKILL)
    assert DerivaML(working_dir=home).lookup_execution(rid).status is S.Pending_Upload


def test_a_process_id_that_somebody_else_has_now_keeps_no_run_alive(
    local_lab: DerivaML, home: Path, workflow: Workflow
) -> None:
    child, rid = running_child(home, workflow, signal.pause)
    end(child, signal.SIGKILL)
    store = ExecutionStore(local_lab.workspace)
    store.annotate(rid, owner=json.dumps({**store.require(rid).owner, "pid": os.getpid()}))
    assert DerivaML(working_dir=home).lookup_execution(rid).status is S.Pending_Upload


def test_a_run_that_another_thread_has_begun_says_which_signal_ended_it(
    local_lab: DerivaML, home: Path, workflow: Workflow
) -> None:
    child, rid = running_child(home, workflow, signal.pause, in_thread=True)
    assert os.WTERMSIG(end(child, signal.SIGTERM)) == signal.SIGTERM
    assert DerivaML(working_dir=home).lookup_execution(rid).status_detail == "ended by SIGTERM"


def test_a_run_on_another_host_is_never_called_dead(local_lab: DerivaML, home: Path, workflow: Workflow) -> None:
    child, rid = running_child(home, workflow, signal.pause)
    end(child, signal.SIGKILL)
    store = ExecutionStore(local_lab.workspace)
    store.annotate(rid, owner=json.dumps({**store.require(rid).owner, "host": "elsewhere", "boot": "another"}))
    assert DerivaML(working_dir=home).lookup_execution(rid).status is S.Running


def test_the_same_machine_is_known_under_another_name(local_lab: DerivaML, home: Path, workflow: Workflow) -> None:
    """A laptop in another network, a container beside this one: the same start of the same kernel, whose locks tell."""
    child, rid = running_child(home, workflow, signal.pause)
    store = ExecutionStore(local_lab.workspace)
    store.annotate(rid, owner=json.dumps({**store.require(rid).owner, "host": "laptop.home", "pids": 1}))
    lives = DerivaML(working_dir=home)
    assert lives.lookup_execution(rid).status is S.Running
    assert lives.find_stale_executions() == []
    with pytest.raises(DerivaMLBusyError, match=f"process {child}"):
        lives.resume_execution(rid).commit_output_assets()
    end(child, signal.SIGKILL)
    assert "its process is gone" in lives.find_stale_executions()[0].why
    assert [finding.kind for finding in lives.check().findings] == ["dead"]
    lives.resume_execution(rid).commit_output_assets()
    assert DerivaML(working_dir=home).lookup_execution(rid).status is S.Uploaded


def test_without_its_lock_file_a_run_of_another_container_may_live(
    local_lab: DerivaML, home: Path, workflow: Workflow
) -> None:
    child, rid = running_child(home, workflow, signal.pause)
    end(child, signal.SIGKILL)
    lock_file(local_lab.workspace, rid, "run").unlink()
    store = ExecutionStore(local_lab.workspace)
    store.annotate(rid, owner=json.dumps({**store.require(rid).owner, "pids": 1}))
    assert DerivaML(working_dir=home).lookup_execution(rid).status is S.Running
    store.annotate(rid, owner=json.dumps({**store.require(rid).owner, "pids": pid_namespace()}))
    assert DerivaML(working_dir=home).lookup_execution(rid).status is S.Pending_Upload


def test_a_worker_that_is_ended_does_not_speak_for_the_run(local_lab: DerivaML, workflow: Workflow) -> None:
    before = signal.getsignal(signal.SIGTERM)
    with local_lab.create_execution(workflow=workflow) as exe:
        worker = os.fork()
        if worker == 0:
            signal.pause()
        time.sleep(0.05)
        assert os.WTERMSIG(end(worker, signal.SIGTERM)) == signal.SIGTERM
    assert exe.status is S.Stopped
    assert signal.getsignal(signal.SIGTERM) is before
    assert not list((local_lab.workspace / "locks").glob("*.end"))


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        ({"url": "https://example.org/x.py", "checksum": "x"}, ""),
        ({"url": "https://example.org/x.py", "checksum": ""}, "has no Checksum"),
    ],
)
def test_what_the_provenance_lacks_is_written_down_and_told(
    local_lab: DerivaML, given: dict[str, str], missing: str
) -> None:
    workflow = Workflow(name="x", workflow_type="Training", **given)
    with local_lab.create_execution(workflow=workflow) as exe:
        exe.log_metrics({"loss": 1})
    report = exe.commit_output_assets()
    assert all(missing in note for note in report.notes)
    assert bool(report.notes) is bool(missing)
    [*_, detail] = [
        detail for step, detail in ExecutionStore(local_lab.workspace).journal(exe.rid) if step == "provenance"
    ]
    assert detail["inputs"].startswith("unknown")
    assert bool(detail["missing"]) is bool(missing)


def test_many_files_are_registered_together_or_not_at_all(
    local_lab: DerivaML, workflow: Workflow, elsewhere: Path
) -> None:
    files = [elsewhere / f"{number}.txt" for number in range(20)]
    for file in files:
        file.write_text(file.name)
    with local_lab.create_execution(workflow=workflow) as exe:
        with pytest.raises(DerivaMLValidationError, match="absent"):
            exe.asset_file_paths("Image", [*files, elsewhere / "absent"])
        assert not exe.pending_summary().assets
        paths = exe.asset_file_paths("Image", files, description="together")
        assert [path.read_text() for path in paths] == [file.name for file in files]
        paths[0].unlink()  # a link that the power took is made again
    assert exe.commit_output_assets().total_uploaded == 20
