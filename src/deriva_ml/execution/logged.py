"""What one run has logged: its parameters, and its metrics line by line. Every method that returns has its change on the disk."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import apsw
from pydantic_core import to_json

from deriva_ml.clock import iso, now
from deriva_ml.db import LocalDatabase, unrecorded
from deriva_ml.errors import DerivaMLValidationError
from deriva_ml.names import check_text

_STATUS = "SELECT status FROM executions WHERE rid = ?"
_ADD_METRICS = (
    "INSERT INTO metrics (execution, number, step, record, at) VALUES (?1, {number}, ?2, "
    "CASE WHEN EXISTS (SELECT 1 FROM executions WHERE rid = ?1 AND status = 'Aborted') THEN NULL ELSE ?3 END, ?4{more}"
)
"""A record must not be NULL: nothing is logged for a run that was given up, and that costs no question of its own."""
_ADD_AT = _ADD_METRICS.format(number="?5", more=")")
_ADD_LAST = _ADD_METRICS.format(
    number="1 + coalesce((SELECT max(number) FROM metrics WHERE execution = ?1), 0)", more=") RETURNING number"
)
"""Asking for the last number takes as long as all the rest of the statement: it is asked for once."""


def as_text(value: Any) -> str:
    """Return ``value`` as the store keeps it: JSON, in which what is not JSON is text, and NaN is NaN."""
    try:
        return to_json(value, fallback=str, inf_nan_mode="constants").decode()
    except ValueError:  # half a character, as file names may hold it
        return json.dumps(value, default=str)


class Logged:
    """What the execution ``rid`` has logged."""

    def __init__(self, database: LocalDatabase, rid: str) -> None:
        self.database = database
        self.rid = rid
        self._numbers: Iterator[int] | None = None
        """The numbers of the next lines of metrics, where this thread wrote the last one."""

    def refuse_given_up(self) -> None:
        """Refuse to stage for a run that was given up, or is not known any more: nothing of it would ever be committed.

        Raises:
            DerivaMLValidationError: the execution is Aborted.
            DerivaMLStateInconsistency: its record was removed, or goes under another name now.
        """
        status = self.database.connection().execute(_STATUS, (self.rid,)).get
        if status is None:
            raise unrecorded(self.database.path)
        if status == "Aborted":
            raise DerivaMLValidationError(
                f"Execution {self.rid} is Aborted: what is staged now would never be committed. Begin another execution."
            )

    # ----------------------------------------------------------------------------------------------------- parameters

    def set_parameters(self, values: Mapping[str, Any]) -> None:
        """Write parameters, all or none.

        Raises:
            DerivaMLValidationError: one has another value already; a run has one value of each.
        """
        self.refuse_given_up()
        for name in values:
            check_text(name, "parameter")
        moment = iso(now())
        with self.database.transaction() as connection:
            rows = connection.execute("SELECT name, value FROM parameters WHERE execution = ?", (self.rid,))
            known = {str(name): str(value) for name, value in rows}
            texts = {name: json.dumps(value, sort_keys=True, default=str) for name, value in values.items()}
            changed = [
                f"{name} = {known[name]} (now {text})" for name, text in texts.items() if known.get(name, text) != text
            ]
            if changed:
                raise DerivaMLValidationError(
                    f"A run has one value of each parameter, and has these already: {'; '.join(changed)}."
                )
            connection.executemany(
                "INSERT INTO parameters (execution, name, value, at) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
                [(self.rid, name, text, moment) for name, text in texts.items()],
            )

    def hold_parameters(self, connection: apsw.Connection, values: Mapping[str, Any], entry: str) -> None:
        """Write parameters that the file ``entry`` holds already."""
        connection.executemany(
            "INSERT INTO parameters (execution, name, value, entry, at) VALUES (?, ?, ?, ?, ?)",
            [
                (self.rid, name, json.dumps(value, sort_keys=True, default=str), entry, iso(now()))
                for name, value in values.items()
            ],
        )

    def take_parameters(self, connection: apsw.Connection, values: Mapping[str, Any]) -> None:
        """Write parameters that came from elsewhere with the file that holds them; those that are there already stay."""
        connection.executemany(
            "INSERT INTO parameters (execution, name, value, entry, at) VALUES (?, ?, ?, 'sealed', ?) ON CONFLICT DO NOTHING",
            [(self.rid, name, json.dumps(value, sort_keys=True), iso(now())) for name, value in values.items()],
        )

    def parameters(self, *, pending: bool = False) -> dict[str, Any]:
        """Return the parameters; with ``pending`` those only that no committed file holds yet."""
        only = " AND entry IS NULL" if pending else ""
        sql = f"SELECT name, value FROM parameters WHERE execution = ?{only} ORDER BY at, name"
        return {name: json.loads(value) for name, value in self.database.connection().execute(sql, (self.rid,))}

    def add_metrics(self, step: Any, record: Mapping[str, Any]) -> None:
        """Write one line of metrics.

        Raises:
            DerivaMLValidationError: the execution is Aborted.
        """
        values = (self.rid, None if step is None else as_text(step), as_text(record), iso(now()))
        numbers, self._numbers = self._numbers, None  # until it has gone well; another thread asks meanwhile
        try:
            if numbers is None or not self._is_added(numbers, values):
                numbers = itertools.count(
                    1 + self.database.write_together(lambda store: int(store.execute(_ADD_LAST, values).get))
                )
        except apsw.ConstraintError:
            self.refuse_given_up()
            raise
        self._numbers = numbers

    def _is_added(self, numbers: Iterator[int], values: Sequence[object]) -> bool:
        """Write a line of metrics with the next number; say False where another thread or process has written one."""
        try:
            self.database.write_one(_ADD_AT, (*values, next(numbers)))
        except apsw.ConstraintError:
            return False
        return True

    def metrics(self, *, pending: bool = False) -> list[dict[str, Any]]:
        """Return the lines of metrics, oldest first; with ``pending`` those only that no committed file holds yet."""
        only = " AND entry IS NULL" if pending else ""
        sql = f"SELECT record FROM metrics WHERE execution = ?{only} ORDER BY number"
        return [json.loads(record) for (record,) in self.database.connection().execute(sql, (self.rid,))]

    def unheld(self, kind: str) -> dict[Any, str]:
        """Return what was logged (``kind``: parameters or metrics) and no committed file holds yet: names or numbers, and texts."""
        return self.held(kind, None)

    def held(self, kind: str, key: str | None) -> dict[Any, str]:
        """Return what was logged and is held by the file with the key ``key``: names or numbers, and texts."""
        name, text, order = ("name", "value", "at, name") if kind == "parameters" else ("number", "record", "number")
        sql = f"SELECT {name}, {text} FROM {kind} WHERE execution = ? AND entry IS ? ORDER BY {order}"
        return dict(self.database.connection().execute(sql, (self.rid, key)))

    def mark_held(self, connection: apsw.Connection, kind: str, names: Iterable[Any], key: str) -> None:
        """Mark that the file with the key ``key`` holds what was logged under these names or numbers."""
        column = "name" if kind == "parameters" else "number"
        connection.executemany(
            f"UPDATE {kind} SET entry = ? WHERE execution = ? AND {column} = ? AND entry IS NULL",
            ((key, self.rid, name) for name in names),
        )
