"""The two chapters that users know by heart, running an experiment and reproducibility, run as they are written.

Each test is one code block with its placeholders (hosts, RIDs, training functions) filled in.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from deriva_ml import ColumnDefinition, DerivaML
from deriva_ml.core.enums import MLAsset
from deriva_ml.dataset.aux_classes import DatasetSpec
from deriva_ml.errors import DerivaMLException, DerivaMLUploadError, DerivaMLValidationError, InvalidTransitionError
from deriva_ml.execution import ExecutionConfiguration
from deriva_ml.execution.state_store import ExecutionStatus


@dataclass
class Lab:
    """A catalog with images, labels, models, a dataset of two versions, and the things that the chapters name."""

    ml: DerivaML
    workflow: Any
    images: list[str]
    dataset: str
    second: str
    pretrained: str
    subject: str


@pytest.fixture
def lab(ml: DerivaML, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DERIVA_ML_ALLOW_DIRTY", "true")
    ml.create_vocabulary("Grade", comment="Severity")
    for term in ("Mild", "Severe"):
        ml.add_term("Grade", term, term)
    for term in ("Segmentation_Mask", "Derived"):
        ml.add_term("Asset_Type", term, term)
    ml.create_table(_subject_table())
    columns = [
        ColumnDefinition(name="Acquisition_Date", type="date"),
        ColumnDefinition(name="Acquisition_Time", type="text"),
    ]
    ml.create_asset("Image", column_defs=columns, referenced_tables=["Subject"], comment="Fundus images")
    ml.create_asset("Model", comment="Trained models")
    ml.create_feature("Image", "Glaucoma_Grade", terms=["Grade"])
    ml.add_dataset_element_type("Image")
    subject = ml.domain_path().tables["Subject"].insert([{"Name": "S1"}])[0]["RID"]
    workflow = ml.create_workflow("Ingest", "Ingest", "fixture")
    with ml.create_execution(workflow=workflow, description="ingest") as exe:
        for number in range(4):
            exe.asset_file_path("Image", f"image-{number}.png").write_bytes(b"image %d" % number)
        exe.asset_file_path("Model", "pretrained.pt").write_bytes(b"pretrained")
    exe.commit_output_assets()
    images = [asset.asset_rid for asset in exe.uploaded_assets if asset.asset_table == "Image"]
    pretrained = next(asset.asset_rid for asset in exe.uploaded_assets if asset.asset_table == "Model")
    datasets = []
    for members in (images[:2], images[2:]):
        dataset = exe.create_dataset(dataset_types=["Training"], description="images")
        dataset.add_dataset_members({"Image": members})
        dataset.release("major", "first", execution=exe)
        datasets.append(dataset.dataset_rid)
    return Lab(ml, workflow, images, datasets[0], datasets[1], pretrained, subject)


def _subject_table() -> Any:
    from deriva_ml import TableDefinition

    return TableDefinition(name="Subject", column_defs=[ColumnDefinition(name="Name", type="text")])


def train(images: Any) -> Any:
    return SimpleNamespace(state_dict=lambda: {"images": len(images)})


class torch:
    @staticmethod
    def save(state: Any, path: Any) -> None:
        Path(path).write_text(json.dumps(state))


def configuration(lab: Lab) -> ExecutionConfiguration:
    return ExecutionConfiguration(workflow=lab.workflow, description="chapter", datasets=[DatasetSpec(rid=lab.dataset)])


# ------------------------------------------------------------------------------------------- running an experiment


def test_describe_an_execution(lab: Lab) -> None:
    ml = lab.ml
    workflow = ml.create_workflow(
        name="ResNet50 Training",
        workflow_type="Training",
        description="Fine-tune ResNet50 on retinal images",
    )
    config = ExecutionConfiguration(
        workflow=workflow,
        description="Training run — learning rate 0.001",
        datasets=[
            DatasetSpec(rid=lab.dataset),
            DatasetSpec(rid=lab.second, version="1.0.0"),
        ],
        assets=[lab.pretrained],
    )
    assert [a.rid for a in config.assets] == [lab.pretrained]
    assert config.datasets[0].version is None and config.datasets[0].materialize is True
    assert str(config.datasets[1].version) == "1.0.0"


def test_a_configuration_without_workflow_is_refused_at_creation(lab: Lab) -> None:
    config = ExecutionConfiguration(description="none")
    with pytest.raises(DerivaMLException, match="workflow"):
        lab.ml.create_execution(config)


def test_run_an_execution(lab: Lab) -> None:
    ml, config = lab.ml, configuration(lab)
    with ml.create_execution(config) as exe:
        print(f"Execution RID: {exe.execution_rid}")
        assert exe.status == ExecutionStatus.Running
        bag = exe.download_dataset_bag(DatasetSpec(rid=lab.dataset))
        images = bag.list_dataset_members()["Image"]
        model = train(images)
        model_path = exe.asset_file_path("Model", "best_model.pt")
        torch.save(model.state_dict(), model_path)
    assert exe.status == ExecutionStatus.Stopped
    exe.commit_output_assets()
    assert exe.status == ExecutionStatus.Uploaded
    assert {row["RID"] for row in images} == set(lab.images[:2])
    assert [asset.file_name for asset in exe.uploaded_assets if asset.asset_table == "Model"] == ["best_model.pt"]


def test_an_exception_inside_the_block_is_recorded_and_raised(lab: Lab) -> None:
    with pytest.raises(ZeroDivisionError), lab.ml.create_execution(configuration(lab)) as exe:
        1 / 0  # noqa: B018
    assert exe.status == ExecutionStatus.Failed
    record = lab.ml.lookup_execution(exe.execution_rid)
    assert record.status == ExecutionStatus.Failed
    assert "ZeroDivisionError" in record.status_detail


def test_write_asset_files(lab: Lab, tmp_path: Path) -> None:
    ml, config, subject_rid = lab.ml, configuration(lab), lab.subject
    processed, temporary = tmp_path / "processed.png", tmp_path / "temp_scan.png"
    processed.write_bytes(b"processed")
    temporary.write_bytes(b"temporary")
    with ml.create_execution(config) as exe:
        model_path = exe.asset_file_path("Model", "classifier.pt")
        torch.save({}, model_path)
        exe.asset_file_path("Image", str(processed), copy_file=True)
        exe.asset_file_path("Image", str(temporary), rename_file="scan_001.png")
        exe.asset_file_path("Image", "mask.png", asset_types=["Segmentation_Mask", "Derived"]).write_bytes(b"mask")
        path = exe.asset_file_path(
            "Image",
            "scan.jpg",
            description="Preprocessed fundus image",
            metadata={"Subject": subject_rid, "Acquisition_Date": "2026-01-15"},
        )
        path.metadata = {**path.metadata, "Acquisition_Time": "14:30:00"}
        path.write_bytes(b"scan")
    exe.commit_output_assets()

    assert (processed.read_bytes(), temporary.read_bytes()) == (b"processed", b"temporary")
    rows = {row["Filename"]: row for row in ml.get_table_as_dict("Image")}
    assert {"processed.png", "scan_001.png", "mask.png", "scan.jpg"} <= set(rows)
    scan = rows["scan.jpg"]
    assert (scan["Subject"], scan["Acquisition_Date"], scan["Acquisition_Time"]) == (
        subject_rid,
        "2026-01-15",
        "14:30:00",
    )
    assert scan["Description"] == "Preprocessed fundus image"
    types = {asset.filename: set(asset.asset_types) for asset in exe.list_assets(asset_role="Output")}
    assert types["mask.png"] == {"Segmentation_Mask", "Derived", "Output_File"}
    assert types["classifier.pt"] == {"Model", "Output_File"}


def test_write_feature_values(lab: Lab) -> None:
    ml, config = lab.ml, configuration(lab)
    feature = ml.lookup_feature("Image", "Glaucoma_Grade")
    RecordClass = feature.feature_record_class()
    records = [
        RecordClass(Image=lab.images[0], Grade="Mild"),
        RecordClass(Image=lab.images[1], Grade="Severe"),
    ]
    with ml.create_execution(config) as exe:
        n = exe.add_features(records)
        print(f"Staged {n} records")
        assert n == 2
        assert list(ml.feature_values("Image", "Glaucoma_Grade")) == []
    exe.commit_output_assets()
    values = {value.Image: value.Grade for value in ml.feature_values("Image", "Glaucoma_Grade")}
    assert values == {lab.images[0]: "Mild", lab.images[1]: "Severe"}


def test_record_training_metrics_and_read_them_from_a_bag(lab: Lab) -> None:
    ml, config, num_epochs = lab.ml, configuration(lab), 3
    with ml.create_execution(config) as exe:
        for epoch in range(num_epochs):
            train_loss, val_loss = 1 / (epoch + 1), 2 / (epoch + 1)
            with exe.metrics_file().open("a") as f:
                json.dump(
                    {"epoch": epoch, "train_loss": train_loss, "val_loss": val_loss},
                    f,
                )
                f.write("\n")
        exe.asset_file_path("Image", "augmented.png").write_bytes(b"augmented")
    exe.commit_output_assets()
    augmented = next(asset.asset_rid for asset in exe.uploaded_assets if asset.asset_table == "Image")
    dataset = exe.create_dataset(dataset_types=["Training"], description="augmented")
    dataset.add_dataset_members({"Image": [augmented]})
    dataset.release("major", "with metrics", execution=exe)

    bag = dataset.download_dataset_bag(version="1.0.0")
    metadata_dir = bag.path / "data" / "assets" / MLAsset.execution_metadata.value
    metric_files = list(metadata_dir.rglob("metrics.jsonl"))
    records = []
    for path in metric_files:
        for line in path.read_text().splitlines():
            if line.strip():
                records.append({"execution_rid": path.parent.name, **json.loads(line)})
    assert [record["epoch"] for record in records] == [0, 1, 2]
    types = {asset.filename: asset.asset_types for asset in exe.list_assets(asset_role="Output")}
    assert "Metrics_File" in types["metrics.jsonl"]


def test_roles(lab: Lab) -> None:
    ml, config, image_rid = lab.ml, configuration(lab), lab.images[3]
    with ml.create_execution(config) as exe:
        img = exe.download_asset(image_rid, exe.working_dir / "inputs")
        assert "Input_File" in img.asset_types
        mp = exe.asset_file_path("Model", "best.pt", asset_types=["Model_File"])
        torch.save({}, mp)
    exe.commit_output_assets()
    inputs = exe.list_assets(asset_role="Input")
    outputs = exe.list_assets(asset_role="Output")
    assert image_rid in [asset.asset_rid for asset in inputs]
    model = next(asset for asset in outputs if asset.filename == "best.pt")
    assert sorted(model.asset_types) == ["Model_File", "Output_File"]
    assert img.read_bytes() == b"image 3"


def test_declared_assets_lie_under_their_rid(lab: Lab) -> None:
    config = ExecutionConfiguration(workflow=lab.workflow, assets=[lab.pretrained], description="declared")
    with lab.ml.create_execution(config) as exe:
        (path,) = exe.asset_paths["Model"]
        assert path.parts[-4:] == ("downloaded-assets", "Model", lab.pretrained, "pretrained.pt")
        assert path.read_bytes() == b"pretrained"
        assert path.file_name == "pretrained.pt"


def test_upload_is_not_automatic(lab: Lab) -> None:
    with lab.ml.create_execution(configuration(lab)) as exe:
        model_path = exe.asset_file_path("Model", "best_model.pt")
        torch.save({}, model_path)
    assert lab.ml.lookup_execution(exe.execution_rid).status == ExecutionStatus.Stopped
    seen: list[str] = []
    report = exe.commit_output_assets(progress_callback=lambda progress: seen.append(progress.phase))
    assert report.execution_rids == [exe.execution_rid]
    assert report.total_failed == 0 and report.errors == []
    assert seen


def test_one_method_three_callers(lab: Lab) -> None:
    ml, cfg = lab.ml, configuration(lab)
    with ml.create_execution(cfg) as exe:
        torch.save({}, exe.asset_file_path("Model", "a.pt"))
    exe.commit_output_assets()

    with ml.create_execution(cfg) as other:
        torch.save({}, other.asset_file_path("Model", "b.pt"))
    exe = ml.resume_execution(other.execution_rid)
    exe.commit_output_assets()

    rids = []
    for name in ("c.pt", "d.pt"):
        with ml.create_execution(cfg) as pending:
            torch.save({"n": name}, pending.asset_file_path("Model", name))
        rids.append(pending.execution_rid)
    report = ml.commit_pending_executions(execution_rids=rids[:1], clean_folder=True)
    assert report.execution_rids == rids[:1]
    report = ml.commit_pending_executions()
    assert rids[1] in report.execution_rids
    assert {ml.lookup_execution(rid).status for rid in rids} == {ExecutionStatus.Uploaded}


def test_the_life_cycle_refuses_what_it_should(lab: Lab) -> None:
    exe = lab.ml.create_execution(configuration(lab))
    assert exe.status == ExecutionStatus.Created
    with pytest.raises(InvalidTransitionError):
        exe.update_status(ExecutionStatus.Stopped)
    with exe:
        pass
    with pytest.raises(InvalidTransitionError):
        exe.update_status(ExecutionStatus.Failed)
    exe.commit_output_assets()
    with pytest.raises(InvalidTransitionError):
        exe.update_status(ExecutionStatus.Failed)
    assert exe.commit_output_assets().total_uploaded == 0
    assert exe.status == ExecutionStatus.Uploaded


def test_update_status_during_a_run(lab: Lab) -> None:
    ml, config, num_epochs = lab.ml, configuration(lab), 2
    with ml.create_execution(config) as exe:
        exe.update_status(ExecutionStatus.Running, "Loading dataset...")
        for epoch in range(num_epochs):
            loss = 1 / (epoch + 1)
            exe.update_status(
                ExecutionStatus.Running,
                f"Epoch {epoch + 1}/{num_epochs} — loss={loss:.4f}",
            )
            assert (
                ml.lookup_execution(exe.execution_rid).status_detail
                == f"Epoch {epoch + 1}/{num_epochs} — loss={loss:.4f}"
            )
        exe.update_status(ExecutionStatus.Running, "Saving checkpoint...")
        model_path = exe.asset_file_path("Model", "model_final.pt")
        torch.save({}, model_path)
    exe.commit_output_assets()


CRASH = """
import os, signal, sys
from deriva_ml import DerivaML
hostname, catalog, home, image = sys.argv[1:]
ml = DerivaML(hostname or None, catalog, working_dir=home)
record = ml.lookup_feature("Image", "Glaucoma_Grade").feature_record_class()
workflow = ml.create_workflow("Crash", "Training", "dies")
with ml.create_execution(workflow=workflow, description="dies") as exe:
    exe.add_features([record(Image=image, Grade="Mild")])
    exe.asset_file_path("Model", "kept.pt").write_text("kept")
    print(exe.execution_rid, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_crash_and_resume(lab: Lab, tmp_path: Path) -> None:
    ml = lab.ml
    script = tmp_path / "crash.py"
    script.write_text(textwrap.dedent(CRASH))
    hostname = "" if ml.host_name in (None, "embedded") else _url(ml)
    arguments = [hostname, str(ml.catalog_id), str(ml.working_dir), lab.images[0]]
    done = subprocess.run([sys.executable, script, *arguments], capture_output=True, text=True, env=dict(os.environ))
    assert done.returncode == -signal.SIGKILL, done.stderr
    rid = done.stdout.strip()

    exe = ml.resume_execution(rid)
    exe.update_status(ExecutionStatus.Pending_Upload)
    exe.commit_output_assets()
    assert exe.status == ExecutionStatus.Uploaded
    values = [value for value in ml.feature_values("Image", "Glaucoma_Grade") if value.Execution == rid]
    assert [(value.Image, value.Grade) for value in values] == [(lab.images[0], "Mild")]
    assert "kept.pt" in [asset.filename for asset in exe.list_assets(asset_role="Output")]


def _url(ml: DerivaML) -> str:
    return str(ml.host_name)


def test_trace_lineage(lab: Lab) -> None:
    ml = lab.ml
    config = ExecutionConfiguration(
        workflow=lab.workflow, description="predict", datasets=[DatasetSpec(rid=lab.dataset)], assets=[lab.pretrained]
    )
    with ml.create_execution(config) as exe:
        exe.asset_file_path("Execution_Asset", "predictions.csv", description="Predictions").write_text("a,b\n")
    exe.commit_output_assets()
    predictions = next(asset.asset_rid for asset in exe.uploaded_assets if asset.asset_table == "Execution_Asset")

    lineage = ml.lookup_lineage(predictions)
    print(lineage.root.type, lineage.root.description)
    print(f"Walked {lineage.executions_visited} executions; complete={lineage.walked_complete}")
    assert (lineage.root.type, lineage.root.description) == ("Asset", "Predictions")
    assert lineage.executions_visited == 2 and lineage.walked_complete
    assert lineage.root.producing_execution.rid == exe.execution_rid
    assert lineage.lineage.consumed_datasets[0].rid == lab.dataset
    assert lineage.lineage.consumed_assets[0].rid == lab.pretrained
    assert len(lineage.lineage.parents) == 1
    assert ml.lookup_lineage(predictions, depth=0).depth_capped
    assert not ml.lookup_lineage(predictions, depth=2).depth_capped


# ------------------------------------------------------------------------------------------------- reproducibility


def test_pin_a_dataset_version(lab: Lab) -> None:
    dataset = lab.ml.lookup_dataset(lab.dataset)
    dataset.add_dataset_members({"Image": lab.images[2:3]})
    dataset.release("minor", "one more")
    config = ExecutionConfiguration(
        datasets=[DatasetSpec(rid=lab.dataset, version="1.0.0")],
        workflow=lab.workflow,
        description="Pinned training run",
    )
    with lab.ml.create_execution(config) as exe:
        bag = exe.datasets[0]
        assert {row["RID"] for row in bag.list_dataset_members()["Image"]} == set(lab.images[:2])
        assert exe.datasets[lab.dataset].path == bag.path
    newest = lab.ml.download_dataset_bag(DatasetSpec(rid=lab.dataset))
    assert len(newest.list_dataset_members()["Image"]) == 3


@pytest.mark.parametrize("version", ["1.0.0", [1, 0, 0], {"major": 1, "minor": 0, "patch": 0}])
def test_versions_are_written_in_many_ways(version: Any) -> None:
    assert str(DatasetSpec(rid="1-ABC4", version=version).version) == "1.0.0"


def test_three_executions_share_one_workflow(lab: Lab) -> None:
    ml = lab.ml
    workflow = ml.create_workflow(
        name="CNN Training v2",
        workflow_type="Training",
        description="ResNet-50 with dropout",
    )
    rids = set()
    for _ in range(3):
        with ml.create_execution(workflow=workflow, description="same code") as exe:
            pass
        rids.add(exe.workflow_rid)
    assert len(rids) == 1
    assert ml.add_workflow(workflow) in rids


def test_four_files_are_there_before_user_code_runs(lab: Lab) -> None:
    exe = lab.ml.create_execution(configuration(lab))
    names = {asset.filename: asset.asset_types for asset in exe.list_assets()}
    assert "Deriva_Config" in names["configuration.json"]
    snapshot = next(name for name in names if name.startswith("environment_snapshot_"))
    assert "Runtime_Env" in names[snapshot]


def test_rerun_a_past_execution(lab: Lab) -> None:
    ml = lab.ml
    with ml.create_execution(configuration(lab)) as first:
        pass
    first.commit_output_assets()
    found = [record.execution_rid for record in ml.find_executions(status=ExecutionStatus.Uploaded)]
    assert first.execution_rid in found

    past_exec = ml.lookup_execution(first.execution_rid)
    config = ExecutionConfiguration(
        datasets=[
            DatasetSpec(rid=lab.dataset, version="1.0.0"),
        ],
        workflow=past_exec.workflow,
        description=f"Reproduction of {first.execution_rid}",
    )
    with ml.create_execution(config) as exe:
        bag = exe.datasets[0]
        assert bag.path.is_dir()
    exe.upload_execution_outputs()
    both = {record.execution_rid for record in ml.find_executions(workflow=past_exec.workflow)}
    assert {first.execution_rid, exe.execution_rid} <= both


def test_the_local_listing_takes_several_states(lab: Lab) -> None:
    with lab.ml.create_execution(configuration(lab)) as exe:
        pass
    listed = lab.ml.list_executions(status=[ExecutionStatus.Stopped, ExecutionStatus.Failed])
    assert [snapshot.rid for snapshot in listed] == [exe.execution_rid]


def test_a_record_writes_through(lab: Lab) -> None:
    exe = lab.ml.create_execution(configuration(lab))
    record = lab.ml.lookup_execution(exe.execution_rid)
    record.description = "another"
    assert lab.ml.lookup_execution(exe.execution_rid).description == "another"


def test_a_missing_file_is_named_and_nothing_is_lost(lab: Lab) -> None:
    with lab.ml.create_execution(configuration(lab)) as exe:
        missing = exe.asset_file_path("Model", "never-written.pt")
    with pytest.raises((DerivaMLUploadError, DerivaMLValidationError), match=r"never-written\.pt"):
        exe.commit_output_assets()
    missing.write_text("late")
    exe.commit_output_assets()
    assert exe.status == ExecutionStatus.Uploaded
