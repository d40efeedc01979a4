"""Staged files that are written again after a commit took hold of them, and what lies beside them: nothing of it is lost."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from deriva_ml import DerivaML, DerivaMLValidationError, UploadProgress, Workflow
from deriva_ml.asset.path import AssetFilePath
from deriva_ml.errors import DerivaMLUploadError
from deriva_ml.execution import Execution, ExecutionStatus, commit, load
from deriva_ml.execution.executions import Executions


def broken_off(phase: str) -> Callable[[Execution], None]:
    """Return what begins a commit that its callback breaks off."""

    def begin(exe: Execution) -> None:
        def stop(step: UploadProgress) -> None:
            if step.phase == phase:
                raise ValueError("stopped")

        with pytest.raises(ValueError, match="stopped"):
            exe.commit_output_assets(progress_callback=stop)

    return begin


def refused(exe: Execution) -> None:
    """Begin a commit that fails when its rows, and the links to them, are in the catalog."""
    with pytest.MonkeyPatch.context() as patched:

        def verify(*_: object) -> None:
            raise OSError("the wire is cut")

        patched.setattr(commit, "verify", verify)
        with pytest.raises(DerivaMLUploadError, match="the wire is cut"):
            exe.commit_output_assets()


def contents(lab: DerivaML) -> list[str]:
    return sorted(lab.session.hatrac("GET", asset.url).body.decode() for asset in lab.list_assets("Image"))


def staged(lab: DerivaML, workflow: Workflow, text: str = "version 1") -> tuple[Execution, AssetFilePath]:
    with lab.create_execution(workflow=workflow) as exe:
        path = exe.asset_file_path("Image", "a.txt")
        path.write_text(text)
    return exe, path


@pytest.mark.parametrize(
    "begin", [broken_off("Staging"), broken_off("Uploaded"), Execution.seal], ids=["sealed", "sent", "sealed bag"]
)
def test_what_is_written_after_a_commit_was_broken_off_is_committed(
    local_lab: DerivaML, workflow: Workflow, begin: Callable[[Execution], object]
) -> None:
    exe, path = staged(local_lab, workflow)
    begin(exe)
    path.write_text("version 2, the right one")
    assert exe.commit_output_assets().total_uploaded == 1
    assert contents(local_lab) == ["version 2, the right one"]
    assert local_lab.check(read_data=True).findings == []


def test_what_the_catalog_has_already_stays_beside_the_new_content(local_lab: DerivaML, workflow: Workflow) -> None:
    exe, path = staged(local_lab, workflow)
    refused(exe)
    path.write_text("version 2")
    report = exe.commit_output_assets()
    assert any("written again after it was sent" in note for note in report.notes)
    assert contents(local_lab) == ["version 1", "version 2"]
    assert len(exe.list_assets("Output")) == len({asset.rid for asset in exe.list_assets("Output")})
    assert exe.commit_output_assets().total_uploaded == 0


def test_a_kept_file_that_is_written_again_is_another_output(local_lab: DerivaML, workflow: Workflow) -> None:
    exe, path = staged(local_lab, workflow)
    exe.commit_output_assets(clean_folder=False)
    assert exe.commit_output_assets(clean_folder=False).notes == []
    path.write_text("version 2")
    assert exe.commit_output_assets(clean_folder=False).total_uploaded == 1
    assert contents(local_lab) == ["version 1", "version 2"]


def test_a_file_that_is_written_while_it_is_committed_is_not_removed(
    local_lab: DerivaML, workflow: Workflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    exe, path = staged(local_lab, workflow)
    real = load.load_objects

    def load_objects(*given: object) -> None:
        path.write_text("version 2")
        real(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(commit, "load_objects", load_objects)
    report = exe.commit_output_assets()
    monkeypatch.undo()
    assert any("written again" in note for note in report.notes)
    assert (path.read_text(), exe.pending_summary().total_pending_files) == ("version 2", 1)
    local_lab.clean_execution_dirs()
    exe.commit_output_assets()
    assert contents(local_lab) == ["version 1", "version 2"]
    assert not path.exists()


def test_what_a_user_puts_beside_a_staged_file_stays(local_lab: DerivaML, workflow: Workflow, tmp_path: Path) -> None:
    (tmp_path / "linked.txt").write_text("linked")
    with local_lab.create_execution(workflow=workflow) as exe:
        path = exe.asset_file_path("Image", "a.txt")
        path.write_text("a")
        exe.asset_file_path("Image", tmp_path / "linked.txt")
        beside = path.with_name("a.index")
        beside.write_text("index")
    report = exe.commit_output_assets()
    assert (beside.read_text(), path.exists()) == ("index", False)
    assert [note for note in report.notes if "a.index" in note]
    assert sorted(each.name for each in (exe.working_dir / "assets").rglob("*")) == ["Image", "a.index"]
    assert local_lab.check().exit_code == 0


def test_what_was_sent_is_not_taken_back(local_lab: DerivaML, workflow: Workflow) -> None:
    exe, path = staged(local_lab, workflow)
    refused(exe)
    with pytest.raises(DerivaMLValidationError, match="was sent already"):
        exe.discard_asset(path)
    assert exe.commit_output_assets().total_uploaded == 1
    exe, path = staged(local_lab, workflow, "never sent")
    broken_off("Staging")(exe)
    exe.discard_asset(path)
    exe.commit_output_assets()
    assert (exe.status, contents(local_lab)) == (ExecutionStatus.Uploaded, ["version 1"])


def test_a_touch_is_no_writing(local_lab: DerivaML, workflow: Workflow) -> None:
    exe, path = staged(local_lab, workflow)
    exe.commit_output_assets(clean_folder=False)
    path.touch()
    report = exe.commit_output_assets(clean_folder=False)
    assert (report.total_uploaded, report.notes) == (0, [])
    broken = staged(local_lab, workflow, "another")
    broken_off("Uploaded")(broken[0])
    broken[1].touch()
    broken[0].commit_output_assets()
    assert (contents(local_lab), broken[1].exists()) == (["another", "version 1"], False)


def test_a_value_is_about_the_file_as_it_is_when_it_is_staged(local_lab: DerivaML, workflow: Workflow) -> None:
    exe, path = staged(local_lab, workflow)
    grade = local_lab.feature_record_class("Image", "Grade")
    exe.add_features([grade(Image=path, Grade="Mild")])
    exe.commit_output_assets(clean_folder=False)
    path.write_text("version 2")
    exe.add_features([grade(Image=path, Grade="Severe")])
    exe.commit_output_assets()
    grades = {value.Image: value.Grade for value in local_lab.feature_values("Image", "Grade")}
    found = {
        local_lab.session.hatrac("GET", each.url).body: grades[each.asset_rid]
        for each in local_lab.list_assets("Image")
    }
    assert found == {b"version 1": "Mild", b"version 2": "Severe"}


def test_what_was_written_again_between_two_seals_is_a_second_output_elsewhere(
    local_lab: DerivaML, workflow: Workflow, tmp_path: Path
) -> None:
    exe, path = staged(local_lab, workflow)
    exe.seal(tmp_path / "one.zip")
    path.write_text("version 2")
    exe.seal(tmp_path / "two.zip")
    elsewhere = Executions(local_lab.session, tmp_path / "elsewhere", tmp_path / "elsewhere" / "cache")
    for name in ("one", "two", "two", "one"):
        assert elsewhere.load_bag(tmp_path / f"{name}.zip").errors == []
    assert contents(local_lab) == ["version 1", "version 2"]


def test_what_a_discarded_path_holds_is_the_users(local_lab: DerivaML, workflow: Workflow) -> None:
    exe, path = staged(local_lab, workflow)
    exe.discard_asset(path)
    path.write_text("mine")
    path.with_name("notes.copy").write_text("mine as well")
    exe.log_metrics(loss=0.5)
    exe.commit_output_assets()
    assert (path.read_text(), path.with_name("notes.copy").read_text()) == ("mine", "mine as well")
