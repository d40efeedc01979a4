"""What becomes durable at the end of a block, and what processes in line leave to each other."""

from __future__ import annotations

import struct
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from deriva_local.service.messages import Client
from deriva_local.store import log, queue
from deriva_local.store.database import Database
from deriva_local.store.queue import Queue
from deriva_local.store.registry import Store
from deriva_local.store.together import durable_at_end
from deriva_local.wire.errors import Refusal

ME = Client.owner("me")
LONG = 20.0


@pytest.fixture
def database(tmp_path: Path) -> Database:
    store = Store(tmp_path / "store")
    return store.database(store.entry(store.create_catalog({}, ME)))


@pytest.fixture
def syncs(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Counts the syncs that are not SQLite's own."""
    seen: list[int] = []
    monkeypatch.setattr(log, "sync_data", seen.append)
    return seen


def change(database: Database) -> None:
    with database.write(ME) as session:
        session.data_changed()


def test_changes_of_a_block_share_the_sync_at_its_end(database: Database, syncs: list[int]) -> None:
    change(database)
    with durable_at_end():
        for _ in range(3):
            change(database)
        with durable_at_end():
            change(database)
        assert syncs == []
    assert len(syncs) == 1
    change(database)
    assert len(syncs) == 1


def test_a_block_that_fails_leaves_what_it_committed_durable(database: Database, syncs: list[int]) -> None:
    change(database)
    with pytest.raises(KeyError), durable_at_end():
        change(database)
        raise KeyError
    assert len(syncs) == 1


def test_a_failed_sync_is_said_and_the_next_writer_repairs(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(handle: int) -> None:
        raise OSError(5, "the disk")

    change(database)
    with monkeypatch.context() as broken:
        broken.setattr(log, "sync_data", fail)
        with pytest.raises(Refusal, match="may be lost"), durable_at_end():
            change(database)
    with database._queue.turn():
        assert database._queue.is_flagged
    change(database)
    with database._queue.turn():
        assert not database._queue.is_flagged


def test_who_has_a_turn_sees_that_another_process_wants_the_file(tmp_path: Path) -> None:
    one, other = Queue(tmp_path / "line", LONG), Queue(tmp_path / "line", LONG)
    with ThreadPoolExecutor(1) as pool:
        with one.turn():
            assert not one.is_sought
            waiting = pool.submit(take, other)
            until(lambda: one.is_sought)
        waiting.result(LONG)
    with one.turn():
        assert one.is_sought  # lately


def test_the_first_in_line_is_passed_over_for_a_moment_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue, "PAUSES", (0.001,))
    monkeypatch.setattr(queue, "PASSING", 0.2)
    one, other, third = (Queue(tmp_path / "line", LONG) for _ in range(3))
    with ThreadPoolExecutor(2) as pool:
        with one.turn():
            waiting = pool.submit(take, other)
            until(lambda: first_in_line(tmp_path / "line") > 0)
            moment = first_in_line(tmp_path / "line")
            until(lambda: time.monotonic_ns() > moment)
            late = pool.submit(take, third)
            until(lambda: drawn(tmp_path / "line") == 10)
            assert not waiting.done() and not late.done()
        assert waiting.result(LONG) < late.result(LONG)
    assert first_in_line(tmp_path / "line") == 0


def test_a_moment_that_a_dead_one_has_set_is_taken_away(tmp_path: Path) -> None:
    line = Queue(tmp_path / "line", LONG)
    (tmp_path / "line").write_bytes(struct.pack("3q", 12, 0, 1))
    take(line)
    assert (drawn(tmp_path / "line"), first_in_line(tmp_path / "line")) == (13, 0)
    take(line)
    assert drawn(tmp_path / "line") == 13


def take(line: Queue) -> int:
    """Have a turn; return when."""
    with line.turn():
        return time.monotonic_ns()


def drawn(path: Path) -> int:
    return int(struct.unpack_from("q", path.read_bytes())[0])


def first_in_line(path: Path) -> int:
    """Return the moment until which the first in line lets others pass; 0 when nobody stands there."""
    content = path.read_bytes()
    return int(struct.unpack_from("q", content, 16)[0]) if len(content) >= 24 else 0


def until(is_so: Callable[[], bool]) -> None:
    for _ in range(int(LONG * 1000)):
        if is_so():
            return
        time.sleep(0.001)
    raise AssertionError("it never came")


def test_whose_file_is_sought_syncs_after_its_turn(
    database: Database, syncs: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    change(database)
    monkeypatch.setattr(Queue, "is_sought", True)
    change(database)
    assert len(syncs) == 1
