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
