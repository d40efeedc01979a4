"""SQLite opened one way, and lent out: to one thread at a time, and never across a fork.

Every file of the store is opened here and only by apsw: a second copy of SQLite in this process, or a plain ``open``
of one of these files, would drop the locks of the first (POSIX locks belong to the process, not to the handle).

A forked child must not use the connections of its parent; it sets them aside, and opens its own.
"""

from __future__ import annotations

import os
import sys
from array import array
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from weakref import WeakSet

import apsw

from deriva_local.store.forks import Connection, inside, refuse_cut
from deriva_local.store.place import FullDisk, ReadOnlyStore, StoreProblem
from deriva_local.wire.errors import Refusal, busy, forbidden

APPLICATION = 0x44455256
"""What marks the files as ours ("DERV"), in SQLite's header."""

WAL_BYTES = 4 * 1024 * 1024
"""How far the write-ahead log is written ahead of time: as far as it grows between two checkpoints."""

LONGEST_LOG = 4 * WAL_BYTES
"""How much of the log is kept when one transaction made it longer; the next commits give the rest back to the disk."""

DAMAGED = (apsw.NotADBError, apsw.CorruptError, UnicodeDecodeError)
"""What reading a damaged file ends with: SQLite sees that its pages are wrong, or a text in them is none."""

STATEMENTS = 512
"""How many prepared statements a connection keeps."""

PATIENCE = 25.0
"""Seconds that a writer waits for others before it is told to try again."""

MOST_IDLE = 120
"""So many unused connections stay open in a process; each holds three files, and a process may hold about a thousand."""

READ_ONLY = "{path} is read-only; a catalog needs a folder that it can write to."

SETTINGS = """
PRAGMA synchronous = FULL;
PRAGMA temp_store = MEMORY;
PRAGMA cache_size = -20000;
PRAGMA foreign_keys = OFF;
PRAGMA analysis_limit = 400;
"""
_MAC = "PRAGMA fullfsync = ON; PRAGMA checkpoint_fullfsync = ON;"


class Connections:
    """The connections of this process to one SQLite file.

    Example::

        with connections.lent() as connection:
            connection.execute("SELECT 1")
    """

    def __init__(
        self,
        path: Path,
        install: Callable[[apsw.Connection], None] | None = None,
        patience: float = PATIENCE,
        resting: Callable[[], None] | None = None,
    ) -> None:
        """Lend connections to the file at ``path``. ``resting`` is called when all of them are closed to make room."""
        self.path = path
        self.patience = patience
        self._install = install
        self._resting = resting
        self._idle: list[apsw.Connection] = []
        self._used = 0
        _OPEN.add(self)

    def take(self) -> apsw.Connection:
        """Return a connection that nobody else uses, to a thread that is inside; give it back with :meth:`give`.

        Raises:
            StoreProblem: the file cannot be opened.
        """
        try:
            return self._idle.pop()
        except IndexError:
            return self._open()

    def give(self, connection: apsw.Connection, process: int) -> None:
        """Take back a connection that process ``process`` took."""
        if process == os.getpid():
            self._used = next(_LENT)
            self._idle.append(connection)

    @contextmanager
    def lent(self) -> Iterator[apsw.Connection]:
        """Lend a connection for a block."""
        with inside():
            process = os.getpid()
            connection = self.take()
            try:
                yield connection
            finally:
                self.give(connection, process)

    def close(self) -> None:
        """Close the idle connections; the last one of all processes writes the log back into the file."""
        with suppress(IndexError), inside():  # other threads take some as well
            while True:
                _close(self._idle.pop())

    def rest(self) -> None:
        """Close what is idle, until it is needed again."""
        self.close()
        if self._resting is not None:
            self._resting()

    def forget(self) -> None:
        """Have no connections yet, in a forked child."""
        self._idle = []

    def _open(self) -> apsw.Connection:
        _make_room()
        with explained(self.path):
            connection = opened(self.path, self.patience)
            connection.execute(f"PRAGMA journal_size_limit = {LONGEST_LOG}").fetchall()
        if self._install is not None:
            self._install(connection)
        return connection


_OPEN: WeakSet[Connections] = WeakSet()
_LENT = count(1)


def _make_room() -> None:
    """Close the connections to half of the files, those not used for longest, if too many are open."""
    idle = sorted((each for each in tuple(_OPEN) if each._idle), key=lambda each: each._used)
    if sum(len(each._idle) for each in idle) >= MOST_IDLE:
        for each in idle[: (len(idle) + 1) // 2]:
            each.rest()


def _after_fork() -> None:
    for connections in tuple(_OPEN):
        connections.forget()


os.register_at_fork(after_in_child=_after_fork)


def opened(path: Path, patience: float = PATIENCE, create: bool = False) -> apsw.Connection:
    """Return a new connection, to a thread that is inside, with everything set that a durable store needs."""
    refuse_cut(path)
    flags = apsw.SQLITE_OPEN_READWRITE | (apsw.SQLITE_OPEN_CREATE if create else 0)
    connection = Connection(str(path), flags=flags, statementcachesize=STATEMENTS)
    if connection.readonly("main"):
        connection.close()
        raise ReadOnlyStore(READ_ONLY.format(path=path))
    connection.set_busy_timeout(int(patience * 1000))
    if create:
        connection.execute("PRAGMA journal_mode = WAL").fetchall()
    for statement in SETTINGS.split(";"):
        connection.execute(statement).fetchall()
    if sys.platform == "darwin":
        connection.execute(_MAC).fetchall()
    _keep_log(connection)
    return connection


def _keep_log(connection: apsw.Connection) -> None:
    """Keep the write-ahead log when the last connection closes: a log that is there already grows no file."""
    on = array("i", [1])
    connection.file_control("main", apsw.SQLITE_FCNTL_PERSIST_WAL, on.buffer_info()[0])


def _close(connection: apsw.Connection) -> None:
    """Close a connection, and leave the log as it is: where its length is limited, SQLite would empty it."""
    connection.execute("PRAGMA journal_size_limit = -1").fetchall()
    connection.close()


@contextmanager
def transaction(connection: apsw.Connection) -> Iterator[None]:
    """Write in one transaction: kept when the block ends, undone when it raises.

    SQLite undoes it by itself when the disk is full, for instance; that must not hide the reason.
    """
    process = os.getpid()
    try:
        connection.execute("BEGIN IMMEDIATE")
        yield
        if process != os.getpid():
            raise forbidden("A forked process cannot finish the transaction of its parent.")
        connection.execute("COMMIT")
    finally:
        if process == os.getpid() and connection.in_transaction:
            connection.execute("ROLLBACK")


def preallocate_log(path: Path) -> None:
    """Write the empty log of a database that nobody has open out to its full length.

    A commit then writes into blocks that the file has already, and one sync makes it durable; where the log has to
    grow, the file system syncs its own records as well, which takes about half as long again.
    """
    flags = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE | apsw.SQLITE_OPEN_WAL
    with inside():
        log = apsw.VFSFile("", f"{path}-wal", [flags, 0])
        try:
            for offset in range(log.xFileSize() // _BLOCK * _BLOCK, WAL_BYTES, _BLOCK):
                log.xWrite(bytes(_BLOCK), offset)
            log.xSync(apsw.SQLITE_SYNC_NORMAL)
        finally:
            log.xClose()


_BLOCK = 64 * 1024


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn what SQLite says while a store is opened into one clear error.

    Raises:
        StoreProblem: with the reason and what to do.
    """
    try:
        yield
    except apsw.FullError as error:
        raise FullDisk(f"The disk is full: {path} cannot be written. Free some space and try again.") from error
    except (apsw.ReadOnlyError, apsw.PermissionsError) as error:
        raise ReadOnlyStore(READ_ONLY.format(path=path)) from error
    except apsw.CantOpenError as error:
        raise _unopened(path) from error
    except DAMAGED as error:
        raise StoreProblem(f"{path} is damaged or not a database: {error}. Restore it from a backup.") from error
    except apsw.BusyError as error:
        raise StoreProblem(f"{path} is locked by another process; try again.") from error
    except apsw.IOError as error:
        raise StoreProblem(f"{path} cannot be read or written: {error}.") from error


def _unopened(path: Path) -> StoreProblem:
    if not path.parent.exists():
        return StoreProblem(f"{path.parent} does not exist.")
    if not os.access(path.parent, os.W_OK) or (path.exists() and not os.access(path, os.W_OK)):
        return ReadOnlyStore(READ_ONLY.format(path=path))
    return StoreProblem(f"{path} cannot be opened.")


@contextmanager
def refused(path: Path) -> Iterator[None]:
    """Turn what SQLite says during a request into a refusal.

    Raises:
        Refusal: 503 when others wrote for too long, 507 when the disk is full, 403 when the store is read-only, 500
            when the disk fails or the file is damaged.
    """
    try:
        yield
    except apsw.BusyError as error:
        raise busy("Other processes are writing to this catalog; try again.") from error
    except apsw.FullError as error:
        raise Refusal(
            507, f"The disk is full: {path} cannot be written. Nothing was stored; free some space."
        ) from error
    except (apsw.ReadOnlyError, apsw.PermissionsError) as error:
        raise forbidden(f"{path} is read-only: nothing can be stored.") from error
    except DAMAGED as error:
        raise Refusal(500, f"{path} is damaged: {error}. Restore it from a backup.") from error
    except apsw.IOError as error:
        raise Refusal(500, f"{path} cannot be read or written: {error}.") from error
