"""The file ``hatrac.sqlite``: made under a lock, durable on commit, its writers in line."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw

from deriva_local.objects.rows import SCHEMA
from deriva_local.store.connections import PATIENCE, Connections, explained, opened, refused
from deriva_local.store.place import refuse_network, refuse_newer, sync_folder
from deriva_local.store.queue import Queue

FORMAT = 1
"""The version of the tables, kept in the header of the file. A newer one is not opened."""


class ObjectsDatabase:
    """The rows of all objects of a store, for all threads of this process and its forked children.

    Raises:
        StoreProblem: the file cannot be made or opened; the message says why.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        refuse_network(path.parent)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._queue = Queue(path.with_name(f"{path.name}.lock"), PATIENCE)
        self._connections = Connections(path)
        if self._format() == 0:
            self._create()
        refuse_newer(path, self._format(), FORMAT)

    def _format(self) -> int:
        """Return the format of the file; 0 for none, and for one that another process is just making."""
        if not self.path.exists():
            return 0
        with explained(self.path), self._connections.lent() as connection:
            return int(connection.pragma("user_version"))

    def _create(self) -> None:
        """Make the tables, unless another process did while we waited."""
        with explained(self.path), self._queue.turn():
            if not self.path.exists():
                os.close(os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
            connection = opened(self.path, create=True)
            try:
                if connection.pragma("user_version") == 0:
                    with connection:
                        connection.execute(SCHEMA).fetchall()
                        connection.pragma("user_version", FORMAT)
            finally:
                connection.close()
            sync_folder(self.path.parent)

    @contextmanager
    def read(self) -> Iterator[apsw.Connection]:
        """Read what is committed, each statement by itself."""
        with refused(self.path), self._connections.lent() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[apsw.Connection]:
        """Write in one transaction: kept when the block ends, undone when it raises.

        Raises:
            Refusal: 503 if others write for too long, 507 on a full disk, 403 on a read-only one.
        """
        with self._queue.turn(), refused(self.path), self._connections.lent() as connection:
            connection.execute("BEGIN IMMEDIATE")
            kept = False
            try:
                yield connection
                connection.execute("COMMIT")
                kept = True
            finally:
                if not kept and connection.in_transaction:
                    connection.execute("ROLLBACK")

    def close(self) -> None:
        """Close the connections; the last one of all processes writes the log back into the file."""
        self._connections.close()
        self._queue.close()
