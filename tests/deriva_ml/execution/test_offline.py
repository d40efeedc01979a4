"""Runs that begin and end while the catalog is away, and what becomes of them when it is back."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from deriva_ml import (
    AssetSpec,
    ConnectionMode,
    DerivaML,
    DerivaMLConfigurationError,
    DerivaMLInvalidTerm,
    DerivaMLOfflineError,
    DerivaMLReadOnlyError,
    DerivaMLStateInconsistency,
    DerivaMLUploadError,
    DerivaMLValidationError,
    LocalFile,
    Workflow,
)
from deriva_ml.execution import ExecutionStatus
from deriva_ml.execution.execution import Execution
from deriva_ml.rid import is_local

S = ExecutionStatus
Rows = Callable[..., list[dict[str, Any]]]


def offline(ml: DerivaML) -> DerivaML:
    """A session of the same workspace that never sends anything."""
    return DerivaML(ml.host_name, ml.catalog_id, mode="offline")


def ran(ml: DerivaML, workflow: Workflow, image: str, **more: Any) -> Execution:
    with ml.create_execution(workflow=workflow, description="begun offline", parameters={"lr": 0.1}, **more) as exe:
        exe.asset_file_path("Image", "scan 1.txt", Subject="s1").write_text("one")
        mask = exe.asset_file_path("Mask", "mask.txt", asset_types=["Derived"])
        mask.write_text("mask")
        exe.log_metrics({"loss": 0.5}, step=1)
        grade, segmentation = (ml.feature_record_class("Image", name) for name in ("Grade", "Segmentation"))
        exe.add_features([grade(Image=image, Grade="Mild")])
        exe.add_features([segmentation(Image=image, Mask=mask)])
    return exe


@pytest.fixture
def new_workflow() -> Workflow:
    """Code that the catalog has never seen, and that has no checksum to be found by."""
    return Workflow(name="Far", workflow_type="Training", url="https://example.org/far.py")


@pytest.fixture
def inputs(lab: DerivaML, workflow: Workflow, tmp_path: Path) -> Iterator[dict[str, Any]]:
    """What a run may read offline, because it was brought here before: a dataset version, an asset; and a local file."""
    with lab.create_execution(workflow=workflow) as exe:
        exe.asset_file_path("Image", "x.txt").write_text("an image")
    exe.commit_output_assets()
    image = next(asset.rid for asset in exe.list_assets("Output") if asset.asset_table == "Image")
    lab.add_dataset_element_type("Image")
    dataset = exe.create_dataset(description="images")
    dataset.add_dataset_members([image])
    version = dataset.increment_dataset_version("minor")
    lab.download_dataset_bag(f"{dataset.dataset_rid}@{version}")
    lab.create_execution(workflow=workflow, assets=[AssetSpec(rid=image, cache=True)])
    local = tmp_path / "table.csv"
    local.write_text("1,2")
    yield {
        "datasets": [f"{dataset.dataset_rid}@{version}"],
        "assets": [AssetSpec(rid=image), LocalFile(path=local)],
        "image": image,
    }


def test_a_run_begins_and_ends_offline_and_the_catalog_learns_all_of_it(
    lab: DerivaML, new_workflow: Workflow, inputs: dict[str, Any], rows: Rows
) -> None:
    image, before = inputs.pop("image"), {row["RID"] for row in rows(lab, "Execution")}
    away = offline(lab)
    exe = ran(away, new_workflow, image, **inputs)
    local = exe.execution_rid
    assert is_local(local)
    assert (exe.status, away.mode) == (S.Stopped, ConnectionMode.offline)
    assert [bag.rid for bag in exe.datasets] == [inputs["datasets"][0].partition("@")[0]]
    assert exe.asset_paths["Image"][0].read_text() == "an image"
    assert {row["RID"] for row in rows(lab, "Execution")} == before
    with pytest.raises(DerivaMLOfflineError, match=f"deriva-ml upload --execution {local}"):
        exe.commit_output_assets()
    assert exe.status is S.Stopped

    report = lab.commit_pending_executions(execution_rids=[local])
    assert report.errors == []
    again = lab.resume_execution(local)
    record = lab.lookup_execution(again.rid)
    assert (record.status, record.description, record.start_time) == (S.Uploaded, "begun offline", again.start_time)
    assert record.workflow is not None
    assert record.workflow.url == new_workflow.url
    read = {asset.filename for asset in again.list_assets("Input")}
    assert read == {"x.txt", "table.csv"}
    assert [each.dataset_rid for each in again.list_input_datasets()] == [exe.datasets[0].rid]
    names = {asset.filename for asset in again.list_assets("Output")}
    assert {"scan 1.txt", "mask.txt", "metrics.jsonl", "configuration.json"} < names
    assert [row["Grade"] for row in rows(lab, "Execution_Image_Grade", Execution=again.rid)] == ["Mild"]
    assert again.parameters == {"lr": 0.1}
    assert not (lab.workspace / "executions" / local).exists()
    with pytest.raises(DerivaMLStateInconsistency, match=again.rid):  # who holds the old name is told the new one
        exe.update_status("Pending_Upload")
    with pytest.raises(DerivaMLStateInconsistency, match="under its RID"):
        exe.log_metrics({"late": 1})
    assert lab.check().findings == []


def test_nothing_is_silent(lab: DerivaML, workflow: Workflow, tmp_path: Path) -> None:
    away = offline(lab)
    for ask in (
        lambda: list(away.find_executions()),
        lambda: away.lookup_lineage("1-ABC"),
        lambda: away.lookup_dataset("1-ABC"),
        lambda: away.add_term("Grade", "New", "new"),
        lambda: away.refresh_schema(),
    ):
        with pytest.raises(DerivaMLOfflineError, match="without mode=offline"):
            ask()
    with pytest.raises(DerivaMLReadOnlyError, match="online"):
        _ = away.catalog.get
    with pytest.raises(DerivaMLInvalidTerm):
        away.create_workflow("x", "No such type")
    with pytest.raises(DerivaMLOfflineError) as refused:
        away.create_execution(workflow=workflow, datasets=["1-ABC@1.0.0", "1-DEF"], assets=["2-GHI"])
    assert all(part in str(refused.value) for part in ("1-ABC: version 1.0.0", "1-DEF: which version", "2-GHI"))
    with pytest.raises(DerivaMLOfflineError, match="Open it online once"):
        DerivaML(lab.host_name, lab.catalog_id, working_dir=tmp_path / "another", mode="offline")
    with pytest.raises(DerivaMLConfigurationError, match="online or offline"):
        DerivaML(mode="sometimes")
    cache = lab.workspace / "schema-cache.json"
    cache.write_text(cache.read_text().replace(lab.session.identity.partition("/")[0], "another"))
    with pytest.raises(DerivaMLOfflineError, match="describes catalog"):
        offline(lab)


def contents(ml: DerivaML, rows: Rows) -> list[tuple[str, ...]]:
    """What the catalog holds, without the moments."""
    tables = (
        "Execution", "Workflow", "Image", "Mask", "File", "Execution_Metadata", "Image_Execution", "Mask_Execution",
        "Mask_Asset_Type", "File_Execution", "Dataset_Execution", "Execution_Image_Grade", "Execution_Image_Segmentation",
    )  # fmt: skip
    hidden = {"RCT", "RMT", "RCB", "RMB", "Upload_Duration"}
    return sorted(
        (table, *(f"{name}={row[name]}" for name in sorted(row) if name not in hidden))
        for table in tables
        for row in rows(ml, table)
    )


@pytest.mark.parametrize("lab", ["embedded"], indirect=True)
def test_a_catalog_that_vanishes_at_any_request_ends_the_same(
    lab: DerivaML, new_workflow: Workflow, inputs: dict[str, Any], rows: Rows
) -> None:
    """Each request of the way into the catalog fails once, every other one after its effect; then nothing is missing or twice."""
    image = inputs.pop("image")
    local = ran(offline(lab), new_workflow, image, **inputs).execution_rid
    real, port, points, left = lab.session.port.send, lab.session.port, 0, 0

    def send(request: Any) -> Any:
        nonlocal left
        left -= request.method not in ("GET", "HEAD")
        if left < 0:
            if points % 2:
                real(request)
            raise KeyboardInterrupt
        return real(request)

    port.send = send  # type: ignore[method-assign]
    while left <= 0:
        left, points = points, points + 1
        try:
            lab.resume_execution(local).commit_output_assets()
            break
        except KeyboardInterrupt:
            continue
    port.send = real  # type: ignore[method-assign]
    assert points > 8
    once = contents(lab, rows)
    exe = lab.resume_execution(local)
    assert [
        len(rows(lab, table, Execution=exe.rid)) for table in ("Image_Execution", "Dataset_Execution", "File_Execution")
    ] == [2, 1, 1]
    assert [row["Name"] for row in rows(lab, "Workflow", URL=new_workflow.url)] == ["Far"]
    single = ("Mask", "Execution_Image_Grade", "Execution_Image_Segmentation", "Mask_Execution")
    assert [sum(row[0] == table for row in once) for table in single] == [1] * len(single)
    exe.commit_output_assets()
    assert contents(lab, rows) == once


KILLED = """
import os, signal, sys
from deriva_ml import DerivaML, Workflow
from deriva_ml.execution.store import ExecutionStore

point = int(sys.argv[2])
def counted(name):
    real = getattr(ExecutionStore, name)
    def call(*arguments, **more):
        global point
        point -= 1
        if point == 0: os.kill(os.getpid(), signal.SIGKILL)
        done = real(*arguments, **more)
        if point == 1: point = 0; os.kill(os.getpid(), signal.SIGKILL)
        return done
    setattr(ExecutionStore, name, call)
for name in ("rename", "annotate", "change"): counted(name)
DerivaML().resume_execution(sys.argv[1]).commit_output_assets()
"""


def test_a_process_killed_around_each_mark_is_followed_by_another(
    local_lab: DerivaML, new_workflow: Workflow, rows: Rows
) -> None:
    away = offline(local_lab)
    with away.create_execution(workflow=new_workflow) as exe:
        exe.asset_file_path("Image", "a.txt").write_text("a")
    codes = [
        subprocess.run(
            [sys.executable, "-c", KILLED, exe.rid, str(point)], check=False, env=dict(os.environ)
        ).returncode
        for point in (1, 2, 3)
    ]
    assert codes == [-9, -9, -9]
    done = local_lab.resume_execution(exe.rid)
    done.commit_output_assets()
    assert (done.status, len(rows(local_lab, "Image")), len(rows(local_lab, "Workflow", Name="Far"))) == (
        S.Uploaded,
        1,
        1,
    )
    assert local_lab.check().findings == []


def test_conflicts_are_reported_and_nothing_is_overwritten(lab: DerivaML, inputs: dict[str, Any], rows: Rows) -> None:
    known = lab.lookup_workflow_by_url("abc")
    away = offline(lab)
    exe = away.create_execution(workflow=known, datasets=inputs["datasets"])
    with exe:
        exe.asset_file_path("Image", "a.txt", Subject="s").write_text("a")
    gone, untouched = inputs["datasets"][0].partition("@")[0], len(rows(lab, "Execution"))
    lab.delete_dataset(gone)
    with pytest.raises(DerivaMLStateInconsistency, match=f"nothing was sent(.|\n)*{gone} was deleted"):
        lab.resume_execution(exe.rid)
    assert len(rows(lab, "Execution")) == untouched
    assert lab.commit_pending_executions(execution_rids=[exe.rid]).errors != []

    with away.create_execution(workflow=known) as other:
        other.asset_file_path("Image", "b.txt", Subject="s").write_text("b")
    lab.session.request("DELETE", f"/schema/{lab.default_schema}/table/Image/column/Subject")
    lab.refresh_schema()
    with pytest.raises(DerivaMLUploadError, match="Image has no column 'Subject'"):
        lab.resume_execution(other.rid).commit_output_assets()


@pytest.mark.parametrize("begun", ["offline", "online"])
def test_inputs_that_are_taken_later_wait_as_well(
    lab: DerivaML, workflow: Workflow, inputs: dict[str, Any], rows: Rows, tmp_path: Path, begun: str
) -> None:
    (dataset,), image, away = inputs["datasets"], inputs["image"], offline(lab)
    lab.download_dataset_bag(f"{dataset.split('@')[0]}@0.1.0")
    made = (away if begun == "offline" else lab).create_execution(workflow=workflow)
    with away.resume_execution(made.rid) as exe:
        assert exe.download_dataset_bag(dataset).rid == away.download_dataset_bag(dataset).rid
        exe.add_input_dataset(*dataset.split("@"))
        exe.add_input_dataset(*dataset.split("@"))
        path = exe.download_asset(image, tmp_path / "here")
        assert (path.read_text(), path.asset_table, path.asset_rid) == ("an image", "Image", image)
        for ask in (
            lambda: exe.add_input_dataset("1-ABC"),
            lambda: exe.add_input_dataset("1-ABC", "1.0.0"),
            lambda: exe.download_dataset_bag("1-ABC@1.0.0"),
            lambda: exe.download_asset("1-ABC"),
        ):
            with pytest.raises(DerivaMLOfflineError, match=r"(?s)offline, and .*1-ABC.*Bring it here while"):
                ask()
        assert [each.rid for each in exe.list_input_datasets()] == [dataset.split("@")[0]]
        with pytest.raises(DerivaMLValidationError, match="records one version of each"):
            exe.add_input_dataset(dataset.split("@")[0], "0.1.0")
    assert rows(lab, "Dataset_Execution") == []
    done = lab.resume_execution(made.rid)
    (read,) = rows(lab, "Dataset_Execution")
    assert (read["Dataset"], read["Execution"]) == (dataset.split("@")[0], done.rid)
    assert [asset.asset_rid for asset in done.list_assets("Input")] == [image]
    lab.delete_dataset(dataset.split("@")[0])
    assert lab.resume_execution(done.rid).commit_output_assets().errors == []  # what was told is not told again


def test_a_state_that_somebody_gave_it_meanwhile_stays(lab: DerivaML, workflow: Workflow) -> None:
    online = lab.create_execution(workflow=workflow)
    away = offline(lab)
    exe = away.resume_execution(online.rid)
    with exe:
        exe.log_metrics({"loss": 1})
    assert lab.lookup_execution(online.rid).status is S.Created
    real, told = lab.session.port.send, list[str]()

    def send(request: Any) -> Any:
        body = request.body if isinstance(request.body, bytes) else b""
        if (request.method == "PUT" and b"Created" in body) or b"Running" in body:
            told.append(next(state for state in ("Stopped", "Running") if state.encode() in body))
        return real(request)

    lab.session.port.send = send  # type: ignore[method-assign]
    assert lab.resume_execution(online.rid).status is S.Stopped
    lab.session.port.send = real  # type: ignore[method-assign]
    assert told == ["Running", "Stopped"]  # in the order in which it passed them
    assert lab.lookup_execution(online.rid).status is S.Stopped


def test_given_up_offline_is_known_online(lab: DerivaML, workflow: Workflow) -> None:
    away = offline(lab)
    given_up = away.create_execution(workflow=workflow)
    given_up.abort("no good")
    with pytest.raises(ZeroDivisionError), away.create_execution(workflow=workflow) as failed:
        print(1 / 0)
    report = lab.commit_pending_executions()
    assert report.errors == []
    states = {lab.resume_execution(exe.rid).rid: exe for exe in (given_up, failed)}
    found = [(lab.lookup_execution(rid).status, lab.lookup_execution(rid).status_detail) for rid in states]
    assert found == [(S.Aborted, "no good"), (S.Failed, "ZeroDivisionError: division by zero")]


def test_a_dry_run_leaves_nothing_offline_either(local_lab: DerivaML, workflow: Workflow) -> None:
    away = offline(local_lab)
    with away.create_execution(workflow=workflow, dry_run=True) as exe:
        exe.asset_file_path("Image", "a.txt").write_text("a")
    assert away.list_executions() == []


def test_what_this_session_makes_is_known_offline_at_once(local_lab: DerivaML, workflow: Workflow) -> None:
    local_lab.create_asset("Slide")
    local_lab.add_term("Grade", "Fatal", "the worst")
    local_lab.create_feature("Slide", "Grade", terms=["Grade"])
    away = offline(local_lab)
    with away.create_execution(workflow=workflow) as exe:
        assert exe.asset_file_path("Slide", "a.txt").asset_types == ["Slide"]
        grade = away.feature_record_class("Slide", "Grade")
        exe.add_features([grade(Slide="1-ABC", Grade="Fatal")])
