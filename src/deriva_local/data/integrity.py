"""What the model promises of the data, checked over whole sets at the end of a statement.

Nothing is declared to SQLite but unique indexes. Nulls and references are checked here, by one query each, so that a
batch may refer to itself, and a refusal can name the constraint.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Sequence

import apsw

from deriva_local.history.versions import quoted
from deriva_local.model.elements import FOREVER, Column, ForeignKey, Key, Table
from deriva_local.store.database import ReadSession
from deriva_local.wire.errors import Refusal, conflict
from deriva_local.wire.types import SQLiteValue

_FAILED = re.compile(r"UNIQUE constraint failed: (.*)")


def listed(width: int) -> str:
    """Return the SELECT over a JSON list of tuples of ``width`` values, to stand behind IN or as a table."""
    if width == 1:
        return "SELECT value AS k0 FROM json_each(?)"
    fields = ", ".join(f"value ->> {place} AS k{place}" for place in range(width))
    return f"SELECT {fields} FROM json_each(?)"


def as_list(tuples: Iterable[Sequence[SQLiteValue]], width: int) -> str:
    """Return the JSON list that :func:`listed` reads."""
    return json.dumps([each[0] for each in tuples] if width == 1 else list(tuples), ensure_ascii=False)


# ------------------------------------------------------------------------------------- the whole table, for new rules


def check_not_null(session: ReadSession, table: Table, column: Column) -> None:
    """Let a column pass that holds no NULL.

    Raises:
        Refusal: 409 when it holds one.
    """
    sql = f"SELECT 1 FROM {quoted(table.physical)} WHERE died = {FOREVER} AND {quoted(column.physical)} IS NULL LIMIT 1"
    if session.connection.execute(sql).fetchone():
        raise _null(table, column)


def check_key(session: ReadSession, table: Table, key: Key) -> None:
    """Let a key pass whose columns hold no combination twice.

    Raises:
        Refusal: 409 when some do.
    """
    columns = [quoted(table.by_rid[rid].physical) for rid in key.columns]
    filled = " AND ".join(f"{column} IS NOT NULL" for column in columns)
    sql = (
        f"SELECT 1 FROM {quoted(table.physical)} WHERE died = {FOREVER} AND {filled} "
        f"GROUP BY {', '.join(columns)} HAVING count(*) > 1 LIMIT 1"
    )
    if session.connection.execute(sql).fetchone():
        raise _twice(table, key)


def check_foreign_key(session: ReadSession, table: Table, foreign_key: ForeignKey) -> None:
    """Let a foreign key pass if all that the table refers to exists.

    Raises:
        Refusal: 409 when something does not.
    """
    columns = [quoted(table.by_rid[rid].physical) for rid in foreign_key.columns]
    sql = f"SELECT DISTINCT {', '.join(columns)} FROM {quoted(table.physical)} WHERE died = {FOREVER}"
    check_references(session, table, foreign_key, session.connection.execute(sql).fetchall())


# --------------------------------------------------------------------------------------------- what a statement wrote


def check_filled(table: Table, columns: Sequence[Column], values: Sequence[Collection[SQLiteValue]]) -> None:
    """Let values pass that are NULL only where they may.

    Raises:
        Refusal: 409 when a column that needs values has a NULL.
    """
    for column, each in zip(columns, values, strict=True):
        if not column.nullok and None in each:
            raise _null(table, column)


def check_references(
    session: ReadSession, table: Table, foreign_key: ForeignKey, tuples: Iterable[Sequence[SQLiteValue]]
) -> None:
    """Let references of ``table`` pass whose targets exist; one with a NULL in it refers to nothing.

    Raises:
        Refusal: 409 when a target does not exist.
    """
    wanted = [each for each in tuples if None not in each]
    if not wanted:
        return
    missing = _missing(session, foreign_key, wanted)
    if missing is not None:
        target = session.model.table_by_rid[foreign_key.referenced_table]
        names = ", ".join(table.by_rid[rid].name for rid in foreign_key.columns)
        raise conflict(
            f"Foreign key '{foreign_key.name}' of table '{table.name}' is violated: "
            f"({names}) = ({', '.join(map(str, missing))}) does not exist in table '{target.name}'."
        )


def _missing(
    session: ReadSession, foreign_key: ForeignKey, wanted: Sequence[Sequence[SQLiteValue]]
) -> Sequence[SQLiteValue] | None:
    """Return one of the tuples that the referenced table does not hold, or None."""
    target, width = session.model.table_by_rid[foreign_key.referenced_table], len(foreign_key.columns)
    columns = [quoted(target.by_rid[rid].physical) for rid in foreign_key.referenced_columns]
    if len(wanted) == 1:
        there = " AND ".join(f"{column} = ?" for column in columns)
        sql = f"SELECT 1 FROM {quoted(target.physical)} WHERE died = {FOREVER} AND {there} LIMIT 1"
        found = session.connection.execute(sql, tuple(wanted[0])).fetchone()
        return None if found else wanted[0]
    same = " AND ".join(f"T.{column} = W.k{place}" for place, column in enumerate(columns))
    sql = (
        f"SELECT W.* FROM ({listed(width)}) AS W WHERE NOT EXISTS "
        f"(SELECT 1 FROM {quoted(target.physical)} AS T WHERE T.died = {FOREVER} AND {same}) LIMIT 1"
    )
    row: Sequence[SQLiteValue] | None = session.connection.execute(sql, (as_list(wanted, width),)).fetchone()
    return row


def key_violation(table: Table, error: apsw.ConstraintError) -> Refusal:
    """Return what to say when SQLite found a key of ``table`` violated."""
    found = _FAILED.search(str(error))
    named = {part.rpartition(".")[2] for part in found[1].split(", ")} - {"died"} if found else set()
    for key in table.keys:
        if {table.by_rid[rid].physical for rid in key.columns} == named:
            return _twice(table, key)
    return conflict(f"The rows contradict a key of table '{table.name}'.")


def _twice(table: Table, key: Key) -> Refusal:
    names = ", ".join(table.by_rid[rid].name for rid in key.columns)
    return conflict(f"Key '{key.name}' of table '{table.name}' is violated: a value of ({names}) occurs twice.")


def _null(table: Table, column: Column) -> Refusal:
    return conflict(f"Column '{column.name}' of table '{table.name}' must have a value in every row.")
