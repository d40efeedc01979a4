"""Stores of an older format are brought up to date, whole or not at all; those of a newer one are left alone."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import apsw
import pytest

from deriva_local.objects import rows as objects_rows
from deriva_local.objects.store import Objects
from deriva_local.service.app import Service
from deriva_local.service.messages import Client, Request
from deriva_local.store import layout, registry
from deriva_local.store.formats import Step, script
from deriva_local.store.place import NewerStore, StoreProblem
from deriva_local.store.registry import Store
from deriva_local.store.tables import Tables
from deriva_local.wire.errors import Refusal

ME = Client.owner("me")
FILES = {"registry": "registry.sqlite", "catalog": "catalogs/1/catalog.sqlite"}
Newer = Callable[..., None]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A store as this program makes it: to those that know more steps, it is an old one."""
    store = Store(tmp_path / "store")
    store.create_catalog({"name": "Cells"}, ME)
    store.close()
    return tmp_path / "store"


@pytest.fixture
def newer(monkeypatch: pytest.MonkeyPatch) -> Newer:
    """``newer("catalog", *steps)``: become a program that knows more steps."""

    def become(file: str, *steps: Step) -> None:
        module = {"registry": registry, "catalog": layout}[file]
        monkeypatch.setattr(module, "STEPS", (*module.STEPS, *steps))  # type: ignore[attr-defined]

    return become


def found(folder: Path, file: str) -> tuple[int, list[str]]:
    """Return the format of a file, and which tables of newer formats it has."""
    connection = apsw.Connection(str(folder / FILES[file]))
    try:
        names = [name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE name LIKE 'new%'")]
        return int(connection.pragma("user_version")), sorted(names)
    finally:
        connection.close()


ONE, TWO = script("CREATE TABLE new1 AS SELECT 1 AS a"), script("CREATE TABLE new2 AS SELECT a + 1 AS a FROM new1")


@pytest.mark.parametrize("file", FILES)
def test_an_older_store_is_brought_up_to_date(folder: Path, newer: Newer, file: str) -> None:
    newer(file, ONE, TWO)
    for _ in range(2):
        store = Store(folder)
        with store.catalog("1").write(ME) as session:
            session.data_changed()
        assert store.catalogs()[0].facts == {"name": "Cells"}
        store.close()
        assert found(folder, file) == (3, ["new1", "new2"])


@pytest.mark.parametrize("file", FILES)
def test_a_new_store_takes_all_steps(tmp_path: Path, newer: Newer, file: str) -> None:
    newer(file, ONE)
    store = Store(tmp_path / "fresh")
    store.create_catalog({}, ME)
    store.close()
    assert found(tmp_path / "fresh", file) == (2, ["new1"])


@pytest.mark.parametrize("file", FILES)
def test_a_step_that_fails_or_is_killed_leaves_the_old_store(folder: Path, newer: Newer, file: str) -> None:
    def die(_: apsw.Connection) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    child = os.fork()
    if child == 0:
        newer(file, ONE, die)
        Store(folder).catalog("1")
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert found(folder, file) == (1, [])
    with pytest.MonkeyPatch.context() as patch:
        module = {"registry": registry, "catalog": layout}[file]
        patch.setattr(module, "STEPS", (*module.STEPS, ONE, script("no SQL")))  # type: ignore[attr-defined]
        with pytest.raises(apsw.SQLError):
            Store(folder).catalog("1")
    assert found(folder, file) == (1, [])
    newer(file, ONE)
    store = Store(folder)
    store.catalog("1")
    store.close()
    assert found(folder, file) == (2, ["new1"])


def test_many_threads_bring_a_store_up_to_date_once(folder: Path, newer: Newer) -> None:
    taken: list[str] = []

    def count(connection: apsw.Connection) -> None:
        taken.append(threading.current_thread().name)
        ONE(connection)

    newer("catalog", count)
    with ThreadPoolExecutor(4) as pool:
        stores = list(pool.map(lambda _: Store(folder), range(4)))
        list(pool.map(lambda store: store.catalog("1"), stores))
    for store in stores:
        store.close()
    assert len(taken) == 1


@pytest.mark.parametrize("file", FILES)
def test_a_store_of_a_newer_program_is_left_alone(folder: Path, file: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        module = {"registry": registry, "catalog": layout}[file]
        patch.setattr(module, "STEPS", (*module.STEPS, ONE))  # type: ignore[attr-defined]
        Store(folder).catalog("1")
    before = (folder / FILES[file]).read_bytes()
    with pytest.raises(NewerStore, match=r"its format is 2, this program knows 1\). Upgrade deriva-ml to open it"):
        Store(folder).catalog("1")
    assert (folder / FILES[file]).read_bytes() == before


def test_who_has_an_old_store_open_does_not_write_behind_the_back_of_a_newer_program(folder: Path) -> None:
    store = Store(folder)
    database = store.catalog("1")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layout, "STEPS", (*layout.STEPS, ONE))
        Store(folder).catalog("1")
    with (
        pytest.raises(Refusal, match="brought up to date by a newer version") as refused,
        database.write(ME) as session,
    ):
        session.data_changed()
    assert refused.value.status == 503
    store.close()


def test_a_strange_file_is_no_old_store(folder: Path) -> None:
    strange = apsw.Connection(str(folder / FILES["catalog"]))
    strange.pragma("application_id", 1)
    strange.close()
    with pytest.raises(StoreProblem, match="is not a file of a store of this program"):
        Store(folder).catalog("1")


def test_objects_of_the_first_format_have_an_owner_and_rights(tmp_path: Path) -> None:
    """The first format knew no access lists: whoever had put something there owned it."""
    old = Tables(tmp_path / "hatrac.sqlite", objects_rows.STEPS[:1])
    with old.write() as db:
        db.execute("INSERT INTO name (id, name, parent, kind, owner) VALUES (2, '/lab', 1, 'namespace', 'ada')")
    old.close()
    Objects(tmp_path).close()
    service = Service(tmp_path)
    answer = service.handle(
        Request("GET", "/hatrac/lab;acl/owner", {"accept": "application/json"}, client=Client.user("ada"))
    )
    assert (answer.status, answer.body) == (200, b'["ada"]\n')
    service.close()
