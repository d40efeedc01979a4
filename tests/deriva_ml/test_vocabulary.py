"""Terms: added, found by name and synonym, described, and not taken away while something uses them."""

from __future__ import annotations

import pytest

from deriva_ml import DerivaML, MLVocab, TableDefinition
from deriva_ml.catalog.rows import insert
from deriva_ml.definitions import ColumnDefinition, ForeignKeyDefinition
from deriva_ml.errors import (
    DerivaMLDataError,
    DerivaMLInvalidTerm,
    DerivaMLTableNotFound,
    DerivaMLTableTypeError,
    DerivaMLValidationError,
)
from deriva_ml.names import TableName


@pytest.fixture
def grades(ml: DerivaML) -> DerivaML:
    ml.create_vocabulary("Grade", comment="How severe it is")
    ml.add_term("Grade", "Mild", "Hardly visible", synonyms=["Light", "Slight"])
    ml.add_term("Grade", "Severe", "Obvious")
    return ml


def test_a_term_is_found_by_its_name_and_by_each_synonym(grades: DerivaML) -> None:
    mild = grades.lookup_term("Grade", "Mild")
    assert (mild.name, mild.description, mild.synonyms) == ("Mild", "Hardly visible", ("Light", "Slight"))
    assert mild.id == f"{grades.default_schema}:{mild.rid}"
    assert mild.uri == f"/id/{mild.rid}"
    assert grades.lookup_term("Grade", "Slight") == mild
    assert [term.name for term in grades.list_vocabulary_terms("Grade")] == ["Mild", "Severe"]


def test_a_name_comes_before_a_synonym(grades: DerivaML) -> None:
    grades.add_term("Grade", "Light", "its own term")
    assert grades.lookup_term("Grade", "Light").description == "its own term"


def test_names_may_hold_anything(grades: DerivaML) -> None:
    for name in ("a/b", "50%", "x=y&z", "größer als", "it's", "a,b", "(c)", "NULL", "::null::"):
        grades.add_term("Grade", name, f"called {name}")
        assert grades.lookup_term("Grade", name).description == f"called {name}"


def test_an_unknown_term_brings_names_like_it(grades: DerivaML) -> None:
    with pytest.raises(DerivaMLInvalidTerm, match=r"Did you mean 'Severe'.*ml\.add_term") as error:
        grades.lookup_term("Grade", "Sever")
    assert (error.value.vocabulary, error.value.term) == ("Grade", "Sever")


@pytest.mark.parametrize(("table", "error"), [("Execution", DerivaMLTableTypeError), ("Grad", DerivaMLTableNotFound)])
def test_only_vocabularies_have_terms(grades: DerivaML, table: str, error: type[Exception]) -> None:
    for call in (
        lambda: grades.lookup_term(table, "x"),
        lambda: grades.add_term(table, "x", "y"),
        lambda: grades.list_vocabulary_terms(table),
        lambda: grades.delete_term(table, "x"),
    ):
        with pytest.raises(error):
            call()


def test_adding_again_changes_nothing(grades: DerivaML) -> None:
    again = grades.add_term("Grade", "Mild", "something else")
    assert again.description == "Hardly visible"
    with pytest.raises(DerivaMLInvalidTerm, match="already"):
        grades.add_term("Grade", "Mild", "something else", exists_ok=False)


@pytest.mark.parametrize("name", ["", "  ", None, 3])
def test_a_term_needs_a_name(grades: DerivaML, name: object) -> None:
    with pytest.raises(DerivaMLValidationError, match="needs a name"):
        grades.add_term("Grade", name, "nothing")  # type: ignore[arg-type]


def test_synonyms_are_a_list(grades: DerivaML) -> None:
    with pytest.raises(DerivaMLValidationError, match="list of names"):
        grades.add_term("Grade", "New", "…", synonyms="Fresh")


def test_description_and_synonyms_are_written_by_assigning(grades: DerivaML) -> None:
    term = grades.lookup_term("Grade", "Severe")
    term.description = "Cannot be overlooked"
    term.synonyms = ("Heavy",)
    assert grades.lookup_term("Grade", "Heavy").description == "Cannot be overlooked"
    assert term.synonyms == ("Heavy",)


def test_what_another_session_adds_is_found(grades: DerivaML) -> None:
    other = DerivaML(grades.host_name if grades.host_name != "embedded" else None, grades.catalog_id, credential={})
    grades.list_vocabulary_terms("Grade")
    other.add_term("Grade", "Moderate", "In between")
    assert grades.lookup_term("Grade", "Moderate").description == "In between"


def test_a_term_that_nothing_uses_goes(grades: DerivaML) -> None:
    grades.lookup_term("Grade", "Severe").delete()
    assert [term.name for term in grades.list_vocabulary_terms("Grade")] == ["Mild"]
    with pytest.raises(DerivaMLInvalidTerm):
        grades.lookup_term("Grade", "Severe")


def test_a_term_in_use_stays(grades: DerivaML) -> None:
    grades.create_table(
        TableDefinition(
            "Finding",
            [ColumnDefinition("Grade", "text")],
            fkey_defs=[ForeignKeyDefinition(["Grade"], grades.default_schema, "Grade", ["Name"], on_delete="CASCADE")],
        )
    )
    insert(grades.session, TableName(grades.default_schema, "Finding"), [{"Grade": "Mild"}, {"Grade": "Mild"}])
    with pytest.raises(DerivaMLDataError, match=r"used by rows \(2 of Finding\)"):
        grades.delete_term("Grade", "Mild")
    assert grades.lookup_term("Grade", "Mild").name == "Mild"


def test_states_of_executions_cannot_go(ml: DerivaML) -> None:
    with pytest.raises(DerivaMLDataError, match="1 of Execution"):
        ml.delete_term(MLVocab.execution_status, "Aborted")


def test_the_terms_that_every_catalog_has(ml: DerivaML) -> None:
    workflow_types = {term.name for term in ml.list_vocabulary_terms(MLVocab.workflow_type)}
    assert {"Training", "Ingest", "Dataset_Split", "Analysis Notebook"} <= workflow_types
    assert {term.name for term in ml.list_vocabulary_terms("Asset_Role")} == {"Input", "Output"}
    states = {"Created", "Running", "Stopped", "Failed", "Pending_Upload", "Uploaded", "Aborted"}
    assert {term.name for term in ml.list_vocabulary_terms("Execution_Status")} == states
    assert ml.lookup_term("Workflow_Type", "Training").id.startswith("deriva-ml:")
