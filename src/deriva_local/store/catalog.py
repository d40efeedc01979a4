"""Make the file of a new catalog: whole, durable, and with a log that is written out ahead of time.

The caller holds the lock of the store, so nobody else looks at the folder meanwhile.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from itertools import count
from pathlib import Path
from typing import Any

import apsw

from deriva_local.model.changes import creation
from deriva_local.service.messages import Client
from deriva_local.store import clients, layout
from deriva_local.store.builtin import new_model
from deriva_local.store.connections import APPLICATION, explained, opened, preallocate_log
from deriva_local.store.place import StoreProblem, refuse_newer, sync_folder
from deriva_local.wire.crockford import encode

FILE = "catalog.sqlite"


def create(folder: Path, owner: tuple[str, ...], annotations: Mapping[str, Any], client: Client) -> None:
    """Create ``folder`` with a new catalog in it, which knows its first client.

    Raises:
        StoreProblem: the disk is full, or the folder cannot be written.
    """
    folder.mkdir(mode=0o700)
    path = folder / FILE
    with explained(path):
        connection = opened(path, create=True)
        try:
            _fill(connection, owner, annotations, client)
        finally:
            connection.close()
        preallocate_log(path)
    sync_folder(folder)
    sync_folder(folder.parent)


def _fill(connection: apsw.Connection, owner: tuple[str, ...], annotations: Mapping[str, Any], client: Client) -> None:
    now = time.time_ns() // 1000
    numbers = count(1)

    def new_rid() -> str:
        return encode(next(numbers))

    model = new_model(now, owner, annotations, new_rid)
    changes = creation(model)
    with connection:
        connection.execute(layout.SCHEMA).fetchall()
        layout.write_records(connection, changes, now)
        layout.create_tables(connection, changes)
        clients.introduce(connection, model, client, now, new_rid)
        connection.execute("INSERT INTO moment VALUES (?, ?, ?)", (now, now, next(numbers)))
        connection.execute(f"PRAGMA application_id = {APPLICATION}").fetchall()
        connection.execute(f"PRAGMA user_version = {layout.FORMAT}").fetchall()


def check(path: Path) -> None:
    """Let a catalog's file of our format pass.

    Raises:
        StoreProblem: it is damaged or unreadable; NewerStore: a newer program wrote it.
    """
    with explained(path):
        connection = opened(path)
        try:
            mark, version = connection.pragma("application_id"), connection.pragma("user_version")
        finally:
            connection.close()
    if mark != APPLICATION:
        raise StoreProblem(f"{path} is not a catalog of this program.")
    refuse_newer(path, version, layout.FORMAT)
