"""What the SQLite file of one catalog holds, and how a change of the model is carried out in it.

moment    one row per transaction: its time, the time of the last change of the model, the next RID
element   the records of the model through time (born, died), as :mod:`deriva_local.model.records` writes them
serial    the next number of each serial column
fact      what else is known of this file
t<RID>    one table per table of the catalog (:mod:`deriva_local.history.versions`)
"""

from __future__ import annotations

from typing import Any

import apsw

from deriva_local.history import versions
from deriva_local.model.changes import Alteration, Changes
from deriva_local.model.elements import FOREVER, Key, Model, Table
from deriva_local.model.records import Record, assemble
from deriva_local.store.formats import Step, script

SCHEMA = """
CREATE TABLE moment (time INTEGER PRIMARY KEY, model INTEGER NOT NULL, next_rid INTEGER NOT NULL);
CREATE TABLE element (
    rid TEXT NOT NULL, kind TEXT NOT NULL, parent TEXT NOT NULL, doc TEXT NOT NULL,
    born INTEGER NOT NULL, died INTEGER NOT NULL, PRIMARY KEY (died, rid)
) WITHOUT ROWID;
CREATE TABLE serial (rid TEXT PRIMARY KEY, next INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE fact (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
"""

STEPS: tuple[Step, ...] = (script(SCHEMA),)
"""What makes the oldest format, and what brings each further one up to date. The number of steps is the format of a file."""

ANALYZE = "ANALYZE; CREATE TABLE IF NOT EXISTS stale (x); DROP TABLE stale"
"""Tell the query planner of the sizes of tables; the change of schema makes all connections read them."""

_LIVE = f"SELECT rid, kind, parent, doc FROM element WHERE died = {FOREVER}"
_PAST = "SELECT rid, kind, parent, doc FROM element WHERE died > ?1 AND born <= ?1"


AMENDED = "amended"
"""The fact that tells when the past was last amended."""


def amended(connection: apsw.Connection) -> int | None:
    """Return the time of the last amendment of history, if there was one."""
    row: Any = connection.execute("SELECT value FROM fact WHERE name = ?", (AMENDED,)).fetchone()
    return None if row is None else int(row[0])


def load_model(connection: apsw.Connection, model_time: int, live: bool) -> Model:
    """Return the model as the last change at ``model_time`` left it."""
    rows = connection.execute(_LIVE) if live else connection.execute(_PAST, (model_time,))
    return assemble(model_time, (Record(*row) for row in rows))


def dropped_tables(connection: apsw.Connection) -> list[tuple[str, int]]:
    """Return the RIDs of tables that were dropped and are still in history, with the moment of their end."""
    rows: list[Any] = connection.execute(
        "SELECT rid, max(died) AS died FROM element WHERE kind = 'table' AND rid NOT IN "
        f"(SELECT rid FROM element WHERE died = {FOREVER}) GROUP BY rid"
    ).fetchall()
    return [(rid, died) for rid, died in rows]


def write_records(connection: apsw.Connection, changes: Changes, now: int) -> None:
    """Bring the stored records up to date; what was there before ``now`` stays readable at its time."""
    gone = [*changes.retired, *(record.rid for record in changes.written)]
    for statement in versions.retire("element", "rid = ?2"):
        connection.executemany(statement, [(now, rid) for rid in gone])
    connection.executemany(
        f"INSERT INTO element (rid, kind, parent, doc, born, died) VALUES (?, ?, ?, ?, ?, {FOREVER})",
        [(record.rid, record.kind, record.parent, record.doc, now) for record in changes.written],
    )


def create_tables(connection: apsw.Connection, changes: Changes) -> None:
    """Create the physical tables of new tables."""
    for table in changes.tables:
        run(connection, versions.create_table(table))


def physical_columns(connection: apsw.Connection, table: Table) -> list[str]:
    """Return the columns that the table has in SQLite, those of dropped columns included, without the hidden ones."""
    rows = connection.execute("SELECT name FROM pragma_table_info(?)", (table.physical,))
    return [name for (name,) in rows if name not in versions.HIDDEN]


def loosen(connection: apsw.Connection, alteration: Alteration) -> None:
    """Drop the indexes of keys and foreign keys that are gone."""
    for key in alteration.gone_keys:
        run(
            connection,
            [versions.drop_index(versions.key_index(key.rid)), versions.drop_index(versions.past_index(key.rid))],
        )
    run(
        connection, [versions.drop_index(versions.foreign_key_index(link.rid)) for link in alteration.gone_foreign_keys]
    )


def widen(connection: apsw.Connection, alteration: Alteration) -> None:
    """Add the new columns of a table; a new foreign key gets its index."""
    if alteration.columns:
        present = physical_columns(connection, alteration.after)
        added = [column.physical for column in alteration.columns]
        run(connection, versions.add_columns(alteration.after, present, added))
    run(connection, versions.create_foreign_keys(alteration.after, alteration.foreign_keys))


def tighten(connection: apsw.Connection, table: Table, key: Key) -> None:
    """Give a new key its index; it must hold for the rows alive, and need not for those of the past."""
    connection.execute("SAVEPOINT tighten")
    try:
        connection.execute(versions.create_key(table, key))
    except apsw.ConstraintError:
        connection.execute("ROLLBACK TO tighten")
        run(connection, versions.create_live_key(table, key))
    connection.execute("RELEASE tighten")


def run(connection: apsw.Connection, statements: list[str]) -> None:
    for statement in statements:
        connection.execute(statement)
