"""Processes that die, and what the next one finds: with real children, killed for real."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from deriva_ml import DerivaML, DerivaMLBusyError, DerivaMLNotFoundError, DerivaMLStateInconsistency, Workflow
from deriva_ml.execution import ExecutionStatus, liveness
from deriva_ml.execution.run import lock_file
from deriva_ml.execution.store import ExecutionStore

S = ExecutionStatus
Rows = Callable[..., list[dict[str, Any]]]
SECONDS = 60

TRAINING = """
import sys, time
from deriva_ml import DerivaML, Workflow
ml = DerivaML()
workflow = Workflow(name="Train", workflow_type="Training", url="https://example.org/t.py", checksum="abc")
with ml.create_execution(workflow=workflow, description="child") as exe:
    exe.asset_file_path("Image", "a.txt").write_text("a")
    exe.log_metrics({"loss": 1.0}, step=1)
    print(exe.execution_rid, flush=True)
    time.sleep(600)
"""


@contextmanager
def training() -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A process that runs an execution and does not end by itself; its RID."""
    child = subprocess.Popen([sys.executable, "-c", TRAINING], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    try:
        yield child, child.stdout.readline().strip()
    finally:
        child.kill()
        child.communicate(timeout=SECONDS)


def test_a_killed_run_is_found_when_the_catalog_is_opened_next(local_lab: DerivaML, rows: Rows) -> None:
    with training() as (child, rid):
        assert DerivaML().lookup_execution(rid).status is S.Running
        child.send_signal(signal.SIGKILL)
        child.wait(SECONDS)
    opened = DerivaML()
    record = opened.lookup_execution(rid)
    assert (record.status, record.status_detail) == (S.Pending_Upload, "ended without closing")
    exe = opened.resume_execution(rid)
    exe.update_status(S.Pending_Upload)
    assert exe.metrics == [{"step": 1, "loss": 1.0}]
    exe.commit_output_assets()
    record = opened.lookup_execution(rid)
    assert (record.status, record.status_detail) == (S.Uploaded, "run ended without closing")
    assert [row["Filename"] for row in rows(opened, "Image")] == ["a.txt"]


def test_a_living_run_is_left_alone_by_everybody_else(local_lab: DerivaML) -> None:
    with training() as (child, rid):
        os.kill(child.pid, signal.SIGSTOP)  # as on a suspended laptop
        try:
            exe = DerivaML().resume_execution(rid)
            assert exe.status is S.Running
            with pytest.raises(DerivaMLBusyError, match=rf"cannot be committed here.*process {child.pid} .* since 20"):
                exe.commit_output_assets()
            report = DerivaML().commit_pending_executions()
            assert report.execution_rids == []
        finally:
            os.kill(child.pid, signal.SIGCONT)


def test_a_run_of_another_host_is_never_called_dead(local_lab: DerivaML, workflow: Workflow) -> None:
    exe = local_lab.create_execution(workflow=workflow)
    exe.execution_start()
    store = local_lab.executions.store
    store.annotate(exe.rid, owner='{"host": "elsewhere", "pid": 1, "boot": "x"}')
    liveness.release(lock_file(local_lab.workspace, exe.rid, "run"))
    assert DerivaML().resume_execution(exe.rid).status is S.Running


@pytest.mark.parametrize(
    ("owner", "cause"),
    [
        ({"boot": "another"}, "the machine was restarted"),
        ({"oom_kills": -1}, "want of memory"),
        ({}, "ended without closing"),
    ],
    ids=["reboot", "memory", "unknown"],
)
def test_what_is_known_of_the_cause_is_said(
    local_lab: DerivaML, workflow: Workflow, owner: dict[str, Any], cause: str
) -> None:
    import json

    exe = local_lab.create_execution(workflow=workflow)
    exe.execution_start()
    store = local_lab.executions.store
    store.annotate(exe.rid, owner=json.dumps({**store.require(exe.rid).owner, **owner}))
    liveness.release(lock_file(local_lab.workspace, exe.rid, "run"))
    assert cause in DerivaML().lookup_execution(exe.rid).status_detail


def test_an_interrupted_creation_is_aborted(
    local_lab: DerivaML, workflow: Workflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process dies between journal and catalog row: the next one says so."""
    child = os.fork()
    if child == 0:
        monkeypatch.setattr("deriva_ml.execution.create._settled", lambda *_: os._exit(9))
        try:
            DerivaML().create_execution(workflow=workflow)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    (found,) = DerivaML().list_executions()
    assert (found.status, found.error) == (S.Aborted, "creation was interrupted")


def test_an_execution_that_nobody_knows_is_an_error_that_says_so(local_lab: DerivaML, rows: Rows) -> None:
    with pytest.raises(DerivaMLNotFoundError, match="1-NONE"):
        local_lab.resume_execution("1-NONE")
    elsewhere = rows(local_lab, "Execution")[0]["RID"]
    with pytest.raises(DerivaMLStateInconsistency, match="has no record of execution"):
        local_lab.resume_execution(elsewhere)


def test_a_resumed_execution_knows_its_configuration_and_inputs(local_lab: DerivaML, workflow: Workflow) -> None:
    with local_lab.create_execution(workflow=workflow) as first:
        first.asset_file_path("Image", "in.txt").write_text("in")
    first.commit_output_assets()
    rid = str(first.uploaded_assets[0].asset_rid)
    exe = local_lab.create_execution(workflow=workflow, assets=[rid], description="again", parameters={"lr": 1})
    again = DerivaML().resume_execution(exe.rid)
    assert (again.configuration.description, again.configuration.assets[0].rid) == ("again", rid)
    assert again.configuration.workflow is not None
    assert again.workflow_rid == again.configuration.workflow.workflow_rid == exe.workflow_rid
    assert again.asset_paths["Image"] == exe.asset_paths["Image"]
    with again:
        assert exe.status is S.Running
    again.commit_output_assets()


# ---------------------------------------------------------------------------------------------------- threads and forks


def test_forked_workers_stage_and_threads_stage(local_lab: DerivaML, workflow: Workflow, rows: Rows) -> None:
    with local_lab.create_execution(workflow=workflow) as exe:

        def work(name: str) -> None:
            exe.asset_file_path("Image", f"{name}.txt").write_text(name)
            exe.log_metrics({name: 1})

        children = [multiprocessing.get_context("fork").Process(target=work, args=(f"fork{n}",)) for n in range(3)]
        for child in children:
            child.start()
        threads = [threading.Thread(target=work, args=(f"thread{n}",)) for n in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(SECONDS)
        for child in children:
            child.join(SECONDS)
            assert child.exitcode == 0
        assert exe.status is S.Running
    assert len(exe.metrics) == 6
    exe.commit_output_assets()
    assert {row["Filename"] for row in rows(local_lab, "Image")} == {
        f"{kind}{n}.txt" for kind in ("fork", "thread") for n in range(3)
    }


def test_a_forked_child_does_not_let_go_of_its_parents_run(local_lab: DerivaML, workflow: Workflow) -> None:
    exe = local_lab.create_execution(workflow=workflow)
    exe.execution_start()
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    program = f"from deriva_ml import DerivaML; print(DerivaML().lookup_execution({exe.rid!r}).status)"
    seen = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=SECONDS)
    assert seen.stdout.strip() == "Running"


def test_many_threads_of_one_name_get_files_of_their_own(
    local_lab: DerivaML, workflow: Workflow, tmp_path: Path
) -> None:
    with local_lab.create_execution(workflow=workflow) as exe:
        places: list[Path] = []

        def work(number: int) -> None:
            folder = tmp_path / str(number)
            folder.mkdir()
            (folder / "x.txt").write_text(str(number))
            places.append(exe.asset_file_path("Image", folder / "x.txt"))

        threads = [threading.Thread(target=work, args=(n,)) for n in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(SECONDS)
    assert sorted(path.read_text() for path in places) == sorted(str(n) for n in range(12))
    assert len(set(places)) == 12


def _open_store(folder: str, gate: Any, number: int, results: Any) -> None:
    gate.wait()
    store = ExecutionStore(Path(folder))
    results.put((number, store.select()))


def test_a_store_that_does_not_exist_yet_may_be_opened_by_many_at_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    gate, results = context.Event(), context.Queue()
    children = [context.Process(target=_open_store, args=(str(tmp_path / "new"), gate, n, results)) for n in range(24)]
    for child in children:
        child.start()
    gate.set()
    assert sorted(results.get(timeout=SECONDS)[0] for _ in children) == list(range(24))
    for child in children:
        child.join(SECONDS)
        assert child.exitcode == 0


# --------------------------------------------------------------------------------------------------------------- locks


def test_a_lock_has_one_holder_and_says_who(tmp_path: Path) -> None:
    path = tmp_path / "locks" / "x"
    with liveness.holding(path, "testing"):
        assert liveness.held_here(path)
        with pytest.raises(DerivaMLBusyError, match=rf"again: process {os.getpid()} on .* since 20"):
            liveness.take(path, "again")
    assert not liveness.held_here(path)
    liveness.take(path, "again").release()


def test_a_lock_is_free_the_moment_its_holder_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "x"
    ready, told = os.pipe()
    child = os.fork()
    if child == 0:
        liveness.take(path, "testing")
        os.write(told, b"!")
        time.sleep(600)
        os._exit(0)
    os.read(ready, 1)
    with pytest.raises(DerivaMLBusyError):
        liveness.take(path, "mine")
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    liveness.take(path, "mine").release()


def test_a_fork_inherits_no_lock(tmp_path: Path) -> None:
    path = tmp_path / "x"
    lock = liveness.take(path, "testing")
    child = os.fork()
    if child == 0:
        lock.release()
        try:
            liveness.take(path, "the child's")
        except DerivaMLBusyError:
            os._exit(7)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    assert lock.held
    lock.release()
