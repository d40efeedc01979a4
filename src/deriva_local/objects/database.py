"""The file ``hatrac.sqlite``: durable on commit, one writer at a time in the order of coming, safe after a fork."""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw

from deriva_local.objects.rows import SCHEMA
from deriva_local.store.place import refuse_network, refuse_newer
from deriva_local.wire.errors import Refusal, busy

BUSY_MILLISECONDS = 15_000
VERSION = 1

_inherited: list[apsw.Connection] = []
"""Connections that a parent process opened: closing them in the child would let go of the parent's locks."""


class ObjectsDatabase:
    """The rows of all objects of a store, with one connection for each thread of each process."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._queue = path.with_name(path.name + ".lock")
        self._local = threading.local()
        refuse_network(path.parent)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.connection()

    def connection(self) -> apsw.Connection:
        """Return the connection of this thread; opened, and the schema made, when it is the first."""
        held: tuple[int, apsw.Connection] | None = getattr(self._local, "held", None)
        if held is not None and held[0] == os.getpid():
            return held[1]
        if held is not None:
            _inherited.append(held[1])
        connection = self._open()
        self._local.held = (os.getpid(), connection)
        return connection

    def _open(self) -> apsw.Connection:
        connection = apsw.Connection(str(self.path))
        connection.set_busy_timeout(BUSY_MILLISECONDS)
        connection.execute("PRAGMA fullfsync=ON; PRAGMA checkpoint_fullfsync=ON; PRAGMA synchronous=FULL").fetchall()
        found = connection.pragma("user_version")
        refuse_newer(self.path, found, VERSION)
        if found < VERSION:
            with self._turn():
                self._create(connection)
        return connection

    def _create(self, connection: apsw.Connection) -> None:
        """Make the tables, unless another process did while we waited."""
        connection.pragma("journal_mode", "wal")
        self.path.chmod(0o600)
        if connection.pragma("user_version") == VERSION:
            return
        with connection:
            connection.execute(SCHEMA).fetchall()
            connection.pragma("user_version", VERSION)

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Wait for our turn among the writers of all processes: fair, which SQLite's own back-off is not."""
        descriptor = os.open(self._queue, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    @contextmanager
    def write(self) -> Iterator[apsw.Connection]:
        """Write in one transaction: kept when the block ends, undone when it raises.

        Raises:
            Refusal: 503 somebody else holds the file for too long or it cannot be written, 507 the disk is full.
        """
        connection = self.connection()
        with self._turn(), self._said_clearly():
            connection.execute("BEGIN IMMEDIATE")
            done = False
            try:
                yield connection
                connection.execute("COMMIT")
                done = True
            finally:
                if not done and connection.in_transaction:
                    connection.execute("ROLLBACK")

    @contextmanager
    def _said_clearly(self) -> Iterator[None]:
        """Translate what SQLite says about the disk and about other writers."""
        try:
            yield
        except apsw.BusyError as error:
            raise busy(f"Another process has been writing to {self.path} for too long: try again.") from error
        except apsw.FullError as error:
            raise Refusal(507, f"The disk that holds {self.path} is full: make room and send it again.") from error
        except (apsw.ReadOnlyError, apsw.CantOpenError) as error:
            raise Refusal(503, f"{self.path} cannot be written: {error}.") from error

    def close(self) -> None:
        """Close the connection of this thread, and with the last one write the log back into the file."""
        held: tuple[int, apsw.Connection] | None = getattr(self._local, "held", None)
        if held is not None and held[0] == os.getpid():
            held[1].close()
            del self._local.held
