"""A fork waits until other threads are out of SQLite; what its child inherits, and what it is refused."""

from __future__ import annotations

import fcntl
import os
import signal
import struct
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from deriva_ml import forks
from deriva_ml.db import LocalDatabase
from deriva_ml.errors import DerivaMLStateInconsistency
from deriva_ml.files import locked

STEPS = ("CREATE TABLE a (x); INSERT INTO a VALUES (1);",)
SECONDS = 20
DEADMAN = 128
"""The byte of SQLite's shared memory file that every process with the database open holds a lock on."""
FLOCK = struct.Struct("hhqqi4x")


def values(database: LocalDatabase) -> list[object]:
    return [row[0] for row in database.connection().execute("SELECT x FROM a ORDER BY x")]


def forked(work: Callable[[], object]) -> int:
    """Let a forked child do ``work``; return how it ended: 0 if that returned something true."""
    child = os.fork()
    if child == 0:
        signal.alarm(SECONDS)
        code = 1
        try:
            code = 0 if work() else 2
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def refused(work: Callable[[], object], saying: str) -> bool:
    try:
        work()
    except DerivaMLStateInconsistency as error:
        return saying in str(error) and "spawn" in str(error)
    return False


def test_a_fork_waits_for_the_transactions_of_other_threads(tmp_path: Path) -> None:
    database = LocalDatabase(tmp_path / "s.sqlite", STEPS)
    begun, forking = threading.Event(), threading.Event()

    def write() -> None:
        with database.transaction() as connection:
            begun.set()
            forking.wait(SECONDS)
            connection.execute("INSERT INTO a VALUES (2)")

    writer = threading.Thread(target=write)
    writer.start()
    begun.wait(SECONDS)
    threading.Timer(0.2, forking.set).start()
    assert (
        forked(lambda: values(database) == [1, 2] and database.write_one("INSERT INTO a VALUES (3)", ()) is None) == 0
    )
    writer.join(SECONDS)
    assert values(database) == [1, 2, 3]


def test_a_fork_does_not_wait_for_another_process_to_end_its_transaction(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forks, "PATIENCE", 5.0)
    database, (holding, tell), (over, end) = LocalDatabase(tmp_path / "s.sqlite", STEPS), os.pipe(), os.pipe()
    values(database)
    other = os.fork()
    if other == 0:
        with database.transaction() as connection:
            connection.execute("INSERT INTO a VALUES (2)")
            os.write(tell, b"!")
            os.read(over, 1)
        os._exit(0)
    os.read(holding, 1)
    works: list[Callable[[], object]] = [
        lambda: database.write_one("INSERT INTO a VALUES (3)", ()),
        lambda: database.write_together(lambda connection: connection.execute("INSERT INTO a VALUES (4)")),
    ]
    threads = [threading.Thread(target=work) for work in works]
    for thread in threads:
        thread.start()
    found = forked(lambda: values(database) == [1])
    os.write(end, b"!")
    for thread in threads:
        thread.join(SECONDS)
    assert (found, os.waitpid(other, 0)[1]) == (0, 0)
    assert values(database) == [1, 2, 3, 4]


def test_a_fork_that_waits_too_long_makes_a_child_that_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forks, "PATIENCE", 0.2)
    database = LocalDatabase(tmp_path / "s.sqlite", STEPS)
    begun, over = threading.Event(), threading.Event()

    def write() -> None:
        with database.transaction() as connection:
            connection.execute("INSERT INTO a VALUES (2)")
            begun.set()
            over.wait(SECONDS)

    writer = threading.Thread(target=write)
    writer.start()
    begun.wait(SECONDS)
    told = "forked while another thread"
    assert (
        forked(lambda: refused(database.connection, told) and forked(lambda: refused(database.connection, told)) == 0)
        == 0
    )
    over.set()
    writer.join(SECONDS)
    assert forked(lambda: values(database) == [1, 2]) == 0


def test_a_child_forked_inside_a_transaction_cannot_touch_it(tmp_path: Path) -> None:
    database, other = LocalDatabase(tmp_path / "s.sqlite", STEPS), LocalDatabase(tmp_path / "o.sqlite", STEPS)

    def child() -> bool:
        return refused(database.connection, "forked inside a transaction") and values(other) == [1]

    with database.transaction() as connection:
        connection.execute("INSERT INTO a VALUES (2)")
        assert forked(child) == 0
        connection.execute("INSERT INTO a VALUES (3)")
    assert values(database) == [1, 2, 3]


@pytest.mark.parametrize("durable", [True, False])
def test_a_child_that_leaves_the_transaction_of_its_parent_neither_commits_nor_undoes_it(
    tmp_path: Path, durable: bool
) -> None:
    database = LocalDatabase(tmp_path / "s.sqlite", STEPS)
    end = 0

    def leave() -> None:
        nonlocal end
        with database.transaction(durable=durable) as connection:
            connection.execute("INSERT INTO a VALUES (2)")
            if os.fork() == 0:
                signal.alarm(SECONDS)
                return
            end = os.waitstatus_to_exitcode(os.wait()[1])
            connection.execute("INSERT INTO a VALUES (3)")

    parent, outcome = os.getpid(), False
    try:
        outcome = refused(leave, "forked inside a transaction")
    finally:
        if os.getpid() != parent:
            os._exit(0 if outcome else 1)
    assert not outcome and end == 0
    assert values(database) == [1, 2, 3]


def test_a_worker_whose_run_is_gone_holds_sqlites_locks_itself(tmp_path: Path) -> None:
    """Else the next process that opens the file clears the shared memory away that the worker is writing to."""
    path, (ready, told), (over, end) = tmp_path / "s.sqlite", os.pipe(), os.pipe()
    run = os.fork()
    if run == 0:
        database = LocalDatabase(path, STEPS)
        values(database)
        if os.fork() == 0:
            signal.alarm(SECONDS)
            database.write_one("INSERT INTO a VALUES (2)", ())
            os.write(told, str(os.getpid()).encode())
            os.read(over, 1)
        os._exit(0)
    os.waitpid(run, 0)
    worker = int(os.read(ready, 20))
    with path.with_name("s.sqlite-shm").open("rb") as file:
        asked = FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, DEADMAN, 1, 0)
        kind, _, _, _, holder = FLOCK.unpack(fcntl.fcntl(file, fcntl.F_GETLK, asked))
    os.write(end, b"!")
    assert (kind, holder) == (fcntl.F_RDLCK, worker)


def test_a_child_lets_go_of_the_locked_files_of_its_parents_threads(tmp_path: Path) -> None:
    path, (over, end) = tmp_path / "x.lock", os.pipe()
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with locked(path):
            held.set()
            done.wait(SECONDS)

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait(SECONDS)
    told, tell = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(SECONDS)
        os.write(tell, b"!")
        os.read(over, 1)
        os._exit(0)
    os.read(told, 1)
    done.set()
    holder.join(SECONDS)
    with path.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the child lives, and does not hold it
    os.write(end, b"!")
    os.waitpid(child, 0)
