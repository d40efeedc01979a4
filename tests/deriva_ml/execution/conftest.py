"""A small laboratory for executions: images of subjects, masks, models, and a grade for images."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from deriva_ml import ColumnDefinition, DerivaML, Workflow
from deriva_ml.catalog.rows import select
from deriva_ml.execution.execution import Execution
from deriva_ml.names import TableName


@pytest.fixture
def workflow() -> Workflow:
    """A workflow that says itself where its code is."""
    return Workflow(name="Train", workflow_type="Training", url="https://example.org/train.py", checksum="abc")


@pytest.fixture
def lab(ml: DerivaML) -> DerivaML:
    """A catalog, by both roads, with asset tables and a feature."""
    return furnish(ml)


@pytest.fixture(scope="session")
def furnished_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home of a laboratory, made once and closed: a copy of it opens faster than a new one is furnished."""
    folder = tmp_path_factory.mktemp("furnished") / "home"
    ml = furnish(DerivaML(working_dir=folder))
    ml.session.port.close()
    return folder


@pytest.fixture
def local_lab(home: Path, furnished_home: Path) -> Iterator[DerivaML]:
    """The same laboratory, embedded only: for what concerns this machine."""
    shutil.copytree(furnished_home, home)
    ml = DerivaML()
    yield ml
    ml.session.port.close()


def furnish(ml: DerivaML) -> DerivaML:
    ml.create_asset("Image", column_defs=[ColumnDefinition("Subject", "text"), ColumnDefinition("Size", "int4")])
    ml.create_asset("Mask")
    ml.create_asset("Scan", column_defs=[ColumnDefinition("Device", "text", nullok=False)])
    ml.create_vocabulary("Grade")
    for name in ("Mild", "Severe"):
        ml.add_term("Grade", name, name)
    ml.add_term("Asset_Type", "Derived", "made from something else")
    ml.create_feature("Image", "Grade", terms=["Grade"])
    ml.create_feature("Image", "Segmentation", assets=["Mask"])
    return ml


@pytest.fixture
def committed(workflow: Workflow) -> Callable[..., Execution]:
    """Make an execution that has written some files, committed."""

    def make(ml: DerivaML, table: str = "Image", **files: str) -> Execution:
        with ml.create_execution(workflow=workflow, description="earlier") as exe:
            for name, text in files.items():
                exe.asset_file_path(table, f"{name}.txt").write_text(text)
        exe.commit_output_assets()
        return exe

    return make


@pytest.fixture
def rows() -> Callable[..., list[dict[str, Any]]]:
    """Read the rows of a table, bare or ``schema:name``."""

    def read(ml: DerivaML, table: str, **where: Any) -> list[dict[str, Any]]:
        name = ml.session.model().find_table(table).name
        return select(ml.session, TableName(name.schema, name.name), where)

    return read


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """A folder of the user's own, outside the workspace."""
    folder = tmp_path / "data"
    folder.mkdir()
    return folder
