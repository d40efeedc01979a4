"""Every column type: from JSON and text into SQLite, and out again as JSON, CSV and text for patterns."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import apsw
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deriva_local.wire.errors import Refusal
from deriva_local.wire.jsontext import compare_json, equality_key, normal_json_text, normal_text
from deriva_local.wire.types import TYPES, CheckFailed, codec, comparable, type_document, type_from_document

# type, JSON in, stored, JSON out, CSV, text for patterns
TABLE: list[tuple[str, Any, Any, Any, Any, Any]] = [
    ("boolean", True, 1, True, "t", "true"),
    ("boolean", "no", 0, False, "f", "false"),
    ("int2", 32767, 32767, 32767, "32767", "32767"),
    ("int4", " -5 ", -5, -5, "-5", "-5"),
    ("int8", 2**63 - 1, 2**63 - 1, 2**63 - 1, str(2**63 - 1), str(2**63 - 1)),
    ("serial4", 7, 7, 7, "7", "7"),
    ("float8", 1, 1.0, 1, "1", "1"),
    ("float8", Decimal("0.1"), 0.1, 0.1, "0.1", "0.1"),
    ("float8", 1e300, 1e300, 1e300, "1e+300", "1e+300"),
    ("float8", Decimal("1e15"), 1e15, 1e15, "1e+15", "1e+15"),
    ("float8", Decimal("123456789012345"), 123456789012345.0, 123456789012345, "123456789012345", "123456789012345"),
    ("float8", Decimal("0.00001234"), 1.234e-05, 1.234e-05, "1.234e-05", "1.234e-05"),
    ("float8", Decimal("-0.0"), 0.0, 0, "0", "0"),
    ("float8", "NaN", "NaN", "NaN", "NaN", "NaN"),
    ("float8", "-Infinity", float("-inf"), "-Infinity", "-Infinity", "-Infinity"),
    ("float4", Decimal("0.1"), 0.1, 0.1, "0.1", "0.1"),
    ("float4", 16777217, 16777216.0, 16777216, "16777216", "16777216"),
    ("text", "", "", "", "", ""),
    ("text", "a\nb", "a\nb", "a\nb", "a\nb", "a\nb"),
    ("text", 5, "5", "5", "5", "5"),
    ("text", Decimal("1.50"), "1.50", "1.50", "1.50", "1.50"),
    ("text", {"a": [1]}, '{"a": [1]}', '{"a": [1]}', '{"a": [1]}', '{"a": [1]}'),
    ("markdown", "*x*", "*x*", "*x*", "*x*", "*x*"),
    ("ermrest_rid", "zz-z6", "zz-z6", "zz-z6", "zz-z6", "zz-z6"),
    ("color_rgb_hex", "#00fFaA", "#00fFaA", "#00fFaA", "#00fFaA", "#00fFaA"),
    ("uuid", "{A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11}", *["a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"] * 4),
    ("date", "2020-1-2", "2020-01-02", "2020-01-02", "2020-01-02", "2020-01-02"),
    ("time", "9:05", "09:05:00", "09:05:00", "09:05:00", "09:05:00"),
    ("timetz", "9:05", "09:05:00+00", "09:05:00+00", "09:05:00+00", "09:05:00+00"),
    ("timestamp", "2020-01-02 03:04:05", "2020-01-02T03:04:05", "2020-01-02T03:04:05", "2020-01-02 03:04:05", "2020-01-02T03:04:05"),
    ("timestamptz", "2020-01-02T03:04:05.60Z", 1577934245600000, "2020-01-02T03:04:05.6+00:00", "2020-01-02 03:04:05.6+00", "2020-01-02T03:04:05Z"),
    ("ermrest_rmt", "2020-01-02", 1577923200000000, "2020-01-02T00:00:00+00:00", "2020-01-02 00:00:00+00", "2020-01-02T00:00:00Z"),
    ("interval", "P1DT2H", "1 day 02:00:00", "1 day 02:00:00", "1 day 02:00:00", "1 day 02:00:00"),
    ("json", {"bb": 1, "a": 2}, '{"a": 2, "bb": 1}', {"a": 2, "bb": 1}, '{"a": 2, "bb": 1}', '{"a": 2, "bb": 1}'),
    ("jsonb", None, "null", None, "null", "null"),
    ("jsonb", "x", '"x"', "x", '"x"', '"x"'),
    ("text[]", [], "[]", [], "{}", "{}"),
    ("text[]", ["a", "b c", None, "", 'q"\\'], '["a", "b c", null, "", "q\\"\\\\"]', ["a", "b c", None, "", 'q"\\'], '{a,"b c",NULL,"","q\\"\\\\"}', '{a,"b c",NULL,"","q\\"\\\\"}'),
    ("int4[]", [0, 3], "[0, 3]", [0, 3], "{0,3}", "{0,3}"),
    ("boolean[]", [True, False, None], "[true, false, null]", [True, False, None], "{t,f,NULL}", "{true,false,NULL}"),
    ("float8[]", [1, Decimal("0.5"), "NaN", "Infinity"], '[1, 0.5, "NaN", 9e999]', [1, 0.5, "NaN", "Infinity"], "{1,0.5,NaN,Infinity}", "{1,0.5,NaN,Infinity}"),
    ("timestamptz[]", ["2020-01-02"], "[1577923200000000]", ["2020-01-02T00:00:00+00:00"], '{"2020-01-02 00:00:00+00"}', "{2020-01-02T00:00:00Z}"),
    ("jsonb[]", [{"a": 1}, None], '["{\\"a\\": 1}", "null"]', [{"a": 1}, None], '{"{\\"a\\": 1}","null"}', '{"{\\"a\\": 1}","null"}'),
]  # fmt: skip


@pytest.mark.parametrize(("name", "given_json", "stored", "json_out", "csv", "match"), TABLE)
def test_each_form(name: str, given_json: Any, stored: Any, json_out: Any, csv: Any, match: Any) -> None:
    coder = codec(TYPES[name])
    assert coder.from_json(given_json) == stored
    assert type(coder.from_json(given_json)) is type(stored)
    assert coder.to_json(stored) == json_out
    assert coder.to_csv(stored) == csv
    assert coder.to_match(stored) == match


@pytest.mark.parametrize(("name", "stored", "csv"), [(row[0], row[2], row[4]) for row in TABLE])
def test_csv_reads_back_what_it_wrote(name: str, stored: Any, csv: str) -> None:
    assert codec(TYPES[name]).from_text(csv) == stored


@pytest.mark.parametrize(("name", "stored", "json_out"), [(row[0], row[2], row[3]) for row in TABLE])
def test_json_reads_back_what_it_wrote(name: str, stored: Any, json_out: Any) -> None:
    assert codec(TYPES[name]).from_json(json_out) == stored


@pytest.mark.parametrize("name", sorted(set(TYPES) - {"json", "jsonb"}))
def test_null_is_null(name: str) -> None:
    coder = codec(TYPES[name])
    assert [coder.from_json(None), coder.to_json(None), coder.to_csv(None), coder.to_match(None)] == [None] * 4


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("boolean", "maybe"), ("boolean", 2), ("int2", 32768), ("int4", "1.0"), ("int4", Decimal("1.0")), ("int4", "x"),
        ("int4", True), ("int8", 2**63), ("int8", ""), ("int4", "١"), ("float8", "1e999"), ("float8", 10**400),
        ("float8", "one"), ("float8", True), ("float4", 1e39), ("text", "a\0b"), ("text", "\ud800"), ("uuid", "1234"),
        ("date", "2021-02-29"), ("timestamptz", 5), ("interval", "soon"), ("jsonb", {"a": "\0"}), ("int4[]", 5),
        ("int4[]", ["x"]), ("int4[]", "{1"), ("int4[]", "{{1},{2}}"), ("text[]", "{a,}"), ("text[]", "{a}b"),
        ("jsonb", Decimal("1e9999")), ("text[]", ["\0"]), ("color_rgb_hex", "red"),
    ],
)  # fmt: skip
def test_bad_values_are_refused_with_a_sentence(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=r"\.$"):
        codec(TYPES[name]).from_json(value)


def test_a_failed_check_is_told_from_bad_syntax() -> None:
    with pytest.raises(CheckFailed):
        codec(TYPES["color_rgb_hex"]).from_text("red")


@given(st.floats(allow_nan=False))
def test_every_float_survives_text_and_json(number: float) -> None:
    coder = codec(TYPES["float8"])
    assert coder.from_text(coder.to_csv(number) or "") == number
    assert coder.from_json(coder.to_json(number)) == number


@given(st.floats(width=32, allow_nan=False))
def test_every_single_float_is_stored_once(number: float) -> None:
    coder = codec(TYPES["float4"])
    stored = coder.from_json(number)
    assert coder.from_json(stored) == stored
    assert coder.from_text(coder.to_csv(stored) or "") == stored


@given(st.lists(st.none() | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))))
def test_every_array_of_text_survives_csv(values: list[str | None]) -> None:
    coder = codec(TYPES["text[]"])
    stored = coder.from_json(values)
    assert coder.to_json(stored) == values
    assert coder.from_text(coder.to_csv(stored) or "") == stored


@pytest.mark.parametrize(
    ("name", "values", "one"),
    [("text[]", ["a", "b"], "a"), ("float8[]", [1, "Infinity"], "Infinity"), ("boolean[]", [True], "t"),
     ("timestamptz[]", ["2020-01-02"], "2020-01-02"), ("jsonb[]", [{"a": 1}], '{"a":1}'), ("float8[]", [1], "1")],
)  # fmt: skip
def test_elements_in_sqlite_compare_with_stored_scalars(name: str, values: list[Any], one: str) -> None:
    array = TYPES[name]
    assert array.base is not None
    stored, scalar = codec(array).from_json(values), codec(array.base).from_text(one)
    query = "SELECT ? IN (SELECT value FROM json_each(?))"
    assert apsw.Connection(":memory:").execute(query, (scalar, stored)).fetchone() == (1,)


# ----------------------------------------------------------------------------------------------------- JSON texts

JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.text(st.characters(codec="ascii", exclude_characters="\0")), inner)
    ),
    max_leaves=12,
)


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ('{"bb":1,"c":2,"a":3}', '{"a": 3, "c": 2, "bb": 1}'),
        ('{"a":1,"a":2}', '{"a": 2}'),
        ("[1.50, 1e2, -0.0, -0, 1E-3]", "[1.50, 100, 0.0, 0, 0.001]"),
        ('"\\u00e9\\n\\u0001"', '"é\\n\\u0001"'),
        ('{"é":1,"zz":2}', '{"zz": 2, "é": 1}'),
    ],
)
def test_json_has_one_normal_text(text: str, normal: str) -> None:
    assert normal_json_text(text) == normal
    assert normal_json_text(normal) == normal


@given(JSON_VALUES)
def test_every_json_value_survives(value: Any) -> None:
    assert json.loads(normal_text(value)) == value


def test_the_order_of_json() -> None:
    ascending = [
        "[]",
        "null",
        '"a"',
        '"b"',
        "1",
        "1.5",
        "false",
        "true",
        "[1]",
        "[2]",
        "[1, 1]",
        "{}",
        '{"a": 1}',
        '{"b": 0}',
    ]
    for at, first in enumerate(ascending):
        for then, second in enumerate(ascending):
            assert compare_json(first, second) == (at > then) - (at < then), (first, second)


@given(JSON_VALUES, JSON_VALUES)
def test_the_order_of_json_is_one(first: Any, second: Any) -> None:
    ours, theirs = normal_text(first), normal_text(second)
    assert compare_json(ours, theirs) == -compare_json(theirs, ours)
    assert (compare_json(ours, theirs) == 0) == (equality_key(ours) == equality_key(theirs))


def test_equal_numbers_are_equal_json() -> None:
    assert compare_json('{"a": 1}', '{"a": 1.00}') == 0
    assert equality_key('{"a": [1.00, 1.50]}') == equality_key('{"a": [1, 1.5]}')
    assert equality_key('"1.0"') != equality_key('"1"')


# ------------------------------------------------------------------------------------------------- type documents


@pytest.mark.parametrize("name", sorted(set(TYPES) - {"numeric", "numeric[]"}))
def test_type_documents_read_back(name: str) -> None:
    assert type_from_document(type_document(TYPES[name])) is TYPES[name]


@pytest.mark.parametrize(
    ("name", "document"),
    [
        ("text", {"typename": "text"}),
        ("ermrest_rct", {"typename": "ermrest_rct", "is_domain": True, "base_type": {"typename": "timestamptz"}}),
        ("int4[]", {"typename": "int4[]", "is_array": True, "base_type": {"typename": "int4"}}),
    ],
)
def test_type_documents(name: str, document: dict[str, Any]) -> None:
    assert type_document(TYPES[name]) == document


@pytest.mark.parametrize(
    ("document", "name"),
    [
        ({"typename": "bool"}, "boolean"),
        ({"typename": "character varying"}, "text"),
        ({"typename": "markdown"}, "markdown"),
    ],
)
def test_other_names_of_types(document: dict[str, Any], name: str) -> None:
    assert type_from_document(document) is TYPES[name]


@pytest.mark.parametrize(
    ("document", "status"),
    [
        ({"typename": "varchar"}, 409),
        ({"typename": "text[]"}, 409),
        ({"typename": "numeric"}, 409),
        ({"typename": "serial4[]", "is_array": True, "base_type": {"typename": "serial4"}}, 409),
        (
            {
                "is_array": True,
                "base_type": {"typename": "text[]", "is_array": True, "base_type": {"typename": "text"}},
            },
            409,
        ),
        ({}, 400),
        ("text", 400),
        ({"typename": 5}, 400),
        ({"typename": "text[]", "is_array": True}, 400),
    ],
)
def test_type_documents_refused(document: Any, status: int) -> None:
    with pytest.raises(Refusal) as refusal:
        type_from_document(document)
    assert refusal.value.status == status


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("int2", "float8", True),
        ("serial4", "int4", True),
        ("text", "ermrest_rid", True),
        ("timestamptz", "ermrest_rct", True),
        ("int4[]", "int8[]", True),
        ("jsonb", "jsonb", True),
        ("text", "int4", False),
        ("text", "text[]", False),
        ("text", "uuid", False),
        ("date", "timestamp", False),
        ("json", "json", False),
    ],
)
def test_which_types_can_be_equal(first: str, second: str, expected: bool) -> None:
    assert comparable(TYPES[first], TYPES[second]) is expected
