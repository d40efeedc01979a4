"""How files come into staging: three ways, none of which touches the user's own file."""

from __future__ import annotations

import json
import os
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deriva_ml import (
    DerivaML,
    DerivaMLException,
    DerivaMLInvalidTerm,
    DerivaMLTableTypeError,
    DerivaMLValidationError,
    Workflow,
)
from deriva_ml.errors import DerivaMLUploadError
from deriva_ml.execution import ExecutionStatus
from deriva_ml.execution.execution import Execution
from deriva_ml.execution.outputs import LeftoverWarning
from deriva_ml.names import TableName


@pytest.fixture
def exe(local_lab: DerivaML, workflow: Workflow) -> Execution:
    """A running execution of an embedded laboratory."""
    made = local_lab.create_execution(workflow=workflow)
    made.execution_start()
    return made


def manifest(exe: Execution) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((exe.working_dir / "asset-manifest.json").read_text())["assets"]
    return {key: each for key, each in found.items() if each["mode"] != "record"}


# ---------------------------------------------------------------------------------------------------------- three ways


def test_a_name_that_does_not_exist_is_a_new_file(exe: Execution) -> None:
    path = exe.asset_file_path("Image", "scan.png")
    assert not path.exists()
    assert path.is_relative_to(exe.working_dir)
    path.write_bytes(b"pixels")
    assert exe.asset_file_path("Image", "scan.png") == path
    assert exe.asset_file_path("Image", path) == path
    assert list(manifest(exe)) == ["Image/scan.png"]


def test_an_existing_file_is_linked(exe: Execution, elsewhere: Path) -> None:
    source = elsewhere / "scan.png"
    source.write_bytes(b"pixels")
    path = exe.asset_file_path("Image", source)
    assert path.is_symlink()
    assert path.readlink() == source
    assert (path.file_name, path.read_bytes()) == ("scan.png", b"pixels")


def test_an_existing_file_is_copied_as_it_is_now(exe: Execution, elsewhere: Path) -> None:
    source = elsewhere / "scan.png"
    source.write_bytes(b"pixels")
    path = exe.asset_file_path("Image", str(source), copy_file=True)
    source.write_bytes(b"other")
    assert not path.is_symlink()
    assert path.read_bytes() == b"pixels"
    assert path.stat().st_ino != source.stat().st_ino


@pytest.mark.parametrize("copy", [False, True], ids=["linked", "copied"])
def test_a_file_can_have_another_name_in_the_catalog(exe: Execution, elsewhere: Path, copy: bool) -> None:
    source = elsewhere / "temp_scan.png"
    source.write_bytes(b"pixels")
    path = exe.asset_file_path("Image", source, rename_file="scan_001.png", copy_file=copy)
    assert (path.file_name, path.name) == ("scan_001.png", "scan_001.png")


def test_a_new_file_can_have_folders_of_its_own(exe: Execution) -> None:
    path = exe.asset_file_path("Image", "fold1/scan.png")
    path.write_bytes(b"x")
    assert path.file_name == "scan.png"
    assert path.parent.name == "fold1"


# ------------------------------------------------------------------------------------------------------------- safety


def test_registering_two_files_of_one_name_keeps_both_and_touches_neither(exe: Execution, elsewhere: Path) -> None:
    sources = []
    for name in ("a", "b"):
        (elsewhere / name).mkdir()
        sources.append(elsewhere / name / "x.txt")
        sources[-1].write_text(name)
    for copy in (False, True):
        paths = [exe.asset_file_path("Image" if copy else "Mask", source, copy_file=copy) for source in sources]
        assert [path.read_text() for path in paths] == ["a", "b"]
        assert len({str(path) for path in paths}) == 2
    assert [source.read_text() for source in sources] == ["a", "b"]


def test_registering_a_name_again_replaces_the_link_and_not_its_target(exe: Execution, elsewhere: Path) -> None:
    source = elsewhere / "model.pt"
    source.write_text("one")
    exe.asset_file_path("Image", source)
    source.write_text("two")
    copied = exe.asset_file_path("Image", source, copy_file=True)
    assert (copied.read_text(), source.read_text(), copied.is_symlink()) == ("two", "two", False)
    copied.write_text("written to the copy")
    linked = exe.asset_file_path("Image", source)
    assert (linked == copied, linked.is_symlink(), source.read_text()) == (True, True, "two")
    assert len(manifest(exe)) == 1


def test_a_reused_checkpoint_path_cannot_make_two_epochs_equal(exe: Execution, elsewhere: Path) -> None:
    source = elsewhere / "checkpoint.pt"
    source.write_text("epoch 1")
    exe.asset_file_path("Image", source, rename_file="epoch1.pt")
    source.write_text("epoch two")
    with pytest.raises(DerivaMLValidationError, match="copy_file=True"):
        exe.asset_file_path("Image", source, rename_file="epoch2.pt")
    exe.asset_file_path("Image", source, rename_file="epoch1.pt")
    exe.asset_file_path("Image", source, rename_file="epoch2.pt")
    source.write_text("epoch three!")
    exe.execution_stop()
    with pytest.raises(DerivaMLException, match="has changed since"):
        exe.commit_output_assets()


def test_a_leftover_in_the_working_directory_is_registered_with_a_warning(exe: Execution) -> None:
    leftover = Path("model.pt")
    leftover.write_text("an earlier run's")
    os.utime(leftover, (1, 1))
    with pytest.warns(LeftoverWarning, match="written before this run began"):
        path = exe.asset_file_path("Image", "model.pt")
    assert path.readlink() == leftover.absolute()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        exe.asset_file_path("Mask", leftover.absolute())
        Path("fresh.pt").write_text("made by this run")
        assert exe.asset_file_path("Image", "fresh.pt").is_symlink()


def test_a_file_appearing_later_does_not_change_what_a_registered_name_means(exe: Execution) -> None:
    path = exe.asset_file_path("Image", "out.txt")
    path.write_text("mine")
    Path("out.txt").write_text("somebody else's")
    assert exe.asset_file_path("Image", "out.txt") == path
    assert path.read_text() == "mine"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("/not/there.png", "There is no file /not/there.png"),
        ("../escape.png", "cannot be the name of a file"),
        ("a/../../escape.png", "cannot be the name of a file"),
        ("", "cannot be the name|folder"),
        (".", "folder"),
        ("x\n.png", "control characters"),
        ("x" * 300, "longer than 255 bytes"),
    ],
    ids=["absolute", "up", "up inside", "empty", "here", "line end", "long"],
)
def test_a_name_that_leads_elsewhere_is_refused(exe: Execution, name: str, message: str) -> None:
    with pytest.raises(DerivaMLValidationError, match=message):
        exe.asset_file_path("Image", name)
    assert not (exe.working_dir / "asset-manifest.json").exists()


def test_folders_pipes_and_missing_files_are_not_assets(exe: Execution, elsewhere: Path) -> None:
    os.mkfifo(elsewhere / "pipe")
    for name, message in ((elsewhere, "a folder"), (elsewhere / "pipe", "not a regular file")):
        with pytest.raises(DerivaMLValidationError, match=message):
            exe.asset_file_path("Image", name)
    for options in ({"copy_file": True}, {"rename_file": "b.png"}):
        with pytest.raises(DerivaMLValidationError, match="There is no file"):
            exe.asset_file_path("Image", "a.png", **options)  # type: ignore[arg-type]
    with pytest.raises(DerivaMLValidationError, match="slash"):
        (elsewhere / "a.png").write_text("")
        exe.asset_file_path("Image", elsewhere / "a.png", rename_file="../b.png")


# ----------------------------------------------------------------------------------------------- what is said of a file


def test_types_metadata_and_description_are_kept_and_can_be_changed(exe: Execution) -> None:
    path = exe.asset_file_path(
        "Image", "a.png", asset_types=["Derived"], metadata={"Subject": "S1"}, Size=3, description="one"
    )
    assert (path.asset_types, path.metadata) == (["Derived"], {"Subject": "S1", "Size": 3})
    path.metadata = {**path.metadata, "Size": 4}
    path.set_asset_types(["Image", "Derived"])
    kept = manifest(exe)["Image/a.png"]
    assert (kept["metadata"], kept["asset_types"], kept["description"]) == (
        {"Subject": "S1", "Size": 4},
        ["Image", "Derived"],
        "one",
    )
    again = exe.asset_file_path("Image", "a.png")
    assert (again.metadata, again.asset_types) == ({"Subject": "S1", "Size": 4}, ["Image", "Derived"])
    path.metadata = {}
    assert manifest(exe)["Image/a.png"]["metadata"] == {}


def test_a_record_of_the_asset_table_is_metadata_too(exe: Execution, local_lab: DerivaML) -> None:
    record = local_lab.asset_record_class("Image")
    path = exe.asset_file_path("Image", "a.png", metadata=record(Subject="S1"))
    assert path.metadata == {"Subject": "S1"}


@pytest.mark.parametrize("value", [3, "3", 3.0, None])
def test_a_number_may_be_written_in_any_way(exe: Execution, value: Any) -> None:
    assert exe.asset_file_path("Image", "a.png", Size=value).metadata == {"Size": value}


def test_a_value_of_another_type_is_named_with_its_file_and_column(exe: Execution) -> None:
    with pytest.raises(DerivaMLValidationError, match=r"Image/a\.png: .*Size is 'large', and the column holds int4"):
        exe.asset_file_path("Image", "a.png", Size="large")


@pytest.mark.parametrize(
    ("given", "expected"),
    [(None, ["Image"]), ([], []), ("Derived", ["Derived"]), (["Derived", "Derived"], ["Derived"])],
)
def test_the_type_is_the_tables_name_unless_something_else_was_said(
    exe: Execution, given: Any, expected: list[str]
) -> None:
    assert exe.asset_file_path("Image", "a.png", asset_types=given).asset_types == expected


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda exe: exe.asset_file_path("Image", "a.png", asset_types=["Nonsense"]), DerivaMLInvalidTerm),
        (lambda exe: exe.asset_file_path("Image", "a.png", Colour="red"), DerivaMLValidationError),
        (lambda exe: exe.asset_file_path("Image", "a.png", metadata=3), DerivaMLValidationError),
        (lambda exe: exe.asset_file_path("Image", "a.png", metadata={"Size": "large"}), DerivaMLValidationError),
        (lambda exe: exe.asset_file_path("Workflow", "a.png"), DerivaMLTableTypeError),
        (lambda exe: exe.asset_file_path("Imagee", "a.png"), DerivaMLException),
        (lambda exe: setattr(exe.asset_file_path("Mask", "m.png"), "metadata", {"Colour": 1}), DerivaMLValidationError),
        (lambda exe: exe.asset_file_path("Mask", "m.png").set_asset_types(["Nonsense"]), DerivaMLInvalidTerm),
    ],
    ids=["type", "column", "metadata", "type of a value", "table kind", "table", "later column", "later type"],
)
def test_what_the_catalog_does_not_know_is_refused_at_once(
    exe: Execution, call: Callable[[Execution], object], error: type[Exception]
) -> None:
    with pytest.raises(error):
        call(exe)


def test_a_registration_can_be_taken_back(exe: Execution, elsewhere: Path) -> None:
    source = elsewhere / "a.txt"
    source.write_text("mine")
    exe.discard_asset(exe.asset_file_path("Image", source))
    exe.discard_asset(exe.asset_file_path("Image", "never.txt"))
    exe.execution_stop()
    assert exe.commit_output_assets().total_uploaded == 0
    assert source.read_text() == "mine"
    with pytest.raises(DerivaMLValidationError, match="not staged"):
        exe.discard_asset("something")


# ------------------------------------------------------------------------------------------------------------ manifest


def test_the_manifest_is_complete_after_each_registration(exe: Execution) -> None:
    for number in range(5):
        exe.asset_file_path("Image", f"{number}.txt")
        assert list(manifest(exe)) == [f"Image/{n}.txt" for n in range(number + 1)]


def test_many_assets_of_one_name_stay_cheap(exe: Execution, elsewhere: Path) -> None:
    """Ten times as many registrations must not take a hundred times as many steps of the database."""
    staging = exe._run.staging
    table = exe._run.session.model().find_asset_table("Image")
    assert table.name == TableName("domain", "Image")
    with exe._run.store.database.transaction() as store:  # this thread's connection
        pass
    steps = [0]

    def count() -> bool:
        steps[0] += 1
        return False

    costs = []
    store.set_progress_handler(count, 100)
    for number in range(400):
        folder = elsewhere / str(number)
        folder.mkdir()
        (folder / "image.png").write_text("x")
        exe.asset_file_path("Image", folder / "image.png")
        if number in (99, 299):
            costs.append(steps[0])
    store.set_progress_handler(None)
    assert staging.staged.count() - 2 == 400
    late, early = steps[0] - costs[1], costs[0]
    assert late < 4 * early + 50


def test_nothing_is_staged_for_a_run_that_was_given_up(
    local_lab: DerivaML, workflow: Workflow, elsewhere: Path
) -> None:
    exe = local_lab.create_execution(workflow=workflow)
    exe.abort()
    there = elsewhere / "there.txt"
    there.write_text("there")
    for staging in (
        lambda: exe.asset_file_path("Image", "new.txt"),
        lambda: exe.asset_file_path("Image", there),
        lambda: exe.log_metrics({"loss": 1.0}),
        lambda: exe.log_params({"lr": 1.0}),
    ):
        with pytest.raises(DerivaMLValidationError, match="would never be committed"):
            staging()


@pytest.mark.parametrize("other", ["the same path", "a link to it", "a hard link"])
def test_a_checkpoint_that_another_run_has_rewritten_is_not_taken_for_this_ones(
    local_lab: DerivaML, workflow: Workflow, tmp_path: Path, other: str
) -> None:
    checkpoint, path = tmp_path / "checkpoint.pt", tmp_path / "latest.pt"
    runs = []
    for number in (1, 2):
        with local_lab.create_execution(workflow=workflow) as run:
            with checkpoint.open("r+" if checkpoint.exists() else "w") as file:
                file.write(f"weights of run {number}" + " and more" * number)
            if number == 2 and other == "a link to it":
                path.symlink_to(checkpoint)
            elif number == 2 and other == "a hard link":
                path.hardlink_to(checkpoint)
            run.asset_file_path("Image", path if path.exists() else checkpoint)
        runs.append(run)
    report = local_lab.commit_pending_executions()
    (error,) = report.errors
    assert f"execution {runs[1].rid} has registered it" in error
    assert [run.status for run in runs] == [ExecutionStatus.Stopped, ExecutionStatus.Uploaded]
    runs[0].discard_asset(checkpoint)
    assert local_lab.commit_pending_executions().errors == []
    (asset,) = local_lab.list_assets("Image")
    assert [each.execution_rid for each in local_lab.list_asset_executions(asset.asset_rid)] == [runs[1].rid]


def test_one_file_under_two_paths_cannot_make_two_epochs_equal(exe: Execution, elsewhere: Path) -> None:
    checkpoint, latest = elsewhere / "checkpoint.pt", elsewhere / "latest.pt"
    checkpoint.write_text("epoch 1")
    latest.symlink_to(checkpoint)
    exe.asset_file_path("Image", checkpoint, rename_file="1.pt")
    checkpoint.write_text("epoch two")
    exe.asset_file_path("Image", latest, rename_file="2.pt")
    exe.execution_stop()
    with pytest.raises(DerivaMLUploadError, match="Register each version with copy_file=True"):
        exe.commit_output_assets()


def test_a_file_of_another_run_is_copied_as_it_goes_when_that_is_committed(
    local_lab: DerivaML, workflow: Workflow
) -> None:
    with (
        local_lab.create_execution(workflow=workflow) as first,
        local_lab.create_execution(workflow=workflow) as second,
    ):
        path = first.asset_file_path("Image", "a.txt")
        path.write_text("a")
        copy = second.asset_file_path("Image", path, rename_file="b.txt")
    assert not copy.is_symlink()
    first.commit_output_assets()
    assert not path.exists()
    assert second.commit_output_assets().total_uploaded == 1


@pytest.mark.parametrize("how", ["copied with its time", "the other was given up"])
def test_a_file_that_several_runs_register_may_be_put_there_again(
    local_lab: DerivaML, workflow: Workflow, tmp_path: Path, how: str
) -> None:
    source, runs = tmp_path / "config.yaml", []
    source.write_text("lr: 0.1")
    for number in range(2):
        with local_lab.create_execution(workflow=workflow) as run:
            if number and how == "copied with its time":
                shutil.copy2(source, tmp_path / "beside")
                (tmp_path / "beside").replace(source)
            elif number:
                source.touch()
            run.asset_file_path("Image", source)
        runs.append(run)
    if how == "the other was given up":
        runs[1].abort("a mistake")
    assert local_lab.commit_pending_executions().errors == []


def test_a_file_that_got_the_number_of_one_that_is_gone_is_another_file(exe: Execution, elsewhere: Path) -> None:
    """File systems give the numbers of files again: only a path that leads there now names the same file."""
    gone, log = elsewhere / "gone.txt", elsewhere / "log.txt"
    gone.write_text("an epoch")
    exe.asset_file_path("Image", gone, copy_file=True)
    gone.rename(log)
    log.write_text("a log")
    exe.asset_file_path("Image", log)
    log.write_text("a longer log")
    exe.execution_stop()
    assert exe.commit_output_assets().total_uploaded == 2
