"""SQLite opened one way: durable, upgraded once, shared by threads, forks and processes."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import apsw
import pytest

from deriva_ml.db import LOG_BYTES, LocalDatabase, open_database, transaction
from deriva_ml.errors import DerivaMLConfigurationError, DerivaMLReadOnlyError, DerivaMLValidationError
from deriva_ml.forks import generation

STEPS = ("CREATE TABLE a (x); INSERT INTO a VALUES (1);", "CREATE TABLE b (y);")


def values(connection: apsw.Connection) -> list[object]:
    return [row[0] for row in connection.execute("SELECT x FROM a ORDER BY x")]


def test_it_is_durable(tmp_path: Path) -> None:
    connection = open_database(tmp_path / "s.sqlite", STEPS)
    assert connection.pragma("journal_mode") == "wal"
    assert connection.pragma("synchronous") == 2
    assert connection.pragma("fullfsync") == 1


def test_it_is_upgraded_step_by_step(tmp_path: Path) -> None:
    open_database(tmp_path / "s.sqlite", STEPS[:1]).close()
    connection = open_database(tmp_path / "s.sqlite", STEPS)
    assert values(connection) == [1]
    assert connection.execute("SELECT count(*) FROM b").fetchall() == [(0,)]


def test_a_step_that_fails_changes_nothing(tmp_path: Path) -> None:
    with pytest.raises(apsw.SQLError):
        open_database(tmp_path / "s.sqlite", ("CREATE TABLE a (x); CREATE TABLE a (x);",))
    assert values(open_database(tmp_path / "s.sqlite", STEPS)) == [1]


def test_a_file_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    open_database(tmp_path / "s.sqlite", STEPS).close()
    with pytest.raises(DerivaMLConfigurationError, match="newer deriva-ml"):
        open_database(tmp_path / "s.sqlite", STEPS[:1])


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "s.sqlite").write_bytes(b"not a database, whatever its name says " * 100)
    with pytest.raises(DerivaMLConfigurationError, match="not a database"):
        open_database(tmp_path / "s.sqlite", STEPS)


def test_a_folder_that_is_not_there_is_said_clearly(tmp_path: Path) -> None:
    with pytest.raises(DerivaMLReadOnlyError, match="cannot be written"):
        open_database(tmp_path / "absent" / "s.sqlite", STEPS)


def test_a_full_disk_is_said_clearly_and_loses_nothing(tmp_path: Path) -> None:
    connection = open_database(tmp_path / "s.sqlite", STEPS)
    connection.pragma("max_page_count", int(connection.pragma("page_count")))
    with pytest.raises(DerivaMLReadOnlyError, match="full"), transaction(connection):
        connection.execute("INSERT INTO a VALUES (zeroblob(1000000))")
    assert values(connection) == [1]


def test_a_block_that_fails_changes_nothing(tmp_path: Path) -> None:
    database = LocalDatabase(tmp_path / "s.sqlite", STEPS)
    with pytest.raises(KeyError), database.transaction() as connection:
        connection.execute("INSERT INTO a VALUES (2)")
        raise KeyError
    assert values(database.connection()) == [1]


def test_each_thread_has_a_connection_of_its_own(tmp_path: Path) -> None:
    database = LocalDatabase(tmp_path / "s.sqlite", STEPS)

    def write(number: int) -> None:
        for step in range(20):
            with database.transaction() as connection:
                connection.execute("INSERT INTO a VALUES (?)", (100 * number + step,))

    threads = [threading.Thread(target=write, args=(number,)) for number in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(values(database.connection())) == 81


def test_a_forked_child_opens_it_anew_and_the_parent_goes_on(tmp_path: Path) -> None:
    database = LocalDatabase(tmp_path / "s.sqlite", STEPS)
    before = database.connection()
    child = os.fork()
    if child == 0:
        with database.transaction() as connection:
            connection.execute("INSERT INTO a VALUES (2)")
        os._exit(0 if database.connection() is not before else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    with database.transaction() as connection:
        connection.execute("INSERT INTO a VALUES (3)")
    assert database.connection() is before
    assert values(before) == [1, 2, 3]


def _write_one(place: tuple[Path, int]) -> None:
    database = LocalDatabase(place[0], STEPS)
    with database.transaction() as connection:
        connection.execute("INSERT INTO a VALUES (?)", (place[1],))


def test_many_processes_may_make_it_at_once(tmp_path: Path) -> None:
    with ProcessPoolExecutor(8, mp_context=get_context("fork")) as pool:
        list(pool.map(_write_one, [(tmp_path / "s.sqlite", number) for number in range(2, 18)]))
    assert values(open_database(tmp_path / "s.sqlite", STEPS)) == list(range(1, 18))


def test_the_log_has_its_full_length_from_the_start_and_keeps_it(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    database = LocalDatabase(path, STEPS)
    for number in range(50):
        with database.transaction() as connection:
            connection.execute("INSERT INTO a VALUES (?)", (number,))
    log = tmp_path / "s.sqlite-wal"
    assert log.stat().st_size == LOG_BYTES
    database.close()
    assert log.stat().st_size == LOG_BYTES
    assert len(values(database.connection())) == 51


def together(database: LocalDatabase, works: list[Callable[[apsw.Connection], object]]) -> list[object]:
    """Let threads do ``works`` while another one is writing, so that they wait for each other; return what came of each."""
    writing, go_on = threading.Event(), threading.Event()

    def first(connection: apsw.Connection) -> None:
        writing.set()
        go_on.wait(30)

    def outcome(work: Callable[[apsw.Connection], object]) -> object:
        try:
            return database.write_together(work)
        except (DerivaMLValidationError, apsw.Error) as error:
            return error

    with ThreadPoolExecutor(len(works) + 1) as threads:
        threads.submit(database.write_together, first)
        writing.wait(30)
        results = [threads.submit(outcome, work) for work in works]
        while len(database._lines[generation()].waiting) <= len(works):
            pass
        go_on.set()
        return [each.result() for each in results]


def test_threads_that_write_at_one_moment_share_a_transaction(tmp_path: Path) -> None:
    database = LocalDatabase(tmp_path / "s.sqlite", STEPS)

    def insert(number: int) -> Callable[[apsw.Connection], object]:
        return lambda connection: (connection.execute("INSERT INTO a VALUES (?)", (number,)), connection)[1]

    connections = together(database, [insert(number) for number in range(2, 8)])
    assert len(set(map(id, connections))) == 1
    assert values(database.connection()) == list(range(1, 8))


def test_what_one_thread_cannot_write_takes_nothing_from_the_others(tmp_path: Path) -> None:
    database = LocalDatabase(tmp_path / "s.sqlite", STEPS)

    def refused(connection: apsw.Connection) -> None:
        connection.execute("INSERT INTO a VALUES (100)")
        raise DerivaMLValidationError("no")

    good: Callable[[apsw.Connection], object] = lambda connection: connection.execute("INSERT INTO a VALUES (2)").get  # noqa: E731
    wrong: Callable[[apsw.Connection], object] = lambda connection: connection.execute("INSERT INTO c VALUES (1)").get  # noqa: E731
    found = together(database, [good, refused, good, wrong])
    assert [type(each) for each in found] == [type(None), DerivaMLValidationError, type(None), apsw.SQLError]
    assert values(database.connection()) == [1, 2, 2]


def test_a_signal_handler_writes_while_its_thread_does(tmp_path: Path) -> None:
    database = LocalDatabase(tmp_path / "s.sqlite", STEPS)

    def interrupted(connection: apsw.Connection) -> None:
        database.write_one("INSERT INTO a VALUES (?)", (2,))
        connection.execute("INSERT INTO a VALUES (3)")

    database.write_together(interrupted)
    assert values(database.connection()) == [1, 2, 3]
