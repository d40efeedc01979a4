"""Features: made, looked up, their record classes, their values and which of several counts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from deriva_ml import ColumnDefinition, DerivaML, TableDefinition
from deriva_ml.catalog.rows import insert
from deriva_ml.errors import (
    DerivaMLConflictError,
    DerivaMLExecutionError,
    DerivaMLFeatureNotFound,
    DerivaMLMaterializeLimitExceeded,
    DerivaMLTableNotFound,
    DerivaMLTableTypeError,
    DerivaMLValidationError,
)
from deriva_ml.feature.record import FeatureRecord
from deriva_ml.feature.selectors import select_by_workflow
from deriva_ml.names import TableName


@pytest.fixture
def lab(ml: DerivaML) -> DerivaML:
    """Subjects, a vocabulary of grades, an asset table of masks."""
    ml.create_table(TableDefinition("Subject", [ColumnDefinition("Name", "text")]))
    ml.create_vocabulary("Grade")
    for name in ("Mild", "Moderate", "Severe"):
        ml.add_term("Grade", name, name)
    ml.create_asset("Mask")
    return ml


@pytest.fixture
def severity(lab: DerivaML) -> type[FeatureRecord]:
    metadata = [
        ColumnDefinition("Score", "float4"),
        ColumnDefinition("Count", "int4", False),
        {"name": "Sure", "type": "boolean"},
        ColumnDefinition("Seen", "date"),
        ColumnDefinition("Points", "float8[]"),
        ColumnDefinition("Extra", "jsonb"),
    ]
    return lab.create_feature(
        "Subject",
        "Severity",
        terms=["Grade"],
        assets=["Mask"],
        metadata=metadata,
        optional=["Mask"],
        comment="how bad it is",
    )


def test_a_feature_knows_its_columns(lab: DerivaML, severity: type[FeatureRecord]) -> None:
    feature = lab.lookup_feature("Subject", "Severity")
    assert feature.feature_table.name.name == "Execution_Subject_Severity"
    assert feature.target_table.name.name == "Subject"
    assert set(feature.term_columns) == {"Grade"} and set(feature.asset_columns) == {"Mask"}
    assert set(feature.value_columns) == {"Score", "Count", "Sure", "Seen", "Points", "Extra"}
    assert feature.feature_table.comment == "how bad it is"
    assert lab.lookup_term("Feature_Name", "Severity").description == "how bad it is"
    assert [found.feature_name for found in lab.find_features("Subject")] == ["Severity"]
    assert lab.find_features("Mask") == []
    assert severity.__name__ == "SubjectFeatureSeverity"
    assert severity.term_columns() == {"Grade"} and severity.asset_columns() == {"Mask"}


def test_a_record_holds_typed_values(severity: type[FeatureRecord]) -> None:
    record: Any = severity(
        Subject="1-ABC",
        Grade="Mild",
        Mask=Path("/tmp/mask.png"),
        Score=np.float32(0.5),
        Count=np.int64(3),
        Sure=np.bool_(True),
        Seen="2026-01-15",
        Points=[0.5, 1],
        Extra={"a": [1]},
    )
    assert (record.Score, record.Count, record.Sure) == (0.5, 3, True)
    assert type(record.Count) is int and type(record.Score) is float
    assert record.Feature_Name == "Severity" and record.Execution is None and record.target_rid == "1-ABC"
    assert record.Mask == Path("/tmp/mask.png")
    least: Any = severity(Subject="1-ABC", Grade="Mild", Count=1)
    assert least.Mask is None and least.Score is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"Grade": "Mild", "Count": 1},
        {"Subject": "1-ABC", "Count": 1},
        {"Subject": "1-ABC", "Grade": "Mild"},
        {"Subject": "1-ABC", "Grade": "Mild", "Count": "many"},
        {"Subject": "1-ABC", "Grade": "Mild", "Count": 1, "Scor": 1.0},
        {"Subject": "1-ABC", "Grade": 3, "Count": 1},
    ],
)
def test_a_record_that_does_not_fit_is_refused(severity: type[FeatureRecord], wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        severity(**wrong)


@pytest.mark.parametrize(
    ("error", "arguments"),
    [
        (DerivaMLTableNotFound, {"target_table": "Subjct", "terms": ["Grade"]}),
        (DerivaMLTableNotFound, {"target_table": "Subject", "terms": ["Grad"]}),
        (DerivaMLTableTypeError, {"target_table": "Subject", "terms": ["Mask"]}),
        (DerivaMLTableTypeError, {"target_table": "Subject", "assets": ["Grade"]}),
        (DerivaMLValidationError, {"target_table": "Subject"}),
        (DerivaMLValidationError, {"target_table": "Subject", "terms": ["Grade"], "optional": ["Grad"]}),
        (DerivaMLValidationError, {"target_table": "Subject", "metadata": [ColumnDefinition("Subject", "text")]}),
        (DerivaMLValidationError, {"target_table": "Subject", "terms": ["Grade"], "feature_name": ""}),
    ],
)
def test_a_feature_that_cannot_be(lab: DerivaML, error: type[Exception], arguments: dict[str, Any]) -> None:
    with pytest.raises(error):
        lab.create_feature(**{"feature_name": "F", **arguments})
    assert lab.find_features() == []


def test_a_feature_is_made_once(lab: DerivaML, severity: type[FeatureRecord]) -> None:
    with pytest.raises(DerivaMLConflictError, match="'Severity' already"):
        lab.create_feature("Subject", "Severity", terms=["Grade"])


def test_the_same_name_for_another_table_is_another_feature(lab: DerivaML, severity: type[FeatureRecord]) -> None:
    lab.create_feature("Mask", "Severity", terms=["Grade"])
    assert lab.lookup_feature("Mask", "Severity").target_table.name.name == "Mask"
    assert len(lab.find_features()) == 2


def test_an_unknown_feature_brings_those_that_there_are(lab: DerivaML, severity: type[FeatureRecord]) -> None:
    with pytest.raises(DerivaMLFeatureNotFound, match="It has: Severity") as error:
        lab.lookup_feature("Subject", "Severty")
    assert (error.value.table, error.value.feature) == ("Subject", "Severty")
    with pytest.raises(DerivaMLFeatureNotFound, match="It has: none"):
        lab.feature_record_class("Mask", "Severity")


def test_a_feature_goes_with_its_values(lab: DerivaML, severity: type[FeatureRecord]) -> None:
    assert lab.delete_feature("Subject", "Severity") is True
    assert lab.delete_feature("Subject", "Severity") is False
    assert lab.find_features() == []


def test_values_are_written_by_executions_only(lab: DerivaML) -> None:
    with pytest.raises(DerivaMLExecutionError, match=r"exe\.add_features"):
        lab.add_features([])


@pytest.fixture
def graded(lab: DerivaML) -> tuple[DerivaML, list[str], list[str]]:
    """Three executions, of two workflows, each graded the subjects; with the RIDs of subjects and executions."""
    lab.create_feature("Subject", "Graded", terms=["Grade"])
    own, schema = lab.default_schema, lab.ml_schema
    subjects = [row["RID"] for row in insert(lab.session, TableName(own, "Subject"), [{"Name": n} for n in "abc"])]
    workflows = insert(lab.session, TableName(schema, "Workflow"), [{"Name": "first"}, {"Name": "second"}])
    kinds = [{"Workflow": workflows[1]["RID"], "Workflow_Type": "Testing"}]
    insert(lab.session, TableName(schema, "Workflow_Workflow_Type"), kinds)
    runs = [{"Workflow": workflows[n]["RID"]} for n in (0, 0, 1)]
    executions = [row["RID"] for row in insert(lab.session, TableName(schema, "Execution"), runs)]
    table = TableName(own, "Execution_Subject_Graded")
    for execution, grades in zip(executions, ("Mild Mild", "Severe Mild Severe", "Severe Moderate"), strict=True):
        insert(
            lab.session,
            table,
            [
                {"Execution": execution, "Subject": subject, "Grade": grade}
                for subject, grade in zip(subjects, grades.split(), strict=False)
            ],
        )
    return lab, subjects, executions


def test_values_are_records(graded: tuple[DerivaML, list[str], list[str]]) -> None:
    lab, subjects, executions = graded
    values: list[Any] = list(lab.feature_values("Subject", "Graded"))
    assert len(values) == 7
    assert {value.Feature_Name for value in values} == {"Graded"}
    assert {(value.Execution, value.Subject, value.Grade) for value in values} >= {
        (executions[1], subjects[2], "Severe")
    }
    assert all(value.RCT for value in values)


def test_values_of_some_executions(graded: tuple[DerivaML, list[str], list[str]]) -> None:
    lab, _, executions = graded
    values = list(lab.feature_values("Subject", "Graded", execution_rids=executions[:1]))
    assert {value.Execution for value in values} == {executions[0]}
    assert list(lab.feature_values("Subject", "Graded", execution_rids=[])) == []


Choose = Callable[[DerivaML, list[str]], Any]


@pytest.mark.parametrize(
    ("choose", "grades"),
    [
        (lambda ml, runs: FeatureRecord.select_newest, ["Severe", "Moderate", "Severe"]),
        (lambda ml, runs: FeatureRecord.select_latest, ["Severe", "Moderate", "Severe"]),
        (lambda ml, runs: FeatureRecord.select_first, ["Mild", "Mild", "Severe"]),
        (lambda ml, runs: FeatureRecord.select_by_execution(runs[0]), ["Mild", "Mild", None]),
        (lambda ml, runs: FeatureRecord.select_majority_vote(), ["Severe", "Mild", "Severe"]),
        (lambda ml, runs: FeatureRecord.select_majority_vote("Grade"), ["Severe", "Mild", "Severe"]),
        (lambda ml, runs: select_by_workflow("Testing", container=ml), ["Severe", "Moderate", None]),
    ],
)
def test_one_of_several_values_counts(
    graded: tuple[DerivaML, list[str], list[str]], choose: Choose, grades: list[str | None]
) -> None:
    lab, subjects, executions = graded
    chosen: list[Any] = list(lab.feature_values("Subject", "Graded", selector=choose(lab, executions)))
    expected = {subject: grade for subject, grade in zip(subjects, grades, strict=True) if grade}
    assert {value.Subject: value.Grade for value in chosen} == expected


def test_a_limit_is_checked_before_anything_is_read(graded: tuple[DerivaML, list[str], list[str]]) -> None:
    lab = graded[0]
    assert len(list(lab.feature_values("Subject", "Graded", materialize_limit=7))) == 7
    with pytest.raises(DerivaMLMaterializeLimitExceeded) as error:
        lab.feature_values("Subject", "Graded", materialize_limit=6)
    assert (error.value.actual_count, error.value.limit) == (7, 6)
