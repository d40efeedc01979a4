"""The workspace's one durable authority: which executions there are, what state they are in, how far their commits got.

What a run has staged (assets, features, metrics, parameters) is in :mod:`deriva_ml.execution.staged`, in the same file.
Every method that returns has its change on the disk.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import apsw

from deriva_ml.clock import from_iso, iso, now
from deriva_ml.db import LocalDatabase
from deriva_ml.errors import DerivaMLIntegrityError, DerivaMLReadOnlyError, DerivaMLStateInconsistency
from deriva_ml.execution.states import Event, ExecutionStatus, follow
from deriva_ml.files import make_folder
from deriva_ml.names import written_out
from deriva_ml.rid import is_local

STORE = "store.sqlite"
SCHEMA_STEPS = (
    """
    CREATE TABLE executions (
        rid TEXT PRIMARY KEY, uuid TEXT NOT NULL UNIQUE, workflow_rid TEXT, description TEXT NOT NULL,
        config TEXT NOT NULL, status TEXT NOT NULL, catalog_status TEXT, detail TEXT, error TEXT, mode TEXT NOT NULL,
        owner TEXT NOT NULL DEFAULT '{}', created_at TEXT NOT NULL, last_activity TEXT NOT NULL,
        start_time TEXT, stop_time TEXT, duration REAL, download_duration REAL, upload_duration REAL
    ) STRICT;
    CREATE INDEX executions_by_status ON executions (status);
    CREATE TABLE events (
        id INTEGER PRIMARY KEY, execution TEXT NOT NULL REFERENCES executions (rid) ON DELETE CASCADE,
        event TEXT, was TEXT NOT NULL, became TEXT NOT NULL, detail TEXT, at TEXT NOT NULL
    ) STRICT;
    CREATE INDEX events_by_execution ON events (execution, id);
    CREATE TABLE entries (
        id INTEGER PRIMARY KEY, execution TEXT NOT NULL REFERENCES executions (rid) ON DELETE CASCADE,
        key TEXT NOT NULL, base TEXT NOT NULL, schema TEXT NOT NULL, asset_table TEXT NOT NULL, file_name TEXT NOT NULL, mode TEXT NOT NULL,
        staged TEXT NOT NULL, source TEXT, source_stamp TEXT, asset_types TEXT NOT NULL, metadata TEXT NOT NULL,
        description TEXT NOT NULL, state TEXT NOT NULL, sealed TEXT, md5 TEXT, sha256 TEXT, length INTEGER, rid TEXT,
        url TEXT, reused INTEGER NOT NULL DEFAULT 0, uploaded_at TEXT, updated_at TEXT NOT NULL,
        UNIQUE (execution, key)
    ) STRICT;
    CREATE INDEX entries_by_state ON entries (execution, state);
    CREATE INDEX entries_by_source ON entries (execution, source, source_stamp);
    CREATE INDEX entries_by_base ON entries (execution, base);
    CREATE INDEX entries_by_staged ON entries (execution, staged);
    CREATE TABLE features (
        id INTEGER PRIMARY KEY, execution TEXT NOT NULL REFERENCES executions (rid) ON DELETE CASCADE,
        schema TEXT NOT NULL, feature_table TEXT NOT NULL, feature_name TEXT NOT NULL, target_table TEXT NOT NULL,
        identity TEXT NOT NULL, record TEXT NOT NULL, assets TEXT NOT NULL, state TEXT NOT NULL, at TEXT NOT NULL,
        UNIQUE (execution, schema, feature_table, identity)
    ) STRICT;
    CREATE INDEX features_by_state ON features (execution, state);
    CREATE TABLE parameters (
        execution TEXT NOT NULL REFERENCES executions (rid) ON DELETE CASCADE,
        name TEXT NOT NULL, value TEXT NOT NULL, entry TEXT, at TEXT NOT NULL, PRIMARY KEY (execution, name)
    ) STRICT;
    CREATE TABLE metrics (
        id INTEGER PRIMARY KEY, execution TEXT NOT NULL REFERENCES executions (rid) ON DELETE CASCADE,
        step TEXT, record TEXT NOT NULL, entry TEXT, at TEXT NOT NULL
    ) STRICT;
    CREATE INDEX metrics_by_execution ON metrics (execution, entry);
    CREATE TABLE downloads (
        execution TEXT NOT NULL REFERENCES executions (rid) ON DELETE CASCADE,
        rid TEXT NOT NULL, schema TEXT NOT NULL, asset_table TEXT NOT NULL, path TEXT NOT NULL,
        PRIMARY KEY (execution, rid, path)
    ) STRICT;
    CREATE TABLE journal (
        id INTEGER PRIMARY KEY, execution TEXT NOT NULL REFERENCES executions (rid) ON DELETE CASCADE,
        step TEXT NOT NULL, detail TEXT NOT NULL, at TEXT NOT NULL
    ) STRICT;
    CREATE INDEX journal_by_execution ON journal (execution, id);
    """,
    """
    CREATE TABLE aliases (
        local TEXT PRIMARY KEY, rid TEXT NOT NULL REFERENCES executions (rid) ON DELETE CASCADE
    ) STRICT, WITHOUT ROWID;
    """,
    """
    ALTER TABLE metrics RENAME TO metrics_before;
    DROP INDEX metrics_by_execution;
    CREATE TABLE metrics (
        execution TEXT NOT NULL REFERENCES executions (rid) ON DELETE CASCADE,
        number INTEGER NOT NULL, step TEXT, record TEXT NOT NULL, entry TEXT, at TEXT NOT NULL,
        PRIMARY KEY (execution, number)
    ) STRICT, WITHOUT ROWID;
    INSERT INTO metrics SELECT execution, id, step, record, entry, at FROM metrics_before;
    DROP TABLE metrics_before;
    """,
    """
    CREATE TABLE nestings (
        id INTEGER PRIMARY KEY, parent TEXT NOT NULL, child TEXT NOT NULL, sequence INTEGER, parent_token TEXT, child_token TEXT,
        reason TEXT, state TEXT NOT NULL, at TEXT NOT NULL, UNIQUE (parent, child)
    ) STRICT;
    CREATE INDEX nestings_by_child ON nestings (child);
    CREATE INDEX nestings_that_wait ON nestings (id) WHERE state = 'waits';
    """,
)
"""Each step from the version before. The metrics of a run lie together, so that logging one writes one page. The ends of a
nesting need not be executions of this workspace."""
UPLOAD_FAILED = "upload failed: "
"""How the reason of a commit begins that failed."""
_STAGED_TABLES = ("events", "entries", "features", "parameters", "metrics", "downloads", "journal")

_COLUMNS = (
    "rid, uuid, workflow_rid, description, config, status, catalog_status, detail, error, mode, owner, created_at, "
    "last_activity, start_time, stop_time, duration, download_duration, upload_duration"
)


@dataclass(frozen=True, slots=True)
class Registered:
    """One execution as the store knows it. ``catalog_status`` is what the catalog was last known to say."""

    rid: str
    uuid: str
    workflow_rid: str | None
    description: str
    config: Mapping[str, Any]
    status: ExecutionStatus
    catalog_status: ExecutionStatus | None
    detail: str | None
    error: str | None
    mode: str
    owner: Mapping[str, Any]
    created_at: str
    last_activity: str
    start_time: str | None
    stop_time: str | None
    duration: float | None
    download_duration: float | None
    upload_duration: float | None

    @property
    def untold(self) -> bool:
        """Whether it was begun offline, and the catalog has not, or not wholly, been told of it."""
        return self.mode == "offline" and self.catalog_status is None

    @property
    def started(self) -> datetime | None:
        """When the work began."""
        return from_iso(self.start_time) if self.start_time else None

    @property
    def stopped(self) -> datetime | None:
        """When the work ended."""
        return from_iso(self.stop_time) if self.stop_time else None


def mapping_of(text: str, column: str, rid: str) -> dict[str, Any]:
    """Return the mapping that a column of the store holds as JSON.

    Raises:
        DerivaMLIntegrityError: it holds something else: the store is damaged, or was written to by hand.
    """
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise DerivaMLIntegrityError(
            f"What the store says of {rid} is damaged: {column} is {text[:60]!r}. `deriva-ml check` tells what can be saved."
        )
    return found


def _registered(row: Sequence[Any]) -> Registered:
    values = list(row)
    values[4], values[10] = mapping_of(values[4], "config", values[0]), mapping_of(values[10], "owner", values[0])
    values[5] = ExecutionStatus(values[5])
    values[6] = ExecutionStatus(values[6]) if values[6] else None
    return Registered(*values)


class ExecutionStore:
    """The store of one workspace; safe between threads and after a fork. A ``read_only`` one makes and upgrades nothing."""

    def __init__(self, workspace: Path, *, read_only: bool = False) -> None:
        self.workspace = workspace
        if not read_only:
            _make_folder(workspace)
        self.database = LocalDatabase(workspace / STORE, SCHEMA_STEPS, read_only=read_only)

    def folder(self, rid: str) -> Path:
        """Return the folder of the execution ``rid``."""
        return self.workspace / "executions" / rid

    def register(self, execution: Registered, also: Callable[[apsw.Connection], object] | None = None) -> None:
        """Journal an execution whose RID is leased, before its row goes to the catalog; ``also`` writes in the same transaction."""
        values = [
            json.dumps(dict(value), default=str) if isinstance(value, Mapping) else value
            for value in (getattr(execution, name) for name in Registered.__slots__)
        ]
        with self.database.transaction() as connection:
            connection.execute(f"INSERT INTO executions ({_COLUMNS}) VALUES ({', '.join('?' * len(values))})", values)
            if also is not None:
                also(connection)

    def get(self, rid: str) -> Registered | None:
        """Return the execution ``rid``, or None when this workspace does not know it; a local name leads to its RID."""
        rows = self.select("rid = ?", [rid])
        if not rows and is_local(rid):
            rows = self.select("rid = (SELECT rid FROM aliases WHERE local = ?)", [rid])
        return rows[0] if rows else None

    def require(self, rid: str) -> Registered:
        """Return the execution ``rid``.

        Raises:
            DerivaMLStateInconsistency: this workspace does not know it.
        """
        found = self.get(rid)
        if found is None:
            raise DerivaMLStateInconsistency(
                f"The workspace {self.workspace} has no record of execution {rid}: it was created on another machine, in "
                "another folder (DERIVA_ML_HOME, working_dir), or its record was removed."
            )
        return found

    def rename(
        self, local: str, rid: str, values: Mapping[str, Any], also: Callable[[apsw.Connection], object]
    ) -> None:
        """Give the execution that goes under the name ``local`` its RID, with all that is staged for it; ``local`` stays an alias.

        ``values`` are further columns to set; ``also`` writes in the same transaction, under the RID.
        """
        old, new = str(self.folder(local)), str(self.folder(rid))
        with self.database.transaction() as connection:
            connection.execute("PRAGMA defer_foreign_keys = ON")
            connection.execute("UPDATE executions SET rid = ? WHERE rid = ?", (rid, local))
            for table in _STAGED_TABLES:
                connection.execute(f"UPDATE {table} SET execution = ? WHERE execution = ?", (rid, local))
            connection.execute("UPDATE downloads SET path = replace(path, ?, ?) WHERE execution = ?", (old, new, rid))
            for end in ("parent", "child"):
                connection.execute(f"UPDATE OR REPLACE nestings SET {end} = ? WHERE {end} = ?", (rid, local))
            connection.execute("INSERT INTO aliases (local, rid) VALUES (?, ?)", (local, rid))
            _assign(connection, rid, values)
            also(connection)

    def local_name_of(self, rid: str) -> str | None:
        """Return the name that the execution ``rid`` had before the catalog knew it; None for one that was begun online."""
        found: str | None = self.database.connection().execute("SELECT local FROM aliases WHERE rid = ?", (rid,)).get
        return found

    def current_name(self, name: str) -> str:
        """Return the RID of an execution that had the local name ``name`` here; any other name as it is."""
        found = self.get(name) if is_local(name) else None
        return found.rid if found is not None else name

    def table_of_asset(self, rid: str) -> tuple[str, str] | None:
        """Return schema and table of an asset that some execution of this workspace has brought here; None for another."""
        sql = "SELECT schema, asset_table FROM downloads WHERE rid = ? LIMIT 1"
        found: tuple[str, str] | None = self.database.connection().execute(sql, (rid,)).fetchone()
        return found

    def select(self, condition: str = "1", values: Iterable[Any] = ()) -> list[Registered]:
        """Return the executions that fulfil an SQL condition, newest first."""
        sql = f"SELECT {_COLUMNS} FROM executions WHERE {condition} ORDER BY created_at DESC, rid DESC"
        return [_registered(row) for row in self.database.connection().execute(sql, list(values))]

    def change(
        self,
        rid: str,
        event: Event,
        detail: str | None = None,
        values: Mapping[str, Any] | None = None,
        also: Callable[[apsw.Connection], object] | None = None,
    ) -> tuple[ExecutionStatus, ExecutionStatus]:
        """Let ``event`` happen to ``rid``, reading the state in the transaction that changes it; return was and became.

        ``values`` are further columns to set; ``also`` writes in the same transaction.

        Raises:
            InvalidTransitionError: nothing leads there from the state it has.
        """
        with self.database.transaction() as connection:
            was = self._status(connection, rid)
            became = follow(was, event, rid)
            self._write_state(connection, rid, event, was, became, detail, values or {})
            if also is not None:
                also(connection)
        return was, became

    def complete(
        self, rid: str, detail: str | None, values: Mapping[str, Any], also: Callable[[apsw.Connection], object]
    ) -> None:
        """Let ``rid`` be committed, as :meth:`change` does; somebody who saw it in the catalog may have written the state down already."""
        with self.database.transaction() as connection:
            was = self._status(connection, rid)
            if was is ExecutionStatus.Uploaded:
                _assign(connection, rid, {"detail": detail, **values})
            else:
                became = follow(was, Event.COMMITTED, rid)
                self._write_state(connection, rid, Event.COMMITTED, was, became, detail, values)
            also(connection)

    def adopt(
        self,
        rid: str,
        status: ExecutionStatus,
        detail: str | None,
        also: Callable[[apsw.Connection], object] | None = None,
    ) -> None:
        """Take over the state that the catalog has, as somebody else drove the execution there; ``also`` writes in the same transaction."""
        with self.database.transaction() as connection:
            was = self._status(connection, rid)
            values = {"catalog_status": status.value, **({"error": detail} if status is ExecutionStatus.Failed else {})}
            self._write_state(connection, rid, _end_elsewhere(was, status), was, status, detail, values)
            if also is not None:
                also(connection)

    def annotate(self, rid: str, **values: Any) -> None:
        """Write columns of ``rid`` that are no state."""
        with self.database.transaction() as connection:
            _assign(connection, rid, values)

    def _status(self, connection: apsw.Connection, rid: str) -> ExecutionStatus:
        status = connection.execute("SELECT status FROM executions WHERE rid = ?", (rid,)).get
        if status is None:
            self.refuse_old_name(rid)
        return ExecutionStatus(status)

    def refuse_old_name(self, rid: str) -> None:
        """Refuse a name that an execution had before it came into the catalog.

        Raises:
            DerivaMLStateInconsistency: it goes under its RID now, or this workspace does not know it.
        """
        found = self.require(rid)
        if found.rid != rid:
            raise DerivaMLStateInconsistency(
                f"Execution {rid} is in the catalog now, as {found.rid}: go on with `ml.resume_execution({found.rid!r})`."
            )

    def _write_state(
        self,
        connection: apsw.Connection,
        rid: str,
        event: Event | None,
        was: ExecutionStatus,
        became: ExecutionStatus,
        detail: str | None,
        values: Mapping[str, Any],
    ) -> None:
        moment, detail = iso(now()), detail and written_out(detail)
        connection.execute(
            "INSERT INTO events (execution, event, was, became, detail, at) VALUES (?, ?, ?, ?, ?, ?)",
            (rid, event.value if event else None, was.value, became.value, detail, moment),
        )
        _assign(connection, rid, {"status": became.value, "detail": detail, "last_activity": moment, **values})

    def message(self, rid: str, detail: str | None) -> None:
        """Write the message of ``rid``; its state stays."""
        self.annotate(rid, detail=detail and written_out(detail), last_activity=iso(now()))

    def history(self, rid: str) -> list[tuple[str | None, str, str, str | None, str]]:
        """Return what happened to ``rid``, oldest first: event, was, became, detail, when."""
        sql = "SELECT event, was, became, detail, at FROM events WHERE execution = ? ORDER BY id"
        return list(self.database.connection().execute(sql, (rid,)))

    def unhappy_end(self, rid: str) -> str | None:
        """Return how the run itself ended when it did not end well: its failure, or what is known of its process's end.

        What failed, or was said to have failed, after it had ended is told as well, unless that was an upload.
        """
        told = [
            f"run failed: {how}" if event == Event.FAIL else f"run {how or 'ended without closing'}"
            for event, how in self._ends(rid)
        ]
        return "; ".join(told) or None

    def own_failure(self, rid: str) -> str | None:
        """Return how the run itself failed, and no upload of it; None for one that did not."""
        return next((how for event, how in reversed(self._ends(rid)) if event == Event.FAIL), None)

    def _ends(self, rid: str) -> list[tuple[str, str | None]]:
        """Return the event, and its detail, with which the run ended not well, and that which came after its end; each if there is one."""
        conditions = (
            "was = 'Running' AND event IN ('fail', 'recover')",
            "was != 'Running' AND event = 'fail' AND detail NOT LIKE 'upload failed%'",
        )
        sql = "SELECT event, detail FROM events WHERE execution = ? AND {} ORDER BY id DESC LIMIT 1"
        ask = self.database.connection().execute
        return [row for each in conditions for row in ask(sql.format(each), (rid,))]

    def note(self, rid: str, step: str, **detail: Any) -> None:
        """Append a step to the journal."""
        with self.database.transaction() as connection:
            self.note_in(connection, rid, step, **detail)

    def note_in(self, connection: apsw.Connection, rid: str, step: str, **detail: Any) -> None:
        """Append a step to the journal in the transaction of ``connection``."""
        _journal(connection, rid, step, detail)

    def note_end(self, rid: str, step: str, detail: Mapping[str, Any], told: ExecutionStatus | None) -> None:
        """Append the end of a run to the journal, with the state that the catalog was told, if it was."""
        with self.database.transaction() as connection:
            _journal(connection, rid, step, detail)
            if told is not None:
                _assign(connection, rid, {"catalog_status": told.value})

    def untold(self) -> dict[str, Registered]:
        """Return the executions that have ended, and of which it is not known that the catalog says so, by their RIDs.

        Those that were begun offline are not among them until all of them is in the catalog.
        """
        ended = "status IN ('Stopped', 'Failed', 'Pending_Upload', 'Aborted') AND catalog_status IS NOT status"
        return {found.rid: found for found in self.select(ended) if not is_local(found.rid) and not found.untold}

    def tell(self, states: Iterable[tuple[str, ExecutionStatus]]) -> None:
        """Write down what the catalog says of executions."""
        with self.database.transaction() as connection:
            connection.executemany(
                "UPDATE executions SET catalog_status = ? WHERE rid = ?", [(state.value, rid) for rid, state in states]
            )

    def note_on_the_way(self, rid: str, step: str, **detail: Any) -> None:
        """Append a step of a commit to the journal; durable with the commit's next step, which nothing acknowledged precedes."""
        with self.database.transaction(durable=False) as connection:
            _journal(connection, rid, step, detail)

    def journal(self, rid: str) -> list[tuple[str, dict[str, Any]]]:
        """Return the journal of ``rid``, oldest first: step, detail."""
        sql = "SELECT step, detail FROM journal WHERE execution = ? ORDER BY id"
        return [(step, json.loads(detail)) for step, detail in self.database.connection().execute(sql, (rid,))]

    def take_history(
        self,
        connection: apsw.Connection,
        rid: str,
        history: Iterable[Sequence[Any]],
        inputs: Iterable[Mapping[str, Any]],
    ) -> None:
        """Write what happened to ``rid`` on another machine, oldest first, and which inputs it took there."""
        connection.executemany(
            "INSERT INTO events (execution, event, was, became, detail, at) VALUES (?, ?, ?, ?, ?, ?)",
            [(rid, *event) for event in history],
        )
        for each in inputs:
            _journal(connection, rid, "input", each)

    def take_waiting(
        self, connection: apsw.Connection, rid: str, step: str, details: Iterable[Mapping[str, Any]]
    ) -> None:
        """Write into the journal what another machine had noted under ``step``, unless it is there."""
        known = [detail for found, detail in self.journal(rid) if found == step]
        for each in details:
            if each not in known:
                _journal(connection, rid, step, each)

    def forget(self, connection: apsw.Connection, rid: str) -> None:
        """Remove the record of an execution with everything staged for it."""
        connection.execute("DELETE FROM executions WHERE rid = ?", (rid,))
        connection.execute("DELETE FROM nestings WHERE state != 'waits' AND ? IN (parent, child)", (rid,))


def _end_elsewhere(was: ExecutionStatus, became: ExecutionStatus) -> Event | None:
    """Return what somebody else has let happen to a run, where that is how it ended, not well."""
    if became is ExecutionStatus.Failed and was is not became:
        return Event.FAIL
    return Event.RECOVER if (was, became) == (ExecutionStatus.Running, ExecutionStatus.Pending_Upload) else None


def _make_folder(folder: Path) -> None:
    try:
        make_folder(folder)
    except OSError as error:
        raise DerivaMLReadOnlyError(
            f"The workspace {folder} cannot be made: {error.strerror}. Choose another place with DERIVA_ML_HOME."
        ) from error


def _assign(connection: apsw.Connection, rid: str, values: Mapping[str, Any]) -> None:
    names = ", ".join(f"{name} = ?" for name in values)
    connection.execute(f"UPDATE executions SET {names} WHERE rid = ?", (*values.values(), rid))


def _journal(connection: apsw.Connection, rid: str, step: str, detail: Mapping[str, Any]) -> None:
    connection.execute(
        "INSERT INTO journal (execution, step, detail, at) VALUES (?, ?, ?, ?)",
        (rid, step, json.dumps(dict(detail), default=str), iso(now())),
    )
