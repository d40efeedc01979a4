"""The life of an execution, as its user sees it, by both roads."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deriva_ml import DerivaML, DerivaMLException, DerivaMLValidationError, InvalidTransitionError, Workflow, jsontext
from deriva_ml.execution import ExecutionConfiguration, ExecutionStatus
from deriva_ml.execution.execution import Execution

S = ExecutionStatus
Rows = Callable[..., list[dict[str, Any]]]


def test_a_run_goes_from_created_to_uploaded(lab: DerivaML, workflow: Workflow) -> None:
    exe = lab.create_execution(workflow=workflow, description="a **first** run")
    record = lab.lookup_execution(exe.execution_rid)
    assert (exe.status, record.status, record.description) == (S.Created, S.Created, "a **first** run")
    with exe as same:
        assert same is exe
        assert exe.status is S.Running
        assert lab.lookup_execution(exe.rid).status is S.Running
    assert lab.lookup_execution(exe.rid).status is S.Stopped
    assert exe.start_time is not None
    assert exe.stop_time is not None
    assert exe.start_time <= exe.stop_time
    exe.commit_output_assets()
    done = lab.lookup_execution(exe.rid)
    assert (exe.status, done.status) == (S.Uploaded, S.Uploaded)
    assert (done.start_time, done.stop_time) == (exe.start_time, exe.stop_time)
    assert done.duration is not None
    assert done.duration.startswith("PT")
    assert done.upload_duration is not None
    assert [step[1:3] for step in lab.executions.store.history(exe.rid)] == [
        ("Created", "Running"),
        ("Running", "Stopped"),
        ("Stopped", "Pending_Upload"),
        ("Pending_Upload", "Uploaded"),
    ]


def test_an_error_in_the_block_fails_the_run_and_goes_on_its_way(lab: DerivaML, workflow: Workflow) -> None:
    exe = lab.create_execution(workflow=workflow)
    with pytest.raises(ZeroDivisionError), exe:
        exe.asset_file_path("Image", "half.txt").write_text("half done")
        _ = 1 / 0
    record = lab.lookup_execution(exe.rid)
    assert (exe.status, record.status) == (S.Failed, S.Failed)
    assert exe.error == record.status_detail == "ZeroDivisionError: division by zero"

    exe.commit_output_assets()
    record = lab.lookup_execution(exe.rid)
    assert record.status is S.Uploaded
    assert record.status_detail == "run failed: ZeroDivisionError: division by zero"
    assert [asset.file_name for asset in exe.uploaded_assets] == ["half.txt"]


@pytest.mark.parametrize(("code", "ended"), [(None, "Stopped"), (0, "Stopped"), (3, "Failed"), ("why", "Failed")])
def test_sys_exit_ends_a_run_as_its_code_says(lab: DerivaML, workflow: Workflow, code: Any, ended: str) -> None:
    exe = lab.create_execution(workflow=workflow)
    with pytest.raises(SystemExit), exe:
        raise SystemExit(code)
    assert exe.status == ended


def test_a_run_that_failed_before_it_wrote_a_file_commits_the_rest(lab: DerivaML, workflow: Workflow) -> None:
    exe = lab.create_execution(workflow=workflow)
    with pytest.raises(RuntimeError), exe:
        exe.asset_file_path("Image", "written.txt").write_text("whole")
        exe.asset_file_path("Image", "never.txt")
        raise RuntimeError("out of luck")
    report = exe.commit_output_assets()
    assert [asset.file_name for asset in exe.uploaded_assets] == ["written.txt"]
    assert report.notes == ["registered and never written: Image/never.txt"]
    assert "registered and never written: Image/never.txt" in lab.lookup_execution(exe.rid).status_detail


def test_messages_and_states_can_be_written_by_hand(lab: DerivaML, workflow: Workflow) -> None:
    with lab.create_execution(workflow=workflow) as exe:
        exe.update_status(S.Running, "epoch 1/2")
        assert lab.lookup_execution(exe.rid).status_detail == "epoch 1/2"
        exe.update_status("Running", "epoch 2/2")
        assert (exe.status, lab.lookup_execution(exe.rid).status_detail) == (S.Running, "epoch 2/2")
        with pytest.raises(InvalidTransitionError, match="Running and cannot become Uploaded"):
            exe.update_status(S.Uploaded)
        with pytest.raises(DerivaMLValidationError, match="no state"):
            exe.update_status("Sleeping")
        exe.update_status(S.Failed, error="it diverged")
    assert (exe.status, exe.error) == (S.Failed, "it diverged")
    assert lab.lookup_execution(exe.rid).status_detail == "it diverged"


def test_a_run_can_be_started_stopped_and_given_up_without_a_block(lab: DerivaML, workflow: Workflow) -> None:
    exe = lab.create_execution(workflow=workflow)
    exe.execution_start()
    with pytest.raises(DerivaMLException):
        exe.execution_start()
    exe.execution_stop()
    exe.abort("not needed any more")
    record = lab.lookup_execution(exe.rid)
    assert (record.status, record.status_detail) == (S.Aborted, "not needed any more")
    with pytest.raises(InvalidTransitionError, match="it is final"):
        exe.commit_output_assets()


def test_a_run_that_never_ran_cannot_be_committed(lab: DerivaML, workflow: Workflow) -> None:
    exe = lab.create_execution(workflow=workflow)
    with pytest.raises(InvalidTransitionError, match="from Created it can go to Running, Aborted"):
        exe.commit_output_assets()
    assert exe.status is S.Created


def test_a_commit_inside_the_block_stops_the_run_first(lab: DerivaML, workflow: Workflow) -> None:
    with lab.create_execution(workflow=workflow) as exe:
        exe.asset_file_path("Image", "a.txt").write_text("a")
        exe.commit_output_assets()
        assert exe.status is S.Uploaded
    assert exe.status is S.Uploaded
    assert exe.stop_time is not None


def test_what_somebody_did_in_the_catalog_holds(lab: DerivaML, workflow: Workflow) -> None:
    exe = lab.create_execution(workflow=workflow)
    exe.execution_start()
    lab.lookup_execution(exe.rid).update_status(S.Aborted, "stopped by the night shift")
    with pytest.raises(InvalidTransitionError, match="Aborted"):
        exe.execution_stop()
    assert exe.status is S.Aborted


def test_nobody_calls_a_run_uploaded_of_which_something_waits(lab: DerivaML, workflow: Workflow) -> None:
    with lab.create_execution(workflow=workflow) as exe:
        exe.log_metrics({"loss": 1})
    exe.update_status(S.Pending_Upload)
    (snapshot,) = lab.list_executions()
    record = lab.lookup_execution(exe.rid)
    ways: list[Callable[[], object]] = [
        lambda: exe.update_status(S.Uploaded),
        lambda: snapshot.update_status(S.Uploaded, ml=lab),
        lambda: record.update_status(S.Uploaded),
    ]
    for way in ways:
        with pytest.raises(DerivaMLValidationError, match="only a commit can tell"):
            way()
    assert exe.status is lab.lookup_execution(exe.rid).status is S.Pending_Upload
    assert snapshot.pending_summary(ml=lab).has_pending
    snapshot.update_status("Failed", ml=lab, error="the disk is full")
    assert (exe.status, exe.error, snapshot.status) == (S.Failed, "the disk is full", S.Pending_Upload)
    assert lab.lookup_execution(exe.rid).status_detail == "the disk is full"
    exe.commit_output_assets()
    exe.update_status(S.Pending_Upload, "nothing more waits")
    lab.lookup_execution(exe.rid).update_status(S.Uploaded)
    assert lab.resume_execution(exe.rid).status is S.Uploaded


def test_a_reason_lasts_as_long_as_it_is_true(lab: DerivaML, workflow: Workflow) -> None:
    """An upload that failed is forgotten when a later one went well; a failure of the run itself is not, and giving up keeps it."""

    def fails(exe: Execution) -> None:
        exe.asset_file_path("Image", "gone.txt").write_text("gone")
        lost = lab.workspace / "executions" / exe.rid / "sealed"
        lost.parent.mkdir(exist_ok=True)
        lost.rename(lost.with_name("elsewhere"))
        lost.write_text("no folder")
        with pytest.raises(DerivaMLException):
            exe.commit_output_assets()
        assert (exe.error or "").startswith("upload failed: ")
        lost.unlink()
        lost.with_name("elsewhere").rename(lost)

    with lab.create_execution(workflow=workflow) as exe:
        exe.log_metrics({"loss": 1})
    fails(exe)
    exe.commit_output_assets()
    assert (exe.status, exe.error) == (S.Uploaded, None)

    with pytest.raises(ZeroDivisionError), lab.create_execution(workflow=workflow) as failed:
        raise ZeroDivisionError("by hand")
    fails(failed)
    failed.commit_output_assets()
    assert (failed.status, failed.error) == (S.Uploaded, "ZeroDivisionError: by hand")

    given_up = [lab.create_execution(workflow=workflow) for _ in range(2)]
    for exe in given_up:
        exe.execution_start()
        exe.update_status(S.Failed, "out of memory")
    given_up[0].abort()
    lab.lookup_execution(given_up[1].rid).update_status(S.Aborted)
    for exe in given_up:
        assert lab.lookup_execution(exe.rid).status_detail == "out of memory"


def test_four_kinds_of_files_describe_a_run_before_it_begins(
    lab: DerivaML, workflow: Workflow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_API_TOKEN", "hunter2-hunter2")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    hydra = tmp_path / "hydra"
    (hydra / "hydra-config").mkdir(parents=True)
    for name in ("config", "overrides", "hydra"):
        (hydra / "hydra-config" / f"{name}.yaml").write_text(f"{name}: 1\npassword: swordfish\n")
    (tmp_path / "uv.lock").write_text("version = 1\n")
    workflow.git_root = tmp_path
    lab.hydra_runtime_output_dir = hydra
    config = ExecutionConfiguration(
        workflow=workflow,
        description="described",
        parameters={"lr": 0.1, "api_key": "secret"},
        argv=["train.py", "--token", "abc"],
    )
    exe = lab.create_execution(config)

    files = {asset.filename: asset for asset in exe.list_assets("Output")}
    kinds = {name: [kind for kind in asset.asset_types if kind != "Output_File"] for name, asset in files.items()}
    assert kinds.pop("configuration.json") == ["Deriva_Config"]
    assert kinds.pop("uv.lock") == ["Execution_Config"]
    snapshot = next(name for name in kinds if name.startswith("environment_snapshot_") and name.endswith(".txt"))
    assert kinds.pop(snapshot) == ["Runtime_Env"]
    assert sorted(kinds.values()) == [["Hydra_Config"]] * 3
    assert all(asset.description for asset in files.values())

    def text(name: str) -> str:
        return exe.download_asset(files[name].rid, tmp_path / "seen", update_catalog=False).read_text()

    written = json.loads(text("configuration.json"))
    assert (written["execution_rid"], written["description"]) == (exe.rid, "described")
    assert written["parameters"] == {"lr": 0.1, "api_key": "[redacted]"}
    assert written["argv"] == ["train.py", "--token", "[redacted]"]
    assert written["workflow"]["url"] == "https://example.org/train.py"
    loaded = ExecutionConfiguration.load_configuration(tmp_path / "seen" / "configuration.json")
    assert (loaded.description, loaded.workflow and loaded.workflow.workflow_rid) == ("described", exe.workflow_rid)
    environ = json.loads(text(snapshot))["os"]["environ"]
    assert environ["CUDA_VISIBLE_DEVICES"] == "3"
    assert "hunter2" not in text(snapshot)
    assert all("swordfish" not in text(name) for name in kinds)


def test_settings_and_numbers_of_the_run_are_kept_and_committed_as_files(
    lab: DerivaML, workflow: Workflow, tmp_path: Path
) -> None:
    with lab.create_execution(workflow=workflow, parameters={"epochs": 3}) as exe:
        exe.log_params({"lr": 0.1, "layers": [64, 32]}, seed=7)
        exe.log_params(lr=0.1)
        with pytest.raises(DerivaMLValidationError, match=r"lr = 0\.1 \(now 0\.2\)"):
            exe.log_params(lr=0.2, other=1)
        for step in range(3):
            exe.log_metrics({"loss": 1 / (step + 1)}, step=step)
    assert exe.parameters == {"epochs": 3, "lr": 0.1, "layers": [64, 32], "seed": 7}
    assert [line["step"] for line in exe.metrics] == [0, 1, 2]
    assert exe.pending_summary().has_pending
    exe.commit_output_assets()
    assert not exe.pending_summary().has_pending

    found = {asset.filename: asset for asset in exe.list_assets("Output")}
    parameters = exe.download_asset(found["parameters.json"].rid, tmp_path / "seen", update_catalog=False)
    assert json.loads(parameters.read_text()) == {"lr": 0.1, "layers": [64, 32], "seed": 7}
    metrics = exe.download_asset(found["metrics.jsonl"].rid, tmp_path / "seen", update_catalog=False)
    assert [json.loads(line)["loss"] for line in metrics.read_text().splitlines()] == [1.0, 0.5, 1 / 3]
    assert "Metrics_File" in found["metrics.jsonl"].asset_types

    exe.log_metrics({"loss": 0.0}, step=3)
    exe.commit_output_assets()
    assert [asset.filename for asset in exe.list_assets("Output")].count("metrics.jsonl") == 2


def strict(text: str) -> Any:
    """Read JSON as RFC 8259 has it: no NaN, no infinity."""
    return json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))


def test_numbers_that_json_does_not_have_are_valid_json_and_the_same_numbers_afterwards(
    local_lab: DerivaML, workflow: Workflow
) -> None:
    odd = {"inf": math.inf, "less": -math.inf, "nan": math.nan}
    with local_lab.create_execution(workflow=workflow, parameters={"bound": math.inf}) as exe:
        exe.log_params(odd, nested=[{"bound": math.inf}])
        exe.log_metrics(odd, step=0)
    assert repr(exe.parameters) == repr({"bound": math.inf, **odd, "nested": [{"bound": math.inf}]})
    assert repr(exe.metrics) == repr([{"step": 0, **odd}])
    exe.commit_output_assets()
    files = {asset.filename: asset.rid for asset in exe.list_assets("Output") if asset.filename.endswith(("json", "l"))}
    texts = {name: exe.download_asset(rid, update_catalog=False).read_text() for name, rid in files.items()}
    assert texts.keys() == {"configuration.json", "parameters.json", "metrics.jsonl"}
    for name, text in texts.items():
        for line in text.splitlines() if name.endswith("l") else [text]:
            strict(line)
    assert repr(jsontext.loads(texts["metrics.jsonl"])) == repr({"step": 0, **odd})
    assert {name: float(strict(texts["parameters.json"])[name]) for name in ("inf", "less")} == {
        "inf": math.inf,
        "less": -math.inf,
    }


def test_a_metrics_file_is_the_runs_own_and_grows(lab: DerivaML, workflow: Workflow, tmp_path: Path) -> None:
    leftover = Path("metrics.jsonl")
    leftover.write_text("an earlier run wrote this here\n")
    with lab.create_execution(workflow=workflow) as exe:
        for epoch in range(3):
            with exe.metrics_file().open("a") as file:
                file.write(json.dumps({"epoch": epoch}) + "\n")
        with exe.metrics_file("eval.jsonl").open("a") as file:
            file.write("{}\n")
    exe.commit_output_assets()
    assert leftover.read_text() == "an earlier run wrote this here\n"
    found = {asset.filename: asset for asset in exe.list_assets("Output") if "Metrics_File" in asset.asset_types}
    assert set(found) == {"metrics.jsonl", "eval.jsonl"}
    text = exe.download_asset(found["metrics.jsonl"].rid, tmp_path / "seen", update_catalog=False).read_text()
    assert [json.loads(line)["epoch"] for line in text.splitlines()] == [0, 1, 2]


def test_an_execution_without_declared_inputs_reads_the_unknown_file(
    lab: DerivaML, workflow: Workflow, rows: Rows
) -> None:
    with lab.create_execution(workflow=workflow) as exe:
        pass
    exe.commit_output_assets()
    exe.commit_output_assets()
    (link,) = rows(lab, "File_Execution", Execution=exe.rid)
    (file,) = rows(lab, "File", RID=link["File"])
    assert (link["Asset_Role"], file["URL"]) == ("Input", "tag:deriva-ml,unknown-provenance:file")


def test_a_dry_run_does_the_work_and_leaves_no_record(
    lab: DerivaML, workflow: Workflow, rows: Rows, committed: Callable[..., Execution], tmp_path: Path
) -> None:
    earlier = committed(lab, a="input")
    (image,) = earlier.list_assets("Output")[-1:]
    tables = ("Execution", "Workflow", "Execution_Metadata", "Image", "Image_Execution", "Execution_Image_Grade")
    before = [rows(lab, table) for table in tables]
    with lab.create_execution(workflow=workflow, assets=[image.rid], dry_run=True) as exe:
        assert (exe.execution_rid, exe.dry_run, exe.status) == ("0000", True, S.Running)
        assert exe.asset_paths["Image"][0].read_text() == "input"
        exe.asset_file_path("Image", "out.txt").write_text("out")
        exe.log_params(lr=1)
        exe.add_features([lab.feature_record_class("Image", "Grade")(Image=image.rid, Grade="Mild")])
    report = exe.commit_output_assets()
    assert (report.total_uploaded, exe.status) == (0, S.Stopped)
    assert [rows(lab, table) for table in tables] == before
    assert lab.list_executions(status="Stopped") == []


def test_a_configuration_and_its_parts_cannot_be_mixed(lab: DerivaML, workflow: Workflow) -> None:
    config = ExecutionConfiguration(description="declared")
    assert lab.create_execution(config, workflow=workflow).configuration.workflow is not None
    with pytest.raises(TypeError, match="not both"):
        lab.create_execution(config, description="again")
    with pytest.raises(DerivaMLException, match="needs a workflow"):
        lab.create_execution(config)


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        ({"datasets": ["1-NONE"]}, "No dataset has the RID 1-NONE"),
        ({"assets": ["1-NONE"]}, "1-NONE"),
        ({"assets": [{"path": "/not/there.csv"}]}, "The input /not/there.csv is not there"),
    ],
    ids=["dataset", "asset", "file"],
)
def test_an_input_that_is_not_there_leaves_nothing_behind(
    lab: DerivaML, workflow: Workflow, rows: Rows, declared: dict[str, Any], message: str
) -> None:
    before = rows(lab, "Execution"), rows(lab, "Workflow")
    with pytest.raises(DerivaMLException, match=message):
        lab.create_execution(workflow=workflow, **declared)
    assert (rows(lab, "Execution"), rows(lab, "Workflow")) == before
    assert lab.list_executions() == []


def test_something_that_is_no_asset_cannot_be_an_input(lab: DerivaML, workflow: Workflow) -> None:
    other = lab.create_execution(workflow=workflow)
    with pytest.raises(DerivaMLException, match="not an asset table"):
        lab.create_execution(workflow=workflow, assets=[other.rid])


def test_inputs_are_brought_here_linked_and_tagged(
    lab: DerivaML, workflow: Workflow, committed: Callable[..., Execution], tmp_path: Path
) -> None:
    earlier = committed(lab, a="first", b="second")
    first, second = (asset.asset_rid for asset in earlier.uploaded_assets)
    exe = lab.create_execution(workflow=workflow, assets=[first])
    (path,) = exe.asset_paths["Image"]
    assert path == exe.working_dir / "downloaded-assets" / "Image" / str(first) / "a.txt"
    assert (path.read_text(), path.asset_rid, path.file_name) == ("first", first, "a.txt")
    with exe:
        later = exe.download_asset(second, exe.working_dir / "inputs")
        assert later == exe.working_dir / "inputs" / "b.txt"
        assert later.read_text() == "second"
        assert "Input_File" in later.asset_types
    inputs = exe.list_assets(asset_role="Input")
    assert {asset.rid for asset in inputs} == {first, second}
    assert all("Input_File" in asset.asset_types for asset in inputs)
    exe.commit_output_assets()
    assert {asset.rid for asset in exe.list_assets(asset_role="Input")} == {first, second}
    assert {run.rid for run in lab.find_executions_consuming(str(first))} == {exe.rid}


def test_two_inputs_of_one_name_do_not_overwrite_each_other(
    lab: DerivaML, workflow: Workflow, committed: Callable[..., Execution], tmp_path: Path
) -> None:
    one, other = (committed(lab, same=text).uploaded_assets[0] for text in ("one", "other"))
    with lab.create_execution(workflow=workflow) as exe:
        first = exe.download_asset(str(one.asset_rid), tmp_path / "in")
        second = exe.download_asset(str(other.asset_rid), tmp_path / "in", use_cache=True)
        again = exe.download_asset(str(one.asset_rid), tmp_path / "in")
    assert (first.read_text(), second.read_text(), again) == ("one", "other", first)
    assert second.parent.name == other.asset_rid


def test_a_local_file_is_an_input_by_name_length_and_checksum(
    lab: DerivaML, workflow: Workflow, rows: Rows, elsewhere: Path
) -> None:
    source = elsewhere / "table.csv"
    source.write_text("a,b\n1,2\n")
    runs = [lab.create_execution(workflow=workflow, assets=[{"path": str(source)}]) for _ in range(2)]
    for exe in runs:
        (path,) = exe.asset_paths["File"]
        assert path == source
        (asset,) = exe.list_assets("Input")
        assert (asset.filename, asset.length, asset.rid) == ("table.csv", 8, path.asset_rid)
    assert len({exe.asset_paths["File"][0].asset_rid for exe in runs}) == 1


def test_runs_can_contain_runs(lab: DerivaML, workflow: Workflow) -> None:
    sweep, first, second = (lab.create_execution(workflow=workflow) for _ in range(3))
    sweep.add_nested_execution(second, 2)
    sweep.add_nested_execution(first.rid, 1)
    sweep.add_nested_execution(first, 1)
    assert [child.rid for child in sweep.list_nested_executions()] == [first.rid, second.rid]
    assert [parent.rid for parent in first.list_parent_executions()] == [sweep.rid]
    assert (sweep.is_parent(), sweep.is_nested(), first.is_parent(), first.is_nested()) == (True, False, False, True)
    with pytest.raises(DerivaMLException, match="cannot be nested"):
        first.add_nested_execution(sweep)


def test_the_launcher_is_told_which_execution_it_is(
    lab: DerivaML, workflow: Workflow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DERIVA_ML_SAVE_EXECUTION_RID", str(tmp_path / "rid.json"))
    exe = lab.create_execution(workflow=workflow)
    told = json.loads((tmp_path / "rid.json").read_text())
    assert (told["execution_rid"], told["workflow_rid"], told["catalog_id"]) == (
        exe.rid,
        exe.workflow_rid,
        lab.catalog_id,
    )
