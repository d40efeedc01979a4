"""A catalog is opened: made on first use by one of many, found where it should be, refused clearly."""

from __future__ import annotations

import http.server
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from deriva_ml import ColumnDefinition, DerivaML, DerivaMLConfig, TableDefinition, Workflow
from deriva_ml.catalog.embedded import EmbeddedPort
from deriva_ml.catalog.rows import count, insert, select
from deriva_ml.errors import (
    DerivaMLAuthenticationError,
    DerivaMLConfigurationError,
    DerivaMLOfflineError,
    DerivaMLReadOnlyError,
    DerivaMLSchemaError,
    DerivaMLServerError,
)
from deriva_ml.names import TableName
from deriva_ml.schema import create_ml_schema
from deriva_ml.schema.install import install, seed, unknown_execution, unknown_file
from deriva_ml.schema.tables import TERMS, ml_tables

# -------------------------------------------------------------------------------------------------------------- first use


def test_first_use_makes_a_catalog_with_everything(home: Path) -> None:
    ml = DerivaML()
    assert ml.working_dir == home
    assert ml.workspace == home / "workspaces" / "embedded__1" and ml.workspace.is_dir()
    assert ml.default_schema == "domain" and ml.domain_schemas == {"domain"}
    assert ml.host_name == "embedded" and ml.catalog_id == "1"
    model = ml.session.model()
    assert {table.name.name for table in model.tables()} == {table.name for table in ml_tables("deriva-ml")}
    for vocabulary, terms in TERMS.items():
        assert {term.name for term in ml.list_vocabulary_terms(vocabulary)} == set(terms)


def test_the_next_use_finds_it_as_it_was(embedded_ml: DerivaML) -> None:
    embedded_ml.create_table(TableDefinition("Subject", [ColumnDefinition("Name", "text")]))
    before = embedded_ml.session.latest_snapshot()
    again = DerivaML()
    assert again.session.model().find_table("Subject")
    assert again.session.latest_snapshot() == before


def test_a_model_that_did_not_change_is_not_read_again(
    ml: DerivaML, requests_of: Callable[[DerivaML], list[str]]
) -> None:
    before = ml.session.model()
    sent = requests_of(ml)
    assert ml.session.model() is before and sent == []
    assert ml.session.refresh() is before and len(sent) == 1
    ml.create_table(TableDefinition("New"))
    assert ml.session.model() is not before


def test_working_dir_places_it(home: Path, tmp_path: Path) -> None:
    elsewhere = DerivaML(working_dir=tmp_path / "elsewhere")
    assert (tmp_path / "elsewhere" / "catalog").is_dir() and not home.exists()
    assert elsewhere.cache_dir == elsewhere.workspace / "cache"


def test_a_project_of_its_own_is_found_from_below(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "project" / ".deriva-ml").mkdir(parents=True)
    (tmp_path / "project" / "deep" / "er").mkdir(parents=True)
    monkeypatch.delenv("DERIVA_ML_HOME", raising=False)
    monkeypatch.chdir(tmp_path / "project" / "deep" / "er")
    assert DerivaML().working_dir == tmp_path / "project" / ".deriva-ml"


def test_a_home_inside_a_work_tree_leaves_it_clean(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    DerivaML(working_dir=tmp_path / "state")
    status = subprocess.run(
        ["git", "status", "--porcelain", "-uall"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert status.stdout == ""


def test_sentinels_stand_for_the_unknown_once(ml: DerivaML) -> None:
    session, schema = ml.session, ml.ml_schema
    first = (unknown_execution(session), unknown_file(session))
    seed(session)
    install(session, ml.default_schema)
    assert (unknown_execution(session), unknown_file(session)) == first
    assert count(session, TableName(schema, "Execution")) == count(session, TableName(schema, "File")) == 1
    assert count(session, TableName(schema, "Workflow")) == 1
    (execution,) = select(session, TableName(schema, "Execution"))
    assert execution["Status"] == "Aborted"


@pytest.mark.parametrize("step", range(1, 12))
def test_an_installation_that_was_cut_is_completed(home: Path, step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The port fails at the n-th request that changes something; the next use finishes the work."""
    real = EmbeddedPort.send
    changes: list[str] = []

    def cut(port: EmbeddedPort, request: Any) -> Any:
        if request.method not in {"GET", "HEAD"}:
            changes.append(request.path)
            if len(changes) == step:
                raise InterruptedError
        return real(port, request)

    with monkeypatch.context() as broken:
        broken.setattr(EmbeddedPort, "send", cut)
        try:
            DerivaML()
        except InterruptedError:
            pass
    ml = DerivaML()
    for vocabulary, terms in TERMS.items():
        assert {term.name for term in ml.list_vocabulary_terms(vocabulary)} == set(terms)
    assert count(ml.session, TableName("deriva-ml", "Execution")) == 1


def test_a_new_home_is_on_the_disk_with_all_folders_that_lead_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a power cut after the first run could take the home with it."""
    synced: set[Path] = set()
    real = os.fsync

    def note(descriptor: int) -> None:
        synced.add(Path(f"/proc/self/fd/{descriptor}").readlink())
        real(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    home = tmp_path / "deep" / "home"
    ml = DerivaML(working_dir=home)
    ml.executions.store.select()
    made = [
        home.parent,
        home,
        home / "catalog",
        *(home / "catalog" / name for name in ("catalogs", "objects", "objects/incoming")),
    ]
    assert {each.parent for each in (*made, ml.workspace.parent, ml.workspace)} <= synced
    ml.session.port.close()


OPEN_AND_WRITE = """
import multiprocessing, os, sys
from deriva_ml import DerivaML
from deriva_ml.catalog.rows import insert
from deriva_ml.names import TableName

def work(number):
    row = insert(DerivaML().session, TableName("deriva-ml", "Workflow"), [{"Name": str(number)}])[0]
    os.write(1, f"{row['RID']}\\n".encode())  # in one piece, whoever else writes there

fork = multiprocessing.get_context("fork")
children = [fork.Process(target=work, args=(number,)) for number in range(64)]
for child in children:
    child.start()
for child in children:
    child.join()
sys.exit(any(child.exitcode for child in children))
"""


def test_64_processes_may_start_on_a_home_that_does_not_exist(home: Path) -> None:
    done = subprocess.run([sys.executable, "-c", OPEN_AND_WRITE], capture_output=True, text=True, timeout=100)
    assert (done.stderr, done.returncode) == ("", 0)
    assert len(set(done.stdout.split())) == 64
    ml = DerivaML()
    assert count(ml.session, TableName("deriva-ml", "Workflow")) == 65
    assert count(ml.session, TableName("deriva-ml", "Execution_Status")) == 7
    assert count(ml.session, TableName("deriva-ml", "Execution")) == 1


def test_a_forked_child_and_threads_use_the_same_session(ml: DerivaML) -> None:
    table = TableName("deriva-ml", "Workflow")
    child = os.fork()
    if child == 0:
        insert(ml.session, table, [{"Name": "child"}])
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    threads = [threading.Thread(target=insert, args=(ml.session, table, [{"Name": f"thread {n}"}])) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert count(ml.session, table) == 10


# -------------------------------------------------------------------------------------------------------------- bad input


def test_a_home_that_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "home").write_text("")
    with pytest.raises((DerivaMLConfigurationError, DerivaMLReadOnlyError), match="home"):
        DerivaML(working_dir=tmp_path / "home")


def test_catalogs_and_schemas_that_are_not_there(embedded_ml: DerivaML, served_ml: str) -> None:
    with pytest.raises(DerivaMLConfigurationError, match="no catalog '77'"):
        DerivaML(catalog_id="77")
    with pytest.raises(DerivaMLConfigurationError, match="no catalog 'nope'"):
        DerivaML(served_ml, "nope", credential={})
    with pytest.raises(DerivaMLSchemaError, match="no schema attic"):
        DerivaML(default_schema="attic")
    with pytest.raises(DerivaMLSchemaError, match="no schema 'ours'"):
        DerivaML(ml_schema="ours")
    with pytest.raises(DerivaMLConfigurationError, match="which catalog"):
        DerivaML(served_ml)


@pytest.mark.parametrize("hostname", ["", "a b", "ftp://x", "host/path", "http://"])
def test_what_is_no_host(home: Path, hostname: str) -> None:
    with pytest.raises(DerivaMLConfigurationError, match="not a host"):
        DerivaML(hostname, "1", credential={})


def test_a_catalog_without_our_schema_is_refused_until_it_has_it(home: Path, served_ml: str) -> None:
    from deriva.core import DerivaServer

    bare = DerivaServer("http", served_ml.partition("://")[2]).create_ermrest_catalog()
    with pytest.raises(DerivaMLSchemaError, match="create_ml_schema"):
        DerivaML(served_ml, bare.catalog_id, credential={})
    create_ml_schema(served_ml, bare.catalog_id, "lab", credential={})
    assert DerivaML(served_ml, bare.catalog_id, credential={}).default_schema == "lab"


def test_several_domain_schemas_need_a_choice(remote_ml: DerivaML) -> None:
    remote_ml.session.request("POST", "/schema/attic")
    remote_ml.refresh_schema()
    with pytest.raises(DerivaMLConfigurationError, match="attic, domain"):
        _ = remote_ml.default_schema
    chosen = DerivaML(remote_ml.host_name, remote_ml.catalog_id, default_schema="attic", credential={})
    assert chosen.default_schema == "attic" and chosen.domain_schemas == {"attic", "domain"}
    assert chosen.create_table(TableDefinition("T")).schema.name == "attic"


def test_a_server_that_is_not_there(home: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(DerivaMLOfflineError, match=f"localhost:{port} does not answer.*Nothing staged is lost"):
        DerivaML(f"http://localhost:{port}", "1", credential={})
    with pytest.raises(DerivaMLOfflineError):
        DerivaML(f"localhost:{port}", "1", credential={})


def test_a_server_that_does_not_know_us(home: Path, tmp_path: Path) -> None:
    DerivaML(working_dir=tmp_path / "store").session.port.close()
    store = tmp_path / "store" / "catalog"
    command = [sys.executable, "-m", "deriva_ml.cli.serve", "--store", str(store), "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"})
    assert process.stdout is not None
    address = process.stdout.readline().split()[0]
    with pytest.raises(DerivaMLAuthenticationError, match=r"does not know you.*DERIVA_ML_TOKEN"):
        DerivaML(address, "1", credential={"bearer-token": "guess"})
    process.terminate()
    process.communicate(timeout=30)


def test_a_server_with_a_certificate_of_its_own(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    """Whatever certificates the environment names, localhost is believed; another name is refused at once, not for minutes."""
    store = tmp_path / "store"
    DerivaML(working_dir=store).session.port.close()
    command = [sys.executable, "-m", "deriva_ml.cli.serve", "--store", str(store / "catalog"), "--port", "0", "--tls"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"})
    assert process.stdout is not None
    address = process.stdout.readline().split()[0]
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", requests.certs.where())
    credential = {"bearer-token": (store / "catalog" / "token").read_text().strip()}
    assert address.startswith("https://localhost:")
    assert DerivaML(address, "1", credential=credential).catalog_id == "1"
    assert not [each for each in recwarn if "Unverified" in str(each.message)]
    began = time.monotonic()
    with pytest.raises(DerivaMLOfflineError, match="certificate is not trusted here"):
        DerivaML(address.replace("localhost", "127.0.0.1"), "1", credential=credential)
    assert time.monotonic() - began < 10
    process.terminate()
    process.communicate(timeout=30)


class Broken(http.server.BaseHTTPRequestHandler):
    """A server that answers each request with the next status of its list, and then as an empty catalog."""

    statuses: list[int]
    asked: list[str]
    page: bytes = b""

    def do_GET(self) -> None:
        self.answer()

    def do_POST(self) -> None:
        self.answer()

    def answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        status = self.statuses.pop(0) if self.statuses else 200
        self.asked.append(f"{self.command} {status}")
        if not status:  # hang up
            self.close_connection = True
            return
        empty: dict[str, Any] = {"tables": {}}
        schemas = {"deriva-ml": empty, "lab": empty}
        body = (
            json.dumps({"snaptime": "2", "schemas": schemas}).encode() if status < 400 else b"Detail: out of order.\n"
        )
        body = self.page or body
        self.send_response(status)
        self.send_header("Content-Type", "text/html" if self.page else "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: Any) -> None:
        """Say nothing."""


@pytest.fixture
def broken() -> Iterator[tuple[str, type[Broken]]]:
    kind = type("Broken", (Broken,), {"statuses": [], "asked": []})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), kind)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield f"http://localhost:{server.server_port}", kind
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_server_that_hiccups_is_asked_again(home: Path, broken: tuple[str, type[Broken]], status: int) -> None:
    address, server = broken
    server.statuses = [status, status]
    assert DerivaML(address, "1", credential={}).default_schema == "lab"
    assert server.asked[:3] == [f"GET {status}", f"GET {status}", "GET 200"]


def test_a_read_on_a_line_that_went_dead_is_sent_again_a_write_is_not(
    home: Path, broken: tuple[str, type[Broken]]
) -> None:
    address, server = broken
    ml = DerivaML(address, "1", credential={})
    server.statuses = [0]
    assert ml.session.latest_snapshot() == "2"
    server.statuses = [0]
    with pytest.raises(DerivaMLOfflineError, match="does not answer"):
        ml.session.request("POST", "/entity/lab:T", json=[])
    ml.session.pauses = (0.0, 0.0)
    server.statuses = [0, 0, 0]
    with pytest.raises(DerivaMLOfflineError):
        ml.session.latest_snapshot()


@pytest.mark.parametrize(
    ("status", "error"),
    [(401, DerivaMLAuthenticationError), (503, DerivaMLServerError), (500, DerivaMLServerError)],
)
def test_a_server_that_stays_broken(
    home: Path, broken: tuple[str, type[Broken]], status: int, error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deriva_ml.catalog.session.PAUSES", (0.0, 0.0, 0.0))
    address, server = broken
    server.statuses = [status] * 10
    with pytest.raises(error):
        DerivaML(address, "1", credential={})
    assert len(server.asked) == (1 if status == 401 else 4)


@pytest.mark.parametrize("status", [200, 302])
def test_a_page_instead_of_a_catalog_is_said_so(
    home: Path, broken: tuple[str, type[Broken]], status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    address, server = broken
    monkeypatch.setattr(server, "page", b"<html>Please log in</html>", raising=False)
    server.statuses = [status]
    with pytest.raises(DerivaMLOfflineError, match=rf"No catalog answered \({status}, text/html\).*login page"):
        DerivaML(address, "1", credential={})


def test_a_write_of_unknown_outcome_is_not_repeated(home: Path, broken: tuple[str, type[Broken]]) -> None:
    address, server = broken
    ml = DerivaML(address, "1", credential={})
    server.asked.clear()
    server.statuses = [502]
    with pytest.raises(DerivaMLServerError, match="out of order"):
        ml.session.request("POST", "/entity/lab:T", json=[])
    assert server.asked == ["POST 502"]
    server.statuses = [503]
    assert ml.session.request("POST", "/entity/lab:T", json=[]).status == 200


# ---------------------------------------------------------------------------------------------------------------- speed


def test_importing_and_opening_load_nothing_heavy(home: Path) -> None:
    code = (
        "import sys, deriva_ml; light = {*sys.modules}\n"
        "from deriva_ml import DerivaML; DerivaML().list_vocabulary_terms('Asset_Role')\n"
        "heavy = {'requests', 'deriva', 'werkzeug', 'cheroot', 'bdbag', 'rich', 'click', 'cryptography', 'numpy', 'pandas'}\n"
        "print(sorted(light & {'pydantic', 'apsw', 'json', 'logging'}), sorted(heavy & {*sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[] []"


def test_opening_again_is_quick(embedded_ml: DerivaML) -> None:
    start = time.process_time()
    for _ in range(10):
        DerivaML()
    assert (time.process_time() - start) / 10 < 0.05


def test_a_configuration_and_a_context_file_open_the_catalog(tmp_path: Path) -> None:
    class Mine(DerivaML):
        pass

    home = tmp_path / "home"
    opened = DerivaML.instantiate(DerivaMLConfig(working_dir=home))
    assert opened.whoami() is not None
    assert isinstance(Mine.instantiate(DerivaMLConfig(working_dir=home)), Mine)
    with pytest.raises(DerivaMLConfigurationError, match=r"\.deriva-context\.json lies in"):
        DerivaML.from_context(tmp_path)
    context, below = tmp_path / ".deriva-context.json", tmp_path / "below"
    below.mkdir()
    context.write_text('{"hostname": "embedded"')
    with pytest.raises(DerivaMLConfigurationError, match=r"cannot be read.*line 1"):
        DerivaML.from_context(below)
    context.write_text('{"hostname": "embedded"}')
    with pytest.raises(DerivaMLConfigurationError, match="does not say catalog_id"):
        DerivaML.from_context(below)
    context.write_text('{"hostname": "embedded", "catalog_id": "1", "working_dir": "home", "other": 1}')
    assert DerivaML.from_context(below).working_dir == home


# ------------------------------------------------------------------------------------------------- what is damaged, or gone


def _registry_gone(home: Path) -> None:
    for path in (home / "catalog").glob("registry.sqlite*"):
        path.unlink()


def _registry_empty(home: Path) -> None:
    _registry_gone(home)
    (home / "catalog" / "registry.sqlite").write_bytes(b"")


def _catalog_gone(home: Path) -> None:
    for path in (home / "catalog" / "catalogs" / "1").glob("catalog.sqlite*"):
        path.unlink()


def _store_cut(home: Path) -> None:
    store = home / "workspaces" / "embedded__1" / "store.sqlite"
    Path(f"{store}-wal").unlink()
    os.truncate(store, store.stat().st_size // 2)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (_registry_gone, "registry.sqlite is gone or empty, and .* is there: restore a backup"),
        (_registry_empty, "registry.sqlite is gone or empty, and .* is there: restore a backup"),
        (_catalog_gone, "catalog.sqlite is gone, and the registry has its catalog '1': restore a backup"),
        (_store_cut, "store.sqlite is damaged.*deriva-ml check"),
    ],
)
def test_a_home_that_has_lost_a_database_says_so_and_nothing_takes_its_place(
    embedded_ml: DerivaML, home: Path, damage: Callable[[Path], None], said: str
) -> None:
    embedded_ml.create_execution(
        workflow=Workflow(name="w", workflow_type="Training", url="https://example.org/w")
    ).abort("x")
    embedded_ml.session.port.close()
    child = os.fork()
    if child == 0:  # whoever damages files must not have them open
        damage(home)
        os._exit(0)
    os.waitpid(child, 0)
    before = {path: path.stat().st_size for path in (home / "catalog" / "catalogs").rglob("catalog.sqlite")}
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", "from deriva_ml import DerivaML; DerivaML().list_executions()"],
            capture_output=True,
            text=True,
        )
        assert re.search(f"DerivaML[A-Za-z]+Error: .*{said}", done.stderr), done.stderr[-600:]
    assert {path: path.stat().st_size for path in (home / "catalog" / "catalogs").rglob("catalog.sqlite")} == before


DAMAGES: list[Callable[[Any], Any]] = [
    lambda known: known | {"folder": "embeddef__1"},
    lambda known: known | {"folder": 3},
    lambda known: known | {"folder": ["embedded__1"]},
    lambda known: known | {"folder": "../../elsewhere"},
    lambda known: {"foldeR": known["folder"], "catalog": known["catalog"]},
    lambda known: {"folder": known["folder"], "catalOg": known["catalog"]},
    lambda known: [known],
]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_list_of_workspaces_hides_no_run_that_waits(
    home: Path, damage: Callable[[Any], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DERIVA_ML_ALLOW_DIRTY", "true")
    workflow = Workflow(name="w", workflow_type="Training", url="https://example.org/w", checksum="w")
    with DerivaML().create_execution(workflow=workflow) as exe:
        exe.log_metrics({"loss": 1})
    index = home / "workspaces" / "addresses.json"
    index.write_text(json.dumps({address: damage(known) for address, known in json.loads(index.read_text()).items()}))
    DerivaML(mode="offline")  # knows what it knows, and says nothing that is not true
    found = DerivaML()
    assert [each.execution_rid for each in found.pending_summary().per_execution] == [exe.rid]
    assert DerivaML(mode="offline").workspace == found.workspace
