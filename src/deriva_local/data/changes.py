"""Carries out updates and deletes of live rows with everything that follows from them through foreign keys.

A statement calls :meth:`Changes.delete` and :meth:`Changes.update`, then once :meth:`Changes.settle`, which works off
what each change did to the keys that other tables refer to, and in the end checks what must hold.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import NamedTuple, TypeAlias

import apsw

from deriva_local.data.integrity import as_list, check_filled, check_references, key_violation, listed
from deriva_local.history.versions import quoted, remove
from deriva_local.model.elements import FOREVER, Column, ForeignKey, Table
from deriva_local.store.database import WriteSession
from deriva_local.wire.errors import Refusal, conflict
from deriva_local.wire.types import SQLiteValue, codec

Row: TypeAlias = tuple[SQLiteValue, ...]
KeyValue: TypeAlias = tuple[SQLiteValue, ...]


class Moved(NamedTuple):
    """Key values that a table no longer has, each with the value that took its place, or None if the row is gone."""

    foreign_key: ForeignKey
    pairs: list[tuple[KeyValue, KeyValue | None]]


class Changes:
    """The changes of one statement in one transaction.

    Example::

        changes = Changes(session)
        changes.delete(table, ["1-E"])
        changes.settle()
    """

    def __init__(self, session: WriteSession) -> None:
        self.session = session
        self.model = session.model
        self.connection = session.connection
        self._moved: deque[Moved] = deque()
        self._promised: list[Moved] = []
        self._written: list[tuple[Table, ForeignKey, list[str]]] = []

    def delete(self, table: Table, rids: Sequence[str]) -> None:
        """Delete live rows."""
        for foreign_key in self.model.referenced_by.get(table.rid, ()):
            gone = self._key_values(table, foreign_key.referenced_columns, rids).values()
            self._move(foreign_key, [(value, None) for value in dict.fromkeys(gone)])
        chosen = as_list([(rid,) for rid in rids], 1)
        for statement in remove(table, "RID IN (SELECT value FROM json_each(?2))"):
            self.connection.execute(statement, (self.session.now, chosen))

    def update(self, table: Table, columns: Sequence[Column], rows: Sequence[tuple[str, Row]]) -> None:
        """Give live rows, by RID, new values of ``columns``; RMT and RMB follow.

        Raises:
            Refusal: 409 for a NULL where there must be a value, and for a key that is no longer unique.
        """
        if not rows:
            return
        check_filled(table, columns, list(zip(*[values for _, values in rows], strict=True)))
        assigned, rids = {column.rid for column in columns}, [rid for rid, _ in rows]
        referring = [
            key for key in self.model.referenced_by.get(table.rid, ()) if assigned & set(key.referenced_columns)
        ]
        before = [self._key_values(table, key.referenced_columns, rids) for key in referring]
        self._write(table, columns, rows)
        for key, old in zip(referring, before, strict=True):
            new = self._key_values(table, key.referenced_columns, rids)
            self._move(key, [(value, new[rid]) for rid, value in old.items() if new[rid] != value])
        self._written += [(table, key, rids) for key in table.foreign_keys if assigned & set(key.columns)]

    def settle(self) -> None:
        """Carry out what follows, and check what must hold at the end of the statement.

        Raises:
            Refusal: 409 naming the foreign key that is violated.
        """
        while self._moved:
            self._follow(self._moved.popleft())
        for moved in self._promised:
            self._check_unreferenced(moved)
        for table, foreign_key, rids in self._written:
            values = self._key_values(table, foreign_key.columns, rids).values()
            check_references(self.session, table, foreign_key, set(values))

    # ---------------------------------------------------------------------------------------------------- writing

    def _write(self, table: Table, columns: Sequence[Column], rows: Sequence[tuple[str, Row]]) -> None:
        stamps = {"RMT": self.session.now, "RMB": self.session.client.id, "born": self.session.now}
        for column in columns:
            stamps.pop(column.physical, None)
        assignments = [f"{quoted(column.physical)} = ?" for column in columns]
        assignments += [f"{name} = ?" for name in stamps]
        sql = f"UPDATE {quoted(table.physical)} SET {', '.join(assignments)} WHERE died = {FOREVER} AND RID = ?"
        same = tuple(stamps.values())
        try:
            self.connection.executemany(sql, [(*values, *same, rid) for rid, values in rows])
        except apsw.ConstraintError as error:
            raise key_violation(table, error) from error

    def _key_values(self, table: Table, columns: Sequence[str], rids: Sequence[str]) -> dict[str, KeyValue]:
        """Return the values that live rows have in some columns, by RID."""
        names = ", ".join(quoted(table.by_rid[rid].physical) for rid in columns)
        sql = (
            f"SELECT RID, {names} FROM {quoted(table.physical)} "
            f"WHERE died = {FOREVER} AND RID IN (SELECT value FROM json_each(?))"
        )
        return {row[0]: row[1:] for row in self.connection.execute(sql, (as_list([(rid,) for rid in rids], 1),))}

    # -------------------------------------------------------------------------------------------------- following

    def _move(self, foreign_key: ForeignKey, pairs: Iterable[tuple[KeyValue, KeyValue | None]]) -> None:
        filled = [pair for pair in pairs if None not in pair[0]]
        if filled:
            self._moved.append(Moved(foreign_key, filled))

    def _follow(self, moved: Moved) -> None:
        """Do to the rows that refer to moved keys what their foreign key says."""
        foreign_key, deleted = moved.foreign_key, moved.pairs[0][1] is None
        action = foreign_key.on_delete if deleted else foreign_key.on_update
        if action == "NO ACTION":
            self._promised.append(moved)
            return None
        table = self.model.table_by_rid[foreign_key.table]
        referring = self._referring(table, moved)
        if not referring:
            return None
        if action == "RESTRICT":
            raise self._still_used(moved, referring[0][1])
        if action == "CASCADE" and deleted:
            return self.delete(table, [rid for rid, _ in referring])
        columns = [table.by_rid[rid] for rid in foreign_key.columns]
        if action == "CASCADE":
            successors = dict(moved.pairs)
            self.update(table, columns, [(rid, successors[value] or ()) for rid, value in referring])
        else:
            fallback = tuple(None if action == "SET NULL" else default_value(column) for column in columns)
            self.update(table, columns, [(rid, fallback) for rid, _ in referring])
        return None

    def _referring(self, table: Table, moved: Moved) -> list[tuple[str, KeyValue]]:
        """Return the RIDs of the live rows that refer to moved keys, each with the key."""
        columns = [quoted(table.by_rid[rid].physical) for rid in moved.foreign_key.columns]
        names, width = ", ".join(columns), len(columns)
        chosen = names if width == 1 else f"({names})"
        sql = f"SELECT RID, {names} FROM {quoted(table.physical)} WHERE died = {FOREVER} AND {chosen} IN ({listed(width)})"
        values = as_list([old for old, _ in moved.pairs], width)
        return [(row[0], row[1:]) for row in self.connection.execute(sql, (values,))]

    def _check_unreferenced(self, moved: Moved) -> None:
        """Let moved keys pass that nothing refers to any more, or that exist again."""
        table = self.model.table_by_rid[moved.foreign_key.table]
        referring = {value for _, value in self._referring(table, moved)}
        if not referring:
            return
        try:
            check_references(self.session, table, moved.foreign_key, referring)
        except Refusal as missing:
            raise self._still_used(moved, next(iter(referring))) from missing

    def _still_used(self, moved: Moved, value: KeyValue) -> Refusal:
        table = self.model.table_by_rid[moved.foreign_key.table]
        target = self.model.table_by_rid[moved.foreign_key.referenced_table]
        names = ", ".join(target.by_rid[rid].name for rid in moved.foreign_key.referenced_columns)
        return conflict(
            f"Foreign key '{moved.foreign_key.name}' is violated: table '{table.name}' still refers to "
            f"({names}) = ({', '.join(map(str, value))}) of table '{target.name}'."
        )


def default_value(column: Column) -> SQLiteValue:
    """Return the stored form of a column's constant default."""
    return None if column.default is None else codec(column.type).from_json(column.default)
