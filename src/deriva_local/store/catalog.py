"""Make the file of a new catalog: whole, durable, and with a log that is written out ahead of time.

The caller holds the lock of the store, so nobody else looks at the folder meanwhile.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from itertools import count
from pathlib import Path
from typing import Any

import apsw

from deriva_local.model.changes import creation
from deriva_local.service.messages import Client
from deriva_local.store import clients, formats, layout
from deriva_local.store.builtin import new_model
from deriva_local.store.connections import APPLICATION, explained, opened, preallocate_log, transaction
from deriva_local.store.database import QUEUE
from deriva_local.store.forks import inside
from deriva_local.store.place import sync_folder
from deriva_local.store.queue import Queue
from deriva_local.wire.crockford import encode

FILE = "catalog.sqlite"


def create(folder: Path, owner: tuple[str, ...], annotations: Mapping[str, Any], client: Client) -> None:
    """Create ``folder`` with a new catalog in it, which knows its first client.

    Raises:
        StoreProblem: the disk is full, or the folder cannot be written.
    """
    folder.mkdir(mode=0o700)
    path = folder / FILE
    made = False
    try:
        with explained(path), inside():
            connection = opened(path, create=True)
            try:
                _fill(connection, owner, annotations, client)
            finally:
                connection.close()
            preallocate_log(path)
        sync_folder(folder)
        sync_folder(folder.parent)
        made = True
    finally:
        if not made:
            shutil.rmtree(folder, ignore_errors=True)


def _fill(connection: apsw.Connection, owner: tuple[str, ...], annotations: Mapping[str, Any], client: Client) -> None:
    now = time.time_ns() // 1000
    numbers = count(1)

    def new_rid() -> str:
        return encode(next(numbers))

    model = new_model(now, owner, annotations, new_rid)
    changes = creation(model)
    with transaction(connection):
        for step in layout.STEPS:
            step(connection)
        layout.write_records(connection, changes, now)
        layout.create_tables(connection, changes)
        clients.introduce(connection, model, client, now, new_rid)
        connection.execute("INSERT INTO moment VALUES (?, ?, ?)", (now, now, next(numbers)))
        connection.execute(f"PRAGMA application_id = {APPLICATION}").fetchall()
        connection.execute(f"PRAGMA user_version = {len(layout.STEPS)}").fetchall()


def bring_up(path: Path, patience: float) -> None:
    """Let a catalog's file be of our format, by bringing an older one up to date.

    Raises:
        StoreProblem: it is damaged, unreadable, or of an older format and in use; NewerStore: a newer program wrote it.
    """
    queue = Queue(path.with_name(QUEUE), patience)
    try:
        formats.bring_up(path, queue, layout.STEPS)
    finally:
        queue.close()
