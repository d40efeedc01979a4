"""What becomes durable at the end of a block, and what processes in line leave to each other."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest

from deriva_local.service.messages import Client
from deriva_local.store import log
from deriva_local.store.database import Database
from deriva_local.store.queue import Queue
from deriva_local.store.registry import Store
from deriva_local.store.together import durable_at_end
from deriva_local.wire.errors import Refusal

ME = Client.owner("me")


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


def test_who_has_a_turn_sees_that_another_process_has_drawn_a_number(tmp_path: Path) -> None:
    queue = Queue(tmp_path / "line", 5)
    with queue.turn():
        assert not queue.is_followed
        with (tmp_path / "line").open("r+b") as file:
            last = struct.unpack("q", file.read(8))[0]
            os.pwrite(file.fileno(), struct.pack("q", last + 1), 0)
        assert queue.is_followed


def test_who_is_followed_syncs_after_its_turn(
    database: Database, syncs: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    change(database)
    monkeypatch.setattr(Queue, "is_followed", True)
    change(database)
    assert len(syncs) == 1
