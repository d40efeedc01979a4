"""A pinned model stays what offline sessions know, whatever becomes of the catalog; the difference is told."""

from __future__ import annotations

import pytest

from deriva_ml import ColumnDefinition, DerivaML, DerivaMLOfflineError, DerivaMLSchemaPinned, TableDefinition
from deriva_ml.catalog.pinning import PinStatus, SchemaDiff
from deriva_ml.errors import DerivaMLTableNotFound, DerivaMLValidationError


def test_a_pin_keeps_the_model_until_it_is_let_go(embedded_ml: DerivaML) -> None:
    ml = embedded_ml
    ml.create_table(TableDefinition("Old", [ColumnDefinition("A", "text")]))
    assert (ml.pin_status(), ml.diff_schema(), bool(ml.diff_schema())) == (PinStatus(False), SchemaDiff(), False)
    with pytest.raises(DerivaMLValidationError, match="Say why"):
        ml.pin_schema(" ")
    assert ml.pin_schema("a paper is written by it") is None
    ml.create_asset("New")
    place = f"/schema/{ml.default_schema}/table/Old/column"
    ml.session.request("POST", place, json={"name": "B", "type": {"typename": "int4"}})
    ml.session.request("DELETE", f"{place}/A")
    ml = DerivaML()
    difference, schema = ml.diff_schema(), ml.default_schema
    assert f"{schema}:New" in difference.added_tables
    assert (difference.added_columns, difference.removed_columns) == ((f"{schema}:Old.B",), (f"{schema}:Old.A",))
    assert "removed columns" in str(difference)
    assert ml.session.model().find_asset_table("New")  # online, the live model counts
    away = DerivaML(mode="offline")
    with pytest.raises(DerivaMLTableNotFound):
        away.session.model().find_table("New")
    with pytest.raises(DerivaMLOfflineError):
        away.diff_schema()
    with pytest.raises(DerivaMLSchemaPinned, match="a paper"):
        ml.refresh_schema()
    pinned = ml.pin_status()
    assert (pinned.pinned, pinned.pin_reason, away.pin_status()) == (True, "a paper is written by it", pinned)
    ml.refresh_schema(force=True)
    assert (ml.diff_schema(), ml.pin_status().pinned) == (SchemaDiff(), True)
    ml.unpin_schema()
    assert not ml.pin_status().pinned
    assert DerivaML(mode="offline").session.model().find_asset_table("New")
