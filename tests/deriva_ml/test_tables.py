"""Tables that users make: plain ones, vocabularies, asset tables with all that belongs to them."""

from __future__ import annotations

from typing import Any

import pytest

from deriva_ml import BuiltinTypes, ColumnDefinition, DerivaML, ForeignKeyDefinition, KeyDefinition, TableDefinition
from deriva_ml.catalog.rows import insert, select
from deriva_ml.errors import DerivaMLConflictError, DerivaMLSchemaError, DerivaMLTableNotFound, DerivaMLValidationError
from deriva_ml.names import TableName

SUBJECT = TableDefinition(
    "Subject",
    [ColumnDefinition("Name", BuiltinTypes.text, nullok=False), ColumnDefinition("Age", "int2", default=18)],
    [KeyDefinition(["Name"])],
    comment="Who took part",
)


def test_a_table_is_made_and_used_through_the_deriva_client(ml: DerivaML) -> None:
    table = ml.create_table(SUBJECT)
    assert (table.schema.name, table.name, table.comment) == (ml.default_schema, "Subject", "Who took part")
    assert table.columns["Age"].type.typename == "int2"

    subjects = ml.domain_path().tables["Subject"]
    stored = subjects.insert([{"Name": "Ada", "Age": 36}])
    assert [row["Name"] for row in subjects.entities().fetch()] == ["Ada"]
    assert next(ml.get_table_as_dict("Subject"))["RID"] == stored[0]["RID"]
    assert ml.pathBuilder().schemas[ml.default_schema].tables["Subject"] is not None


def test_a_document_of_the_deriva_client_makes_a_table(ml: DerivaML) -> None:
    from deriva.core import ermrest_model as em

    table = ml.create_table(em.Table.define("Site", [em.Column.define("City", em.builtin_types.text)]))
    assert "City" in table.columns.elements


def test_a_table_can_refer_to_another(ml: DerivaML) -> None:
    ml.create_table(SUBJECT)
    visit = TableDefinition(
        "Visit",
        columns=[ColumnDefinition("Subject", "text", False), ColumnDefinition("Day", "date")],
        foreign_keys=[ForeignKeyDefinition(["Subject"], ml.default_schema, "Subject")],
    )
    ml.create_table(visit)
    names = [TableName(ml.default_schema, name) for name in ("Subject", "Visit")]
    (ada,) = insert(ml.session, names[0], [{"Name": "Ada"}])
    assert ada["Age"] == 18
    (row,) = insert(ml.session, names[1], [{"Subject": ada["RID"], "Day": "2026-01-15"}])
    assert row["Day"] == "2026-01-15"
    with pytest.raises(DerivaMLConflictError):
        insert(ml.session, names[1], [{"Subject": "ZZ-ZZ", "Day": None}])


def test_what_exists_is_not_made_again(ml: DerivaML) -> None:
    ml.create_table(SUBJECT)
    for again in (
        lambda: ml.create_table(SUBJECT),
        lambda: ml.create_vocabulary("Subject"),
        lambda: ml.create_asset("Subject"),
    ):
        with pytest.raises(DerivaMLConflictError, match="Subject already"):
            again()


@pytest.mark.parametrize(
    ("error", "make"),
    [
        (DerivaMLSchemaError, lambda ml: ml.create_table(SUBJECT, schema="attic")),
        (DerivaMLTableNotFound, lambda ml: ml.create_asset("Image", referenced_tables=["Subjekt"])),
        (DerivaMLValidationError, lambda ml: ml.create_table(TableDefinition(""))),
        (DerivaMLValidationError, lambda ml: ml.create_asset("Image", [{"name": "A", "type": "colour"}])),
        (DerivaMLValidationError, lambda ml: ml.create_asset("Image", [{"type": "text"}])),
        (DerivaMLValidationError, lambda ml: ml.create_asset("Image", [ColumnDefinition("URL", "text")])),
    ],
)
def test_what_cannot_be_made(ml: DerivaML, error: type[Exception], make: Any) -> None:
    with pytest.raises(error):
        make(ml)
    assert ml.find_features() == []
    assert not select(ml.session, TableName("deriva-ml", "Asset_Type"), {"Name": "Image"})


def test_an_asset_table_has_types_roles_and_references(ml: DerivaML) -> None:
    ml.create_table(SUBJECT)
    ml.create_vocabulary("Side")
    table = ml.create_asset(
        "Image",
        column_defs=[ColumnDefinition("Taken", "date"), {"name": "Gain", "type": "float4", "nullok": False}],
        referenced_tables=["Subject", "Side"],
        comment="Scans",
    )
    assert table.columns["URL"].annotations["tag:isrd.isi.edu,2017:asset"]["md5"] == "MD5"
    model = ml.session.model()
    image = model.find_asset_table("Image")
    assert [column.name for column in image.payload_columns] == ["Taken", "Gain", "Subject", "Side"]
    assert not image.columns["Gain"].nullok
    side = image.reference("Side")
    assert side is not None and side.target_columns == ("Name",)
    assert ml.lookup_term("Asset_Type", "Image").description == "Scans"
    link = model.asset_execution(image.name)
    assert ("Image", "Execution", "Asset_Role") in link.keys
    assert model.asset_type_link(image.name).name.name == "Image_Asset_Type"


def test_the_short_spelling_of_an_asset_table(ml: DerivaML) -> None:
    table = ml.create_asset_table("Model", [ColumnDefinition("Epochs", "int4")], comment="Trained models")
    assert "Epochs" in table.columns.elements
    assert "Model" in {model.name.name for model in ml.list_asset_tables()}


def test_odd_names_work_everywhere(ml: DerivaML) -> None:
    name = "my table/1%"
    ml.create_asset(name, [ColumnDefinition("a b:c", "text")])
    assert ml.list_assets(name) == []
    assert ml.session.model().find_table(name).columns["a b:c"].type == "text"
    assert list(ml.get_table_as_dict(name)) == []


def test_a_table_of_ten_thousand_rows_and_one_is_read_in_pages(ml: DerivaML) -> None:
    ml.create_table(TableDefinition("Point", [ColumnDefinition("Number", "int4")]))
    insert(ml.session, TableName(ml.default_schema, "Point"), [{"Number": number} for number in range(10_001)])
    assert sorted(row["Number"] for row in ml.get_table_as_dict("Point")) == list(range(10_001))
