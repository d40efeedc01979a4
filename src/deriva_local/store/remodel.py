"""Carry out a change of the model: the records, the tables in SQLite, and the rows that the change touches.

What lies between the old model and the new one says what to do. Everything happens inside the caller's transaction:
if one row stands against it, nothing has happened.
"""

from __future__ import annotations

from dataclasses import replace

from deriva_local.data.integrity import check_foreign_key, check_key, check_not_null
from deriva_local.history.versions import forget_versions, is_captured, keep_versions, quoted
from deriva_local.model.changes import Alteration, compare
from deriva_local.model.elements import FOREVER, Column, Model, Table
from deriva_local.store import layout
from deriva_local.store.database import WriteSession
from deriva_local.wire.errors import conflict
from deriva_local.wire.types import codec


def carry_out(session: WriteSession, model: Model) -> None:
    """Make ``model`` the model of the catalog from this transaction on.

    Raises:
        Refusal: 409 if rows break a new key, foreign key or not-null, or cannot be converted to a new type.
    """
    old = session.model
    changes = compare(old, model)
    layout.write_records(session.connection, changes, session.now)
    session.model = replace(model, snaptime=session.now)
    for alteration in changes.altered:
        layout.loosen(session.connection, alteration)
    layout.create_tables(session.connection, changes)
    for alteration in changes.altered:
        _alter(session, alteration)
    for alteration in changes.altered:
        for link in alteration.foreign_keys:
            check_foreign_key(session, alteration.after, link)
    for table in model.tables():
        before = old.table_by_rid.get(table.rid)
        if before is not None and is_captured(before) != is_captured(table):
            _switch_capture(session, table)
    session.model_changed()


def _switch_capture(session: WriteSession, table: Table) -> None:
    """Begin or end the recording of a table: its rows are closed for the snapshots before, and begin anew."""
    columns = layout.physical_columns(session.connection, table)
    begin_anew = f"UPDATE {quoted(table.physical)} SET born = ? WHERE died = {FOREVER} AND born < ?"
    session.connection.execute(begin_anew, (session.now, session.now))
    change = keep_versions(table.physical, columns) if is_captured(table) else forget_versions(table.physical)
    layout.run(session.connection, [change])


def _alter(session: WriteSession, alteration: Alteration) -> None:
    table = alteration.after
    layout.widen(session.connection, alteration)
    for column in alteration.columns:
        _fill(session, table, column)
    for old, new in alteration.retyped:
        _convert(session, table, old, new)
    for column in (*alteration.required, *(column for column in alteration.columns if not column.nullok)):
        check_not_null(session, table, column)
    for key in alteration.keys:
        check_key(session, table, key)
        layout.tighten(session.connection, table, key)


def _fill(session: WriteSession, table: Table, column: Column) -> None:
    """Give the rows that are there the default of a new column, as a change of theirs that history shows."""
    name = quoted(table.physical)
    if column.type.name.startswith("serial"):
        rids = session.connection.execute(f"SELECT RID FROM {name} WHERE died = {FOREVER} ORDER BY RID").fetchall()
        numbers = session.allocate_serials(column.rid, len(rids))
        rows = [(number, rid) for number, (rid,) in zip(numbers, rids, strict=True)]
        session.connection.executemany(_filling(table, column) + " AND RID = ?", [(*_stamp(session), *r) for r in rows])
    elif column.default is not None:
        value = codec(column.type).from_json(column.default)
        session.connection.execute(_filling(table, column), (*_stamp(session), value))


def _filling(table: Table, column: Column) -> str:
    return (
        f"UPDATE {quoted(table.physical)} SET born = ?, RMT = ?, RMB = ?, {quoted(column.physical)} = ? "
        f"WHERE died = {FOREVER}"
    )


def _stamp(session: WriteSession) -> tuple[int, int, str]:
    return session.now, session.now, session.client.id


def _convert(session: WriteSession, table: Table, old: Column, new: Column) -> None:
    """Rewrite the values of a column that has another type now; RMT stays, as nobody changed the rows."""
    name, column = quoted(table.physical), quoted(new.physical)
    distinct = f"SELECT DISTINCT {column} FROM {name} WHERE died = {FOREVER} AND {column} IS NOT NULL"
    changed = []
    for (value,) in session.connection.execute(distinct).fetchall():
        converted = _converted(value, old, new)
        if converted != value or type(converted) is not type(value):
            changed.append((session.now, converted, value))
    update = f"UPDATE {name} SET born = ?, {column} = ? WHERE died = {FOREVER} AND {column} IS ?"
    session.connection.executemany(update, changed)


def _converted(value: object, old: Column, new: Column) -> object:
    source = codec(old.type)
    text = source.to_match(value) if old.type.storage.name == "boolean" else source.to_csv(value)
    try:
        return codec(new.type).from_text(text or "")
    except ValueError as error:
        raise conflict(
            f"Column '{new.name}' holds a value that cannot become {new.type.name}: {error} Nothing was changed."
        ) from error
