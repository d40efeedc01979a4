"""SQLite opened one way: durable on commit, upgraded under a lock, safe with threads and forks.

Only this file and :mod:`deriva_ml.files` know how bytes become durable.
"""

from __future__ import annotations

import threading
import time
from array import array
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Generic, TypeVar

import apsw

from deriva_ml.errors import (
    DerivaMLBusyError,
    DerivaMLConfigurationError,
    DerivaMLException,
    DerivaMLIntegrityError,
    DerivaMLReadOnlyError,
    DerivaMLStateInconsistency,
)
from deriva_ml.files import fsync_folder, locked
from deriva_ml.forks import Connection, generation, inside, refuse_cut

T = TypeVar("T")

BUSY_MILLISECONDS = 30_000
PAUSES = (0.3, 0.6, 1.2, 2.4, 4.8, 9.6)
"""Milliseconds after which a thread looks again for a lock that another process holds; the last one again and again."""
BUSY_PIECES = 120
"""In so many pieces a thread waits for a lock of SQLite's; between them another thread may fork."""
BLOCK = 64 * 1024
LOG_BYTES = 4 * 1024 * 1024


class _Connection(Connection):
    """A connection that says clearly when the disk fails, where it reads as where it writes."""

    def execute(self, *given: Any, **named: Any) -> apsw.Cursor:
        try:
            return super().execute(*given, **named)
        except apsw.IOError as error:
            raise _disk_failed(self.filename, error) from error
        except apsw.CorruptError as error:
            raise _damaged(self.filename, error) from error


def _disk_failed(path: object, error: apsw.Error) -> DerivaMLReadOnlyError:
    return DerivaMLReadOnlyError(
        f"The disk that holds {path} failed: {error}. What was acknowledged before is there; the system's log says more."
    )


def _damaged(path: object, error: apsw.Error) -> DerivaMLIntegrityError:
    return DerivaMLIntegrityError(
        f"{path} is damaged: {error}. `deriva-ml check` says what can be saved: restore a backup of it; or move it away with its -wal, and "
        "`deriva-ml resume RID` rebuilds what a manifest tells of a run."
    )


def unrecorded(path: str | Path) -> DerivaMLStateInconsistency:
    """Return what to say where something is to be kept for an execution that the database does not know (any more)."""
    return DerivaMLStateInconsistency(
        f"{path} has no record any more of what this belongs to: another process has removed it, or brought it into the catalog under "
        "its RID. `ml.list_executions()` lists what there is."
    )


def open_database(path: Path, schema_steps: Sequence[str]) -> apsw.Connection:
    """Open the database ``path``, made and brought up to date if need be.

    ``schema_steps[n]`` is the SQL that leads from version n to n + 1; steps are only ever added at the end.

    Raises:
        DerivaMLReadOnlyError: the file or its folder cannot be written, or the disk fails.
        DerivaMLConfigurationError: the file is no database, or a newer deriva-ml has written it.
        DerivaMLIntegrityError: it is damaged.
    """
    try:
        with locked(path.with_name(path.name + ".lock")), inside():
            return _open_locked(path, schema_steps)
    except (OSError, apsw.ReadOnlyError, apsw.CantOpenError, apsw.FullError) as error:
        raise DerivaMLReadOnlyError(
            f"{path} cannot be written: {error}. Make its folder writable, or choose another with DERIVA_ML_HOME."
        ) from error
    except apsw.IOError as error:
        raise _disk_failed(path, error) from error
    except apsw.CorruptError as error:
        raise _damaged(path, error) from error
    except apsw.NotADBError as error:
        raise DerivaMLConfigurationError(
            f"{path} is not a database of deriva-ml: move it away, and it is made anew."
        ) from error


def _open_locked(path: Path, schema_steps: Sequence[str]) -> apsw.Connection:
    if not path.exists():
        _connect(path, schema_steps).close()
        _preallocate_log(path)
        fsync_folder(path.parent)
    return _connect(path, schema_steps)


def _connect(path: Path, schema_steps: Sequence[str]) -> apsw.Connection:
    connection = _Connection(str(path))
    wait_for_others(connection, BUSY_MILLISECONDS)
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",
        "fullfsync=ON",
        "checkpoint_fullfsync=ON",
        "foreign_keys=ON",
    ):
        connection.pragma(*pragma.split("="))
    keep = array("i", [1])
    connection.file_control("main", apsw.SQLITE_FCNTL_PERSIST_WAL, keep.buffer_info()[0])
    _upgrade(connection, path, schema_steps)
    wait_for_others(connection, BUSY_MILLISECONDS // BUSY_PIECES)
    return connection


def wait_for_others(connection: apsw.Connection, milliseconds: int) -> None:
    """Let the connection wait so long for locks of other processes.

    SQLite's own pauses grow to a tenth of a second, though most locks are held for less than a thousandth.
    """
    most = int(milliseconds / PAUSES[-1])

    def look_again(times: int) -> bool:
        time.sleep(PAUSES[min(times, len(PAUSES) - 1)] / 1000)
        return times < most

    connection.set_busy_handler(look_again)


def _preallocate_log(path: Path) -> None:
    """Write the log of a new database out to its full length: a commit then grows no file, and costs one sync."""
    log = apsw.VFSFile(
        "", f"{path}-wal", [apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE | apsw.SQLITE_OPEN_WAL, 0]
    )
    try:
        for offset in range(log.xFileSize() // BLOCK * BLOCK, LOG_BYTES, BLOCK):
            log.xWrite(bytes(BLOCK), offset)
        log.xSync(apsw.SQLITE_SYNC_NORMAL)
    finally:
        log.xClose()


def _upgrade(connection: apsw.Connection, path: Path, schema_steps: Sequence[str]) -> None:
    version = int(connection.pragma("user_version"))
    if version > len(schema_steps):
        connection.close()
        raise DerivaMLConfigurationError(
            f"{path} was written by a newer deriva-ml (version {version} of the file): upgrade this one."
        )
    if version == len(schema_steps):
        return
    with transaction(connection):
        for step in schema_steps[version:]:
            connection.execute(step)
        connection.pragma("user_version", len(schema_steps))


@contextmanager
def transaction(connection: apsw.Connection, *, durable: bool = True) -> Iterator[apsw.Connection]:
    """Hold the write lock of the database; commit when the block ends well, roll back if not.

    ``durable=False`` leaves the sync to the next transaction that is durable: a power cut before it undoes this one,
    and everything that was written after it. The order in the log is that of the commits, whoever made them.

    Raises:
        DerivaMLBusyError: another process held the lock for too long.
        DerivaMLReadOnlyError: the file cannot be written, or its disk is full or fails.
    """
    for left in reversed(range(BUSY_PIECES)):
        with _said_clearly(connection), inside(), _synchronous(connection, durable):
            born, nested = generation(), connection.in_transaction
            try:
                if not _begun(connection, left > 0):
                    continue
                yield connection
                if born != generation():  # a child of a fork in the block
                    refuse_cut(Path(connection.filename))
                connection.execute("COMMIT")
            except BaseException:
                if born == generation() and connection.in_transaction and not nested:
                    connection.execute("ROLLBACK")
                raise
            return


def _begun(connection: apsw.Connection, may_fail: bool) -> bool:
    """Take the write lock; say False where others hold it and it may be tried again."""
    try:
        connection.execute("BEGIN IMMEDIATE")
    except apsw.BusyError:
        if not may_fail:
            raise
        return False
    return True


@contextmanager
def _synchronous(connection: apsw.Connection, durable: bool) -> Iterator[None]:
    if durable:
        yield
        return
    connection.execute("PRAGMA synchronous = NORMAL")
    try:
        yield
    finally:
        if not connection.in_transaction:  # else this is a child, and the transaction its parent's
            connection.execute("PRAGMA synchronous = FULL")


@contextmanager
def _said_clearly(connection: apsw.Connection) -> Iterator[None]:
    """Translate what SQLite says about the disk and about other writers."""
    try:
        yield
    except apsw.BusyError as error:
        seconds = BUSY_MILLISECONDS // 1000
        raise DerivaMLBusyError(
            f"Another process has been writing to {connection.filename} for {seconds} seconds: try again."
        ) from error
    except apsw.ConstraintError as error:
        if not str(error).startswith("FOREIGN KEY"):
            raise
        raise unrecorded(connection.filename) from error
    except apsw.FullError as error:
        raise DerivaMLReadOnlyError(
            f"The disk that holds {connection.filename} is full: make room and try again. Nothing is lost."
        ) from error
    except apsw.ReadOnlyError as error:
        raise DerivaMLReadOnlyError(f"{connection.filename} cannot be written: {error}.") from error
    except apsw.IOError as error:
        raise _disk_failed(connection.filename, error) from error


def _patiently(work: Callable[[], T]) -> T:
    """Do ``work``, one statement, inside; where others hold a lock of SQLite's, try it again."""
    for _ in range(BUSY_PIECES - 1):
        try:
            with inside():
                return work()
        except apsw.BusyError:
            continue
    with inside():
        return work()


class _Rows(list[tuple[Any, ...]]):
    """What a statement answers, read to its end."""

    def fetchone(self) -> tuple[Any, ...] | None:
        """Return the first row; None when there is none."""
        return self[0] if self else None

    @property
    def get(self) -> Any:
        """The first row, or its value where it has one; None when there is none."""
        return self[0][0] if self and len(self[0]) == 1 else self.fetchone()


class Reader:
    """Asks a database one question at a time: a thread that holds no answer half read lets others fork."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection

    def execute(self, sql: str, values: Sequence[Any] = ()) -> _Rows:
        """Run one statement; return its rows."""
        return _patiently(lambda: _Rows(self._connection.execute(sql, values)))


class _Piece(Generic[T]):
    """What one thread wants to write, and what came of it."""

    __slots__ = ("done", "error", "value", "work")

    def __init__(self, work: Callable[[apsw.Connection], T]) -> None:
        self.work = work
        self.done = False
        self.value: T
        self.error: DerivaMLException | apsw.Error | None = None

    def run(self, connection: apsw.Connection) -> None:
        """Do the work beside that of others: what goes wrong with it undoes nothing of theirs."""
        try:
            with connection:  # a savepoint
                self.value = self.work(connection)
        except (DerivaMLException, apsw.Error) as error:
            if not connection.in_transaction:  # the disk is full: all of it was rolled back
                raise
            self.error = error


class _Line:
    """The threads of a process that wait to write: the first of them writes for all who came meanwhile."""

    def __init__(self) -> None:
        self.waiting: deque[_Piece[Any]] = deque()
        self.turn = threading.RLock()
        self.writer = 0

    def through(self, piece: _Piece[T], connection: apsw.Connection, one_statement: bool) -> T:
        if self.writer == threading.get_ident():  # a signal's handler writes while its thread does
            with inside():
                return piece.work(connection)
        self.waiting.append(piece)
        try:
            with self.turn, _said_clearly(connection):
                self.writer = threading.get_ident()
                try:
                    if not piece.done:
                        self._write(piece, connection, one_statement)
                finally:
                    self.writer = 0
        finally:
            if not piece.done:  # whoever comes next must not write what was reported as failed
                self._leave(piece)
        if piece.error is not None:
            with _said_clearly(connection):
                raise piece.error
        return piece.value

    def _write(self, piece: _Piece[Any], connection: apsw.Connection, one_statement: bool) -> None:
        pieces = list(self.waiting)
        if threading.current_thread() is threading.main_thread():  # Ctrl-C may keep it from telling others what is done
            pieces = [piece]
        if len(pieces) == 1 and one_statement:
            pieces[0].value = _patiently(lambda: pieces[0].work(connection))
        elif len(pieces) == 1:
            with transaction(connection):
                pieces[0].value = pieces[0].work(connection)
        else:
            with transaction(connection):
                for piece in pieces:
                    piece.run(connection)
        for each in pieces:
            each.done = True
        for each in pieces:
            self._leave(each)

    def _leave(self, piece: _Piece[Any]) -> None:
        with suppress(ValueError):  # its thread was interrupted as it waited, and has gone
            self.waiting.remove(piece)


def open_to_look(path: Path) -> apsw.Connection:
    """Return a connection that cannot write, to a file of any version, to a thread that is inside."""
    connection = _Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    wait_for_others(connection, BUSY_MILLISECONDS // BUSY_PIECES)
    return connection


@contextmanager
def looking(path: Path) -> Iterator[apsw.Connection]:
    """For a block, look at a file of any version; nobody forks meanwhile."""
    with inside():
        connection = open_to_look(path)
        try:
            yield connection
        finally:
            connection.close()


class LocalDatabase:
    """One database file, with a connection for each thread, and new ones in a forked child; ``read_only`` ones upgrade nothing."""

    def __init__(self, path: Path, schema_steps: Sequence[str], *, read_only: bool = False) -> None:
        self.path = path
        self._read_only = read_only
        self._steps = tuple(schema_steps)
        self._held = threading.local()
        self._lines: dict[int, _Line] = {}

    def connection(self) -> Reader:
        """Return what reads, in this thread."""
        return self._mine()[1]

    def _mine(self) -> tuple[apsw.Connection, Reader, int]:
        """Return this thread's connection, opened on first use, what reads through it, and the generation it belongs to."""
        held: tuple[apsw.Connection, Reader, int] | None = getattr(self._held, "value", None)
        if held is None or held[2] != generation():
            refuse_cut(self.path)
            connection = self._opened()
            held = self._held.value = (connection, Reader(connection), generation())
        return held

    def _opened(self) -> apsw.Connection:
        if not self._read_only:
            return open_database(self.path, self._steps)
        with inside():
            return open_to_look(self.path)

    @contextmanager
    def transaction(self, *, durable: bool = True) -> Iterator[apsw.Connection]:
        """Hold the write lock; commit when the block ends well, roll back if not; ``durable`` as for :func:`transaction`."""
        with transaction(self._mine()[0], durable=durable) as connection:
            yield connection

    def write_one(self, sql: str, values: Sequence[object]) -> None:
        """Run one statement that writes: durable when it returns. Threads that write at one moment share a sync."""
        self.write_together(lambda connection: connection.execute(sql, values), one_statement=True)

    def write_together(self, work: Callable[[apsw.Connection], T], *, one_statement: bool = False) -> T:
        """Let ``work`` write, all or nothing: durable when it returns. Threads that write at one moment share a sync.

        Any of these threads may be the one that runs ``work``. ``one_statement`` says that it needs no transaction.
        """
        line = self._lines.get(generation())
        if line is None:
            line = self._lines.setdefault(generation(), _Line())
        return line.through(_Piece(work), self._mine()[0], one_statement)

    def close(self) -> None:
        """Close this thread's connection; the next use opens it again."""
        held: tuple[apsw.Connection, Reader, int] | None = getattr(self._held, "value", None)
        if held is not None and held[2] == generation():
            with inside():
                held[0].close()
        self._held.value = None
