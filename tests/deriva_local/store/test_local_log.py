"""Writers of many threads share syncs: nobody is answered before the one that covers them, and a failed one is said."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from deriva_local.service.messages import Client
from deriva_local.store import connections, log
from deriva_local.store.database import Database
from deriva_local.store.log import Log
from deriva_local.store.registry import Store
from deriva_local.wire.errors import Refusal

ME = Client.owner("me")
LONG = 20.0


class Disk:
    """Syncs that wait until they are let go on, and fail when told to."""

    def __init__(self) -> None:
        self.begun, self.going_on = threading.Semaphore(0), threading.Semaphore(0)
        self.syncs, self.is_failing = 0, False

    def sync(self, descriptor: int) -> None:
        self.syncs += 1
        self.begun.release()
        assert self.going_on.acquire(timeout=LONG)
        if self.is_failing:
            raise OSError(5, "Input/output error")


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    made = Disk()
    monkeypatch.setattr(log, "sync_data", made.sync)
    return made


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as threads:
        yield threads


def standing(log: Log, number: int) -> None:
    """Wait until so many threads have asked for a sync."""
    for _ in range(int(LONG * 1000)):
        if log._written >= number:
            return
        threading.Event().wait(0.001)
    raise AssertionError("they never came")


def test_who_comes_during_a_sync_shares_the_next(tmp_path: Path, disk: Disk, pool: ThreadPoolExecutor) -> None:
    (tmp_path / "x-wal").write_bytes(b"x")
    shared = Log(tmp_path / "x")
    first = pool.submit(shared.settle)
    assert disk.begun.acquire(timeout=LONG) and shared.is_busy
    others = [pool.submit(shared.settle) for _ in range(5)]
    standing(shared, 6)
    disk.going_on.release()
    first.result(LONG)
    assert disk.begun.acquire(timeout=LONG)
    assert not any(each.done() for each in others)
    disk.going_on.release()
    for each in others:
        each.result(LONG)
    assert (disk.syncs, shared.is_busy) == (2, False)


def test_a_forked_child_waits_for_no_sync_of_its_parent(tmp_path: Path, disk: Disk, pool: ThreadPoolExecutor) -> None:
    (tmp_path / "x-wal").write_bytes(b"x")
    shared = Log(tmp_path / "x")
    first = pool.submit(shared.settle)
    assert disk.begun.acquire(timeout=LONG)
    child = os.fork()
    if child == 0:
        disk.going_on.release()
        shared.settle()
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    disk.going_on.release()
    first.result(LONG)


# ------------------------------------------------------------------------------------------------------- in a database


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    store = Store(tmp_path / "store")
    database = store.catalog(store.create_catalog({}, ME))
    with database.write(ME) as session:
        session.data_changed()
    yield database
    store.close()


def change(database: Database, inside: Callable[[], object] = lambda: None) -> int:
    with database.write(ME) as session:
        session.data_changed()
        inside()
    return session.now


def crowd(database: Database, pool: ThreadPoolExecutor, number: int) -> list[Future[int]]:
    """Let so many threads wait for a writer that began alone, and go on once it has ended."""
    inside, go_on = threading.Event(), threading.Event()
    alone = pool.submit(change, database, lambda: (inside.set(), go_on.wait(LONG)))
    assert inside.wait(LONG)
    shared = [pool.submit(change, database) for _ in range(number)]
    while database._queue.waiting < number:
        threading.Event().wait(0.001)
    go_on.set()
    alone.result(LONG)
    return shared


def test_a_lone_writer_is_synced_by_sqlite_itself(database: Database, disk: Disk) -> None:
    change(database)
    assert disk.syncs == 0


def test_every_transaction_has_its_moment_and_is_durable_when_it_ends(
    database: Database, disk: Disk, pool: ThreadPoolExecutor
) -> None:
    shared = crowd(database, pool, 4)
    assert disk.begun.acquire(timeout=LONG)
    standing(database._log, 4)
    assert not any(each.done() for each in shared)
    disk.going_on.release(2)
    moments = [each.result(LONG) for each in shared]
    assert len(set(moments)) == 4
    assert disk.syncs == 2


def test_a_failed_sync_is_said_to_all_and_the_next_writer_repairs(
    database: Database, disk: Disk, pool: ThreadPoolExecutor
) -> None:
    disk.is_failing = True
    disk.going_on.release(10)
    shared = crowd(database, pool, 3)
    statuses = [each.exception(LONG) for each in shared]
    told = [error for error in statuses if error is not None]
    assert told and all(isinstance(error, Refusal) and error.status == 500 for error in told)
    assert "may be lost" in str(told[0])
    disk.is_failing = False
    change(database)
    with database._queue.turn():
        assert not database._queue.is_flagged


# ----------------------------------------------------------------------------------------------------------- open files


def test_many_catalogs_hold_few_files_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path / "store")
    names = [store.create_catalog({}, ME) for _ in range(12)]
    monkeypatch.setattr(connections, "MOST_IDLE", 4)
    before = sum(1 for _ in Path("/dev/fd").iterdir())
    for _ in range(2):
        for name in names:
            change(store.catalog(name))
    assert sum(1 for _ in Path("/dev/fd").iterdir()) < before + 5 * 6
    store.close()
