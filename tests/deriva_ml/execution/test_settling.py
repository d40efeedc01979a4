"""Settling what died or is in doubt: stale lists, marks by hand, resumed runs, interrupted commits, cleared folders."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from deriva_ml import DerivaML, DerivaMLBusyError, DerivaMLNotFoundError, Workflow
from deriva_ml.cli import mark, resume, status, upload
from deriva_ml.errors import DerivaMLValidationError, InvalidTransitionError
from deriva_ml.execution import ExecutionStatus, liveness
from deriva_ml.execution.execution import Execution
from deriva_ml.execution.run import lock_file

S = ExecutionStatus


def started(ml: DerivaML, workflow: Workflow, *, host: str | None = None) -> Execution:
    """A run that has something staged and never ended; on another host, if one is named."""
    exe = ml.create_execution(workflow=workflow)
    exe.execution_start()
    exe.asset_file_path("Image", f"{exe.rid}.txt").write_text(exe.rid)
    if host:
        ml.executions.store.annotate(exe.rid, owner=json.dumps({"host": host}))
        liveness.release(lock_file(ml.workspace, exe.rid, "run"))
    return exe


def forgotten(ml: DerivaML, rid: str) -> None:
    """Lose this workspace's record of an execution, as with another machine's."""
    with ml.executions.store.database.transaction() as connection:
        ml.executions.store.forget(connection, rid)
    liveness.release(lock_file(ml.workspace, rid, "run"))
    shutil.rmtree(ml.workspace / "executions" / rid)


def test_what_waits_for_somebody_is_listed_with_what_to_do(local_lab: DerivaML, workflow: Workflow) -> None:
    alive, far, lost = (started(local_lab, workflow, host=host) for host in (None, "elsewhere", None))
    forgotten(local_lab, lost.rid)
    waiting, done = started(local_lab, workflow), started(local_lab, workflow)
    waiting.execution_stop()
    done.commit_output_assets()
    found = {one.rid: one for one in local_lab.find_stale_executions()}
    assert set(found) == {far.rid, lost.rid, waiting.rid}
    assert "runs on elsewhere" in found[far.rid].why
    assert f"deriva-ml mark {lost.rid}" in found[lost.rid].advice
    assert f"deriva-ml upload --execution {waiting.rid}" in found[waiting.rid].advice
    said = CliRunner().invoke(status.command, ["--stale"])
    assert (said.exit_code, all(rid in said.output for rid in found), alive.rid in said.output) == (0, True, False)


@pytest.mark.parametrize("known", [True, False], ids=["here", "elsewhere"])
def test_a_run_is_marked_by_hand(local_lab: DerivaML, workflow: Workflow, known: bool) -> None:
    exe = started(local_lab, workflow, host="elsewhere")
    if not known:
        forgotten(local_lab, exe.rid)
    said = CliRunner().invoke(mark.command, [exe.rid, "Failed", "--reason", "the node burned"], catch_exceptions=False)
    assert said.output == f"{exe.rid}: Running -> Failed (the node burned)\n"
    record = local_lab.lookup_execution(exe.rid)
    assert (record.status, record.status_detail) == (S.Failed, "the node burned")
    if known:
        assert (exe.status, exe.error) == (S.Failed, "the node burned")
        exe.commit_output_assets()
    else:
        assert local_lab.mark_execution(exe.rid, S.Aborted, "never mind") is S.Failed


def test_what_cannot_be_marked_is_refused(local_lab: DerivaML, workflow: Workflow) -> None:
    exe = started(local_lab, workflow)
    for state, reason, error in [
        ("Running", "x", DerivaMLValidationError),
        ("Uploaded", "x", DerivaMLValidationError),
        ("Asleep", "x", DerivaMLValidationError),
        ("Failed", " ", DerivaMLValidationError),
        ("Failed", "x", DerivaMLBusyError),
    ]:
        with pytest.raises(error):
            local_lab.mark_execution(exe.rid, state, reason)
    with pytest.raises(DerivaMLNotFoundError):
        local_lab.mark_execution("9-NONE", "Failed", "x")
    exe.execution_stop()
    with pytest.raises(InvalidTransitionError):
        local_lab.mark_execution(exe.rid, "Failed", "x")
    assert local_lab.lookup_execution(exe.rid).status is S.Stopped


def test_resume_says_what_is_left_and_commits_it(local_lab: DerivaML, workflow: Workflow) -> None:
    exe = started(local_lab, workflow)
    liveness.release(lock_file(local_lab.workspace, exe.rid, "run"))
    said = CliRunner().invoke(resume.command, [exe.rid], catch_exceptions=False).output
    assert said.startswith(f"{exe.rid} is Pending_Upload.")
    assert f"`deriva-ml upload --execution {exe.rid}` commits them." in said
    with (
        local_lab.executions.store.database.transaction() as connection
    ):  # and the record is lost as well: rebuilt from the manifest
        local_lab.executions.store.forget(connection, exe.rid)
    said = CliRunner().invoke(resume.command, [exe.rid, "--commit", "--json"], catch_exceptions=False).output
    assert json.loads(said) == {"rid": exe.rid, "status": "Uploaded", "committed": 1, "files": 0, "rows": 0}


def test_every_file_has_its_line_in_the_report(local_lab: DerivaML, workflow: Workflow) -> None:
    first, second, broken = (started(local_lab, workflow) for _ in range(3))
    (first.working_dir.parent / second.rid / "assets" / "Image" / f"{second.rid}.txt").write_text(first.rid)
    second.asset_file_path("Image", f"{first.rid}.txt").write_text(first.rid)
    broken.asset_file_path("Image", "never.txt")
    for exe in (first, second, broken):
        exe.execution_stop()
    report = local_lab.commit_pending_executions()
    states = {(item.execution_rid, item.file_name): item.state for item in report.items}
    assert states[first.rid, f"{first.rid}.txt"] == "uploaded"
    assert states[second.rid, f"{first.rid}.txt"] == "reused"
    assert states[broken.rid, "never.txt"] == "failed"
    assert all(item.rid for item in report.items if item.state != "failed" and item.file_name)


def test_ctrl_c_in_a_commit_leaves_what_can_go_on(
    local_lab: DerivaML, workflow: Workflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    exe = started(local_lab, workflow)
    exe.execution_stop()
    real, stopped = local_lab.session.port.send, list[object]()

    def interrupted(request: object) -> object:
        if "/entity/domain:Image" in str(getattr(request, "path", "")) and not stopped:
            stopped.append(request)
            raise KeyboardInterrupt
        return real(request)  # type: ignore[arg-type]

    monkeypatch.setattr(local_lab.session.port, "send", interrupted)
    with pytest.raises(KeyboardInterrupt) as caught:
        exe.commit_output_assets()
    assert f"deriva-ml-upload --execution {exe.rid}" in caught.value.__notes__[0]
    assert exe.status is S.Pending_Upload
    said = CliRunner().invoke(upload.command, ["--execution", exe.rid, "--json"], catch_exceptions=False)
    assert (said.exit_code, json.loads(said.output)["total_uploaded"]) == (0, 1)


def test_folders_are_cleared_when_nobody_needs_them(local_lab: DerivaML, workflow: Workflow, tmp_path: Path) -> None:
    done, waiting, kept = (started(local_lab, workflow) for _ in range(3))
    for exe in (done, kept):
        exe.commit_output_assets(clean_folder=False)
    waiting.execution_stop()
    assert local_lab.clean_execution_dirs(older_than_days=1)["dirs_removed"] == 0
    result = local_lab.clean_execution_dirs(exclude_rids=[kept.rid])
    assert (result["dirs_removed"], result["bytes_freed"] > 0, result["errors"]) == (1, True, [])
    folders = {path.name for path in (local_lab.workspace / "executions").iterdir()}
    assert folders == {waiting.rid, kept.rid}
    assert local_lab.check(read_data=True).findings == []


def test_an_upload_of_what_nobody_knows_could_not_be_begun(local_lab: DerivaML, workflow: Workflow) -> None:
    said = CliRunner().invoke(upload.command, ["--execution", "1-NONE"])
    assert (said.exit_code, "1-NONE" in said.output) == (2, True)
    said = CliRunner().invoke(upload.command, ["--bag", "/nowhere/run.zip"])
    assert (said.exit_code, said.output.count("/nowhere/run.zip")) == (1, 1)
    waiting = started(local_lab, workflow)
    waiting.execution_stop()
    said = CliRunner().invoke(upload.command, ["--execution", waiting.rid, "--execution", "1-NONE"])
    assert said.exit_code == 1


def test_what_is_said_by_hand_of_a_dead_run_stays_when_it_is_committed(local_lab: DerivaML, workflow: Workflow) -> None:
    exe = started(local_lab, workflow)
    lock = liveness.held_here(lock_file(local_lab.workspace, exe.rid, "run"))
    assert lock is not None
    lock.drop()  # as a process that dies
    local_lab.resume_execution(exe.rid)
    local_lab.mark_execution(exe.rid, "Failed", "the node was reinstalled")
    local_lab.resume_execution(exe.rid).commit_output_assets()
    detail = local_lab.lookup_execution(exe.rid).status_detail or ""
    assert detail.endswith("; run failed: the node was reinstalled")
