"""Assets in the catalog: listed, found by type, looked up, in bulk."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pydantic import ValidationError

from deriva_ml import ColumnDefinition, DerivaML
from deriva_ml.asset.asset import lookup_assets
from deriva_ml.catalog.rows import insert
from deriva_ml.errors import DerivaMLInvalidTerm, DerivaMLRidsNotFound, DerivaMLTableTypeError
from deriva_ml.names import TableName


@pytest.fixture
def images(ml: DerivaML) -> list[str]:
    """The RIDs of five images; the even ones are of the type Input_File beside Image."""
    ml.create_asset("Image", [ColumnDefinition("Side", "text"), ColumnDefinition("Gain", "float4", False, 1.0)])
    rows = [
        {"URL": f"/hatrac/Image/{n}", "Filename": f"{n}.png", "Length": n, "MD5": f"{n:032x}", "Side": "left"}
        for n in range(5)
    ]
    table = TableName(ml.default_schema, "Image")
    rids = [insert(ml.session, table, [row])[0]["RID"] for row in rows]
    types = [{"Image": rid, "Asset_Type": "Image"} for rid in rids]
    types += [{"Image": rid, "Asset_Type": "Input_File"} for rid in rids[::2]]
    insert(ml.session, TableName(ml.default_schema, "Image_Asset_Type"), types)
    return rids


def test_all_facts_of_an_asset(ml: DerivaML, images: list[str]) -> None:
    asset = ml.lookup_asset(images[2])
    assert (asset.asset_rid, asset.asset_table, asset.filename, asset.length) == (images[2], "Image", "2.png", 2)
    assert asset.md5 == f"{2:032x}" and asset.url == "/hatrac/Image/2"
    assert asset.asset_types == ("Image", "Input_File")
    assert dict(asset.metadata) == {"Side": "left", "Gain": 1.0}
    assert asset.file_name == "2.png" and asset.rid == images[2]


def test_listing_costs_two_requests(
    ml: DerivaML, images: list[str], requests_of: Callable[[DerivaML], list[str]]
) -> None:
    sent = requests_of(ml)
    newest_first = [asset.asset_rid for asset in ml.list_assets("Image", sort=True)]
    assert newest_first == images[::-1]
    assert len(sent) == 2
    assert {asset.asset_rid for asset in ml.list_assets("Image")} == set(images)


def test_finding_by_type(ml: DerivaML, images: list[str]) -> None:
    found = ml.find_assets(asset_type="Input_File", sort=True)
    assert [asset.asset_rid for asset in found] == images[::-2]
    assert found[0].asset_types == ("Image", "Input_File")
    assert len(ml.find_assets("Image", "Image")) == 5
    assert ml.find_assets("Image", "Model_File") == []
    assert {asset.asset_table for asset in ml.find_assets()} >= {"Image", "File"}
    with pytest.raises(DerivaMLInvalidTerm):
        ml.find_assets(asset_type="Imagery")


def test_looking_up_many(ml: DerivaML, images: list[str]) -> None:
    found = lookup_assets(ml.session, "Image", [*images, "ZZ-ZZ"])
    assert set(found) == set(images)


def test_what_is_no_asset(ml: DerivaML) -> None:
    with pytest.raises(DerivaMLRidsNotFound):
        ml.lookup_asset("ZZ-ZZ")
    term = ml.lookup_term("Asset_Role", "Input")
    with pytest.raises(DerivaMLTableTypeError, match=f"{term.rid} is a row of Asset_Role"):
        ml.lookup_asset(term.rid)
    with pytest.raises(DerivaMLTableTypeError):
        ml.list_assets("Dataset")


def test_metadata_has_a_class(ml: DerivaML, images: list[str]) -> None:
    record_class = ml.asset_record_class("Image")
    record: Any = record_class(Side="right")
    assert record.model_dump() == {"Side": "right", "Gain": 1.0}
    with pytest.raises(ValidationError):
        record_class(Sid="right")


def test_the_asset_tables_of_every_catalog(ml: DerivaML) -> None:
    names = {table.name.name for table in ml.list_asset_tables()}
    assert names == {"Execution_Metadata", "Execution_Asset", "File"}
