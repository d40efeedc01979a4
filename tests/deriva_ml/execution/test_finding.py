"""Executions found again: in the catalog, and in this workspace; never a request per row."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from deriva_ml import (
    DerivaML,
    DerivaMLException,
    DerivaMLInvalidTerm,
    DerivaMLNotFoundError,
    DerivaMLValidationError,
    InvalidTransitionError,
    Workflow,
)
from deriva_ml.clock import now
from deriva_ml.execution import ExecutionStatus
from deriva_ml.execution.execution import Execution

S = ExecutionStatus


def coded(checksum: str, kind: str = "Training") -> Workflow:
    return Workflow(name=f"w {checksum}", workflow_type=kind, url=f"https://example.org/{checksum}", checksum=checksum)


@pytest.fixture
def runs(lab: DerivaML) -> dict[str, Execution]:
    """Four executions: created, stopped and uploaded ones of one workflow, a failed one of another."""
    made = {
        name: lab.create_execution(workflow=coded("one"), description=name)
        for name in ("created", "stopped", "uploaded")
    }
    made["failed"] = lab.create_execution(workflow=coded("two", "Testing"), description="failed")
    for name in ("stopped", "uploaded"):
        with made[name]:
            made[name].asset_file_path("Image", f"{name}.txt").write_text(name)
    made["uploaded"].commit_output_assets()
    with pytest.raises(ValueError, match="no luck"), made["failed"]:
        raise ValueError("no luck")
    return made


def names(found: object) -> list[str]:
    return [run.description for run in found if "sentinel" not in run.description]  # type: ignore[attr-defined]


def test_executions_are_found_by_what_they_ran_and_how_they_stand(lab: DerivaML, runs: dict[str, Execution]) -> None:
    everything = ["failed", "uploaded", "stopped", "created"]
    assert names(lab.find_executions(sort=True)) == everything
    assert set(names(lab.find_executions())) == set(everything)
    assert names(lab.find_executions(status=S.Uploaded)) == ["uploaded"]
    assert names(lab.find_executions(status="Failed")) == ["failed"]
    workflow = lab.lookup_workflow_by_url("one")
    assert names(lab.find_executions(workflow=workflow, sort=True)) == everything[1:]
    assert names(lab.find_executions(workflow=workflow.rid, status="Stopped")) == ["stopped"]
    assert names(lab.find_executions(workflow_type="Testing")) == ["failed"]
    assert names(lab.find_executions(workflow=workflow, workflow_type="Testing")) == []
    with pytest.raises(DerivaMLValidationError, match="no state"):
        lab.find_executions(status="Sleeping")
    assert lab.multirun_status_summary(str(workflow.rid)) == {"Created": 1, "Stopped": 1, "Uploaded": 1}


def test_a_workflow_type_that_does_not_exist_is_an_error(lab: DerivaML) -> None:
    with pytest.raises(DerivaMLInvalidTerm, match=r"Workflow_Type has no term 'Trainin'. Did you mean 'Training'"):
        lab.find_executions(workflow_type="Trainin")


def test_finding_many_takes_as_many_requests_as_finding_few(
    lab: DerivaML, runs: dict[str, Execution], requests_of: Callable[[DerivaML], list[str]]
) -> None:
    sent = requests_of(lab)
    assert len(names(lab.find_executions(sort=True))) == 4
    assert len([request for request in sent if request.startswith("GET")]) <= 3


def test_a_record_is_live(lab: DerivaML, runs: dict[str, Execution]) -> None:
    record = lab.lookup_execution(runs["created"].rid)
    assert record.workflow is not None
    assert (record.workflow.checksum, record.workflow.workflow_type) == ("one", ["Training"])
    record.description = "renamed"
    record.status = S.Running
    again = lab.lookup_execution(record.rid)
    assert (again.description, again.status) == ("renamed", S.Running)
    with pytest.raises(InvalidTransitionError):
        again.status = S.Created
    record.update_status(S.Aborted, "enough")
    with pytest.raises(DerivaMLException, match="not Running any more"):
        again.update_status(S.Stopped)
    with pytest.raises(DerivaMLNotFoundError, match="find_executions"):
        lab.lookup_execution("1-NONE")


def test_this_workspace_knows_its_own_without_the_catalog(
    lab: DerivaML, runs: dict[str, Execution], requests_of: Callable[[DerivaML], list[str]]
) -> None:
    sent = requests_of(lab)
    assert names(lab.list_executions()) == ["failed", "uploaded", "stopped", "created"]
    assert names(lab.list_executions(status=[S.Stopped, "Failed"])) == ["failed", "stopped"]
    assert names(lab.list_executions(status="Created", workflow_rid=runs["created"].workflow_rid)) == ["created"]
    assert names(lab.list_executions(since=now() + timedelta(hours=1))) == []
    assert names(lab.find_incomplete_executions()) == ["failed", "stopped", "created"]
    (stopped,) = lab.list_executions(status=S.Stopped)
    assert (stopped.pending_files, stopped.pending_rows, stopped.start_time) == (1, 0, runs["stopped"].start_time)
    summary = lab.pending_summary()
    assert summary.total_executions_with_pending == 1
    assert "1 files" in summary.render()
    assert sent == []


def test_everything_that_waits_is_committed_and_one_failure_keeps_nobody_back(
    lab: DerivaML, runs: dict[str, Execution]
) -> None:
    broken = lab.create_execution(workflow=coded("one"), description="broken")
    with broken:
        broken.asset_file_path("Image", "never.txt")
    report = lab.commit_pending_executions()
    assert set(report.execution_rids) == {runs["stopped"].rid, broken.rid}
    assert report.total_uploaded == 1
    (error,) = report.errors
    assert error.startswith(f"{broken.rid}: ")
    assert report.total_failed == 1
    assert lab.lookup_execution(runs["stopped"].rid).status is S.Uploaded
    assert runs["created"].status is S.Created
    assert runs["failed"].status is S.Failed, "it left nothing to commit: its end stays what it was"
    broken.asset_file_path("Image", "never.txt").write_text("now")
    assert lab.commit_pending_executions(execution_rids=[broken.rid]).errors == []
    assert lab.commit_pending_executions().execution_rids == []


def test_old_records_are_forgotten_and_what_waits_is_kept(lab: DerivaML, runs: dict[str, Execution]) -> None:
    folder = runs["uploaded"].working_dir
    assert lab.gc_executions(older_than=now() - timedelta(days=1)) == 0
    assert lab.gc_executions(delete_working_dir=True) == 1
    assert not folder.exists()
    assert names(lab.list_executions()) == ["failed", "stopped", "created"]
    assert lab.lookup_execution(runs["uploaded"].rid).status is S.Uploaded


def test_assets_and_executions_find_each_other(lab: DerivaML, runs: dict[str, Execution]) -> None:
    uploaded = runs["uploaded"]
    (image,) = uploaded.uploaded_assets
    assert {asset.rid for asset in lab.list_execution_assets(uploaded.rid, "Output")} > {image.asset_rid}
    assert [run.rid for run in lab.list_asset_executions(str(image.asset_rid))] == [uploaded.rid]
    assert lab.list_asset_executions(str(image.asset_rid), "Input") == []
    with pytest.raises(DerivaMLValidationError, match="no role"):
        lab.list_execution_assets(uploaded.rid, "Sideways")
