"""The deriva client's own objects, bound to the same catalog as the session."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from deriva_ml import ColumnDefinition, DerivaML, TableDefinition
from deriva_ml.catalog.rows import insert
from deriva_ml.names import TableName


@pytest.fixture
def points(ml: DerivaML) -> DerivaML:
    ml.create_table(TableDefinition("Point", [ColumnDefinition("N", "int4"), ColumnDefinition("Name", "text")]))
    insert(ml.session, TableName(ml.default_schema, "Point"), [{"N": n, "Name": f"p/{n}"} for n in range(20)])
    return ml


def test_data_paths(points: DerivaML) -> None:
    path = points.domain_path().tables["Point"]
    rows = path.filter(path.column_definitions["N"] >= 17).entities().sort(path.column_definitions["N"]).fetch()
    assert [row["Name"] for row in rows] == ["p/17", "p/18", "p/19"]
    path.insert([{"N": 99, "Name": "new"}])
    path.path.filter(path.column_definitions["N"] == 3).delete()
    assert len(path.entities().fetch()) == 20
    changed = [{"RID": row["RID"], "Name": "changed"} for row in rows]
    path.update(changed)
    assert len(path.path.filter(path.column_definitions["Name"] == "changed").entities().fetch()) == 3


def test_the_model_api_changes_what_the_session_sees(points: DerivaML) -> None:
    from deriva.core.ermrest_model import Column, Table, builtin_types

    table = points.model.schemas[points.default_schema].tables["Point"]
    table.create_column(Column.define("Extra", builtin_types.jsonb))
    points.model.schemas[points.default_schema].create_table(Table.define("Late", []))
    assert points.session.model().find_table("Late").name.name == "Late"
    assert points.session.model().find_table("Point").columns["Extra"].type == "jsonb"


def test_snapshots(points: DerivaML) -> None:
    before = points.catalog.latest_snapshot()
    points.domain_path().tables["Point"].insert([{"N": 21}])
    assert len(before.getPathBuilder().schemas[points.default_schema].tables["Point"].entities().fetch()) == 20
    past = points.catalog_snapshot(before.snaptime)
    assert past.is_snapshot() and not points.is_snapshot()
    assert len(list(past.get_table_as_dict("Point"))) == 20
    assert len(past.domain_path().tables["Point"].entities().fetch()) == 20
    assert len(list(points.get_table_as_dict("Point"))) == 21


def test_files_of_rows(points: DerivaML, tmp_path: Path) -> None:
    target = tmp_path / "points.csv"
    points.catalog.get_as_file(f"/entity/{points.default_schema}:Point@sort(RID)", str(target))
    assert target.exists()
    target = tmp_path / "paged.json"
    headers = {"accept": "application/x-json-stream"}
    path = f"/entity/{points.default_schema}:Point"
    points.catalog.get_as_file(path, str(target), headers=headers, paged=True, page_size=7)
    assert len([json.loads(line) for line in target.read_text().splitlines()]) == 20


def test_objects(ml: DerivaML, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("hello")
    space = f"/hatrac/{tmp_path.name}"
    url = ml.hatrac.put_obj(f"{space}/a.txt", str(tmp_path / "a.txt"), parents=True)
    ml.hatrac.get_obj(url, destfilename=str(tmp_path / "b.txt"))
    assert (tmp_path / "b.txt").read_text() == "hello"
    large = tmp_path / "large.bin"
    large.write_bytes(bytes(range(256)) * 4_000)
    chunked = ml.hatrac.put_loc(f"{space}/large.bin", str(large), chunked=True, chunk_size=300_000)
    ml.hatrac.get_obj(chunked, destfilename=str(tmp_path / "got.bin"))
    assert (tmp_path / "got.bin").read_bytes() == large.read_bytes()


def test_who_we_are(ml: DerivaML) -> None:
    client = ml.whoami()
    assert client is not None and client["id"]
    assert ml.is_authenticated()
    assert client["id"] in {user["ID"] for user in ml.user_list()}
    assert ml.catalog.get_authn_session().json()["client"]["id"] == client["id"]


def test_refusals_reach_the_clients_caller(points: DerivaML) -> None:
    import requests

    with pytest.raises(requests.HTTPError) as error:
        points.catalog.get("/entity/nowhere:nothing")
    assert error.value.response.status_code in {404, 409}


def test_two_embedded_catalogs_are_not_confused(embedded_ml: DerivaML, tmp_path: Path) -> None:
    other = DerivaML(working_dir=tmp_path / "other")
    embedded_ml.create_table(TableDefinition("Here"))
    assert "Here" in embedded_ml.pathBuilder().schemas["domain"].tables
    assert "Here" not in other.pathBuilder().schemas["domain"].tables
    assert "Here" in embedded_ml.pathBuilder().schemas["domain"].tables
