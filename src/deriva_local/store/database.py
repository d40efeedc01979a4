"""One catalog's SQLite file: sessions that read one moment of it, sessions that write, and the one way to commit.

Readers see one consistent moment and wait for nobody. Writers of all threads and processes wait in line. Every
transaction that changes anything leaves one row in ``moment``, so that every change has a time of its own and
changes the entity tags.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import apsw

from deriva_local.history import clock
from deriva_local.history.capture import recorded
from deriva_local.model.elements import Model
from deriva_local.query.functions import install
from deriva_local.service.messages import Client
from deriva_local.store import clients, layout, together
from deriva_local.store.connections import PATIENCE, Connections, refused
from deriva_local.store.forks import Visit, inside
from deriva_local.store.log import Log
from deriva_local.store.queue import Queue
from deriva_local.wire.crockford import encode, snap_to_micros
from deriva_local.wire.errors import Refusal, busy, conflict, forbidden

_NOW = "SELECT time, model, next_rid FROM moment ORDER BY time DESC LIMIT 1"
_THEN = "SELECT time, model, next_rid FROM moment WHERE time <= ? ORDER BY time DESC LIMIT 1"
_SYNC_ALONE, _SYNC_SHARED = "PRAGMA synchronous = FULL", "PRAGMA synchronous = NORMAL"
QUEUE = "writers.lock"
"""The name of the file in front of which writers wait in line; it lies beside the catalog's."""

_MODELS = 16
"""How many models of different times stay in memory."""

_WORTH_A_LOOK = 4096
"""So many RIDs must be in use before the planner is told of sizes at all."""

_KNOWN_FOR = 30.0
"""Seconds for which a client that was found among the rows of the catalog is taken to be there still."""

_HIGHEST_RID = 2**62
"""A RID beyond this, given by a client, does not move the sequence: it would soon run out of numbers."""


class ReadSession:
    """One moment of a catalog, read inside one transaction.

    ``moment`` is None for the present, else the moment of the snapshot, clamped to the last change before it.
    ``snaptime`` is the time of the last change of anything, ``model_snaptime`` that of the last change of the model,
    both as of that moment, in microseconds since 1970 UTC. ``amended`` is the time of the last amendment of history,
    if there was one; sessions of the present leave it None, as amendments do not touch it. ``visit`` says that its thread
    is in SQLite: who reads on later interrupts it.
    """

    visit: Visit

    def __init__(
        self,
        catalog_id: str,
        connection: apsw.Connection,
        model: Model,
        moment: int | None,
        snaptime: int,
        model_snaptime: int,
        amended: int | None = None,
    ) -> None:
        self.catalog_id = catalog_id
        self.connection = connection
        self.model = model
        self.moment = moment
        self.snaptime = snaptime
        self.model_snaptime = model_snaptime
        self.amended = amended


class WriteSession(ReadSession):
    """The one transaction that writes. ``now`` is the time of everything it does; it is the client's ``client``.

    Say :meth:`data_changed` or :meth:`model_changed`, or nothing has happened and nothing is stored.
    """

    def __init__(
        self,
        catalog_id: str,
        connection: apsw.Connection,
        model: Model,
        last: tuple[int, int, int],
        client: Client,
    ) -> None:
        super().__init__(catalog_id, connection, model, None, last[0], last[1])
        self.client = client
        self.now = clock.after(last[0], time.time_ns() // 1000)
        self.rids_before = self.next_rid = last[2]
        self.changed = False
        self.past_changed = False

    def allocate_rids(self, count: int) -> range:
        """Return the numbers of ``count`` new RIDs, for rows or for elements of the model."""
        first = self.next_rid
        self.next_rid += count
        return range(first, first + count)

    def new_rid(self) -> str:
        """Return one new RID."""
        return encode(self.allocate_rids(1)[0])

    def advance_rids(self, largest: int) -> None:
        """Never hand out a RID up to ``largest``: a client has stored that one."""
        if self.next_rid <= largest < _HIGHEST_RID:
            self.next_rid = largest + 1

    def allocate_serials(self, column_rid: str, count: int) -> range:
        """Return the next ``count`` numbers of a serial column."""
        found = self.connection.execute("SELECT next FROM serial WHERE rid = ?", (column_rid,)).fetchone()
        first = found[0] if found else 1
        self.connection.execute("INSERT OR REPLACE INTO serial VALUES (?, ?)", (column_rid, first + count))
        return range(first, first + count)

    def data_changed(self) -> None:
        """Let this transaction count as a change of the data."""
        self.changed = True
        self.snaptime = self.now

    def model_changed(self) -> None:
        """Let this transaction count as a change of the model."""
        self.data_changed()
        self.model_snaptime = self.now

    def history_changed(self) -> None:
        """Let this transaction count as an amendment of the past: the present stays as it is, and so does its time."""
        before = layout.amended(self.connection)
        self.amended = self.now if before is None else max(self.now, before + 1)
        self.connection.execute("INSERT OR REPLACE INTO fact VALUES (?, ?)", (layout.AMENDED, self.amended))
        self.past_changed = True


class Database:
    """One catalog's file, for all threads of this process and its forked children.

    Example::

        with database.read("2-ABCD") as session:
            print(session.model.schemas)
        with database.write(client) as session:
            ...
            session.data_changed()
    """

    def __init__(self, path: Path, catalog_id: str, patience: float = PATIENCE) -> None:
        self.path = path
        self.catalog_id = catalog_id
        self._connections = Connections(path, install, patience, self._rest)
        self._queue = Queue(path.with_name(QUEUE), patience)
        self._log = Log(path)
        self._models: dict[int, Model] = {}
        self._pasts: dict[tuple[int, int], Model] = {}
        self._known_clients: dict[tuple[str, frozenset[str]], float] = {}

    @contextmanager
    def read(self, snapshot: str | None = None) -> Iterator[ReadSession]:
        """Read the present, or the moment of ``snapshot``.

        Raises:
            Refusal: 409 for a snapshot that is malformed or before the first change.
        """
        process, visit = os.getpid(), Visit()
        try:
            visit.begin()
            connection = self._connections.take()
            try:
                with refused(self.path):
                    connection.execute("BEGIN")
                    session = self._session(connection, snapshot)
                    session.visit = visit
                    yield session
            finally:
                visit.begin()
                _end(connection, process)
                self._connections.give(connection, process)
        finally:
            visit.end()

    def _session(self, connection: apsw.Connection, snapshot: str | None) -> ReadSession:
        if snapshot is None:
            now, changed, _ = _last(connection)
            return ReadSession(self.catalog_id, connection, self._model(connection, changed), None, now, changed)
        found = connection.execute(_THEN, (_micros(snapshot),)).fetchone()
        if found is None:
            raise conflict(f"Catalog {self.catalog_id} did not exist yet at snapshot '{snapshot}'.")
        moment, changed, _ = found
        amended = layout.amended(connection)
        model = self._past_model(connection, moment, changed, amended)
        return ReadSession(self.catalog_id, connection, model, moment, moment, changed, amended)

    @contextmanager
    def write(self, client: Client) -> Iterator[WriteSession]:
        """Write: all of it is stored on leaving the block, or nothing if it is left by an exception.

        Raises:
            Refusal: 503 if others write for too long, 507 on a full disk, 403 on a read-only one.
        """
        self.introduce(client)
        with self._transaction(client) as session:
            yield session

    def introduce(self, client: Client, patience: float | None = None) -> None:
        """Make sure that a client and its groups have their rows in the catalog, in a transaction before its own.

        Raises:
            Refusal: as :meth:`write`, 503 after ``patience`` seconds.
        """
        who, now = (client.id, client.groups), time.monotonic()
        if self._known_clients.get(who, 0.0) > now:
            return
        with self.read() as session:
            known = clients.known(session.connection, session.model, client)
        if not known:
            with self._transaction(client, patience) as writing:
                clients.introduce(writing.connection, writing.model, client, writing.now, writing.new_rid)
                writing.data_changed()
        self._known_clients[who] = now + _KNOWN_FOR

    @contextmanager
    def _transaction(self, client: Client, patience: float | None = None) -> Iterator[WriteSession]:
        process = os.getpid()
        with refused(self.path):
            with self._queue.turn(patience), inside():
                connection = self._connections.take()
                try:
                    shared = self._sync_is_shared(connection)
                    connection.execute("BEGIN IMMEDIATE")
                    _refuse_upgraded(connection, self.path)
                    last = _last(connection)
                    model = self._model(connection, last[1])
                    session = WriteSession(self.catalog_id, connection, model, last, client)
                    yield session
                    self._commit(session, process)
                finally:
                    _end(connection, process)
                    self._connections.give(connection, process)
            if shared and (session.changed or session.past_changed) and not together.put_off(self):
                self.settle()

    def _sync_is_shared(self, connection: apsw.Connection) -> bool:
        """Choose how the next transaction becomes durable: with others, or alone by SQLite itself.

        With others: those of this thread's block, of other threads, or of the processes in line, which may write while we sync.
        """
        if self._queue.is_flagged:
            self._empty_log(connection)
        shared = together.is_put_off() or bool(self._queue.waiting) or self._log.is_busy or self._queue.is_sought
        connection.execute(_SYNC_SHARED if shared else _SYNC_ALONE)
        return shared

    def _empty_log(self, connection: apsw.Connection) -> None:
        """Bring everything into the database itself after a sync of the log has failed.

        Raises:
            Refusal: 500 when the disk fails again, 503 while somebody still reads what the log holds.
        """
        connection.execute(_SYNC_ALONE)
        row: Any = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if row[0]:
            raise busy("The disk has failed, and what it missed cannot be written again while others read; try again.")
        self._queue.flag(False)

    def settle(self) -> None:
        """Return once everything is durable that this thread has committed.

        Raises:
            Refusal: 500 the disk failed. Whoever writes next, in any process, first empties the log into the database.
        """
        try:
            self._log.settle()
        except OSError as error:
            with self._queue.turn():
                self._queue.flag(True)
            raise Refusal(
                500, f"{self.path} cannot be brought to the disk ({error}); the change may be lost."
            ) from error

    def _commit(self, session: WriteSession, process: int) -> None:
        """Commit the transaction, with a moment of its own. There is no other way to store anything."""
        if process != os.getpid():
            raise forbidden("A forked process cannot finish the transaction of its parent.")
        if not session.changed and not session.past_changed:
            return
        if session.changed:
            session.connection.execute(
                "INSERT INTO moment (time, model, next_rid) VALUES (?, ?, ?)",
                (session.now, session.model_snaptime, session.next_rid),
            )
        if grown(session.next_rid, session.rids_before):
            session.connection.execute(layout.ANALYZE).fetchall()
        session.connection.execute("COMMIT")
        if session.model_snaptime == session.now:
            self._remember(session.model)

    def _model(self, connection: apsw.Connection, model_time: int, live: bool = True) -> Model:
        found = self._models.get(model_time)
        if found is not None:
            return found
        return self._remember(layout.load_model(connection, model_time, live))

    def _past_model(self, connection: apsw.Connection, moment: int, changed: int, amended: int | None) -> Model:
        """Return the model that a snapshot shows; once history is amended, any moment may have one of its own."""
        key = (changed, 0) if amended is None else (moment, amended)
        found = self._pasts.get(key)
        if found is None:
            if amended is None:
                found = recorded(self._model(connection, changed, live=False))
            else:
                found = recorded(layout.load_model(connection, moment, live=False))
            if len(self._pasts) >= _MODELS:
                self._pasts.clear()
            self._pasts[key] = found
        return found

    def _remember(self, model: Model) -> Model:
        """Keep a model in memory, and let go of the oldest of too many. No lock: a fork would copy it locked."""
        self._models[model.snaptime] = model
        for old in sorted(self._models)[: max(0, len(self._models) - _MODELS)]:
            self._models.pop(old, None)
        return model

    def maintain(self, vacuum: bool = False) -> None:
        """Refresh what the query planner knows of the sizes of tables; give unused space back, if asked to."""
        with self._queue.turn(), refused(self.path), self._connections.lent() as connection:
            if vacuum:
                connection.execute("VACUUM")
            connection.execute(layout.ANALYZE).fetchall()
            connection.execute(f"PRAGMA wal_checkpoint({'TRUNCATE' if vacuum else 'PASSIVE'})").fetchall()

    def _rest(self) -> None:
        self._queue.rest()
        self._log.rest()

    def close(self) -> None:
        """Let go of the file. What is read or written later opens it again."""
        self._connections.close()
        self._queue.close()
        self._log.close()


def grown(rids: int, before: int) -> bool:
    """Tell whether the catalog has doubled since the planner last looked at the sizes of its tables.

    Example:
        >>> grown(4096, 4095), grown(8191, 4096), grown(600, 100)
        (True, False, False)
    """
    return rids >= _WORTH_A_LOOK and rids.bit_length() > before.bit_length()


def _last(connection: apsw.Connection) -> tuple[int, int, int]:
    row: Any = connection.execute(_NOW).fetchone()
    return (row[0], row[1], row[2])


def _refuse_upgraded(connection: apsw.Connection, path: Path) -> None:
    """Let a file pass that is still of our format: a newer program may have brought it up to date meanwhile."""
    row: Any = connection.execute("PRAGMA user_version").fetchone()
    if row[0] != len(layout.STEPS):
        raise busy(
            f"{path} was brought up to date by a newer version of deriva-ml: end this process and start that one."
        )


def _end(connection: apsw.Connection, process: int) -> None:
    """End the transaction that is still open, unless it is that of a parent process."""
    if process == os.getpid() and connection.in_transaction:
        connection.execute("ROLLBACK")


def _micros(snapshot: str) -> int:
    try:
        return snap_to_micros(snapshot)
    except ValueError as error:
        raise conflict(f"'{snapshot}' is not a snapshot: {error}") from error
