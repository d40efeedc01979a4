"""The catalog has changed while runs were made offline: each conflict is told with its reason, and harms no other run."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from deriva_ml import AssetSpec, ColumnDefinition, DerivaML, Workflow, tables
from deriva_ml.catalog.rows import delete, insert
from deriva_ml.execution import ExecutionStatus
from deriva_ml.execution.execution import Execution
from deriva_ml.feature.feature import create_feature
from deriva_ml.names import TableName

S = ExecutionStatus
Rows = Callable[..., list[dict[str, Any]]]


def test_each_conflict_is_told_and_harms_no_other_run(
    local_lab: DerivaML, workflow: Workflow, committed: Callable[..., Execution], rows: Rows
) -> None:
    lab, ml, domain = local_lab, "deriva-ml", local_lab.default_schema
    committed(lab, x="an image")
    (image,) = (row["RID"] for row in rows(lab, "Image"))
    for vocabulary, name in (("Workflow_Type", "Odd"), ("Grade", "Odd"), ("Asset_Type", "Odd")):
        lab.add_term(vocabulary, name, "odd")
    for name in ("Slide", "Tile"):
        lab.create_asset(name)
    known = Workflow(name="Known", workflow_type="Training", url="https://example.org/known.py", checksum="known")
    lab.add_workflow(known)
    dataset = committed(lab).create_dataset(description="empty")
    lab.download_dataset_bag(f"{dataset.rid}@0.1.0")
    lab.create_execution(workflow=workflow, assets=[AssetSpec(rid=image, cache=True)])
    online = {name: lab.create_execution(workflow=workflow) for name in ("aborted", "value")}

    away = DerivaML(mode="offline")
    grade, segmentation = (away.feature_record_class("Image", name) for name in ("Grade", "Segmentation"))

    def run(what: Callable[[Execution], object], **more: Any) -> Execution:
        with away.create_execution(**{"workflow": workflow, **more}) as exe:
            exe.asset_file_path("Execution_Asset", "kept.txt").write_text(exe.rid)
            what(exe)
        return exe

    def mask(exe: Execution) -> Any:
        path = exe.asset_file_path("Mask", "mask.txt", asset_types=["Derived"])
        path.write_text(exe.rid)
        return path

    with away.resume_execution(online["aborted"].rid) as exe:
        exe.asset_file_path("Execution_Asset", "kept.txt").write_text("kept")
    with away.resume_execution(online["value"].rid) as exe:
        exe.add_features([grade(Image=image, Grade="Mild")])
    nothing: Callable[[Execution], object] = lambda exe: None  # noqa: E731
    odd = Workflow(name="Odd", workflow_type="Odd", url="https://example.org/odd.py")
    runs = {
        "term": run(lambda exe: exe.add_features([grade(Image=image, Grade="Odd")])),
        "asset type": run(lambda exe: exe.asset_file_path("Image", "a.txt", asset_types=["Odd"]).write_text("a")),
        "table": run(lambda exe: exe.asset_file_path("Slide", "s.txt").write_text("s")),
        "feature": run(lambda exe: exe.add_features([segmentation(Image=image, Mask=mask(exe))])),
        "column": run(lambda exe: exe.asset_file_path("Image", "c.txt", Size=7).write_text("c")),
        "new column": run(lambda exe: exe.asset_file_path("Tile", "t.txt").write_text("t")),
        "workflow": run(nothing, workflow=known),
        "workflow type": run(nothing, workflow=odd),
        "version": run(nothing, datasets=[f"{dataset.rid}@0.1.0"]),
        "asset": run(nothing, assets=[image]),
        "reused": run(lambda exe: exe.asset_file_path("Image", "x.txt", Subject="mine").write_text("an image")),
        "nothing": run(nothing),
    }  # fmt: skip

    for vocabulary in ("Workflow_Type", "Grade", "Asset_Type"):
        lab.delete_term(vocabulary, "Odd")
    for name in ("Slide_Execution", "Slide_Asset_Type", "Slide"):
        lab.session.request("DELETE", f"/schema/{domain}/table/{name}")
    lab.delete_feature("Image", "Segmentation")
    lab.session.request("DELETE", f"/schema/{domain}/table/Image/column/Size")
    column = ColumnDefinition("Reader", "text", nullok=False).to_dict()
    lab.session.request("POST", f"/schema/{domain}/table/Tile/column", json=column)
    delete(lab.session, TableName(ml, "Workflow"), {"RID": known.workflow_rid})
    lab.delete_dataset(dataset.rid)
    lab.lookup_execution(online["aborted"].rid).update_status("Aborted", "not needed any more")
    value = {"Execution": online["value"].rid, "Image": image, "Grade": "Severe", "Feature_Name": "Grade"}
    insert(lab.session, TableName(domain, "Execution_Image_Grade"), [value])
    lab.refresh_schema()
    count = len(rows(lab, "Execution"))

    report = lab.commit_pending_executions()
    errors = {
        name: next((each for each in report.errors if re.search(exe.rid, each)), "") for name, exe in runs.items()
    }
    told = {
        "term": "Odd", "asset type": "Odd", "table": "Slide", "feature": "Execution_Image_Segmentation", "column": "no column 'Size'",
        "new column": "the column Reader of Tile needs a value", "workflow": "No workflow has the RID", "workflow type": "Odd",
        "version": "was deleted",
    }  # fmt: skip
    assert {name for name, text in errors.items() if text} == set(told), report.errors
    assert [name for name, text in told.items() if text not in errors[name]] == [], errors
    assert len(report.errors) == len(told)
    notes = "\n".join(report.notes)
    assert "where Subject is None: that stays, and 'mine' is not recorded" in notes
    assert (
        f"the value of Grade for {image}: the catalog has Grade 'Severe' for this execution, which stays, and 'Mild'"
        in notes
    )
    assert (
        f"{online['aborted'].rid} is Aborted (the catalog says Aborted: not needed any more): what it has staged is not committed"
        in notes
    )
    assert [row["Grade"] for row in rows(lab, "Execution_Image_Grade")] == ["Severe"]
    for name in ("reused", "nothing", "asset"):
        assert lab.resume_execution(runs[name].rid).status is S.Uploaded, name
    assert "Mild" in lab.lookup_execution(online["value"].rid).status_detail
    unsent = [name for name in ("workflow", "workflow type", "version") if lab.executions.store.get(runs[name].rid)]
    assert len(rows(lab, "Execution")) == count + len(runs) - len(unsent)

    for vocabulary in ("Workflow_Type", "Grade", "Asset_Type"):
        lab.add_term(vocabulary, "Odd", "odd")
    tables.create_asset(lab.session, "Slide")
    create_feature(lab.session, "Image", "Segmentation", assets=["Mask"])
    lab.session.request("POST", f"/schema/{domain}/table/Image/column", json=ColumnDefinition("Size", "int4").to_dict())
    lab.session.request("DELETE", f"/schema/{domain}/table/Tile/column/Reader")
    insert(lab.session, TableName(ml, "Workflow"), [{"RID": known.workflow_rid, "Name": "Known"}], given={"RID"})
    lab.session.request(
        "PUT", f"/attributegroup/{ml}:Dataset/RID;Deleted", json=[{"RID": dataset.rid, "Deleted": False}]
    )
    lab.refresh_schema()
    assert lab.commit_pending_executions().errors == []
    assert {lab.resume_execution(exe.rid).status for exe in runs.values()} == {S.Uploaded}
    kept = [row["Filename"] for row in rows(lab, "Execution_Asset")]
    assert kept.count("kept.txt") == len(runs)  # the given up one stays here
    assert [row["Size"] for row in rows(lab, "Image", Filename="c.txt")] == [7]
