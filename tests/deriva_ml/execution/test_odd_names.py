"""Names and numbers that are allowed and rare: they come back as they were, or are refused in a sentence as they come."""

from __future__ import annotations

import math
import os
from pathlib import Path

import pytest

from deriva_ml import DerivaML, DerivaMLValidationError, Workflow


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
