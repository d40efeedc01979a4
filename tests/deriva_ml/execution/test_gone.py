"""The catalog has lost the places of what a run has staged: that can be taken back, or kept in a sealed bag until they are there again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import bagit  # type: ignore[import-untyped]
import pytest

from deriva_ml import ColumnDefinition, DerivaML, DerivaMLFeatureNotFound, DerivaMLUploadError, Workflow, tables
from deriva_ml.bag.archive import unpack
from deriva_ml.errors import DerivaMLTableNotFound, DerivaMLValidationError
from deriva_ml.execution import ExecutionStatus
from deriva_ml.execution.execution import Execution
from deriva_ml.feature.feature import create_feature
from deriva_ml.names import TableName

S = ExecutionStatus
Rows = Callable[..., list[dict[str, Any]]]


def _make(ml: DerivaML) -> None:
    tables.create_asset(ml.session, "Slide", [ColumnDefinition("Stain", "text")])
    create_feature(ml.session, "Slide", "Cells", assets=["Mask"], metadata=[ColumnDefinition("Count", "int4")])
    ml.session.request("POST", _column(ml), json=ColumnDefinition("Size", "int4").to_dict())
    ml.add_term("Grade", "Odd", "odd")


def _drop(ml: DerivaML) -> None:
    ml.delete_feature("Slide", "Cells")
    for name in ("Slide_Execution", "Slide_Asset_Type", "Slide"):
        tables.delete_table(ml.session, TableName(ml.default_schema, name))
    ml.session.request("DELETE", f"{_column(ml)}/Size")
    ml.delete_term("Grade", "Odd")
    ml.refresh_schema()


def _column(ml: DerivaML) -> str:
    return f"/schema/{ml.default_schema}/table/Image/column"


@pytest.fixture
def changing(local_lab: DerivaML) -> DerivaML:
    """A catalog that has everything which :func:`_drop` takes away."""
    local_lab.session.request("DELETE", f"{_column(local_lab)}/Size")
    _make(local_lab)
    local_lab.refresh_schema()
    return local_lab


def ran(ml: DerivaML, workflow: Workflow, image: str) -> Execution:
    """A run that staged files and values for all that goes away."""
    cells, grade = ml.feature_record_class("Slide", "Cells"), ml.feature_record_class("Image", "Grade")
    with ml.create_execution(workflow=workflow) as exe:
        about: dict[str, Any] = {"asset_types": ["Derived"], "Stain": "blue, red", "description": "a slide"}
        slide = exe.asset_file_path("Slide", "slide.txt", **about)
        mask = exe.asset_file_path("Mask", "mask.txt")
        slide.write_text("slide")
        mask.write_text("mask")
        exe.asset_file_path("Slide", "same/slide.txt", **about).write_text("slide")  # equal files are one asset
        exe.asset_file_path("Image", "c.txt", Size=7).write_text("c")
        exe.add_features([cells(Slide=slide, Mask=mask, Count=3)])
        exe.add_features([grade(Image=image, Grade="Odd")])
    return exe


def test_what_the_catalog_has_no_place_for_is_kept_until_it_has(
    changing: DerivaML, workflow: Workflow, committed: Callable[..., Execution], rows: Rows, tmp_path: Path
) -> None:
    committed(changing, x="an image")
    exe = ran(changing, workflow, rows(changing, "Image")[0]["RID"])
    _drop(changing)
    with pytest.raises(DerivaMLUploadError) as refused:
        exe.commit_output_assets()
    for said in (
        "Slide/slide.txt",
        "'Size'",
        "'Cells'",
        "Odd",
        "exe.discard_asset(",
        "exe.discard_features('Slide'",
        "exe.seal()",
    ):
        assert said in str(refused.value)
    archive = exe.seal(tmp_path / "run.zip")
    (tmp_path / "open").mkdir()
    bagit.Bag(str(unpack(archive, tmp_path / "open"))).validate()
    far = DerivaML.__new__(DerivaML)
    far.__dict__ |= {name: value for name, value in changing.__dict__.items() if name != "executions"}
    far.workspace = far.cache_dir = tmp_path / "far"
    with pytest.raises(DerivaMLUploadError, match=r"Slide/slide[.]txt: No table is named"):
        far.load_sealed_bag(archive)
    assert changing.lookup_execution(exe.rid).status is S.Stopped

    _make(changing)
    assert far.load_sealed_bag(archive).errors == []
    (slide,) = rows(changing, "Slide")
    (mask,) = rows(changing, "Mask")
    assert (slide["Stain"], slide["Description"], slide["Filename"]) == ("blue, red", "a slide", "slide.txt")
    assert {row["Asset_Type"] for row in rows(changing, "Slide_Asset_Type")} == {"Derived", "Output_File"}
    assert [row["Size"] for row in rows(changing, "Image", Filename="c.txt")] == [7]
    (value,) = rows(changing, "Execution_Slide_Cells")
    assert (value["Slide"], value["Mask"], value["Count"]) == (slide["RID"], mask["RID"], 3)
    assert [row["Grade"] for row in rows(changing, "Execution_Image_Grade", Execution=exe.rid)] == ["Odd"]
    changing.resume_execution(exe.rid).commit_output_assets()  # where it ran: the same once more
    assert len(rows(changing, "Slide")) == len(rows(changing, "Execution_Slide_Cells")) == 1


def test_a_column_that_a_feature_has_lost_waits_with_its_values(
    changing: DerivaML, workflow: Workflow, rows: Rows, tmp_path: Path
) -> None:
    create_feature(
        changing.session,
        "Image",
        "Size",
        metadata=[ColumnDefinition("Width", "int4"), ColumnDefinition("Note", "text")],
    )
    size = changing.feature_record_class("Image", "Size")
    with changing.create_execution(workflow=workflow) as exe:
        image = exe.asset_file_path("Image", "a.txt")
        image.write_text("a")
        exe.add_features([size(Image=image, Width=3, Note="three")])
    place = f"/schema/{changing.default_schema}/table/Execution_Image_Size/column"
    changing.session.request("DELETE", f"{place}/Width")
    changing.refresh_schema()
    archive = exe.seal(tmp_path / "run.zip")
    changing.session.request("POST", place, json=ColumnDefinition("Width", "int4").to_dict())
    changing.refresh_schema()
    with changing.executions.store.database.transaction() as connection:  # as on another machine
        changing.executions.store.forget(connection, exe.rid)
    assert changing.load_sealed_bag(archive).errors == []
    assert [(row["Width"], row["Note"]) for row in rows(changing, "Execution_Image_Size")] == [(3, "three")]


def test_values_of_a_feature_that_is_gone_are_taken_back(
    changing: DerivaML, workflow: Workflow, committed: Callable[..., Execution], rows: Rows
) -> None:
    committed(changing, x="an image")
    (image,) = (row["RID"] for row in rows(changing, "Image"))
    grade = changing.feature_record_class("Image", "Grade")
    with changing.create_execution(workflow=workflow) as exe:
        exe.add_features([grade(Image=image, Grade="Odd")])
    changing.delete_feature("Image", "Grade")
    with pytest.raises(DerivaMLFeatureNotFound):
        exe.discard_features("Image", "Other", [image])
    with pytest.raises(DerivaMLTableNotFound):
        exe.discard_features("Nowhere", "Grade", [image])
    with pytest.raises(DerivaMLValidationError, match="waits for a commit"):
        exe.discard_features("Image", "Grade", ["1-ABC"])
    assert exe.discard_features(f"{changing.default_schema}:Image", "Grade", [image]) == 1
    exe.commit_output_assets()
    assert exe.status is S.Uploaded


def test_a_kept_file_of_a_table_that_is_gone_is_in_nobodys_way(local_lab: DerivaML, workflow: Workflow) -> None:
    local_lab.create_asset("Extra")
    with local_lab.create_execution(workflow=workflow) as exe:
        path = exe.asset_file_path("Extra", "x.txt")
        path.write_text("x")
    exe.commit_output_assets(clean_folder=False)
    for table in ("Extra_Execution", "Extra_Asset_Type", "Extra"):
        local_lab.session.request("DELETE", f"/schema/{local_lab.default_schema}/table/{table}")
    local_lab.session.refresh()
    path.write_text("written again")
    exe.asset_file_path("Image", "more.txt").write_text("more")
    assert exe.commit_output_assets().total_uploaded == 1
    assert path.read_text() == "written again"
