"""The unmodified deriva client as data scientists use it: the path builder, files of rows, baseline catalogs, backups."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conformance_kit import IMAGE, IMAGE_ROWS, NOTE, NOTE_ROWS, SAMPLE, SAMPLE_ROWS, SPECIES, SPECIES_ROWS, schema
from deriva.core import DerivaServer, datapath
from deriva.core.datapath import All, Array, ArrayD, Avg, Bin, Cnt, CntD, DataPathException, Max, Min, Sum
from deriva.core.ermrest_model import Column, Schema, Table, builtin_types


@pytest.fixture(scope="session")
def server(served: Any) -> Any:
    return DerivaServer("http", served.netloc, credentials=served.credential)


@pytest.fixture(scope="module")
def catalog(server: Any) -> Any:
    """The catalog of samples, filled through the client. Only to be read."""
    made = server.create_ermrest_catalog()
    made.post("/schema", json=[schema("S", SPECIES, SAMPLE, IMAGE, NOTE)])
    tables = made.getPathBuilder().S
    for table, rows in (
        (tables.Species, SPECIES_ROWS),
        (tables.Sample, SAMPLE_ROWS),
        (tables.Image, IMAGE_ROWS),
        (tables.Note, NOTE_ROWS),
    ):
        table.insert(rows)
    return made


@pytest.fixture
def tables(catalog: Any) -> Any:
    return catalog.getPathBuilder().S


@pytest.fixture
def mine(server: Any) -> Any:
    """A catalog of the test's own with a table ``S:T``."""
    made = server.create_ermrest_catalog()
    lab = made.getCatalogModel().create_schema(Schema.define("S"))
    columns = [
        Column.define("name", builtin_types.text, nullok=False),
        Column.define("n", builtin_types.int4, default=7),
    ]
    lab.create_table(Table.define("T", columns, [{"unique_columns": ["name"]}]))
    return made


def ids(rows: Any) -> list[int]:
    return sorted(row["ID"] for row in rows)


# ------------------------------------------------------------------------------------------------------- path builder


def test_filters(tables: Any) -> None:
    s = tables.Sample
    cases = [
        (s.ID == 1, [1]),
        (s.Name == None, [5]),  # noqa: E711
        (s.Name != None, [1, 2, 3, 4]),  # noqa: E711
        (s.Count > 10, [2, 3]),
        ((s.Count >= 10) & (s.Active == True), [1]),  # noqa: E712
        ((s.Count < 10) | (s.Active == False), [2, 5]),  # noqa: E712
        (~(s.Count == 20), [1, 5]),
        (s.Name == 'Cy, "C"', [3]),
        (s.Name == "", [4]),
        (s.Name.regexp("^A"), [1]),
        (s.Name.ciregexp("B"), [2]),
        (s.ID.eq(datapath.Any(1, 3)), [1, 3]),
        (s.Name.regexp(All("A", "n")), [1]),
        (s.Seen == "2021-06-01T12:00:00+02:00", [1]),
        (s.Tags == "b", [1, 2]),
    ]
    for condition, expected in cases:
        assert ids(s.filter(condition).entities().fetch()) == expected, condition


def test_links(tables: Any) -> None:
    species, sample, image, note = tables.Species, tables.Sample, tables.Image, tables.Note
    assert ids(species.filter(species.ID == "cat").link(sample).entities().fetch()) == [1, 2]
    path = sample.alias("M").link(note).filter(note.Text == "n3")
    assert ids(path.M.entities().fetch()) == [3]
    by_twin = image.link(sample, on=(image.Twin == sample.ID))
    assert ids(by_twin.entities().fetch()) == [1, 2]
    left = image.alias("I").link(sample.alias("S1"), on=(image.Sample == sample.ID), join_type="left")
    rows = left.I.attributes(left.I.Name, left.S1.Name.alias("sample")).sort(left.I.Name).fetch()
    assert [(row["Name"], row["sample"]) for row in rows] == [
        ("i1", "Anna"),
        ("i2", "Anna"),
        ("i3", "bob"),
        ("i4", None),
    ]
    merged = sample.alias("A").link(note)
    assert len(merged.merge(datapath.DataPath(sample.alias("A")).link(image)).A.entities().fetch()) in (1, 2)


def test_projections(tables: Any) -> None:
    s = tables.Sample
    rows = s.attributes(s.ID, s.Name.alias("who"), s.RID).sort(s.ID.desc).fetch(limit=2)
    assert [(row["ID"], row["who"]) for row in rows] == [(5, None), (4, "")]
    path = tables.Species.link(s)
    rows = path.attributes(path.Sample.ID, path.Species.Legs).sort(s.ID).fetch()
    assert [(row["ID"], row["Legs"]) for row in rows] == [(1, 4), (2, 4), (3, 2), (5, 2)]
    (totals,) = s.aggregates(
        Cnt(s.ID).alias("n"),
        CntD(s.Count).alias("d"),
        Min(s.Count).alias("lo"),
        Max(s.Count).alias("hi"),
        Sum(s.Count).alias("sum"),
        Avg(s.Count).alias("avg"),
    ).fetch()
    assert totals == {"n": 5, "d": 3, "lo": -3, "hi": 20, "sum": 47, "avg": 11.75}
    groups = (
        s.groupby(s.Species)
        .attributes(Cnt(s.RID).alias("n"), Array(s.ID).alias("ids"), ArrayD(s.Active).alias("a"))
        .sort(s.Species)
        .fetch()
    )
    assert [(row["Species"], row["n"], sorted(row["ids"])) for row in groups] == [
        ("bird", 2, [3, 5]),
        ("cat", 2, [1, 2]),
        (None, 1, [4]),
    ]


def test_bins(tables: Any) -> None:
    s = tables.Sample
    binned = Bin(s.Count, 2, minval=0, maxval=20).alias("bin")
    rows = s.groupby(binned).attributes(Cnt(s.ID).alias("n")).fetch()
    assert {tuple(row["bin"]): row["n"] for row in rows} == {
        (0, None, 0): 1,
        (2, 10, 20): 1,
        (3, 20, None): 2,
        (None, None, None): 1,
    }


def test_denormalize(tables: Any) -> None:
    rows = list(tables.Image.denormalize().fetch())
    assert len(rows) == 4


def test_rows_of_a_result_set(catalog: Any, tables: Any) -> None:
    result = tables.Sample.entities().sort(tables.Sample.ID)
    assert len(result) == 5
    assert result[0]["Name"] == "Anna"
    assert [row["ID"] for row in result.limit(2)] == [1, 2]
    found = catalog.resolve_rid(result[0]["RID"].lower())
    assert (found.table.name, found.rid) == ("Sample", result[0]["RID"])


# -------------------------------------------------------------------------------------------------------------- writes


def test_the_life_of_rows(mine: Any) -> None:
    t = mine.getPathBuilder().S.T
    (a, b) = t.insert([{"name": "a", "n": 1}, {"name": "b"}])
    assert (a["n"], b["n"]) == (1, None)
    (c,) = t.insert([{"name": "c"}], defaults={"n"})
    assert c["n"] == 7
    assert [row["name"] for row in t.insert([{"name": "a"}, {"name": "d"}], on_conflict_skip=True)] == ["d"]
    (e,) = t.insert([{"name": "e", "RID": "3-AAAA", "RCT": "2001-01-01T00:00:00+00:00"}], nondefaults={"RID", "RCT"})
    assert (e["RID"], e["RCT"]) == ("3-AAAA", "2001-01-01T00:00:00+00:00")
    assert t.insert([]) is not None
    with pytest.raises(DataPathException, match="violated"):
        t.insert([{"name": "a"}])
    updated = t.update([{"RID": a["RID"], "n": 5}, {"RID": b["RID"], "n": 6}])
    assert {row["n"] for row in updated} == {5, 6}
    fresh = t.filter(t.name == "a").entities()[0]
    assert list(t.update([{**fresh, "n": 8}], correlation={"RID", "RMT"}, targets={"n"}))
    assert not list(t.update([{**fresh, "n": 9}], correlation={"RID", "RMT"}, targets={"n"}))
    t.filter(t.n == 8).delete()
    with pytest.raises(DataPathException, match="404"):
        t.filter(t.name == "a").delete()
    assert sorted(row["name"] for row in t.entities().fetch()) == ["b", "c", "d", "e"]
    t.path.delete()
    assert len(t.entities()) == 0


def test_thousands_of_rows_and_files_of_them(mine: Any, tmp_path: Path) -> None:
    t = mine.getPathBuilder().S.T
    made = t.insert([{"name": f"row {number}", "n": number} for number in range(2500)])
    assert len(made) == 2500
    t.update([{"RID": row["RID"], "n": -row["n"]} for row in made])
    for form, suffix in (("text/csv", "csv"), ("application/x-json-stream", "json"), ("application/json", "all")):
        for paged in (True, False):
            target = tmp_path / f"{paged}.{suffix}"
            mine.get_as_file("/entity/S:T", str(target), headers={"accept": form}, paged=paged, page_size=400)
            numbers = [int(row["n"]) for row in rows_of(target)]
            assert sorted(numbers) == list(range(-2499, 1)), (form, paged)
    empty = tmp_path / "empty.json"
    mine.get_as_file("/entity/S:T/n=1", str(empty), delete_if_empty=True)
    assert not empty.exists()


def rows_of(file: Path) -> list[Any]:
    text = file.read_text()
    if file.suffix == ".csv":
        return list(csv.DictReader(text.splitlines()))
    return json.loads(text) if file.suffix == ".all" else [json.loads(line) for line in text.splitlines()]


def test_snapshots_are_for_reading(mine: Any) -> None:
    t = mine.getPathBuilder().S.T
    t.insert([{"name": "a"}])
    then = mine.latest_snapshot()
    t.path.delete()
    assert [row["name"] for row in then.getPathBuilder().S.T.entities().fetch()] == ["a"]
    assert then.snaptime != mine.latest_snapshot().snaptime
    with pytest.raises(Exception, match="immutable"):
        then.delete("/entity/S:T")


# ------------------------------------------------------------------------------------------------- whole catalogs


def run(tool: str, *arguments: Any) -> None:
    """Run a command-line tool of the client, which must succeed."""
    left_out = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")  # requests puts these above what the client asks for
    environment = {name: value for name, value in os.environ.items() if name not in left_out}
    command = [sys.executable, "-m", tool, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.filterwarnings("ignore:Unverified HTTPS request")
def test_the_command_line_tools(serve: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set up a baseline catalog and its rights, back it up into a bag, and restore the bag into another catalog."""
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    secure = serve("--tls")  # the tools know no other scheme
    server = DerivaServer("https", secure.netloc, credentials=secure.credential)
    catalog = server.create_ermrest_catalog()
    catalog.post("/schema", json=[schema("S", SPECIES, SAMPLE)])
    catalog.getPathBuilder().S.Species.insert(SPECIES_ROWS)
    catalog.getPathBuilder().S.Sample.insert(SAMPLE_ROWS)
    group = {"ID": "us", "Display_Name": "us"}  # a backup leaves out empty tables, and the restore then misses this one
    catalog.post("/entity/public:ERMrest_Group", json=[group])
    catalog.getCatalogModel().configure_baseline_catalog(headTitle="samples")
    credentials = tmp_path / "credential.json"
    credentials.write_text(json.dumps({secure.netloc: secure.credential}))
    common = ("--credential-file", credentials)

    owner = catalog.get("/").json()["acls"]["owner"]
    rights = {
        name: ["us"] for name in ("owner", "create", "enumerate", "select", "write", "insert", "update", "delete")
    }
    guard = {"types": ["update", "delete"], "projection": ["RCB"], "projection_type": "acl", "scope_acl": "us"}
    config = tmp_path / "acl.json"
    config.write_text(json.dumps({
        "groups": {"us": owner},
        "acl_definitions": {"top": rights},
        "acl_bindings": {"row_owner_guard": guard},
        "invalidate_bindings": {},
        "catalog_acl": {"acl": "top"},
        "table_acls": [{"schema": "S", "table": "Sample", "acl_bindings": ["row_owner_guard"]}],
    }))  # fmt: skip
    run("deriva.config.acl_config", *common, "--host", secure.netloc, "--config-file", config, catalog.catalog_id)
    guarded = catalog.getCatalogModel().schemas["S"].tables["Sample"].acl_bindings["row_owner_guard"]
    assert guarded["types"] == ["update", "delete"]

    of_catalog = ("--catalog", catalog.catalog_id, "--bag-archiver", "zip")
    run("deriva.transfer.backup", *common, *of_catalog, secure.netloc, tmp_path / "backup")
    (archive,) = tmp_path.rglob("*.zip")
    restored = server.create_ermrest_catalog()
    run("deriva.transfer.restore", *common, "--catalog", restored.catalog_id, secure.netloc, archive)
    for path in ("/entity/S:Species@sort(RID)", "/entity/S:Sample@sort(RID)"):
        copies = [{**row, "RMT": None, "RMB": None} for row in restored.get(path).json()]
        assert copies == [{**row, "RMT": None, "RMB": None} for row in catalog.get(path).json()]
    shown = restored.getCatalogModel()
    assert {"S", "WWW", "public"} <= set(shown.schemas)
    assert shown.schemas["S"].tables["Sample"].acl_bindings["row_owner_guard"]["projection_type"] == "acl"
    assert shown.annotations == catalog.getCatalogModel().annotations
