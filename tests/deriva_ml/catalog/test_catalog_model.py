"""What the model says of its tables: kinds, links, features, and names that it does not know."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from deriva_ml.catalog.model import CatalogModel
from deriva_ml.definitions import ColumnDefinition, KeyDefinition, TableDefinition
from deriva_ml.errors import (
    DerivaMLAmbiguousAssociationException,
    DerivaMLDataError,
    DerivaMLNoAssociationException,
    DerivaMLTableNotFound,
    DerivaMLTableTypeError,
)
from deriva_ml.names import ML_SCHEMA, TableName
from deriva_ml.schema.kinds import asset, asset_links, association, end, feature, reference, vocabulary
from deriva_ml.schema.tables import schema_document

IMAGE = TableName("lab", "Image")
SUBJECT = TableName("lab", "Subject")


def domain() -> list[TableDefinition]:
    severity = [ColumnDefinition("Grade", "text", False), ColumnDefinition("Score", "float4")]
    return [
        TableDefinition("Subject", [ColumnDefinition("Name", "text", False)]),
        vocabulary("Grade", "lab"),
        asset("Image", [ColumnDefinition("Subject", "text")], [reference("Subject", SUBJECT)]),
        *asset_links(IMAGE, ML_SCHEMA),
        association("Dataset_Image", [end("Dataset", TableName(ML_SCHEMA, "Dataset")), end("Image", IMAGE)]),
        feature(
            "Severity",
            IMAGE,
            ML_SCHEMA,
            columns=severity,
            references=[reference("Grade", TableName("lab", "Grade"), "Name")],
        ),
    ]


def document(*more: TableDefinition, **schemas: list[TableDefinition]) -> dict[str, Any]:
    made = {
        name: {"tables": {table.name: table.document(name) for table in tables}} for name, tables in schemas.items()
    }
    lab = {"tables": {table.name: table.document("lab") for table in [*domain(), *more]}}
    return {"schemas": {"public": {"tables": {}}, ML_SCHEMA: schema_document(ML_SCHEMA), "lab": lab, **made}}


@pytest.fixture
def model() -> CatalogModel:
    return CatalogModel(document())


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("Image", "lab:Image"),
        ("lab:Image", "lab:Image"),
        (IMAGE, "lab:Image"),
        ("Execution", "deriva-ml:Execution"),
        ("deriva-ml:Execution", "deriva-ml:Execution"),
    ],
)
def test_tables_are_found_by_name(model: CatalogModel, name: str, found: str) -> None:
    assert str(model.find_table(name).name) == found


@pytest.mark.parametrize(
    ("name", "hint"), [("Imag", "Image"), ("lab:Subjct", "Subject"), ("Zzz", "Workflow"), ("other:Image", "Image")]
)
def test_an_unknown_table_brings_names_like_it(model: CatalogModel, name: str, hint: str) -> None:
    with pytest.raises(DerivaMLTableNotFound, match=hint) as error:
        model.find_table(name)
    assert error.value.table_name == name


def test_an_unknown_name_is_looked_up_once_more() -> None:
    asked: list[int] = []

    def look_again() -> CatalogModel:
        asked.append(1)
        return CatalogModel(document(TableDefinition("Late", [])))

    model = CatalogModel(document(), look_again=look_again)
    assert model.find_table("Late").name == TableName("lab", "Late")
    with pytest.raises(DerivaMLTableNotFound):
        model.find_table("Never")
    assert len(asked) == 2


def test_a_name_in_two_schemas_must_be_said_in_full() -> None:
    model = CatalogModel(document(attic=[TableDefinition("Image", [])]))
    with pytest.raises(DerivaMLDataError, match=r"attic:Image or lab:Image"):
        model.find_table("Image")
    assert model.find_table("attic:Image").name.schema == "attic"
    assert model.domain_schemas() == ("attic", "lab")


def test_a_users_table_hides_one_of_deriva_ml() -> None:
    model = CatalogModel(document(TableDefinition("File", [])))
    assert model.find_table("File").name == TableName("lab", "File")


def test_kinds_of_tables(model: CatalogModel) -> None:
    assert {table.name.name for table in model.asset_tables()} == {
        "Execution_Metadata",
        "Execution_Asset",
        "File",
        "Image",
    }
    assert {table.name.name for table in model.vocabularies()} == {
        "Execution_Status",
        "Asset_Role",
        "Asset_Type",
        "Dataset_Type",
        "Workflow_Type",
        "Feature_Name",
        "Grade",
    }
    assert {table.name.name for table in model.element_types().values()} == {
        "Dataset_Dataset",
        "Dataset_File",
        "Dataset_Image",
    }


@pytest.mark.parametrize(("call", "kind"), [("find_vocabulary", "vocabulary"), ("find_asset_table", "asset table")])
def test_a_table_of_another_kind_is_refused(model: CatalogModel, call: str, kind: str) -> None:
    find: Callable[[str], Any] = getattr(model, call)
    with pytest.raises(DerivaMLTableTypeError, match=f"'Subject' is not an? {kind}. There are: ") as error:
        find("Subject")
    assert error.value.table == "Subject"


def test_columns_that_users_gave_an_asset_table(model: CatalogModel) -> None:
    assert [column.name for column in model.find_table("Image").payload_columns] == ["Subject"]
    assert [column.name for column in model.find_table("Subject").payload_columns] == ["Name"]


def test_links(model: CatalogModel) -> None:
    assert model.association("Dataset", "Image").name.name == "Dataset_Image"
    assert model.association("Image", "Dataset").name.name == "Dataset_Image"
    assert model.asset_type_link(IMAGE).name.name == "Image_Asset_Type"
    assert model.asset_execution(IMAGE).name.name == "Image_Execution"
    assert model.association("Dataset", "Dataset").name.name == "Dataset_Dataset"
    with pytest.raises(DerivaMLNoAssociationException):
        model.association("Subject", "Image")


def test_a_link_with_a_role_outside_its_key_is_a_link_too() -> None:
    """Older catalogs have one role for each asset and execution."""
    ends = [end("Scan", TableName("lab", "Scan")), end("Execution", TableName(ML_SCHEMA, "Execution"))]
    role = end("Asset_Role", TableName(ML_SCHEMA, "Asset_Role"), "Name")
    columns = [ColumnDefinition("Asset_Role", "text", False)]
    link = association("Scan_Execution", ends, columns=columns, references=[role])
    model = CatalogModel(document(asset("Scan"), link))
    assert model.asset_execution(TableName("lab", "Scan")).name.name == "Scan_Execution"


def test_two_links_are_ambiguous() -> None:
    ends = [end("Dataset", TableName(ML_SCHEMA, "Dataset")), end("Image", IMAGE)]
    model = CatalogModel(document(association("Second", ends)))
    with pytest.raises(DerivaMLAmbiguousAssociationException) as error:
        model.association("Dataset", "Image")
    assert error.value.count == 2


def test_a_table_that_says_more_than_the_pair_is_no_association(model: CatalogModel) -> None:
    assert not model.find_table("Subject").is_association()
    assert not model.find_table("Execution_Image_Severity").is_association()
    assert model.find_table("Execution_Image_Severity").is_association(3, None)
    nullable = TableDefinition(
        "Pair",
        [ColumnDefinition("Dataset", "text"), ColumnDefinition("Image", "text")],
        [KeyDefinition(["Dataset", "Image"])],
        [end("Dataset", TableName(ML_SCHEMA, "Dataset")), end("Image", IMAGE)],
    )
    assert not CatalogModel(document(nullable)).find_table("Pair").is_association()


def test_features(model: CatalogModel) -> None:
    (found,) = model.features("Image")
    assert found.name == "Severity"
    assert found.target == IMAGE and found.target_column == "Image"
    assert dict(found.term_columns) == {"Grade": TableName("lab", "Grade")}
    assert [column.name for column in found.value_columns] == ["Score"]
    assert not found.asset_columns and not found.qualifier_columns
    assert model.features("Subject") == []
    assert model.features() == [found]


def test_a_feature_with_a_fourth_end_has_a_qualifier() -> None:
    execution, name = TableName(ML_SCHEMA, "Execution"), TableName(ML_SCHEMA, "Feature_Name")
    ends = [
        end("Execution", execution),
        end("Image", IMAGE),
        end("Feature_Name", name, "Name"),
        end("Subject", SUBJECT),
    ]
    table = association("Execution_Image_Reading", ends, columns=[ColumnDefinition("Value", "int4")])
    found = next(one for one in CatalogModel(document(table)).features("Image") if one.table.name.name == table.name)
    assert dict(found.qualifier_columns) == {"Subject": SUBJECT}
    assert found.target == IMAGE
    assert [column.name for column in found.value_columns] == ["Value"]
