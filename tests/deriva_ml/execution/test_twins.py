"""Two staged files of one name with the same bytes are one asset: what is said of both must agree."""

from __future__ import annotations

from pathlib import Path

import pytest

from deriva_ml import DerivaML, DerivaMLUploadError, Execution, Workflow


def staged(ml: DerivaML, workflow: Workflow, folder: Path, grades: tuple[str, str]) -> Execution:
    """Stage twins out of two folders, with a value of one feature for each."""
    grade = ml.feature_record_class("Image", "Grade")
    with ml.create_execution(workflow=workflow) as exe:
        for name, term in zip(("left", "right"), grades, strict=True):
            source = folder / name / "žába.png"
            source.parent.mkdir()
            source.write_text("the same bytes")
            exe.add_features([grade(Image=exe.asset_file_path("Image", source), Grade=term)])
    return exe


def test_values_that_agree_are_one(local_lab: DerivaML, workflow: Workflow, tmp_path: Path) -> None:
    exe = staged(local_lab, workflow, tmp_path, ("Mild", "Mild"))
    assert exe.commit_output_assets().errors == []
    (value,) = local_lab.feature_values("Image", "Grade")
    assert value.Grade == "Mild"


def test_values_that_differ_are_told_with_their_files(local_lab: DerivaML, workflow: Workflow, tmp_path: Path) -> None:
    exe = staged(local_lab, workflow, tmp_path, ("Mild", "Severe"))
    with pytest.raises(DerivaMLUploadError, match=r"are one asset.*two values of feature 'Grade'.*discard_asset"):
        exe.commit_output_assets()
    assert list(local_lab.feature_values("Image", "Grade")) == []
    exe.discard_asset(tmp_path / "right" / "žába.png")
    exe.commit_output_assets()
    assert [value.Grade for value in local_lab.feature_values("Image", "Grade")] == ["Mild"]


@pytest.mark.parametrize("term", ["Mild", "Severe"])
@pytest.mark.parametrize("names", ["path path", "path RID", "RID path"])
def test_a_value_about_what_an_earlier_commit_brought_keeps_no_commit_from_ending(
    local_lab: DerivaML, workflow: Workflow, names: str, term: str
) -> None:
    grade = local_lab.feature_record_class("Image", "Grade")
    with local_lab.create_execution(workflow=workflow) as exe:
        path = exe.asset_file_path("Image", "a.png")
        path.write_text("bytes")
        if names != "RID path":
            exe.add_features([grade(Image=path, Grade="Mild")])
    exe.commit_output_assets()
    rid = path.asset_rid
    if names == "RID path":
        exe.add_features([grade(Image=rid, Grade="Mild")])
        exe.commit_output_assets()
    again = exe.asset_file_path("Image", "a.png")
    again.write_text("bytes")
    exe.add_features([grade(Image=rid if names == "path RID" else again, Grade=term)])
    notes = exe.commit_output_assets().notes
    assert ("'Mild' for this execution, which stays, and 'Severe' is not recorded" in " ".join(notes)) is (
        term == "Severe"
    )
    assert exe.commit_output_assets().errors == []
    assert [(value.Image, value.Grade) for value in local_lab.feature_values("Image", "Grade")] == [(rid, "Mild")]


def test_values_of_a_file_and_of_its_rid_must_agree(local_lab: DerivaML, workflow: Workflow) -> None:
    grade = local_lab.feature_record_class("Image", "Grade")
    with local_lab.create_execution(workflow=workflow) as exe:
        path = exe.asset_file_path("Image", "a.png")
        path.write_text("bytes")
    exe.commit_output_assets()
    again = exe.asset_file_path("Image", "a.png")
    again.write_text("bytes")
    exe.add_features([grade(Image=path.asset_rid, Grade="Mild"), grade(Image=again, Grade="Severe")])
    with pytest.raises(DerivaMLUploadError, match=f"is {path.asset_rid}, which the catalog has.*discard_features"):
        exe.commit_output_assets()
    exe.discard_features("Image", "Grade", [again])
    exe.add_features([grade(Image=again, Grade="Mild")])
    exe.commit_output_assets()
    assert [value.Grade for value in local_lab.feature_values("Image", "Grade")] == ["Mild"]
