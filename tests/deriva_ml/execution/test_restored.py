"""A catalog that lost a run: by a deletion, or because a copy older than the run, or than its commit, was restored."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from deriva_ml import DerivaML, Workflow
from deriva_ml.catalog.rows import delete
from deriva_ml.cli import mark, status, upload
from deriva_ml.errors import DerivaMLExecutionGone
from deriva_ml.execution import Execution, ExecutionStatus, liveness
from deriva_ml.execution.executions import Executions
from deriva_ml.execution.run import lock_file
from deriva_ml.names import TableName

S = ExecutionStatus


def staged(lab: DerivaML, workflow: Workflow, text: str = "a") -> Execution:
    with lab.create_execution(workflow=workflow) as exe:
        exe.asset_file_path("Image", f"{text}.txt").write_text(text)
        exe.log_metrics(loss=0.5)
    return exe


def killed(lab: DerivaML, workflow: Workflow) -> Execution:
    exe = lab.create_execution(workflow=workflow)
    exe.execution_start()
    exe.asset_file_path("Image", "a.txt").write_text("a")
    lock = liveness.held_here(lock_file(lab.workspace, exe.rid, "run"))
    assert lock is not None
    lock.drop()
    return exe


def lose(lab: DerivaML, rid: str) -> None:
    """Delete the row of an execution, and what refers to it."""
    for table in ("Execution_Metadata_Execution", "File_Execution", "Execution"):
        delete(lab.session, TableName("deriva-ml", table), {"RID" if table == "Execution" else "Execution": rid})


class Copies:
    """Copies of the embedded catalog that can be restored."""

    def __init__(self, home: Path, kept: Path) -> None:
        self.home, self.kept = home, kept

    def keep(self) -> None:
        DerivaML(working_dir=self.home).session.port.close()
        shutil.copytree(self.home / "catalog", self.kept)

    def restore(self) -> DerivaML:
        DerivaML(working_dir=self.home).session.port.close()
        shutil.rmtree(self.home / "catalog")
        shutil.copytree(self.kept, self.home / "catalog")
        return DerivaML(working_dir=self.home)


@pytest.fixture
def copies(local_lab: DerivaML, home: Path, tmp_path: Path) -> Copies:
    return Copies(home, tmp_path / "copy of the catalog")


@pytest.mark.parametrize("make", [staged, killed])
def test_a_run_that_the_catalog_has_lost_can_be_settled(
    local_lab: DerivaML, workflow: Workflow, home: Path, tmp_path: Path, make: Callable[[DerivaML, Workflow], Execution]
) -> None:
    rid = make(local_lab, workflow).execution_rid
    lose(local_lab, rid)
    exe = DerivaML(working_dir=home).resume_execution(rid)
    assert exe.status in (S.Stopped, S.Pending_Upload)
    for _ in range(2):
        with pytest.raises(DerivaMLExecutionGone, match=r"its row was deleted there.*deriva-ml mark"):
            exe.commit_output_assets()
    run = CliRunner().invoke
    assert "the catalog has no such execution" in run(status.command, ["--stale"]).output
    sealed = run(upload.command, ["--seal", "--mode", "offline", "--execution", rid, "--to", str(tmp_path / "run.zip")])
    assert (sealed.exit_code, (tmp_path / "run.zip").is_file()) == (0, True)
    assert run(mark.command, [rid, "Aborted", "--reason", "its row is gone"]).exit_code == 0
    assert exe.status is S.Aborted
    assert "No execution waits" in run(status.command, ["--stale"]).output
    assert local_lab.gc_executions(delete_working_dir=True) == 1


def test_a_rid_that_this_workspace_knows_is_not_given_again(
    local_lab: DerivaML, workflow: Workflow, copies: Copies
) -> None:
    local_lab.add_workflow(workflow)
    copies.keep()
    lost = staged(local_lab, workflow, "of the lost run")
    lab = copies.restore()
    other = staged(lab, workflow, "of another one")
    assert other.execution_rid != lost.execution_rid
    other.commit_output_assets()
    report = lab.commit_pending_executions(execution_rids=[lost.execution_rid])
    assert f"has given the RID {lost.execution_rid} again" in report.errors[0]


def test_a_run_of_another_machine_with_the_same_rid_is_left_alone(
    local_lab: DerivaML, workflow: Workflow, copies: Copies, monkeypatch: pytest.MonkeyPatch
) -> None:
    local_lab.add_workflow(workflow)
    copies.keep()
    lost = staged(local_lab, workflow, "of the lost run")
    lab = copies.restore()
    with monkeypatch.context() as patched:  # as one that has never heard of the RID
        patched.setattr(type(lab.executions.store), "get", lambda *_: None)
        patched.setattr(type(lab.executions.store), "register", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            lab.create_execution(workflow=workflow)
    rid = lost.execution_rid
    lab.session.request(
        "POST",
        "/entity/deriva-ml:Execution?nondefaults=RID",
        json=[{"RID": rid, "Status": "Stopped", "Description": "another run"}],
    )
    (error,) = lab.commit_pending_executions(execution_rids=[rid]).errors
    assert f"has given the RID {rid} again" in error
    lab.mark_execution(rid, "Aborted", "the RID was given again")
    record = lab.lookup_execution(rid)
    assert (record.status, record.description, lab.list_assets("Image")) == (S.Stopped, "another run", [])
    assert lab.list_executions()[0].status is S.Aborted


@pytest.mark.parametrize("kept", [True, False], ids=["folder kept", "folder tidied"])
def test_a_catalog_older_than_the_commit_gets_again_what_is_still_here(
    local_lab: DerivaML, workflow: Workflow, copies: Copies, kept: bool
) -> None:
    exe = staged(local_lab, workflow)
    copies.keep()
    exe.commit_output_assets(clean_folder=not kept)
    lab = copies.restore()
    found = lab.resume_execution(exe.execution_rid)
    assert (found.status, lab.lookup_execution(found.rid).status) == (S.Pending_Upload, S.Pending_Upload)
    report = found.commit_output_assets()
    names = {asset.filename for asset in found.list_assets("Output")}
    assert ("metrics.jsonl" in names, "a.txt" in names) == (True, kept)
    assert any("lost with a newer copy of the catalog: Image/a.txt" in note for note in report.notes) is not kept
    assert lab.lookup_execution(found.rid).status is S.Uploaded
    assert lab.resume_execution(found.rid).commit_output_assets().total_uploaded == 0


def test_how_a_run_ended_is_kept_whoever_settles_it(local_lab: DerivaML, workflow: Workflow, home: Path) -> None:
    exe = killed(local_lab, workflow)
    table = TableName("deriva-ml", "Execution")
    local_lab.session.request(
        "PUT",
        f"/attributegroup/{table.path}/RID;Status,Status_Detail",
        json=[{"RID": exe.rid, "Status": "Failed", "Status_Detail": "the node was reinstalled"}],
    )  # by somebody elsewhere
    DerivaML(working_dir=home).resume_execution(exe.rid).commit_output_assets()
    record = local_lab.lookup_execution(exe.rid)
    assert record.status is S.Uploaded
    assert "run failed" in (record.status_detail or "")
    assert "the node was reinstalled" in (record.status_detail or "")


def test_values_about_files_that_are_gone_go_with_them(local_lab: DerivaML, workflow: Workflow, copies: Copies) -> None:
    exe = staged(local_lab, workflow)
    exe.add_features(
        [local_lab.feature_record_class("Image", "Grade")(Image=exe.asset_file_path("Image", "a.txt"), Grade="Mild")]
    )
    copies.keep()
    exe.commit_output_assets()
    report = copies.restore().resume_execution(exe.execution_rid).commit_output_assets()
    assert any("Image/a.txt, with the feature values that name them (1)" in note for note in report.notes)
    assert exe.status is S.Uploaded


def test_rids_of_files_that_were_given_again_are_not_taken_for_ours(
    local_lab: DerivaML, workflow: Workflow, copies: Copies, tmp_path: Path
) -> None:
    exe = staged(local_lab, workflow)
    copies.keep()
    exe.commit_output_assets(clean_folder=False)
    rids = {asset.asset_rid for asset in exe.list_assets("Output")}
    lab = copies.restore()
    other = Executions(lab.session, tmp_path / "elsewhere", tmp_path / "elsewhere" / "cache").create(
        None, workflow, {"description": "of another machine"}, False
    )
    with other:
        for number in range(6):
            other.asset_file_path("Image", f"other-{number}.txt").write_text(f"other {number}")
    other.commit_output_assets()
    theirs = {asset.asset_rid: asset.filename for asset in other.list_assets("Output")}
    assert rids & theirs.keys()
    lab.resume_execution(exe.execution_rid).commit_output_assets()
    ours = {asset.filename: asset.asset_rid for asset in lab.list_execution_assets(exe.execution_rid, "Output")}
    assert not any(name.startswith("other") for name in ours)
    assert lab.session.hatrac("GET", lab.lookup_asset(ours["a.txt"]).url).body == b"a"


def test_a_copy_from_between_two_commits_gets_the_second_again(
    local_lab: DerivaML, workflow: Workflow, copies: Copies
) -> None:
    exe = staged(local_lab, workflow)
    exe.commit_output_assets(clean_folder=False)
    copies.keep()
    exe.asset_file_path("Image", "b.txt").write_text("b")
    exe.commit_output_assets(clean_folder=False)
    lab = copies.restore()
    found = lab.resume_execution(exe.execution_rid)
    assert (found.status, found.commit_output_assets().total_uploaded) == (S.Pending_Upload, 1)
    assert sorted(asset.filename for asset in lab.list_assets("Image")) == ["a.txt", "b.txt"]
    assert lab.resume_execution(exe.execution_rid).status is S.Uploaded


def test_inputs_and_children_that_a_copy_lacks_are_told_again(
    local_lab: DerivaML, workflow: Workflow, copies: Copies
) -> None:
    source, child = staged(local_lab, workflow, "source"), staged(local_lab, workflow, "child")
    for each in (source, child):
        each.commit_output_assets()
    (asset,) = (each for each in local_lab.list_assets("Image") if each.filename == "source.txt")
    with local_lab.create_execution(workflow=workflow) as exe:
        copies.keep()
        exe.download_asset(asset.asset_rid)
        exe.add_nested_execution(child)
        exe.asset_file_path("Image", "a.txt").write_text("a")
    exe.commit_output_assets(clean_folder=False)
    lab = copies.restore()
    found = lab.resume_execution(exe.execution_rid)
    found.commit_output_assets()
    assert {each.filename for each in found.list_assets("Input")} == {"source.txt"}
    assert [each.execution_rid for each in found.list_execution_children()] == [child.execution_rid]
    assert "a.txt" in {each.filename for each in found.list_assets("Output")}


def test_a_committed_run_that_the_catalog_has_lost_is_not_called_well(
    local_lab: DerivaML, workflow: Workflow, home: Path
) -> None:
    local_lab.add_workflow(workflow)
    DerivaML(working_dir=home).session.port.close()
    copies = Copies(home, home.parent / "before the run")
    copies.keep()
    exe = staged(local_lab, workflow)
    exe.commit_output_assets()
    lab = copies.restore()
    (error,) = lab.commit_pending_executions(execution_rids=[exe.execution_rid]).errors
    assert "Nothing waits here" in error


def test_what_somebody_has_deleted_is_not_brought_again(local_lab: DerivaML, workflow: Workflow) -> None:
    exe = staged(local_lab, workflow)
    exe.commit_output_assets(clean_folder=False)
    (asset,) = local_lab.list_assets("Image")
    schema = local_lab.default_schema
    for table in ("Image_Execution", "Image_Asset_Type"):
        delete(local_lab.session, TableName(schema, table), {"Image": asset.asset_rid})
    delete(local_lab.session, TableName(schema, "Image"), {"RID": asset.asset_rid})
    found = local_lab.resume_execution(exe.execution_rid)
    assert (found.status, found.commit_output_assets().total_uploaded) == (S.Uploaded, 0)
    assert local_lab.list_assets("Image") == []
