"""The unmodified deriva client: over HTTP with a token, over HTTPS, with open access, and without a socket."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from deriva.core import DerivaServer, HatracStore, datapath
from deriva.core.ermrest_model import Column, Key, Schema, Table, builtin_types
from deriva.core.hatrac_store import HatracHashMismatch
from requests import HTTPError

from deriva_local.service.adapter import mount, route
from deriva_local.service.app import Service


@dataclass(frozen=True)
class Road:
    """What a user of the client writes down to reach a service."""

    scheme: str
    host: str
    credential: dict[str, str] | None = None

    def server(self) -> Any:
        return DerivaServer(self.scheme, self.host, credentials=self.credential)

    def objects(self) -> Any:
        return HatracStore(self.scheme, self.host, credentials=self.credential)


@pytest.fixture(params=["http", "https", "open", "cookie", "password", "in process"])
def road(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Road]:
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):  # requests puts these above what the client asks for
        monkeypatch.delenv(name, raising=False)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Unverified HTTPS request")
        yield _road(request, request.param)


def _road(request: pytest.FixtureRequest, kind: str) -> Road:
    if kind == "in process":
        host = f"{os.urandom(4).hex()}.localhost"
        route(host, request.getfixturevalue("service"))
        return Road("https", host)
    if kind in ("https", "open"):
        server = request.getfixturevalue("serve")("--tls" if kind == "https" else "--open")
        return Road(*server.url.split("://"), None if kind == "open" else server.credential)
    served = request.getfixturevalue("served")
    credential = {
        "http": served.credential,
        "cookie": {"cookie": f"webauthn={served.token}"},
        "password": {"username": "me", "password": served.token},
    }[kind]
    return Road("http", served.netloc, credential)


def make_catalog(road: Road) -> Any:
    """Return a new catalog with a table ``lab:Sample``, made as a user of the client does."""
    catalog = road.server().create_ermrest_catalog(name="test")
    model = catalog.getCatalogModel()
    schema = model.create_schema(Schema.define("lab"))
    columns = [Column.define("Name", builtin_types.text, nullok=False), Column.define("Weight", builtin_types.float8)]
    schema.create_table(Table.define("Sample", columns, key_defs=[Key.define(["Name"])]))
    return catalog


def test_a_stranger_s_script(road: Road, tmp_path: Path) -> None:
    """Make a catalog and a table, insert and read rows, read them at a snapshot; put and get an object."""
    catalog = make_catalog(road)
    samples = catalog.getPathBuilder().lab.Sample
    made = list(samples.insert([{"Name": "a", "Weight": 1.5}, {"Name": "b", "Weight": None}]))
    assert {row["RID"] for row in made} == {row["RID"] for row in samples.entities().fetch()}

    before = catalog.latest_snapshot()
    samples.update([{"RID": made[0]["RID"], "Weight": 2.5}])
    samples.filter(samples.Name == "b").delete()
    assert [(row["Name"], row["Weight"]) for row in samples.entities().fetch()] == [("a", 2.5)]
    then = before.getPathBuilder().lab.Sample.entities().sort(samples.Name).fetch()
    assert [(row["Name"], row["Weight"]) for row in then] == [("a", 1.5), ("b", None)]

    with pytest.raises(datapath.DataPathException, match="Conflict"):
        samples.insert([{"Name": "a"}])

    objects = road.objects()
    (tmp_path / "up.txt").write_text("content")
    address = objects.put_loc(f"/hatrac/{catalog.catalog_id}/up.txt", str(tmp_path / "up.txt"))
    objects.get_obj(address, destfilename=str(tmp_path / "down.txt"))
    assert (tmp_path / "down.txt").read_text() == "content"


def test_who_am_i(road: Road) -> None:
    session = road.server().get_authn_session().json()
    assert session["client"]["id"] in {attribute["id"] for attribute in session["attributes"]}


def test_etags_keep_the_cache_of_the_client_true(road: Road) -> None:
    catalog = make_catalog(road)
    path = "/entity/lab:Sample"
    assert catalog.get(path).json() == []
    catalog.post(f"{path}?defaults=RID", json=[{"Name": "a"}])
    first = catalog.get(path)
    assert [row["Name"] for row in first.json()] == ["a"]
    assert catalog.get(path) is first, "an unchanged answer comes out of the cache"


# ------------------------------------------------------------------------------------------------------- HatracStore


@pytest.fixture
def content(tmp_path: Path) -> Path:
    path = tmp_path / "content.bin"
    path.write_bytes(os.urandom(300_000))
    return path


def test_namespaces(road: Road) -> None:
    objects, name = road.objects(), f"/hatrac/{os.urandom(4).hex()}"
    assert not objects.is_valid_namespace(f"{name}/deep")
    objects.create_namespace(f"{name}/deep")
    assert objects.is_valid_namespace(f"{name}/deep")
    assert objects.retrieve_namespace(name) == [f"{name}/deep"]
    with pytest.raises(HTTPError, match="409"):
        objects.create_namespace(f"{name}/deep")
    with pytest.raises(HTTPError, match="404"):
        objects.create_namespace(f"{name}/other/deep", parents=False)
    objects.delete_namespace(name)
    assert not objects.is_valid_namespace(name)


@pytest.mark.parametrize("chunked", [False, True])
def test_objects(road: Road, content: Path, tmp_path: Path, chunked: bool) -> None:
    objects, name = road.objects(), f"/hatrac/{os.urandom(4).hex()}/content.bin"
    steps: list[int] = []

    def progress(**told: Any) -> bool:
        steps.append(told.get("completed", 0))
        return True

    def put() -> str:
        return str(objects.put_loc(name, str(content), chunked=chunked, chunk_size=100_000, callback=progress))

    address = put()
    assert address.startswith(f"{name}:")
    assert put() == address, "what is there already is not sent again"
    if chunked:
        assert steps == [1, 2, 3, 0]
    assert objects.content_equals(name, str(content))
    objects.get_obj(address, destfilename=str(tmp_path / "down.bin"))
    assert (tmp_path / "down.bin").read_bytes() == content.read_bytes()

    content.write_bytes(b"new")
    newer = put()
    assert objects.get(name).content == b"new"
    assert objects.get(f"{name};versions").json() == [newer, address]
    objects.del_obj(address)
    with pytest.raises(HTTPError, match="404"):
        objects.get_obj(address)


def test_a_chunked_upload_goes_on_where_it_stopped(road: Road, content: Path) -> None:
    objects, name = road.objects(), f"/hatrac/{os.urandom(4).hex()}/content.bin"
    job = objects.create_upload_job(name, str(content), None, None, chunk_size=100_000)

    def stop_after_one(**told: Any) -> int:
        return -1

    with pytest.raises(Exception, match="paused"):
        objects.put_obj_chunked(
            name, str(content), job, chunk_size=100_000, callback=stop_after_one, cancel_job_on_error=False
        )
    assert [url.rpartition("/")[2] for url in objects.get(f"{name};upload").json()] == [job]
    objects.put_obj_chunked(name, str(content), job, chunk_size=100_000, start_chunk=1)
    address = objects.finalize_upload_job(name, job)
    assert objects.get(address).content == content.read_bytes()


def test_a_wrong_checksum_is_noticed(road: Road, content: Path) -> None:
    objects, name = road.objects(), f"/hatrac/{os.urandom(4).hex()}/content.bin"
    with pytest.raises(HTTPError, match="400"):
        objects.put_loc(name, str(content), md5="AAAAAAAAAAAAAAAAAAAAAA==")
    with pytest.raises(HTTPError, match="409"):
        objects.put_loc(name, str(content), md5="AAAAAAAAAAAAAAAAAAAAAA==", chunked=True, chunk_size=100_000)
    with pytest.raises(HTTPError, match="409"):
        objects.get_obj(name)


def test_access_lists(road: Road, content: Path) -> None:
    objects, name = road.objects(), f"/hatrac/{os.urandom(4).hex()}/content.bin"
    objects.put_loc(name, str(content))
    me = road.server().get_authn_session().json()["client"]["id"]
    assert objects.get_acl(name)["owner"] == [me]
    assert objects.get_acl(name, "owner") == {"owner": [me]}
    objects.set_acl(name, "subtree-read", ["a", "*"])
    objects.set_acl(name, "subtree-read", ["b"], add_role=True)
    objects.del_acl(name, "subtree-read", "*")
    assert objects.get_acl(name)["subtree-read"] == ["a", "b"]
    objects.del_acl(name, "subtree-read")
    assert objects.get_acl(name, "subtree-read") == {"subtree-read": []}
    with pytest.raises(HTTPError, match="400"):
        objects.set_acl(name, "select", ["*"])


def test_renaming(road: Road, content: Path, tmp_path: Path) -> None:
    objects, name = road.objects(), f"/hatrac/{os.urandom(4).hex()}/content.bin"
    version = objects.put_loc(name, str(content)).rpartition(":")[2]
    assert objects.rename_obj(name, f"{name}.new", versions=[version], copy_acls=True) == f"{name}.new:{version}"
    for place in (name, f"{name}:{version}", f"{name}.new"):
        objects.get_obj(place, destfilename=str(tmp_path / "down"))
        assert (tmp_path / "down").read_bytes() == content.read_bytes()


def test_damage_on_the_way_is_noticed(service: Service, tmp_path: Path) -> None:
    """The checksums that the service sends are those of the bytes that it took in."""
    host = f"{os.urandom(4).hex()}.localhost"
    route(host, service)
    objects = HatracStore("https", host)
    (tmp_path / "up").write_bytes(b"content")
    address = objects.put_loc("/hatrac/x", str(tmp_path / "up"))
    stored = service.objects.content(service.objects.version(service.objects.look("/x"), None, service.owner))
    stored.chmod(0o600)
    stored.write_bytes(b"CONTENT")
    with pytest.raises(HatracHashMismatch):
        objects.get_obj(address, destfilename=str(tmp_path / "down"))


# --------------------------------------------------------------------------------------------------- without a socket


def test_one_object_of_the_client_is_mounted(service: Service) -> None:
    server = DerivaServer("https", "elsewhere.invalid")
    mount(server, service)
    assert server.get_authn_session().json()["client"]["id"] == service.owner.id


def test_other_hosts_are_left_alone(service: Service, served: Any) -> None:
    route("routed.localhost", service)
    elsewhere = DerivaServer("http", served.netloc)
    with pytest.raises(HTTPError, match="404"):
        elsewhere.get_authn_session()


def test_an_answer_without_a_socket_can_be_read_as_a_stream(service: Service, content: Path) -> None:
    route("stream.localhost", service)
    objects = HatracStore("https", "stream.localhost")
    objects.put_loc("/hatrac/x", str(content))
    with objects._session.get("https://stream.localhost/hatrac/x", stream=True) as answer:
        assert b"".join(answer.iter_content(7_000)) == content.read_bytes()
    part = objects.get("/hatrac/x", headers={"Range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, content.read_bytes()[10:20])


def test_the_way_in_process_needs_no_web_library(run_python: Callable[[str], str]) -> None:
    loaded = run_python(
        """
        import pathlib, sys, tempfile
        from deriva_local.service.attach import attach
        from deriva_local.service.messages import Request
        service = attach(pathlib.Path(tempfile.mkdtemp()))
        assert service.handle(Request("POST", "/ermrest/catalog", client=service.owner)).status == 201
        assert service.handle(Request("PUT", "/hatrac/x", body=b"x", client=service.owner)).status == 201
        print(sorted({"werkzeug", "requests", "cryptography", "cheroot", "deriva", "sqlite3"} & set(sys.modules)))
        """
    )
    assert loaded == "[]"
