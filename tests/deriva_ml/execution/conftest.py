"""A small laboratory for executions: images of subjects, masks, models, and a grade for images."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from deriva_ml import ColumnDefinition, DerivaML, Workflow, tables
from deriva_ml.catalog.rows import select
from deriva_ml.catalog.schema_cache import keep
from deriva_ml.execution.execution import Execution
from deriva_ml.feature.feature import create_feature
from deriva_ml.names import TableName
from deriva_ml.vocabulary import add_term

ROADS = ["embedded", "served"]


@pytest.fixture
def workflow() -> Workflow:
    """A workflow that says itself where its code is."""
    return Workflow(name="Train", workflow_type="Training", url="https://example.org/train.py", checksum="abc")


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


@pytest.fixture
def served_lab(remote_ml: DerivaML) -> DerivaML:
    """The same laboratory on the shared server."""
    return furnish(remote_ml)


@pytest.fixture(params=ROADS)
def lab(request: pytest.FixtureRequest) -> DerivaML:
    """The laboratory by both roads: a catalog with asset tables and features."""
    opened: DerivaML = request.getfixturevalue({"embedded": "local_lab", "served": "served_lab"}[request.param])
    return opened


def furnish(ml: DerivaML) -> DerivaML:
    """Make the tables by their rooms: the front door would read the client's model after each."""
    catalog = ml.session
    tables.create_asset(catalog, "Image", [ColumnDefinition("Subject", "text"), ColumnDefinition("Size", "int4")])
    tables.create_asset(catalog, "Mask")
    tables.create_asset(catalog, "Scan", [ColumnDefinition("Device", "text", nullok=False)])
    tables.create_vocabulary(catalog, "Grade", "", None, ml.project_name)
    for name in ("Mild", "Severe"):
        add_term(catalog, "Grade", name, name)
    add_term(catalog, "Asset_Type", "Derived", "made from something else")
    create_feature(catalog, "Image", "Grade", terms=["Grade"])
    create_feature(catalog, "Image", "Segmentation", assets=["Mask"])
    keep(catalog, ml.workspace)
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
