"""The clauses of a complete provenance, for every way in which a run can end: enforced, or recorded as missing."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deriva_ml import DerivaML, DerivaMLUploadError, Workflow
from deriva_ml.execution import Execution, ExecutionStatus
from deriva_ml.execution.provenance import NO_REASON, recorded
from deriva_ml.schema.install import unknown_file

S = ExecutionStatus
End = Callable[[DerivaML, Execution], object]


def stop(lab: DerivaML, exe: Execution) -> None:
    exe.execution_stop()


def fail_in_the_block(lab: DerivaML, exe: Execution) -> None:
    with pytest.raises(ZeroDivisionError), exe:
        raise ZeroDivisionError("by hand")


def fail_without_a_reason(lab: DerivaML, exe: Execution) -> None:
    exe.update_status(S.Failed)


def abort_without_a_reason(lab: DerivaML, exe: Execution) -> None:
    exe.abort()


def mark(lab: DerivaML, exe: Execution) -> None:
    exe.execution_stop()
    lab.mark_execution(exe.rid, "Aborted", "the node was reinstalled")


def fail_to_upload(lab: DerivaML, exe: Execution) -> None:
    path = exe.asset_file_path("Image", "gone.txt")
    path.write_text("x")

    def gone(step: Any) -> None:
        raise DerivaMLUploadError("the disk went away")

    with pytest.raises(DerivaMLUploadError):
        exe.commit_output_assets(progress_callback=gone)


def commit(lab: DerivaML, exe: Execution) -> None:
    exe.commit_output_assets()


def commit_after_a_failure(lab: DerivaML, exe: Execution) -> None:
    fail_in_the_block(lab, exe)
    exe.commit_output_assets()


SENTINEL = "unknown: the sentinel stands for them"


@pytest.mark.parametrize("declares", [False, True], ids=["no inputs", "inputs"])
@pytest.mark.parametrize(
    ("end", "state", "reason", "inputs"),
    [
        (stop, S.Stopped, None, "unknown: a commit links the sentinel"),
        (fail_in_the_block, S.Failed, "ZeroDivisionError: by hand", SENTINEL),
        (fail_without_a_reason, S.Failed, NO_REASON, SENTINEL),
        (abort_without_a_reason, S.Aborted, NO_REASON, SENTINEL),
        (mark, S.Aborted, "the node was reinstalled", SENTINEL),
        (fail_to_upload, S.Failed, "upload failed: the disk went away", SENTINEL),
        (commit, S.Uploaded, None, SENTINEL),
        (commit_after_a_failure, S.Uploaded, "run failed: ZeroDivisionError: by hand", SENTINEL),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_every_end_is_recorded(
    local_lab: DerivaML,
    workflow: Workflow,
    tmp_path: Path,
    end: End,
    state: S,
    reason: str | None,
    inputs: str,
    declares: bool,
) -> None:
    given: dict[str, Any] = {}
    if declares:
        with local_lab.create_execution(workflow=workflow) as source:
            source.asset_file_path("Image", "source.txt").write_text("s")
        source.commit_output_assets()
        given["assets"] = [str(source.uploaded_assets[0].asset_rid)]
    exe = local_lab.create_execution(workflow=workflow, **given)
    exe.execution_start()
    exe.asset_file_path("Mask", "out.txt").write_text("o")
    end(local_lab, exe)

    record = local_lab.lookup_execution(exe.rid)
    assert (exe.status, record.status, record.status_detail) == (state, state, reason or "")
    assert (exe.error is not None) == (reason is not None)
    said = recorded(exe._run)[-1]
    assert said["state"] == state
    assert said["inputs"] == ("declared" if declares else inputs)
    assert said["missing"] == []
    assert said["outputs"] == ("each with its role" if state is S.Uploaded else said["outputs"])
    files = [asset.filename for asset in record.list_assets("Input")]
    linked = inputs == SENTINEL and not declares
    assert len(files) == (1 if declares or linked else 0)
    assert (unknown_file(local_lab.session) in [asset.rid for asset in record.list_assets("Input")]) == linked
    outputs = {asset.filename for asset in record.list_assets("Output")}
    assert ("out.txt" in outputs) == (state is S.Uploaded)


def test_a_run_whose_process_died_is_recorded_at_the_next_open(
    local_lab: DerivaML, home: Path, workflow: Workflow
) -> None:
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        exe = DerivaML(working_dir=home).create_execution(workflow=workflow)
        exe.execution_start()
        os.write(writer, exe.rid.encode())
        os._exit(1)
    os.waitpid(child, 0)
    exe = DerivaML(working_dir=home).resume_execution(os.read(reader, 100).decode())
    assert exe.status is S.Pending_Upload
    assert [(said["end"], said["inputs"]) for said in recorded(exe._run)] == [
        ("recover", "unknown: a commit links the sentinel")
    ]
    exe.commit_output_assets()
    assert recorded(exe._run)[-1]["inputs"] == SENTINEL


@pytest.mark.parametrize(
    ("facts", "missing"),
    [
        ({"url": "https://example.org/a.py"}, "no Checksum"),
        ({"checksum": "abc"}, "no URL"),
    ],
    ids=["no checksum", "no address"],
)
@pytest.mark.parametrize("end", [fail_without_a_reason, commit], ids=lambda end: end.__name__)
def test_a_workflow_whose_code_may_not_be_found_again_is_told(
    local_lab: DerivaML, facts: dict[str, str], missing: str, end: End
) -> None:
    exe = local_lab.create_execution(workflow=Workflow(name="n", workflow_type="Training", **facts))
    exe.execution_start()
    end(local_lab, exe)
    assert missing in recorded(exe._run)[-1]["missing"][0]


def test_a_record_that_is_failed_from_elsewhere_has_a_reason(local_lab: DerivaML, workflow: Workflow) -> None:
    exe = local_lab.create_execution(workflow=workflow)
    exe.execution_start()
    record = local_lab.lookup_execution(exe.rid)
    record.status = S.Failed
    assert local_lab.lookup_execution(exe.rid).status_detail == NO_REASON
