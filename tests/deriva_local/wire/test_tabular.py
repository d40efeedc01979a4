"""Bodies of rows: JSON, JSON streams and CSV, read and refused."""

from __future__ import annotations

import io
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deriva_local.wire.errors import Refusal
from deriva_local.wire.tabular import csv_cell, csv_line, parse_csv, read_rows

CELLS = st.none() | st.text(st.characters(exclude_categories=["Cs"]))


@pytest.mark.parametrize(
    ("content_type", "body", "rows"),
    [
        ("application/json", b"[]", []),
        ("application/json; charset=utf-8", b'[{"a": 1}, {"b": null}]', [{"a": 1}, {"b": None}]),
        ("application/json", b'{"a": 1}', [{"a": 1}]),
        ("application/json", b'\xef\xbb\xbf[{"a": 1.50}]', [{"a": Decimal("1.50")}]),
        ("Application/X-JSON-Stream", b'{"a": 1}\n\n{"a": 2}\n', [{"a": 1}, {"a": 2}]),
        ("application/x-json-stream", b"", []),
    ],
)
def test_json(content_type: str, body: bytes, rows: list[Any]) -> None:
    read = read_rows(content_type, body)
    assert read.rows == rows
    assert read.columns is None
    assert read_rows(content_type, io.BytesIO(body)) == read


@pytest.mark.parametrize(
    ("body", "columns", "rows"),
    [
        ("a,b\n1,2\n", ("a", "b"), [["1", "2"]]),
        ("a,b\r\n1,2\r\n3,4", ("a", "b"), [["1", "2"], ["3", "4"]]),
        ('a,b\n,""\n"",\n', ("a", "b"), [[None, ""], ["", None]]),
        ('"a b","c""d"\n"x\ny",","\n', ("a b", 'c"d'), [["x\ny", ","]]),
        ("a\n\nx\n", ("a",), [[None], ["x"]]),
        ("a,b\n1,", ("a", "b"), [["1", None]]),
        ("a,b\n", ("a", "b"), []),
        ('"a"', ("a",), []),
    ],
)
def test_csv(body: str, columns: tuple[str, ...], rows: list[Any]) -> None:
    read = read_rows("text/csv", body.encode())
    assert (read.columns, read.rows) == (columns, rows)


@given(st.lists(st.lists(CELLS, min_size=2, max_size=2), max_size=5))
def test_every_cell_survives_csv(rows: list[list[str | None]]) -> None:
    text = csv_line(["a", "b"]) + "".join(map(csv_line, rows))
    assert parse_csv(text) == (("a", "b"), rows)


@pytest.mark.parametrize(
    ("text", "cell"), [(None, ""), ("", '""'), ("a b", "a b"), ("a,b", '"a,b"'), ('"', '""""'), ("\r", '"\r"')]
)
def test_cells_are_quoted_where_they_must_be(text: str | None, cell: str) -> None:
    assert csv_cell(text) == cell


@pytest.mark.parametrize(
    ("content_type", "body", "status"),
    [
        ("", b"[]", 415),
        ("text/plain", b"[]", 415),
        ("application/json", b"", 400),
        ("application/json", b"[1]", 400),
        ("application/json", b"null", 400),
        ("application/json", b'[{"a": NaN}]', 400),
        ("application/json", b'[{"a": 1}', 400),
        ("application/json", b'"\xff"', 400),
        ("application/json", b"[" * 100_000, 400),
        ("application/x-json-stream", b'{"a": 1}\n[2]\n', 400),
        ("application/x-json-stream", b'{"a":\n1}\n', 400),
        ("application/x-json-stream", b'{"a": 1},{"a": 2}\n', 400),
        ("text/csv", b"", 400),
        ("text/csv", b"a,b\n1\n", 400),
        ("text/csv", b'a,b\n1,"2\n', 400),
        ("text/csv", b'a,b\n1,"2"3\n', 400),
        ("text/csv", b'a,b\n1,2"3\n', 400),
    ],
)
def test_bodies_refused(content_type: str, body: bytes, status: int) -> None:
    with pytest.raises(Refusal) as refusal:
        read_rows(content_type, body)
    assert refusal.value.status == status
