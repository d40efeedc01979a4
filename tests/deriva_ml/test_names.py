"""What names, file names and RIDs look like, and what is refused."""

from __future__ import annotations

import pytest
from pydantic import BaseModel, ValidationError

from deriva_ml.errors import DerivaMLValidationError
from deriva_ml.names import TableName, check_name, encode, safe_file_name
from deriva_ml.rid import RID, check_rid, is_rid, split_snapshot


@pytest.mark.parametrize(
    ("text", "encoded"),
    [
        ("Image", "Image"),
        ("my table", "my%20table"),
        ("a/b:c@d", "a%2Fb%3Ac%40d"),
        ("100%", "100%25"),
        ("größe", "gr%C3%B6%C3%9Fe"),
        ("*", "%2A"),
        ("a+b&c;d=e,f(g)", "a%2Bb%26c%3Bd%3De%2Cf%28g%29"),
        ("", ""),
    ],
)
def test_a_text_never_becomes_syntax(text: str, encoded: str) -> None:
    assert encode(text) == encoded


def test_the_full_name_of_a_table() -> None:
    assert TableName("my lab", "T:1").path == "my%20lab:T%3A1"
    assert sorted([TableName("b", "A"), TableName("a", "B")])[0].schema == "a"


@pytest.mark.parametrize("name", ["Image", "my table", "größe", "x" * 63])
def test_good_names(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize("name", ["", "  ", "x" * 64, "ü" * 32, "a\nb", "a\0b"])
def test_bad_names(name: str) -> None:
    with pytest.raises(DerivaMLValidationError):
        check_name(name)


@pytest.mark.parametrize("name", ["model.pt", ".hidden", "scan 1.png", "größe.txt", "a" * 255, "..."])
def test_good_file_names(name: str) -> None:
    assert safe_file_name(name) == name


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/etc/passwd", "..\\x", "a\0b", "a\nb", "ä" * 128])
def test_file_names_that_would_leave_the_folder_or_confuse(name: str) -> None:
    with pytest.raises(DerivaMLValidationError, match="name of a file"):
        safe_file_name(name)


@pytest.mark.parametrize(
    ("rid", "row", "snapshot"),
    [
        ("1-ABC", "1-ABC", None),
        ("2-PRED1", "2-PRED1", None),
        ("EXE-A", "EXE-A", None),
        ("0000", "0000", None),
        ("1-ABC@33P-9WPG-1C9J", "1-ABC", "33P-9WPG-1C9J"),
    ],
)
def test_rids(rid: str, row: str, snapshot: str | None) -> None:
    assert split_snapshot(rid) == (row, snapshot)
    assert Model(rid=rid).rid == rid


@pytest.mark.parametrize(
    "rid", ["", "1-", "-1", "1--2", "1-abc", "1 2", "1-ABC@", "@33P", "1@2@3", "../1", "1-ABC\n", "1;2"]
)
def test_what_is_no_rid(rid: str) -> None:
    assert not is_rid(rid)
    with pytest.raises(DerivaMLValidationError, match="not a RID"):
        check_rid(rid)
    with pytest.raises(ValidationError):
        Model(rid=rid)


class Model(BaseModel):
    rid: RID
