"""Stores of other versions and workspaces of other machines: brought up to date, refused with a sentence, gone on with."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw
import pytest

from deriva_ml import DerivaML, DerivaMLConfigurationError, DerivaMLIntegrityError, Workflow
from deriva_ml.execution import ExecutionStatus, store
from deriva_ml.execution.executions import Executions

S = ExecutionStatus
Rows = Callable[..., list[dict[str, Any]]]


def as_first_made(workspace: Path) -> None:
    """Turn the store into one of the oldest layout, with the same rows."""
    path, old = workspace / "store.sqlite", workspace / "old.sqlite"
    with apsw.Connection(str(old)) as target:
        target.execute(store.SCHEMA_STEPS[0])
        target.execute("ATTACH ? AS new", (str(path),))
        names = [name for (name,) in target.execute("SELECT name FROM main.sqlite_schema WHERE type = 'table'")]
        for name in names:
            columns = [row[1] for row in target.execute(f"PRAGMA main.table_info({name})")]
            there = [row[1] for row in target.execute(f"PRAGMA new.table_info({name})")]
            shared = ", ".join(column for column in columns if column in there)
            target.execute(f"INSERT INTO main.{name} ({shared}) SELECT {shared} FROM new.{name}")
        target.pragma("user_version", 1)
    target.close()
    for beside in workspace.glob("store.sqlite*"):
        beside.unlink()
    old.rename(path)


def test_the_oldest_store_is_brought_up_to_date(
    local_lab: DerivaML, workflow: Workflow, home: Path, rows: Rows
) -> None:
    with local_lab.create_execution(workflow=workflow) as exe:
        exe.asset_file_path("Image", "a.txt").write_text("a")
        exe.log_params(lr=0.1)
    local_lab.executions.store.database.close()
    as_first_made(local_lab.workspace)
    ml = DerivaML()
    again = ml.resume_execution(exe.rid)
    assert again.parameters == {"lr": 0.1}
    assert again.commit_output_assets().errors == []
    assert [row["Filename"] for row in rows(ml, "Image")] == ["a.txt"]
    assert ml.check().findings == []


def test_a_newer_store_is_refused_and_stays_as_it_is(local_lab: DerivaML, workflow: Workflow) -> None:
    local_lab.create_execution(workflow=workflow)
    local_lab.executions.store.database.close()
    path = local_lab.workspace / "store.sqlite"
    with apsw.Connection(str(path)) as newer:
        newer.pragma("user_version", 99)
    newer.close()
    for mode in ("online", "offline"):
        with pytest.raises(DerivaMLConfigurationError, match=r"written by a newer deriva-ml \(version 99"):
            DerivaML(mode=mode)
    with apsw.Connection(str(path)) as kept:
        assert kept.pragma("user_version") == 99


@pytest.mark.parametrize("point", [1, 4, 7])
def test_a_commit_goes_on_on_another_machine(
    lab: DerivaML, workflow: Workflow, tmp_path: Path, rows: Rows, point: int
) -> None:
    """The workspace is carried there, with a commit that stopped half-way; then the first machine goes on as well."""
    with lab.create_execution(workflow=workflow) as exe:
        image = exe.asset_file_path("Image", "a.txt")
        image.write_text("a")
        exe.log_metrics({"loss": 0.5})
        exe.add_features([lab.feature_record_class("Image", "Grade")(Image=image, Grade="Mild")])
    port, left = lab.session.port, point
    real = port.send

    def send(request: Any) -> Any:
        nonlocal left
        left -= request.method not in ("GET", "HEAD")
        if left < 0:
            raise KeyboardInterrupt
        return real(request)

    port.send = send  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        exe.commit_output_assets()
    port.send = real  # type: ignore[method-assign]
    carried = tmp_path / "carried"
    shutil.copytree(lab.workspace, carried)
    there = Executions(lab.session, carried, carried / "cache")
    there.store.annotate(exe.rid, owner=json.dumps({"host": "elsewhere"}))
    for executions in (there, lab.executions):
        resumed = executions.resume(exe.rid)
        resumed.commit_output_assets()
        assert resumed.status is S.Uploaded
        assert (
            len(rows(lab, "Image")) == len(rows(lab, "Image_Execution")) == len(rows(lab, "Execution_Image_Grade")) == 1
        )
        outputs = [asset.filename for asset in lab.list_execution_assets(exe.rid, "Output")]
        assert sorted(outputs).count("metrics.jsonl") == 1


@pytest.mark.parametrize(
    ("table", "column"), [("executions", "owner"), ("executions", "config"), ("entries", "metadata")]
)
def test_a_damaged_record_is_named_in_a_sentence(
    local_lab: DerivaML, workflow: Workflow, table: str, column: str
) -> None:
    with local_lab.create_execution(workflow=workflow) as exe:
        exe.asset_file_path("Image", "a.txt").write_text("a")
    with local_lab.executions.store.database.transaction() as connection:
        connection.execute(f"UPDATE {table} SET {column} = '[]'")
    with pytest.raises(DerivaMLIntegrityError, match=rf"{column} is '\[\]'. `deriva-ml check`"):
        local_lab.resume_execution(exe.execution_rid).commit_output_assets()
    assert local_lab.check().exit_code > 0
