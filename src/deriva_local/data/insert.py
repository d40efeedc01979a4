"""Inserts the rows of a request: system columns, defaults, keys, references.

A whole batch is one statement: it is stored as a whole or not at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import NamedTuple

import apsw

from deriva_local.data.changes import default_value
from deriva_local.data.intake import Field, Values, check_header, read_columns
from deriva_local.data.integrity import as_list, check_filled, check_references, key_violation
from deriva_local.data.leases import check_leases, end_leases
from deriva_local.history.versions import quoted
from deriva_local.model.elements import FOREVER, Column, Table
from deriva_local.model.kept import Kept
from deriva_local.store.database import WriteSession
from deriva_local.wire.crockford import decode, encode
from deriva_local.wire.errors import bad_request, conflict, forbidden
from deriva_local.wire.tabular import Rows
from deriva_local.wire.types import SQLiteValue

_TEMPLATED_TYPES = frozenset({"ermrest_uri", "ermrest_curie"})
_TEMPLATED_NAMES = frozenset({"id", "ID", "uri", "URI"})


@dataclass(frozen=True, slots=True)
class InsertOptions:
    """What the query of an insert asks for.

    ``defaults`` names the columns that take their default, whatever the rows say; ``given`` the system columns that
    the rows bring along; ``skip_conflicts`` leaves out rows that contradict a key, instead of refusing all.
    ``closed`` are columns that the client may not write, and which take their defaults as well; a client who is not
    the owner must have leased the RIDs that it brings along (``leased``).
    """

    defaults: frozenset[str] = frozenset()
    given: frozenset[str] = frozenset()
    skip_conflicts: bool = False
    closed: frozenset[str] = frozenset()
    leased: bool = False


def insert(session: WriteSession, table: Table, rows: Rows, options: InsertOptions) -> list[str]:
    """Insert rows and return the RIDs of those that were stored.

    Raises:
        Refusal: 400 for malformed rows, 403 for system columns that nobody may write, 409 for rows that contradict
            the model or the data.
    """
    fields = _brought(table, options)
    check_header(rows, table.by_name)
    session.data_changed()
    values = dict(zip([field.column.rid for field in fields], read_columns(rows, fields), strict=True))
    brought = [str(rid) for rid in values.get(table.by_name["RID"].rid, ()) if rid is not None]
    if options.leased:
        check_leases(session, brought)
    stored = store(session, table, values, len(rows.rows), options)
    if options.leased:
        end_leases(session, sorted(set(stored).intersection(brought)))
    return stored


def store(
    session: WriteSession, table: Table, values: Mapping[str, Values], count: int, options: InsertOptions
) -> list[str]:
    """Store ``count`` rows, given as stored values by the RID of their column; other columns take their defaults.

    Raises:
        Refusal: as :func:`insert`.
    """
    if not count:
        return []
    form = _form(table, options.skip_conflicts)
    refuse_doubles([values[rid] for rid in form.key_columns if rid in values])
    rids = _rids(session, values.get(table.by_name["RID"].rid), count)
    complete = [_column_values(session, column, values.get(column.rid), rids) for column in table.columns]
    check_filled(table, table.columns, [each if isinstance(each, list) else () for each in complete])
    written = _write(session, table, form.insert, complete)
    stored = rids if written == count else _stored(session, form.stored, rids)
    _check_references(session, table, complete, None if len(stored) == count else set(stored), rids)
    return stored


def refuse_doubles(columns: Sequence[Values]) -> None:
    """Let rows pass that differ in the given columns; a NULL differs from everything.

    Raises:
        Refusal: 400 when two rows have the same values.
    """
    if not columns or len(columns[0]) < 2:
        return
    filled = [row for row in zip(*columns, strict=True) if None not in row]
    if len(set(filled)) < len(filled):
        raise bad_request("Two of the rows have the same key.")


def _fields(table: Table, options: InsertOptions) -> list[Field]:
    """Return the columns that the rows must bring along."""
    for name in options.defaults | options.given:
        if name not in table.by_name:
            raise conflict(f"Column '{name}' does not exist in table '{table.name}'.")
    for name in ("RMT", "RMB"):
        if name in options.given:
            raise forbidden(f"Column '{name}' can only be set by the service.")
    brought = [column for column in table.columns if _is_brought(column, options)]
    if not brought:
        raise conflict("At least one column must be given: a row cannot consist of defaults alone.")
    return [Field(column.name, column) for column in brought]


_brought = Kept(_fields)


def _is_brought(column: Column, options: InsertOptions) -> bool:
    if column.is_system:
        return column.name in options.given
    return column.name not in options.defaults and column.name not in options.closed


class _Form(NamedTuple):
    """How rows of a table are inserted: the columns of its keys, and the statements that store rows and tell which are stored."""

    key_columns: tuple[str, ...]
    insert: str
    stored: str


def _form_of(table: Table, skip_conflicts: bool) -> _Form:
    names = ", ".join(quoted(column.physical) for column in table.columns)
    marks = ", ".join("?" * len(table.columns))
    verb = "INSERT OR IGNORE" if skip_conflicts else "INSERT"
    return _Form(
        tuple(dict.fromkeys(rid for key in table.keys for rid in key.columns)),
        f"{verb} INTO {quoted(table.physical)} ({names}, born, died) VALUES ({marks}, ?, {FOREVER})",
        f"SELECT T.RID FROM json_each(?) AS J CROSS JOIN {quoted(table.physical)} AS T ON T.died = {FOREVER} "
        "AND T.RID = J.value WHERE T.born = ? ORDER BY J.key",
    )


_form = Kept(_form_of)


def _rids(session: WriteSession, given: Values | None, count: int) -> list[str]:
    """Return the RIDs of the new rows: those given, and new ones where none is."""
    if given is None:
        return [encode(number) for number in session.allocate_rids(count)]
    try:
        numbers = [decode(str(rid)) for rid in given if rid is not None]
    except ValueError as bad:
        raise conflict(str(bad)) from None
    if numbers:
        session.advance_rids(max(numbers))
    fresh = iter(session.allocate_rids(count - len(numbers)))
    return [encode(next(fresh)) if rid is None else str(rid) for rid in given]


def _column_values(
    session: WriteSession, column: Column, given: Values | None, rids: list[str]
) -> Values | repeat[SQLiteValue]:
    """Return what all rows have in one column: as a list, or as one value without end."""
    if column.name == "RID":
        return list(rids)
    if column.is_system:
        stamp = session.now if column.name in ("RCT", "RMT") else session.client.id
        return repeat(stamp) if given is None else [stamp if value is None else value for value in given]
    values = _defaults(session, column, len(rids)) if given is None else given
    if column.type.name in _TEMPLATED_TYPES and column.name in _TEMPLATED_NAMES:
        return [_filled_in(value, rid) for value, rid in zip(values, rids, strict=True)]
    return values


def _defaults(session: WriteSession, column: Column, count: int) -> Values:
    if column.type.name.startswith("serial"):
        return list(session.allocate_serials(column.rid, count))
    return [default_value(column)] * count


def _filled_in(value: SQLiteValue, rid: str) -> SQLiteValue:
    return value.replace("{RID}", rid) if isinstance(value, str) else value


def _write(session: WriteSession, table: Table, statement: str, values: Sequence[Iterable[SQLiteValue]]) -> int:
    """Store rows; return how many were stored, where conflicts are passed over."""
    before = session.connection.total_changes()
    try:
        session.connection.executemany(statement, zip(*values, repeat(session.now), strict=False))
    except apsw.ConstraintError as error:
        raise key_violation(table, error) from error
    return session.connection.total_changes() - before


def _stored(session: WriteSession, question: str, rids: list[str]) -> list[str]:
    """Return those of the RIDs, each once, whose rows were born in this transaction."""
    found = session.connection.execute(question, (as_list([(rid,) for rid in rids], 1), session.now))
    return list(dict.fromkeys(rid for (rid,) in found))


def _check_references(
    session: WriteSession,
    table: Table,
    values: Sequence[Iterable[SQLiteValue]],
    stored: set[str] | None,
    rids: list[str],
) -> None:
    """Check what the new rows refer to; the client of this transaction is known to exist."""
    by_rid = dict(zip([column.rid for column in table.columns], values, strict=True))
    for foreign_key in table.foreign_keys:
        columns = [by_rid[rid] for rid in foreign_key.columns]
        if all(isinstance(column, repeat) for column in columns):
            continue
        tuples = zip(*columns, strict=False)
        if stored is None:
            wanted = set(tuples)
        else:
            wanted = {each for each, rid in zip(tuples, rids, strict=False) if rid in stored}
        check_references(session, table, foreign_key, wanted)
