"""Names and numbers that are allowed and rare: they come back as they were, or are refused in a sentence as they come."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

from deriva_ml import DerivaML, DerivaMLValidationError, ExecutionConfiguration, Workflow


@pytest.mark.parametrize("name", ["ü" * 120 + ".txt", "x" * 251 + ".txt"])
def test_the_longest_names_come_back(local_lab: DerivaML, workflow: Workflow, tmp_path: Path, name: str) -> None:
    with local_lab.create_execution(workflow=workflow) as exe:
        exe.asset_file_path("Image", name).write_text("x")
        source = tmp_path / f"y{name[1:]}"
        source.write_text("y")
        exe.asset_file_path("Image", source, copy_file=True)
    archive = exe.seal(tmp_path / "run.zip")
    assert local_lab.load_sealed_bag(archive).errors == []
    for asset in local_lab.list_assets("Image"):
        got = exe.download_asset(asset.rid, tmp_path / "got", update_catalog=False)
        assert (got.name, got.read_text()) == (asset.filename, asset.filename[0].replace("ü", "x"))


def test_names_that_are_no_text_are_refused_in_a_sentence(
    local_lab: DerivaML, workflow: Workflow, tmp_path: Path
) -> None:
    name = os.fsdecode(b"caf\xe9.txt")
    (tmp_path / name).write_text("x")
    with local_lab.create_execution(workflow=workflow) as exe:
        for given, more in (
            (tmp_path / name, {"rename_file": "cafe.txt"}),
            (name, {}),
            ("new.txt", {"description": name}),
        ):
            with pytest.raises(DerivaMLValidationError, match="bytes that are no UTF-8"):
                exe.asset_file_path("Image", given, **more)  # type: ignore[arg-type]
        with pytest.raises(DerivaMLValidationError, match="bytes that are no UTF-8"):
            exe.asset_file_paths("Image", [tmp_path / name])
    assert exe.commit_output_assets().total_uploaded == 0


def test_numbers_that_json_does_not_have_alarm_no_check(local_lab: DerivaML, workflow: Workflow) -> None:
    with local_lab.create_execution(workflow=workflow, parameters={"bound": math.inf}) as exe:
        exe.log_params(limit=-math.inf)
        exe.log_metrics({"loss": math.nan, "all": [1.0, math.inf]}, step=math.nan)
    assert local_lab.check(read_data=True).findings == []
    exe.commit_output_assets()
    assert local_lab.check(read_data=True).findings == []


class _Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ValueError("no caf\udce9"), r"ValueError: no caf\udce9"),
        (ValueError("it said \0"), r"ValueError: it said \x00"),
        (_Mute(), "_Mute: <exception str() failed>"),
    ],
)
def test_every_error_leaves_its_reason(local_lab: DerivaML, workflow: Workflow, error: Exception, reason: str) -> None:
    with pytest.raises(type(error)), local_lab.create_execution(workflow=workflow) as exe:
        exe.update_status(exe.status, "reading caf\udce9")
        raise error
    record = local_lab.lookup_execution(exe.execution_rid)
    assert (record.status, record.status_detail) == ("Failed", reason)
    exe.commit_output_assets()
    assert local_lab.lookup_execution(exe.execution_rid).status_detail == f"run failed: {reason}"


def test_a_reason_given_by_hand_is_kept_whatever_it_holds(local_lab: DerivaML, workflow: Workflow) -> None:
    with local_lab.create_execution(workflow=workflow) as exe:
        pass
    local_lab.mark_execution(exe.execution_rid, "Aborted", "the file is no caf\udce9")
    assert local_lab.lookup_execution(exe.execution_rid).status_detail == r"the file is no caf\udce9"


def test_texts_that_no_catalog_keeps_are_refused_before_anything_is_written(
    local_lab: DerivaML, workflow: Workflow
) -> None:
    for given in ({"description": "caf\udce9"}, {"parameters": {"caf\udce9": 1}}, {"description": "a\0b"}):
        with pytest.raises(DerivaMLValidationError, match=r"(bytes that are no UTF-8|NUL).*give another one"):
            local_lab.create_execution(workflow=workflow, **given)  # type: ignore[arg-type]
    assert local_lab.list_executions() == []
    with local_lab.create_execution(workflow=workflow) as exe:
        with pytest.raises(DerivaMLValidationError, match="bytes that are no UTF-8"):
            exe.log_params({"caf\udce9": 1})
        exe.log_params(file="caf\udce9")
    exe.commit_output_assets()
    assert exe.parameters == {"file": "caf\udce9"}


def test_an_argument_that_is_no_text_is_kept_as_it_was(local_lab: DerivaML, tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text(
        "from deriva_ml import DerivaML\n"
        f"ml = DerivaML(working_dir={os.environ['DERIVA_ML_HOME']!r})\n"
        "with ml.create_execution(workflow=ml.create_workflow('Train', 'Training', '')) as exe: pass\n"
        "print(exe.execution_rid)\n"
    )
    told = subprocess.run([sys.executable, script, b"caf\xe9"], capture_output=True, check=True, text=True)
    exe = local_lab.resume_execution(told.stdout.strip())
    assert exe.configuration.argv[1:] == [os.fsdecode(b"caf\xe9")]
    exe.commit_output_assets()
    [asset] = [each for each in exe.list_assets() if each.filename == "configuration.json"]
    path = exe.download_asset(asset.rid, tmp_path, update_catalog=False)
    assert ExecutionConfiguration.load_configuration(path).argv[1:] == [os.fsdecode(b"caf\xe9")]
