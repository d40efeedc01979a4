"""The manifest: every registered asset in one document, from which the entries come back."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from deriva_ml.errors import DerivaMLIntegrityError
from deriva_ml.execution.manifest import Entry, EntryState, Mode, document, due, numbered, plain_key, rebuild

PLAIN = Entry("Image/a.png", "lab", "Image", "a.png", Mode.NEW, "assets/Image/a.png")
FULL = Entry(
    key="Image/~2/b.png", schema="lab", table="Image", file_name="b.png", mode=Mode.LINK, staged="assets/Image/~2/b.png",
    source="/data/b.png", asset_types=("Mask", "Derived"), metadata={"Subject": "1-ABC", "Size": 3}, description="a mask",
    state=EntryState.UPLOADED, source_stamp="1:2:3", sealed="sealed/7", md5="0" * 32, sha256="1" * 64, length=12, rid="2-DEF",
    url="/hatrac/Image/x", reused=True, uploaded_at="2026-01-01T00:00:00+00:00",
)  # fmt: skip


@pytest.mark.parametrize("entries", [[], [PLAIN], [PLAIN, FULL]], ids=["none", "one", "two"])
def test_entries_come_back_from_their_document(entries: list[Entry]) -> None:
    rid, found = rebuild(document("1-EXE", entries))
    assert rid == "1-EXE"
    assert found == [replace(entry, id=0) for entry in entries]


def test_the_document_says_what_people_look_for() -> None:
    assets = json.loads(document("1-EXE", [FULL]))["assets"]["Image/~2/b.png"]
    wanted = {
        "asset_table": "Image",
        "schema": "lab",
        "status": "uploaded",
        "rid": "2-DEF",
        "asset_types": ["Mask", "Derived"],
    }
    assert {name: assets[name] for name in wanted} == wanted


def test_a_document_of_an_older_kind_is_read() -> None:
    older = {
        "execution_rid": "1-EXE",
        "assets": {"Image/a.png": {"asset_table": "Image", "schema": "lab", "status": "pending"}},
    }
    assert rebuild(json.dumps(older).encode()) == ("1-EXE", [PLAIN])


def test_what_failed_in_a_document_of_an_older_kind_is_tried_again() -> None:
    older = {
        "execution_rid": "1-EXE",
        "assets": {"Image/a.png": {"asset_table": "Image", "schema": "lab", "status": "failed"}},
    }
    assert rebuild(json.dumps(older).encode()) == ("1-EXE", [PLAIN])


@pytest.mark.parametrize(
    "change",
    [
        {"staged": "/etc/passwd"}, {"staged": "../../secret"}, {"staged": "assets//x"}, {"sealed": "sealed/../../x"},
        {"file_name": "../x"}, {"file_name": "a/b"},
    ],
    ids=str,
)  # fmt: skip
def test_paths_that_lead_out_of_the_folder_are_refused(change: dict[str, str]) -> None:
    content = json.loads(document("1-EXE", [PLAIN]))
    content["assets"]["Image/a.png"].update(change)
    with pytest.raises(DerivaMLIntegrityError, match="asset-manifest"):
        rebuild(json.dumps(content).encode())


def test_a_document_of_a_newer_kind_is_refused() -> None:
    content = {**json.loads(document("1-EXE", [PLAIN])), "format": 99}
    with pytest.raises(DerivaMLIntegrityError, match="newer deriva-ml"):
        rebuild(json.dumps(content).encode())


@pytest.mark.parametrize(
    "text", [b"", b"[]", b'{"assets": {}}', b'{"execution_rid": "1", "assets": {"x": {}}}', b"\xff"]
)
def test_something_else_is_refused(text: bytes) -> None:
    with pytest.raises(DerivaMLIntegrityError, match="asset-manifest"):
        rebuild(text)


def test_writing_the_document_again_is_never_quadratic() -> None:
    written, cost = 0, 0
    for count in range(1, 10_001):
        if due(count, written):
            written, cost = count, cost + count
    assert cost < 100 * 101 / 2 + 2 * 20_000


@pytest.mark.parametrize("key", ["Image/a.png", "Image/sub/a.png", "Image/~x/a.png"])
def test_a_namesake_has_a_key_of_its_own_and_the_same_plain_one(key: str) -> None:
    assert plain_key(key) == key
    assert plain_key(numbered(key, 12)) == key
    assert numbered(key, 12) != key
