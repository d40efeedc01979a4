"""A path that knows its asset is a path in every way; what is made from it is a plain one."""

from __future__ import annotations

import copy
import os
import pickle
from collections.abc import Callable
from pathlib import Path, PosixPath
from typing import Any

import pytest
from pydantic import BaseModel

from deriva_ml.asset.path import AssetFilePath, as_mapping
from deriva_ml.errors import DerivaMLValidationError


@pytest.fixture
def path(tmp_path: Path) -> AssetFilePath:
    return AssetFilePath(tmp_path / "scan.png", asset_table="Image", asset_types=["Mask"], metadata={"Size": 3})


def test_it_is_a_path(path: AssetFilePath, tmp_path: Path) -> None:
    plain = tmp_path / "scan.png"
    assert isinstance(path, Path)
    assert path == plain
    assert hash(path) == hash(plain)
    assert os.fspath(path) == str(plain)
    path.write_text("x")
    with path.open("a") as file:
        file.write("y")
    assert plain.read_text() == "xy"
    assert (path.name, path.suffix) == ("scan.png", ".png")
    assert list(tmp_path.iterdir()) == [path]


def test_it_knows_its_asset(path: AssetFilePath) -> None:
    assert (path.asset_table, path.asset_name, path.file_name) == ("Image", "Image", "scan.png")
    assert (path.asset_types, path.metadata, path.asset_metadata) == (["Mask"], {"Size": 3}, {"Size": 3})
    assert path.asset_rid is None


@pytest.mark.parametrize(
    "derive",
    [
        lambda path: path.parent,
        lambda path: path / "more",
        lambda path: path.with_suffix(".txt"),
        lambda path: path.with_name("other"),
        lambda path: path.resolve(),
        lambda path: path.relative_to(path.parent),
        lambda path: path.joinpath("a", "b"),
        lambda path: pickle.loads(pickle.dumps(path)),
    ],
    ids=["parent", "slash", "suffix", "name", "resolve", "relative", "join", "pickle"],
)
def test_what_is_made_from_it_is_a_plain_path(path: AssetFilePath, derive: Callable[[AssetFilePath], Path]) -> None:
    assert type(derive(path)) is PosixPath


def test_it_survives_copying_and_pydantic(path: AssetFilePath) -> None:
    class Holder(BaseModel):
        place: str | Path

    assert copy.copy(path) == path
    assert Holder(place=path).place == path
    assert isinstance(Holder(place=path).place, Path)


def test_a_path_that_is_not_staged_takes_no_assignment(path: AssetFilePath) -> None:
    with pytest.raises(DerivaMLValidationError, match="lookup_asset"):
        path.metadata = {"Size": 4}
    with pytest.raises(DerivaMLValidationError, match="lookup_asset"):
        path.set_asset_types(["Mask"])


class Record(BaseModel):
    Size: int | None = None
    Note: str | None = None


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (None, {}),
        ({}, {}),
        ({"Size": 1}, {"Size": 1}),
        (Record(Size=1), {"Size": 1}),
        (Record(Size=1, Note=None), {"Size": 1}),
    ],
)
def test_metadata_is_a_mapping_or_a_record(given: Any, expected: dict[str, Any]) -> None:
    assert as_mapping(given) == expected


def test_metadata_is_nothing_else() -> None:
    with pytest.raises(DerivaMLValidationError, match="not int"):
        as_mapping(3)
