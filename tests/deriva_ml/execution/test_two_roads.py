"""A run that was begun offline comes into the catalog by two roads at once: brought from here, and loaded from a sealed bag."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from deriva_ml import DerivaML, DerivaMLBusyError, DerivaMLStateInconsistency, Workflow
from deriva_ml.execution import ExecutionStatus, bring, load_bag
from deriva_ml.execution.execution import Execution
from deriva_ml.files import write_whole


def begun_offline(lab: DerivaML, workflow: Workflow) -> Execution:
    away = DerivaML(lab.host_name, lab.catalog_id, mode="offline")
    with away.create_execution(workflow=workflow) as exe:
        exe.asset_file_path("Image", "a.txt").write_text("a")
        exe.log_metrics({"loss": 0.5}, step=1)
    return exe


def other_machine(lab: DerivaML, folder: Path) -> DerivaML:
    """The same catalog, a workspace of its own."""
    far = DerivaML(lab.host_name, lab.catalog_id)
    far.workspace = far.cache_dir = folder
    return far


def outputs(lab: DerivaML, rid: str) -> list[str]:
    return sorted(asset.filename for asset in lab.list_execution_assets(rid, "Output"))


def stopped(*_: Any) -> None:
    raise KeyboardInterrupt


def test_files_follow_a_run_that_got_its_name_when_its_bringer_was_stopped(
    local_lab: DerivaML, workflow: Workflow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Meanwhile the catalog knows the run by the other road: that says nothing of what waits here."""
    exe = begun_offline(local_lab, workflow)
    archive = exe.seal(tmp_path / "run.zip")
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(bring, "_move_folder", stopped)
        local_lab.resume_execution(exe.rid)
    other_machine(local_lab, tmp_path / "far").load_sealed_bag(archive)

    again = DerivaML(local_lab.host_name, local_lab.catalog_id)
    assert again.commit_pending_executions().errors == []
    rid = again.resume_execution(exe.rid).rid
    assert again.lookup_execution(rid).status == ExecutionStatus.Uploaded
    assert outputs(again, rid).count("a.txt") == 1
    assert [finding for finding in again.check(read_data=True).findings if finding.weight] == []


def test_whoever_holds_the_old_name_is_told_the_new_one(
    local_lab: DerivaML, workflow: Workflow, tmp_path: Path
) -> None:
    exe = begun_offline(local_lab, workflow)
    brought = local_lab.resume_execution(exe.rid)
    for call in (
        lambda: exe.seal(tmp_path / "run.zip"),
        lambda: exe.metrics,
        lambda: exe.parameters,
        exe.pending_summary,
    ):
        with pytest.raises(DerivaMLStateInconsistency, match=f"as {brought.rid}: go on with"):
            call()
    assert not (tmp_path / "run.zip").exists()
    assert [path.name for path in (local_lab.workspace / "executions").iterdir()] == [brought.rid]
    assert brought.metrics == [{"step": 1, "loss": 0.5}]


def test_a_folder_that_somebody_has_made_under_the_new_name_is_joined(
    local_lab: DerivaML, workflow: Workflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    exe = begun_offline(local_lab, workflow)
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(bring, "_move_folder", stopped)
        local_lab.resume_execution(exe.rid)
    store = local_lab.executions.store
    old, new = store.folder(exe.rid), store.folder(store.current_name(exe.rid))
    (new / "sealed").mkdir(parents=True)
    write_whole(new / "notes.txt", b"the user's")
    write_whole(new / "asset-manifest.json", b"{}")
    assert (old / "assets" / "Image" / "a.txt").is_file()

    done = local_lab.resume_execution(exe.rid)
    done.commit_output_assets(clean_folder=False)
    assert not old.exists()
    assert (new / "notes.txt").read_bytes() == b"the user's"
    assert (new / "assets" / "Image" / "a.txt").read_text() == "a"
    assert outputs(local_lab, done.rid).count("a.txt") == 1


def test_a_loader_that_another_one_has_overtaken_goes_on_under_the_new_name(
    local_lab: DerivaML, workflow: Workflow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exe = begun_offline(local_lab, workflow)
    archive = exe.seal(tmp_path / "run.zip")
    far, real = other_machine(local_lab, tmp_path / "far"), load_bag._check_catalog

    def overtaken(*given: Any) -> None:
        monkeypatch.setattr(load_bag, "_check_catalog", real)
        other_machine(local_lab, tmp_path / "far").load_sealed_bag(archive)
        real(*given)

    monkeypatch.setattr(load_bag, "_check_catalog", overtaken)
    assert far.load_sealed_bag(archive).errors == []
    assert far.load_sealed_bag(archive).errors == []
    rid = far.executions.store.current_name(exe.rid)
    assert [path.name for path in (tmp_path / "far" / "executions").iterdir()] == [rid]
    assert outputs(far, rid).count("a.txt") == 1


def test_a_bag_waits_while_its_run_is_brought(
    local_lab: DerivaML, workflow: Workflow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exe = begun_offline(local_lab, workflow)
    archive = exe.seal(tmp_path / "run.zip")
    said: list[str] = []

    def meanwhile(*given: Any) -> None:
        with pytest.raises(DerivaMLBusyError) as caught:
            local_lab.load_sealed_bag(archive)
        said.append(str(caught.value))
        real(*given)

    real = bring._move_folder
    monkeypatch.setattr(bring, "_move_folder", meanwhile)
    done = local_lab.resume_execution(exe.rid)
    assert said and "cannot be loaded" in said[0]
    assert local_lab.load_sealed_bag(archive).errors == []
    assert outputs(local_lab, done.rid).count("a.txt") == 1
