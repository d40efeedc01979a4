"""What users define, and how the catalog's model spells it."""

from __future__ import annotations

import pytest

from deriva_ml.core.definitions import (
    BuiltinTypes,
    ColumnDefinition,
    ForeignKeyDefinition,
    KeyDefinition,
    TableDefinition,
)
from deriva_ml.definitions import constraint_name, type_document
from deriva_ml.errors import DerivaMLValidationError


@pytest.mark.parametrize(
    ("name", "document"),
    [
        ("text", {"typename": "text"}),
        (BuiltinTypes.int4, {"typename": "int4"}),
        ("markdown", {"typename": "markdown", "is_domain": True, "base_type": {"typename": "text"}}),
        ("text[]", {"typename": "text[]", "is_array": True, "base_type": {"typename": "text"}}),
    ],
)
def test_types(name: str, document: object) -> None:
    assert type_document(name) == document


def test_our_types_are_those_of_the_deriva_client() -> None:
    from deriva.core.ermrest_model import builtin_types

    for member in BuiltinTypes:
        assert type_document(member) == builtin_types[member.value].prejson()


def test_our_tables_are_spelled_as_the_deriva_client_spells_them() -> None:
    from deriva.core import ermrest_model as em

    ours = TableDefinition("T", [ColumnDefinition("A", "int4", False, 3, "a number")], [KeyDefinition(["A"])]).document(
        "s"
    )
    theirs = em.Table.define(
        "T", [em.Column.define("A", em.builtin_types.int4, False, 3, "a number")], [em.Key.define(["A"])]
    )
    for column, expected in zip(ours["column_definitions"], theirs["column_definitions"], strict=True):
        assert {name: expected[name] for name in column} == column
    assert [key["unique_columns"] for key in ours["keys"]] == [key["unique_columns"] for key in theirs["keys"]]
    assert [key["referenced_columns"] for key in ours["foreign_keys"]] == [
        key["referenced_columns"] for key in theirs["foreign_keys"]
    ]


def test_both_spellings_of_the_parts() -> None:
    column, key = ColumnDefinition("A", "text"), KeyDefinition(["A"])
    reference = ForeignKeyDefinition(["A"], "s", "Other")
    first = TableDefinition("T", column_defs=[column], key_defs=[key], fkey_defs=[reference])
    second = TableDefinition(name="T", columns=[column], keys=[key], foreign_keys=[reference])
    assert first == second
    assert second.columns == (column,) and second.keys == (key,) and second.foreign_keys == (reference,)


@pytest.mark.parametrize(
    ("problem", "make"),
    [
        ("no column type 'integer'", lambda: ColumnDefinition("A", "integer")),
        ("must be a text", lambda: ColumnDefinition("", "text")),
        ("longer than 63", lambda: TableDefinition("T" * 64)),
        ("two columns A", lambda: TableDefinition("T", [ColumnDefinition("A", "text"), ColumnDefinition("A", "int4")])),
        ("two columns RID", lambda: TableDefinition("T", [ColumnDefinition("RID", "text")])),
        ("does not have: B", lambda: TableDefinition("T", key_defs=[KeyDefinition(["B"])])),
        ("does not have: C", lambda: TableDefinition("T", fkey_defs=[ForeignKeyDefinition(["C"], "s", "O")])),
        ("as many columns", lambda: ForeignKeyDefinition(["A", "B"], "s", "O")),
    ],
)
def test_what_cannot_be(problem: str, make: object) -> None:
    with pytest.raises(DerivaMLValidationError, match=problem):
        make()  # type: ignore[operator]


def test_names_of_constraints_fit() -> None:
    assert constraint_name("T", ["A"], "fkey") == "T_A_fkey"
    long = [constraint_name("T" * 60, [column], "key") for column in ("A", "B")]
    assert all(len(name.encode()) <= 63 for name in long) and long[0] != long[1]
    assert len(constraint_name("ü" * 31, ["ö"], "fkey").encode()) <= 63
