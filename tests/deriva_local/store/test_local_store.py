"""The store's folder: made, opened again, refused when it cannot be used; its catalogs and aliases."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import apsw
import pytest
from store_worker import notes, send

from deriva_local.service.app import Service
from deriva_local.service.messages import Client, Request
from deriva_local.store import connections
from deriva_local.store.place import NewerStore, StoreProblem
from deriva_local.store.queue import Queue
from deriva_local.store.registry import Alias, Store
from deriva_local.wire.errors import Refusal

ME = Client.owner("me")
WORKER = Path(__file__).with_name("store_worker.py")


def refusal(action: Callable[[], object]) -> int:
    with pytest.raises(Refusal) as refused:
        action()
    return refused.value.status


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


# ---------------------------------------------------------------------------------------------------------- the folder


def test_a_store_is_private_and_opens_again(tmp_path: Path) -> None:
    first = Store(tmp_path / "store")
    id = first.create_catalog({"name": "Cells"}, ME)
    first.close()
    again = Store(tmp_path / "store")
    assert [(entry.id, entry.facts) for entry in again.catalogs()] == [(id, {"name": "Cells"})]
    assert (tmp_path / "store").stat().st_mode & 0o777 == 0o700


def test_the_log_is_written_out_ahead_and_kept(store: Store) -> None:
    id = store.create_catalog({}, ME)
    log = store.folder / "catalogs" / "1" / "catalog.sqlite-wal"
    assert log.stat().st_size == connections.WAL_BYTES
    with store.catalog(id).write(ME) as session:
        session.data_changed()
    store.close()
    assert log.stat().st_size == connections.WAL_BYTES


def test_a_log_that_grew_long_is_cut(tmp_path: Path) -> None:
    path, lengths = tmp_path / "x.sqlite", []
    connections.opened(path, create=True).close()
    pool = connections.Connections(path)
    with pool.lent() as db:
        db.execute("CREATE TABLE t (b)").fetchall()
        for size in (2 * connections.LONGEST_LOG, 1, 1):
            db.execute("INSERT INTO t VALUES (zeroblob(?))", (size,)).fetchall()
            lengths.append(path.with_name("x.sqlite-wal").stat().st_size)
    pool.close()
    assert [length > connections.LONGEST_LOG for length in lengths] == [True, False, False]
    assert path.with_name("x.sqlite-wal").stat().st_size == lengths[-1]


def test_every_commit_is_synced(store: Store) -> None:
    with store.catalog(store.create_catalog({}, ME)).read() as session:
        settings = {name: session.connection.pragma(name) for name in ("synchronous", "journal_mode")}
    assert settings == {"synchronous": 2, "journal_mode": "wal"}


@pytest.mark.parametrize("file", ["registry.sqlite", "catalogs/1/catalog.sqlite"])
def test_a_newer_store_is_left_alone(tmp_path: Path, file: str) -> None:
    store = Store(tmp_path / "store")
    store.create_catalog({}, ME)
    store.close()
    newer = apsw.Connection(str(tmp_path / "store" / file))
    newer.pragma("user_version", 99)
    newer.close()
    with pytest.raises(NewerStore, match="Upgrade deriva-ml"):
        Store(tmp_path / "store").catalog("1")


@pytest.mark.parametrize("file", ["registry.sqlite", "catalogs/1/catalog.sqlite"])
def test_a_damaged_file_is_named(tmp_path: Path, file: str) -> None:
    store = Store(tmp_path / "store")
    store.create_catalog({}, ME)
    store.close()
    path = tmp_path / "store" / file
    path.write_bytes(b"this is no database" * 1000)
    path.with_name(path.name + "-wal").unlink()
    with pytest.raises(StoreProblem, match=str(path)):
        Store(tmp_path / "store").catalog("1")


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("")
    with pytest.raises(StoreProblem, match="needs a folder"):
        Store(tmp_path / "store")


@pytest.mark.parametrize("present", [True, False], ids=["a store", "an empty folder"])
def test_a_read_only_folder_is_refused(tmp_path: Path, present: bool) -> None:
    folder = tmp_path / "store"
    if present:
        Store(folder).close()
    else:
        folder.mkdir()
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    for parent in tmp_path.parents:
        if parent.stat().st_uid == os.getuid() and len(parent.parts) > 2:
            parent.chmod(parent.stat().st_mode | 0o055)
    tmp_path.chmod(0o755)
    told = subprocess.run(
        [sys.executable, str(WORKER), "unprivileged", str(folder)], capture_output=True, text=True, check=True
    )
    assert told.stdout.startswith("ReadOnlyStore ")
    assert "is read-only; a catalog needs a folder that it can write to." in told.stdout
    folder.chmod(0o755)


def test_a_full_disk_stores_nothing_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = notes(tmp_path / "store")
    monkeypatch.setattr(connections, "SETTINGS", connections.SETTINGS + "PRAGMA max_page_count = 60;")
    service = Service(tmp_path / "store")
    with pytest.raises(RuntimeError, match=r"507 .* The disk is full"):
        send(service, "POST", target, [{"Text": str(number) * 500} for number in range(1000)])
    assert send(service, "GET", target) == []
    send(service, "POST", target, [{"Text": "small"}])
    assert [row["Text"] for row in send(service, "GET", target)] == ["small"]


def test_a_catalog_that_finds_no_room_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    service = Service(tmp_path / "store")
    monkeypatch.setattr(connections, "SETTINGS", connections.SETTINGS + "PRAGMA max_page_count = 5;")
    answer = service.handle(Request("POST", "/ermrest/catalog", client=service.owner))
    assert (answer.status, b"The disk is full" in bytes(answer.body)) == (507, True)  # type: ignore[arg-type]
    assert list((tmp_path / "store" / "catalogs").iterdir()) == []
    monkeypatch.undo()
    assert service.handle(Request("POST", "/ermrest/catalog", client=service.owner)).status == 201


@pytest.mark.parametrize("step", [-86_400_000_000, -1, 0, 1, 86_400_000_000])
def test_moments_go_up_whatever_the_clock_does(store: Store, monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    id = store.create_catalog({}, ME)
    clock = {"micros": time.time_ns() // 1000}
    monkeypatch.setattr(time, "time_ns", lambda: clock["micros"] * 1000)
    moments = []
    for other in (Store(store.folder), Store(store.folder), store):  # as other processes would
        for _ in range(2):
            with other.catalog(id).write(ME) as session:
                session.data_changed()
            moments.append(session.now)
            clock["micros"] += step
    with store.catalog(id).read() as reading:
        assert reading.snaptime == moments[-1]
    assert moments == sorted(set(moments))


def test_what_a_crash_left_of_a_catalog_is_cleared_away(store: Store) -> None:
    first = store.create_catalog({}, ME)
    for name in ("2", "17"):
        left = store.folder / "catalogs" / name
        left.mkdir()
        (left / "catalog.sqlite").write_bytes(b"half")
    with store.catalog(store.create_catalog({}, ME)).read() as session:
        assert "public" in session.model.schemas
    assert sorted(path.name for path in (store.folder / "catalogs").iterdir()) == ["1", "2"]
    with store.catalog(first).read() as session:
        assert "public" in session.model.schemas


def test_a_queue_is_for_one_at_a_time(tmp_path: Path) -> None:
    one, other = Queue(tmp_path / "lock", 0.05), Queue(tmp_path / "lock", 0.05)
    with one.turn():
        with pytest.raises(Refusal), other.turn():
            pass
        with pytest.raises(Refusal), one.turn():
            pass
    with other.turn():
        pass


# ------------------------------------------------------------------------------------------------------------- catalogs


@pytest.mark.parametrize(
    ("document", "status"),
    [
        ({"id": "7"}, None),
        ({"id": None, "owner": None, "name": None}, None),
        ({"id": "mine.v-1_~"}, None),
        ({"owner": ["local:me", "somebody"]}, None),
        ({"id": "1"}, 409),
        ({"id": "other"}, 409),
        ({"owner": ["somebody"]}, 409),
        ({"owner": []}, 409),
        ({"owner": "local:me"}, 400),
        ({"id": 7}, 400),
        ({"id": ""}, 400),
        ({"id": "../x"}, 400),
        ({"id": "a/b"}, 400),
        ({"id": "x" * 64}, 400),
    ],
)
def test_catalog_ids_and_owners(store: Store, document: dict[str, object], status: int | None) -> None:
    store.create_catalog({}, ME)
    store.put_alias(Alias("other", (ME.id,), "1", {}), new=True)
    if status is not None:
        assert refusal(lambda: store.create_catalog(document, ME)) == status
        return
    made = store.create_catalog(document, ME)
    with store.catalog(made).read() as session:
        assert ME.id in session.model.acls["owner"]
    assert made == (document.get("id") or "2")


def test_a_number_that_is_taken_is_passed_over(store: Store) -> None:
    assert [store.create_catalog(each, ME) for each in ({"id": "1"}, {"id": "3"}, {}, {})] == ["1", "3", "2", "4"]


def test_a_deleted_catalog_is_gone_and_its_id_is_free(store: Store) -> None:
    id = store.create_catalog({}, ME)
    store.put_alias(Alias("latest", (ME.id,), id, {}), new=True)
    with store.catalog(id).write(ME) as session:
        session.data_changed()
    store.delete_catalog(id)
    assert refusal(lambda: store.catalog(id)) == 404
    assert refusal(lambda: store.catalog("latest")) == 404
    assert store.alias("latest").target is None
    assert list((store.folder / "catalogs").iterdir()) == []
    assert store.create_catalog({"id": id}, ME) == id
    with store.catalog(id).read() as session:
        assert list(session.model.schemas) == ["public"]


def test_another_process_sees_that_a_catalog_is_gone(store: Store) -> None:
    id = store.create_catalog({}, ME)
    other = Store(store.folder)
    with other.catalog(id).read():
        pass
    store.delete_catalog(id)
    assert refusal(lambda: other.catalog(id)) == 404


# -------------------------------------------------------------------------------------------------------------- aliases


def test_an_alias_leads_to_its_catalog(store: Store) -> None:
    first, second = store.create_catalog({}, ME), store.create_catalog({}, ME)
    store.put_alias(Alias("latest", (ME.id,), first, {}), new=True)
    assert (store.entry("latest").id, store.entry("latest").alias) == (first, "latest")
    store.put_alias(Alias("latest", (ME.id,), second, {"name": "moved"}), new=False)
    assert store.catalog("latest") is store.catalog(second)
    store.delete_alias("latest")
    assert refusal(lambda: store.entry("latest")) == 404
    assert store.entry(second).alias is None


@pytest.mark.parametrize(
    ("alias", "new"),
    [(Alias("1", (), None, {}), True), (Alias("1", (), None, {}), False), (Alias("taken", (), "1", {}), True),
     (Alias("x", (), "99", {}), True), (Alias("x", (), "taken", {}), True)],
)  # fmt: skip
def test_aliases_that_cannot_be(store: Store, alias: Alias, new: bool) -> None:
    store.create_catalog({}, ME)
    store.put_alias(Alias("taken", (ME.id,), "1", {}), new=True)
    assert refusal(lambda: store.put_alias(alias, new)) == 409
