"""What a sealed bag holds is CSV that a stranger reads, and comes out of it as it went in; the catalog may be out of reach."""

from __future__ import annotations

import csv
import json
import math
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bagit  # type: ignore[import-untyped]
import pytest

from deriva_ml import BuiltinTypes as B
from deriva_ml import ColumnDefinition, DerivaML, DerivaMLIntegrityError, DerivaMLStateInconsistency, Workflow
from deriva_ml.bag.archive import pack, unpack
from deriva_ml.execution import ExecutionStatus
from deriva_ml.rid import is_local

S = ExecutionStatus
Rows = Callable[..., list[dict[str, Any]]]

VALUES: dict[str, tuple[B | str, list[Any]]] = {
    "Text": (B.text, ["", "a,b", 'say "x"', "two\nlines", "ring\r\n", "žluť 🐎", " kept ", "NULL", None]),
    "Whole": (B.int8, [0, -1, 2**53, None]),
    "Real": (B.float8, [0.1, -1e300, 1e-12, None]),
    "Endless": (B.float8, ["NaN", "Infinity", "-Infinity"]),
    "Series": ("float8[]", [[1.5, None, "NaN", "-Infinity"], []]),
    "Words": ("text[]", [["a,b", 'say "x"', "", None, "NULL", "{}", "two\nlines"], []]),
    "Counts": ("int4[]", [[1, -2, None]]),
    "Yes": (B.boolean, [True, False, None]),
    "Day": (B.date, ["2026-02-28", None]),
    "Moment": (B.timestamptz, ["2026-11-20T14:30:00.123456+00:00", None]),
    "Tree": (B.jsonb, [{"a": [1, None, "x"], "b": ""}, [], "text", 0, False, None]),
}


@pytest.fixture
def museum(local_lab: DerivaML) -> DerivaML:
    """A catalog with a feature and an asset table that have a column of each type."""
    columns = [ColumnDefinition(name, kind) for name, (kind, _) in VALUES.items()]
    local_lab.create_asset("Vase", column_defs=columns)
    local_lab.create_feature("Image", "Facts", metadata=columns, optional=list(VALUES))
    return local_lab


def combinations() -> list[dict[str, Any]]:
    """Every value once, beside others."""
    longest = max(len(values) for _, values in VALUES.values())
    return [{name: values[row % len(values)] for name, (_, values) in VALUES.items()} for row in range(longest)]


def test_every_value_survives_the_journey(museum: DerivaML, workflow: Workflow, tmp_path: Path, rows: Rows) -> None:
    wanted = combinations()
    with museum.create_execution(workflow=workflow) as first:
        for number in range(len(wanted)):
            first.asset_file_path("Image", f"{number}.txt").write_text(str(number))
    first.commit_output_assets()
    images = sorted(row["RID"] for row in rows(museum, "Image"))
    away = DerivaML(mode="offline")
    with away.create_execution(workflow=workflow) as exe:
        facts = away.feature_record_class("Image", "Facts")
        exe.add_features([facts(Image=rid, **values) for rid, values in zip(images, wanted, strict=True)])
        for number, values in enumerate(wanted):
            exe.asset_file_path("Vase", f"{number}.txt", metadata=values).write_text(f"vase {number}")
    archive = exe.seal(tmp_path / "run.zip")
    shutil.rmtree(museum.workspace / "executions" / exe.rid)
    with museum.executions.store.database.transaction() as connection:  # as on another machine
        museum.executions.store.forget(connection, exe.rid)
    report = museum.load_sealed_bag(archive)
    assert report.errors == []
    (rid,) = report.execution_rids
    found = {
        row["Image"]: {name: row[name] for name in VALUES}
        for row in rows(museum, "Execution_Image_Facts", Execution=rid)
    }
    assert [found[image] for image in images] == wanted
    vases = {row["Filename"]: {name: row[name] for name in VALUES} for row in rows(museum, "Vase")}
    assert [vases[f"{number}.txt"] for number in range(len(wanted))] == wanted


def test_a_stranger_reads_the_tables(local_lab: DerivaML, workflow: Workflow, tmp_path: Path) -> None:
    away = DerivaML(mode="offline")
    with away.create_execution(workflow=workflow, description="far") as exe:
        mask = exe.asset_file_path("Mask", "mask.txt", asset_types=["Derived"])
        mask.write_text("mask")
        segmentation = away.feature_record_class("Image", "Segmentation")
        exe.add_features([segmentation(Image="1-ABC", Mask=mask)])
    (tmp_path / "open").mkdir()
    folder = unpack(exe.seal(tmp_path / "run.zip"), tmp_path / "open")
    bagit.Bag(str(folder)).validate()
    schema = local_lab.default_schema

    def read(schema: str, table: str) -> list[dict[str, str]]:
        with (folder / "data" / schema / f"{table}.csv").open(newline="") as file:
            return list(csv.DictReader(file))

    (execution,) = read("deriva-ml", "Execution")
    (code,) = read("deriva-ml", "Workflow")
    (row,) = read(schema, "Mask")
    (link,) = read(schema, "Execution_Image_Segmentation")
    assert (execution["RID"], execution["Status"], execution["Workflow"]) == (exe.rid, "Stopped", code["RID"])
    assert code["URL"] == workflow.url
    assert link["Mask"] == row["RID"]
    assert link["Execution"] == exe.rid
    assert is_local(row["RID"])
    assert (folder / "data" / "assets" / "Mask" / row["RID"] / "mask.txt").read_text() == "mask"
    assert {each["Asset_Type"] for each in read(schema, "Mask_Asset_Type")} == {"Derived", "Output_File"}
    assert "Mask" in json.loads((folder / "data" / "schema.json").read_text())["schemas"][schema]["tables"]


def test_sealed_offline_and_loaded_everywhere_it_is_one_run(
    local_lab: DerivaML, workflow: Workflow, tmp_path: Path, rows: Rows
) -> None:
    away = DerivaML(mode="offline")
    with away.create_execution(workflow=workflow) as exe:
        image = exe.asset_file_path("Image", "a.txt")
        image.write_text("a")
        exe.asset_file_path("Image", "same.txt").write_text("a")
        exe.add_features([away.feature_record_class("Image", "Grade")(Image=image, Grade="Mild")])
    archive = exe.seal(tmp_path / "run.zip")
    far = DerivaML.__new__(DerivaML)
    far.__dict__ |= {name: value for name, value in local_lab.__dict__.items() if name != "executions"}
    far.workspace = far.cache_dir = tmp_path / "far"
    (rid,) = far.load_sealed_bag(archive).execution_rids
    graded = [row["Image"] for row in rows(local_lab, "Execution_Image_Grade", Execution=rid)]
    assert graded == [row["RID"] for row in rows(local_lab, "Image", Filename="a.txt")]
    before = (len(rows(local_lab, "Image")), len(rows(local_lab, "Execution_Metadata")))
    assert local_lab.load_sealed_bag(archive).errors == []
    assert far.load_sealed_bag(archive).errors == []
    here = local_lab.resume_execution(exe.rid)
    here.commit_output_assets()
    assert (here.rid, here.status) == (rid, S.Uploaded)
    assert (len(rows(local_lab, "Image")), len(rows(local_lab, "Execution_Metadata"))) == before
    assert len(rows(local_lab, "Execution", RID=rid)) == len(rows(local_lab, "Execution_Image_Grade")) == 1
    assert local_lab.check().findings == []


def test_the_command_seals_without_the_catalog(remote_ml: DerivaML, workflow: Workflow, tmp_path: Path) -> None:
    with remote_ml.create_execution(workflow=workflow) as exe:
        exe.asset_file_path("Execution_Asset", "a.txt").write_text("a")
    host = remote_ml.host_name
    target = tmp_path / "run.zip"
    workspace = remote_ml.workspace
    gone = workspace.with_name(workspace.name.replace(host.replace(":", "_"), "localhost_1"))
    shutil.copytree(workspace, gone)  # the same workspace, of a host where nobody answers
    cache = gone / "schema-cache.json"
    cache.write_text(cache.read_text().replace(host, "localhost:1"))
    arguments = [
        "--host",
        "http://localhost:1",
        "--catalog",
        remote_ml.catalog_id,
        "--seal",
        "--execution",
        exe.rid,
        "--to",
        str(target),
    ]
    done = subprocess.run(
        [sys.executable, "-m", "deriva_ml.cli.upload", *arguments], capture_output=True, text=True, check=False
    )
    assert (done.returncode, "Sealing without the catalog" in done.stderr) == (0, True), done.stderr
    assert remote_ml.load_sealed_bag(target).errors == []
    assert remote_ml.lookup_execution(exe.rid).status is S.Uploaded


def test_other_formats_and_other_catalogs_are_refused(local_lab: DerivaML, workflow: Workflow, tmp_path: Path) -> None:
    away = DerivaML(mode="offline")
    with away.create_execution(workflow=workflow) as exe:
        pass
    archive = exe.seal(tmp_path / "run.zip")

    def changed(name: str, **values: Any) -> Path:
        (tmp_path / name).mkdir()
        folder = unpack(archive, tmp_path / name)
        record = folder / "data" / "execution.json"
        record.write_text(json.dumps({**json.loads(record.read_text()), **values}))
        bag = bagit.Bag(str(folder))
        bag.save(manifests=True)
        pack(folder, tmp_path / f"{name}.zip")
        return tmp_path / f"{name}.zip"

    for name, format_number, said in (("newer", 4, "upgrade this one"), ("older", 1, "seal the run again")):
        with pytest.raises(DerivaMLIntegrityError, match=said):
            local_lab.load_sealed_bag(changed(name, format=format_number))
    with pytest.raises(DerivaMLStateInconsistency, match="begun offline for catalog 7"):
        local_lab.load_sealed_bag(changed("other", catalog={"host": "embedded", "id": "7"}))
    assert list(local_lab.find_executions(status="Uploaded")) == []


@pytest.mark.parametrize("sealed", [False, True], ids=["committed", "in a sealed bag"])
def test_numbers_that_json_lacks_come_back_as_they_were(
    museum: DerivaML, workflow: Workflow, tmp_path: Path, sealed: bool
) -> None:
    numbers = [math.nan, math.inf, -math.inf, 0.5]
    facts = museum.feature_record_class("Image", "Facts")
    with museum.create_execution(workflow=workflow) as exe:
        for number in numbers:
            image = exe.asset_file_path("Image", f"{number}.txt")
            image.write_text(str(number))
            exe.add_features([facts(Image=image, Real=number)])
            exe.asset_file_path("Vase", f"{number}.txt", metadata={"Real": number}).write_text(f"vase {number}")
    if sealed:
        archive = exe.seal(tmp_path / "run.zip")
        assert museum.load_sealed_bag(archive).errors == []
    else:
        exe.commit_output_assets()
    assert [each.Real for each in museum.feature_values("Image", "Facts")] == pytest.approx(numbers, nan_ok=True)
    vases = [float(each.metadata["Real"]) for each in museum.list_assets("Vase")]
    assert sorted(map(str, vases)) == sorted(map(str, numbers))
