"""A bag: written whole, read back the same, and refused when it is damaged or leads out of itself."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from bdbag import bdbag_api
from hypothesis import given
from hypothesis import strategies as st

from deriva_ml.bag import cells, layout
from deriva_ml.bag.read import Bag
from deriva_ml.bag.verify import verify
from deriva_ml.bag.write import Payload, TableRows, write_bag
from deriva_ml.errors import DerivaMLIntegrityError, DerivaMLTableNotFound, DerivaMLValidationError
from deriva_ml.files import hash_file


def column(name: str, typename: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "type": {"typename": typename, **more}}


SCHEMA = {
    "schemas": {
        "my lab": {
            "tables": {
                "Image": {
                    "column_definitions": [
                        column("RID", "ermrest_rid", is_domain=True, base_type={"typename": "text"}),
                        column("Width", "int4"),
                        column("Good", "boolean"),
                        column("Score", "float8"),
                        column("Tags", "text[]", is_array=True, base_type={"typename": "text"}),
                        column("Extra", "jsonb"),
                        column("Note", "text"),
                    ]
                }
            }
        }
    }
}
ROWS = [
    {
        "RID": "1-A",
        "Width": 8,
        "Good": True,
        "Score": 0.1,
        "Tags": ["a", 'b"c'],
        "Extra": {"k": [1]},
        "Note": 'x,"y"\nz',
    },
    {"RID": "1-B", "Width": None, "Good": False, "Score": -2.5e-7, "Tags": [], "Extra": "text", "Note": ""},
    {"RID": "1-C", "Width": 0, "Good": None, "Score": None, "Tags": None, "Extra": None, "Note": None},
]
COLUMNS = ("RID", "Width", "Good", "Score", "Tags", "Extra", "Note")


def payload(path: str, source: Path) -> Payload:
    digest = hash_file(source)
    return Payload(path, digest.length, digest.md5, digest.sha256, source=source)


def make(folder: Path, source: Path, *more: Payload) -> Path:
    source.write_bytes(b"pixels")
    write_bag(
        folder,
        tables=[TableRows("my lab", "Image", COLUMNS, iter(ROWS))],
        payloads=[payload(layout.asset_path("Image", "1-A", "scan 1.png"), source), *more],
        schema_document=SCHEMA,
        info={"External-Description": "two\nlines"},
    )
    return folder


@pytest.fixture
def bag(tmp_path: Path) -> Path:
    return make(tmp_path / "bag", tmp_path / "pixels")


def test_a_bag_is_what_other_bag_readers_call_valid(bag: Path) -> None:
    bdbag_api.validate_bag(str(bag), fast=False)
    bdbag_api.validate_bag_structure(str(bag))
    verify(bag)


def test_rows_come_back_as_they_went_in(bag: Path) -> None:
    opened = Bag(bag)
    assert opened.tables() == [("my lab", "Image")]
    assert list(opened.values("my lab", "Image")) == ROWS
    assert next(opened.rows("my lab", "Image"))["Width"] == "8"
    assert opened.schema == SCHEMA
    assert opened.info["External-Description"] == "two lines"


def test_payload_is_linked_and_its_checksums_are_believed(bag: Path, tmp_path: Path) -> None:
    found = {item.path: item for item in Bag(bag).payloads()}
    item = found["assets/Image/1-A/scan 1.png"]
    assert item.source is not None
    assert item.source.samefile(tmp_path / "pixels")
    assert (item.length, item.md5, item.sha256) == (
        6,
        *(getattr(hash_file(tmp_path / "pixels"), n) for n in layout.ALGORITHMS),
    )


def test_what_is_still_to_be_fetched_is_a_hole(tmp_path: Path) -> None:
    remote = Payload("assets/Image/1-B/b.png", 4, "0" * 32, "", url="https://example.org/hatrac/Image/b:V1")
    folder = make(tmp_path / "bag", tmp_path / "pixels", remote)
    bdbag_api.validate_bag_structure(str(folder))
    assert (
        folder / "fetch.txt"
    ).read_text() == "https://example.org/hatrac/Image/b:V1\t4\tdata/assets/Image/1-B/b.png\n"
    assert not (folder / "manifest-sha256.txt").exists(), "a manifest lists every file or is left out"
    assert remote in list(Bag(folder).payloads())
    verify(folder, holes=True)
    with pytest.raises(DerivaMLIntegrityError, match=r"1-B/b\.png: missing"):
        verify(folder)


def test_an_unknown_table_is_named_with_those_there_are(bag: Path) -> None:
    with pytest.raises(DerivaMLTableNotFound, match="my lab:Image"):
        list(Bag(bag).rows("my lab", "Imag"))


def test_a_new_bag_replaces_the_old_one_only_when_it_is_whole(bag: Path, tmp_path: Path) -> None:
    def broken() -> Any:
        yield ROWS[0]
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_bag(
            bag,
            tables=[TableRows("s", "T", ("RID",), broken())],
            payloads=[],
            schema_document={},
            info={},
            durable=False,
        )
    verify(bag)
    write_bag(bag, tables=[TableRows("s", "T", ("RID",), [])], payloads=[], schema_document={}, info={})
    assert Bag(bag).tables() == [("s", "T")]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bag", "pixels"]


def test_memory_does_not_grow_with_the_rows(tmp_path: Path) -> None:
    def peak(count: int) -> int:
        rows = ({"RID": f"1-{n}", "Note": "x" * 200} for n in range(count))
        tracemalloc.start()
        write_bag(
            tmp_path / str(count),
            tables=[TableRows("my lab", "Image", COLUMNS, rows)],
            payloads=[],
            schema_document=SCHEMA,
            info={},
            durable=False,
        )
        used = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return used

    assert peak(8000) < 1.2 * peak(2000)


@pytest.mark.parametrize(
    "path",
    ["", "/etc/passwd", "../x", "a/../../x", "a//b", "a/./b", "~/x", "a\\b", "a\nb", "a\x85b", "a%0Ab", "a\u2028b"],
)
def test_paths_that_lead_out_are_refused_before_anything_is_written(tmp_path: Path, path: str) -> None:
    source = tmp_path / "pixels"
    source.write_bytes(b"x")
    item = Payload(path, 1, "0" * 32, "0" * 64, source=source)
    with pytest.raises(DerivaMLValidationError, match="cannot hold the path"):
        write_bag(tmp_path / "bag", tables=[], payloads=[item], schema_document={}, info={})
    assert not (tmp_path / "bag").exists()


@pytest.mark.parametrize(
    "url", [None, "", "file:///etc/passwd", "/hatrac/x", "ftp://h/x", "https:///x", "https://h/a b"]
)
def test_only_full_web_addresses_are_fetched(tmp_path: Path, url: str | None) -> None:
    item = Payload("a", 1, "0" * 32, "0" * 64, url=url)
    with pytest.raises(DerivaMLValidationError, match="cannot be fetched"):
        write_bag(tmp_path / "bag", tables=[], payloads=[item], schema_document={}, info={})


def test_a_source_that_changed_length_and_a_second_payload_of_one_path_are_refused(tmp_path: Path) -> None:
    source = tmp_path / "pixels"
    source.write_bytes(b"x")
    good = payload("a", source)
    changed = Payload("a", 7, good.md5, good.sha256, source=source)
    for payloads, error in (([changed], DerivaMLIntegrityError), ([good, good], DerivaMLValidationError)):
        with pytest.raises(error):
            write_bag(tmp_path / "bag", tables=[], payloads=payloads, schema_document={}, info={})


def flip(bag: Path) -> None:
    (bag / "data/assets/Image/1-A/scan 1.png").unlink()
    (bag / "data/assets/Image/1-A/scan 1.png").write_bytes(b"pixelz")


def lose(bag: Path) -> None:
    (bag / "data/my lab/Image.csv").unlink()


def slip_in(bag: Path) -> None:
    (bag / "data/extra.bin").write_bytes(b"x")


def change_tags(bag: Path) -> None:
    (bag / "bag-info.txt").write_text("Bagging-Date: 1999-01-01\n")


def list_outside(path: str) -> Any:
    def damage(bag: Path) -> None:
        with (bag / "manifest-md5.txt").open("a") as file:
            file.write(f"{'0' * 32}  {path}\n")

    return damage


def link_out(bag: Path) -> None:
    (bag / "data/passwd").symlink_to("/etc/passwd")


def link_folder(bag: Path) -> None:
    moved = bag.parent / "elsewhere"
    (bag / "data/my lab").rename(moved)
    (bag / "data/my lab").symlink_to(moved)


def fetch_from(url: str, path: str) -> Any:
    return lambda bag: (bag / "fetch.txt").write_text(f"{url}\t5\t{path}\n")


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (flip, "md5 is"),
        (lose, "Image.csv: missing"),
        (slip_in, "extra.bin: present, but in no manifest"),
        (change_tags, "bag-info.txt: md5 is"),
        (list_outside("data/../../x"), "not a path inside data/"),
        (list_outside("/etc/passwd"), "not a path inside data/"),
        (link_out, "symbolic link"),
        (link_folder, "symbolic link"),
        (fetch_from("file:///etc/passwd", "data/x"), "not 'file:///etc/passwd'"),
        (fetch_from("https://h/x", "data/../x"), "not a path inside data/"),
        (lambda bag: (bag / "bagit.txt").unlink(), "not a bag"),
        (lambda bag: (bag / "manifest-md5.txt").write_text("nonsense\n"), "no entry"),
    ],
)
def test_damage_is_found_and_named(bag: Path, damage: Any, sentence: str) -> None:
    damage(bag)
    with pytest.raises(DerivaMLIntegrityError, match=sentence):
        verify(bag)


@pytest.mark.parametrize("damage", [link_folder, list_outside("data/../../x"), list_outside("/etc/passwd"), lose])
def test_reading_never_leaves_the_bag(bag: Path, damage: Any) -> None:
    damage(bag)
    opened = Bag(bag)
    with pytest.raises(DerivaMLIntegrityError):
        list(opened.payloads())


def test_every_problem_is_listed(bag: Path) -> None:
    for damage in (flip, lose, slip_in):
        damage(bag)
    with pytest.raises(DerivaMLIntegrityError) as caught:
        verify(bag)
    assert all(text in str(caught.value) for text in ("md5 is", "Image.csv: missing", "extra.bin"))


@given(st.lists(st.lists(st.none() | st.text(max_size=8), min_size=2, max_size=2), max_size=5))
def test_any_text_survives_the_csv(rows: list[list[str | None]]) -> None:
    text = "".join(cells.line(row) for row in rows)
    assert list(cells.records(text.split("\n")[i] + "\n" for i in range(text.count("\n")))) == rows


@given(st.text(min_size=1, max_size=10).filter(lambda name: name.isprintable()))
def test_any_table_name_is_one_harmless_segment(name: str) -> None:
    segment = layout.folder_name(name)
    assert layout.name_of(segment) == name
    assert "/" not in segment
    assert segment not in {".", "..", "assets"}


@pytest.mark.parametrize("text", ['a,"b', 'a,"b"c\n', '"a"b,c\n'])
def test_broken_csv_is_refused(text: str) -> None:
    with pytest.raises(DerivaMLIntegrityError):
        list(cells.records(text.splitlines(keepends=True)))
