"""The command-line tools that come with the deriva client, unmodified, against a served store: each does its job."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from conformance_kit import SPECIES, SPECIES_ROWS, column, key, schema, table
from doors import Wire

FILES = table(
    "File",
    column("name", nullok=False), column("URL"), column("Filename"), column("Length", "int8"), column("MD5"),
    keys=[key("name")],
)  # fmt: skip
DISPLAY = "tag:misd.isi.edu,2015:display"

RUNNER = """
import contextlib, importlib, io, json, sys
done = []
for module, arguments in json.load(sys.stdin):
    sys.argv, out = [module, *arguments], io.StringIO()
    with contextlib.redirect_stdout(out):
        try:
            code = importlib.import_module(module).main()
        except SystemExit as end:
            code = end.code
    done.append((code or 0, out.getvalue()))
print(json.dumps(done))
"""
"""Runs many tools in one process, as whom the client's own store of credentials says."""


@dataclass(frozen=True)
class Tools:
    """The tools of somebody whose home folder is ``home``, for the server at ``host``."""

    home: Path
    host: str
    wire: Wire

    def run(self, *calls: tuple[str, list[Any]]) -> list[str]:
        """Run tools one after the other and return what each printed; all of them must succeed."""
        asked = [(module, [str(each) for each in arguments]) for module, arguments in calls]
        left_out = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")  # requests puts these above what the client asks for
        environment = {name: value for name, value in os.environ.items() if name not in left_out}
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", RUNNER],
            input=json.dumps(asked), capture_output=True, text=True, timeout=100,
            env={**environment, "HOME": str(self.home)}, cwd=self.home,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        told = json.loads(done.stdout.splitlines()[-1])
        assert [code for code, _ in told] == [0] * len(asked), (told, done.stderr)
        return [out for _, out in told]

    def catalog(self, *words: Any) -> tuple[str, list[Any]]:
        return "deriva.core.catalog_cli", ["--host", self.host, *words]

    def hatrac(self, *words: Any) -> tuple[str, list[Any]]:
        return "deriva.core.hatrac_cli", ["--host", self.host, *words]


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory, start_server: Callable[..., Any]) -> Iterator[Tools]:
    """The tools of the owner of a store that is served with TLS: most of them know no other scheme."""
    home = tmp_path_factory.mktemp("tools")
    server = start_server(home / "store", "--tls")
    (home / ".deriva").mkdir()
    (home / ".deriva" / "credential.json").write_text(json.dumps({server.netloc: server.credential}))
    wire = Wire(server.url, {"Authorization": f"Bearer {server.token}"})
    yield Tools(home, server.netloc, wire)
    wire.close()
    server.process.kill()
    server.process.communicate()


@pytest.fixture
def catalog(tools: Tools) -> Any:
    """A new catalog with rows in ``S:Species``, and a table ``S:File``."""
    made = tools.wire.door.new_catalog()
    made.made("/schema", [schema("S", SPECIES, FILES)])
    made.insert("S:Species", *SPECIES_ROWS)
    made.insert(
        "public:ERMrest_Group", {"ID": "us"}
    )  # a backup leaves out empty tables; the restore then misses this one
    return made


def test_catalogs_and_aliases(tools: Tools, catalog: Any) -> None:
    identity = catalog.rows("")["id"]
    told = tools.run(
        tools.catalog("create", "--id", "made-by-hand", "-a"),
        tools.catalog("exists", "made-by-hand"),
        tools.catalog("get", identity, "/entity/S:Species@sort(ID)"),
        tools.catalog("create-alias", "--id", "other-name", "-t", identity),
        tools.catalog("get-alias", "other-name"),
        tools.catalog("update-alias", "--id", "other-name", "-t", "made-by-hand"),
        tools.catalog("get", "other-name", "/"),
        tools.catalog("delete-alias", "other-name"),
        tools.catalog("delete", identity, "/entity/S:Species/ID=cat"),
        tools.catalog("clone", identity),
        tools.catalog("drop", "made-by-hand"),
        tools.catalog("exists", "made-by-hand"),
    )
    assert json.loads(told[0])["id"] == "made-by-hand"
    assert (told[1].strip(), told[-1].strip()) == ("True", "False")
    assert [row["ID"] for row in json.loads(told[2])] == ["bird", "cat", "fish"]
    assert json.loads(told[4])["alias_target"] == identity
    assert json.loads(told[6])["alias_target"] == "made-by-hand"
    clone = tools.wire.door.way("GET", f"/ermrest/catalog/{told[9].split()[-1]}/entity/S:Species@sort(ID)", b"", {})
    kept = [(row["RID"], row["ID"], row["RCT"]) for row in catalog.rows("/entity/S:Species@sort(ID)")]
    assert [(row["RID"], row["ID"], row["RCT"]) for row in clone.json()] == kept
    assert [row["ID"] for row in clone.json()] == ["bird", "fish"]


def test_objects(tools: Tools, tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(b"content")
    told = tools.run(
        tools.hatrac("mkdir", "-p", "/hatrac/a/b"),
        tools.hatrac("put", tmp_path / "in", "/hatrac/a/b/x"),
        tools.hatrac("ls", "/hatrac/a/b"),
        tools.hatrac("rename", "/hatrac/a/b/x", "/hatrac/a/b/y"),
        tools.hatrac("get", "/hatrac/a/b/y", tmp_path / "out"),
        tools.hatrac("setacl", "/hatrac/a/b/y", "read", "*"),
        tools.hatrac("getacl", "/hatrac/a/b/y"),
        tools.hatrac("delacl", "/hatrac/a/b/y", "read"),
        tools.hatrac("del", "/hatrac/a/b/y"),
        tools.hatrac("rmdir", "/hatrac/a/b"),
    )
    assert told[2].split() == ["/hatrac/a/b/x"]
    assert (tmp_path / "out").read_bytes() == b"content"
    assert "read:\n  *\n" in told[6]


def test_annotations(tools: Tools, catalog: Any, tmp_path: Path) -> None:
    config = tmp_path / "annotations.json"
    one = {"uri": DISPLAY, "value": {"name": "Kinds"}}
    config.write_text(json.dumps({
        "known_attributes": {"managed": [DISPLAY], "ignored": [], "ignore_all_unmanaged": True},
        "catalog_annotations": [{**one, "value": {"name_style": {"underline_space": True}}}],
        "schema_annotations": [{"schema": "S", **one}],
        "table_annotations": [{"schema": "S", "table": "Species", **one}],
        "column_annotations": [{"schema": "S", "table": "Species", "column": "Legs", **one}],
        "foreign_key_annotations": [],
    }))  # fmt: skip
    identity = catalog.rows("")["id"]
    common = ["--host", tools.host, "--config-file", config]
    told = tools.run(
        ("deriva.config.annotation_config", [*common, identity]),
        ("deriva.config.dump_catalog_annotations", [*common, identity]),
        ("deriva.config.annotation_validate", [tools.host, identity]),
    )
    for below in ("/schema/S", "/schema/S/table/Species", "/schema/S/table/Species/column/Legs"):
        assert catalog.rows(f"{below}/annotation")[DISPLAY] == {"name": "Kinds"}
    assert {"schema": "S", "table": "Species", "column": "Legs", **one} in json.loads(told[1])["column_annotations"]


def test_uploads_downloads_and_backups(tools: Tools, catalog: Any, tmp_path: Path) -> None:
    """Files go up with their rows, rows come down as a bag, and all of it goes into a backup and out again."""
    identity, restored = catalog.rows("")["id"], tools.wire.door.new_catalog()
    for name in ("one.txt", "two.txt"):
        (tmp_path / "up" / "S" / "File").mkdir(parents=True, exist_ok=True)
        (tmp_path / "up" / "S" / "File" / name).write_text(name * 100)
    (tmp_path / "upload.json").write_text(json.dumps({
        "version_compatibility": [["0.0.1", ">=0.0.1"]],
        "asset_mappings": [{
            "asset_type": "file",
            "file_pattern": "^.*/(?P<schema>S)/(?P<table>File)/(?P<file_name>[^/]+)$",
            "target_table": ["S", "File"],
            "checksum_types": ["md5"],
            "hatrac_options": {"versioned_urls": True},
            "hatrac_templates": {"hatrac_uri": "/hatrac/up/{md5}.{file_name}"},
            "record_query_template": "/entity/{target_table}/MD5={md5}&Filename={file_name}",
            "column_map": {"MD5": "{md5}", "URL": "{URI}", "Length": "{file_size}", "Filename": "{file_name}", "name": "{file_name}"},
        }],
    }))  # fmt: skip
    rows = {"query_path": "/entity/S:Species@sort(ID)"}
    (tmp_path / "download.json").write_text(json.dumps({
        "bag": {"bag_name": "out", "bag_algorithms": ["md5", "sha256"], "bag_archiver": "zip"},
        "catalog": {"query_processors": [
            {"processor": "csv", "processor_params": {**rows, "output_path": "csv"}},
            {"processor": "json", "processor_params": {**rows, "output_path": "json"}},
            {"processor": "json-stream", "processor_params": {**rows, "output_path": "stream"}},
            {"processor": "download", "processor_params": {"query_path": "/attribute/S:File/url:=URL,length:=Length,filename:=Filename,md5:=MD5", "output_path": "files"}},
        ]},
    }))  # fmt: skip
    of_catalog = ["--catalog", identity]
    tools.run(
        ("deriva.transfer.upload.__main__", [*of_catalog, "--config-file", tmp_path / "upload.json", "--no-config-update", tools.host, tmp_path / "up"]),
        ("deriva.transfer.download.__main__", [*of_catalog, tools.host, tmp_path / "download.json", tmp_path / "down"]),
        ("deriva.transfer.backup.__main__", [*of_catalog, "--bag-archiver", "zip", tools.host, tmp_path / "backup"]),
    )  # fmt: skip
    files = catalog.rows("/entity/S:File@sort(name)")
    assert [(row["name"], row["Length"]) for row in files] == [("one.txt", 700), ("two.txt", 700)]
    assert tools.wire.door.way("GET", files[0]["URL"], b"", {}).text == "one.txt" * 100
    with zipfile.ZipFile(tmp_path / "down" / "out.zip") as bag:
        inside = {name.partition("/data/")[2]: bag.read(name) for name in bag.namelist()}
    assert inside["csv.csv"].decode() == catalog.get("/entity/S:Species@sort(ID)", Accept="text/csv").text
    assert json.loads(inside["json.json"]) == catalog.rows("/entity/S:Species@sort(ID)")
    assert len(inside["stream.json"].splitlines()) == 3
    assert inside["files/one.txt"].decode() == "one.txt" * 100
    (archive,) = (tmp_path / "backup").glob("*.zip")
    tools.run(
        ("deriva.transfer.restore.__main__", ["--catalog", restored.rows("")["id"], tools.host, archive]),
    )
    for below in ("/entity/S:Species@sort(RID)", "/entity/S:File@sort(RID)"):
        copies = [{**row, "RMT": None} for row in restored.rows(below)]
        assert copies == [{**row, "RMT": None} for row in catalog.rows(below)]
