"""Runs queries and writes their rows as JSON, as a JSON stream or as CSV."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import Any

from deriva_local.data.integrity import as_list
from deriva_local.history.versions import quoted
from deriva_local.model.elements import FOREVER, Column, Table, Type
from deriva_local.model.kept import Kept
from deriva_local.query.fragment import Sql
from deriva_local.query.plan import Output, Ref
from deriva_local.query.sql import record_of
from deriva_local.store.database import ReadSession
from deriva_local.store.limit import limited
from deriva_local.wire.codec import same
from deriva_local.wire.tabular import CSV, JSON, JSON_STREAM, QUOTED, Kind, csv_cell, csv_line
from deriva_local.wire.types import TYPES, SQLiteValue, codec

TIME_LIMIT = 15.0
"""Seconds after which a query is stopped; clients ask for smaller pages then."""


class Reading:
    """The rows that a query yields, a portion at a time; the query runs for a limited time for each."""

    def __init__(self, session: ReadSession, sql: str, params: Iterable[SQLiteValue]) -> None:
        self._connection = session.connection
        self._sql, self._params = sql, tuple(params)
        self._rows: Iterator[Any] | None = None

    def portion(self, count: int | None = None) -> list[Any]:
        """Return the next ``count`` rows, all that are left if it is None; fewer at the end.

        Raises:
            Refusal: 400 when it takes too long.
        """
        with limited(self._connection, TIME_LIMIT):
            if self._rows is None:
                self._rows = iter(self._connection.execute(self._sql, self._params))
            return list(islice(self._rows, count))


def fetch(session: ReadSession, sql: str, params: Iterable[SQLiteValue]) -> list[Any]:
    """Run a query within the time limit.

    Raises:
        Refusal: 400 when it takes too long.
    """
    return Reading(session, sql, params).portion()


@dataclass(frozen=True, slots=True)
class Form:
    """How rows are written: the kind of body, and for CSV its columns."""

    kind: Kind
    outputs: Sequence[Output]
    arrays_as_json: bool

    def whole(self, rows: Sequence[Any]) -> bytes:
        """Return the body with all rows."""
        if self.kind == CSV:
            return csv_body(self.outputs, rows, self.arrays_as_json)
        return json_body([text for (text,) in rows], self.kind)

    def pieces(self, portions: Iterable[Sequence[Any]]) -> Iterator[bytes]:
        """Yield the same body piece by piece."""
        opening, between, closing = _MARKS[self.kind]
        yield csv_line(output.name for output in self.outputs).encode() if self.kind == CSV else opening
        separator = b""
        for rows in portions:
            if rows:
                lines = (
                    csv_lines(self.outputs, rows, self.arrays_as_json)
                    if self.kind == CSV
                    else between.join([text for (text,) in rows])
                )
                yield separator + lines.encode()
                separator = between.encode()
        yield closing


_MARKS: dict[Kind, tuple[bytes, str, bytes]] = {
    JSON: (b"[", ",\n", b"]\n"),
    JSON_STREAM: (b"", "\n", b"\n"),
    CSV: (b"", "\n", b"\n"),
}


def json_body(texts: Sequence[str], kind: Kind) -> bytes:
    """Return the JSON texts of rows as one array, or as one line each."""
    if kind == JSON:
        return ("[" + ",\n".join(texts) + "]\n").encode()
    return ("\n".join(texts) + "\n").encode() if texts else b""


def csv_body(outputs: Sequence[Output], rows: Sequence[Sequence[SQLiteValue]], arrays_as_json: bool) -> bytes:
    """Return rows of stored values as CSV with a header."""
    header = csv_line(output.name for output in outputs)
    return (header + csv_lines(outputs, rows, arrays_as_json) + "\n" if rows else header).encode()


def csv_lines(outputs: Sequence[Output], rows: Sequence[Sequence[SQLiteValue]], arrays_as_json: bool) -> str:
    """Return lines of CSV, the last without its end; whole columns are converted at once."""
    converters = [_csv_converter(output.type, arrays_as_json) for output in outputs]
    columns = [_csv_cells(convert, column) for convert, column in zip(converters, zip(*rows, strict=True), strict=True)]
    return "\n".join(map(",".join, zip(*columns, strict=True)))


def _csv_cells(convert: Callable[[Any], str | None], values: Sequence[Any]) -> Sequence[str]:
    """Return a column as cells: texts that need no quotes as they are, each other value converted once."""
    if convert is same and None not in values and "" not in values and not QUOTED.search("".join(values)):
        return values
    cells = {value: csv_cell(convert(value)) for value in set(values)}
    return [cells[value] for value in values]


def _csv_converter(type: Type, arrays_as_json: bool) -> Callable[[Any], str | None]:
    if not arrays_as_json or type.storage.kind != "array":
        return codec(type).to_csv
    to_json = codec(type).to_json

    def convert(stored: Any) -> str | None:
        if stored is None:
            return None
        return "[" + ",".join([json.dumps(each, ensure_ascii=False) for each in to_json(stored)]) + "]"

    return convert


# --------------------------------------------------------------------------------------------- replies to mutations


def outputs_of(columns: Iterable[Column]) -> list[Output]:
    """Return the outputs that show columns of one table under their own names."""
    return [Output(column.name, column.type, Ref(0, column)) for column in columns]


def stored_rows(
    session: ReadSession, table: Table, rids: Sequence[str], kind: Kind, with_system: bool = True
) -> list[Any]:
    """Return live rows by RID, in that order: as JSON texts, or as stored values for CSV."""
    question = _stored(table, kind, with_system)
    values = (*question.params, as_list([(rid,) for rid in rids], 1))
    found = session.connection.execute(question.text, values).fetchall()
    return found if kind == CSV else [text for (text,) in found]


def _asking_for_stored(table: Table, kind: Kind, with_system: bool) -> Sql:
    """Return the question for rows by RID; their list is a parameter after its own."""
    columns = [column for column in table.columns if with_system or not column.is_system]
    values = [Sql(f"T0.{quoted(column.physical)}") for column in columns]
    fields = [(column.name, column.type) for column in columns]
    shown = Sql(", ".join(each.text for each in values)) if kind == CSV else record_of(fields, values)
    return shown.within(
        f"SELECT {{0}} FROM json_each(?) AS J CROSS JOIN {quoted(table.physical)} AS T0 "
        f"ON T0.died = {FOREVER} AND T0.RID = J.value ORDER BY J.key"
    )


_stored = Kept(_asking_for_stored)


def given_rows(session: ReadSession, outputs: Sequence[Output], rows: Sequence[Sequence[SQLiteValue]]) -> list[str]:
    """Return rows of stored values as JSON texts."""
    shown = _given(tuple((output.name, output.type.name) for output in outputs))
    found = session.connection.execute(shown.text, (*shown.params, json.dumps(list(rows), ensure_ascii=False)))
    return [text for (text,) in found]


@lru_cache(maxsize=256)
def _given(fields: tuple[tuple[str, str], ...]) -> Sql:
    """Return the question that shows values of named fields with their types; the rows are a parameter after its own."""
    values = [Sql(f"(J.value ->> {place})") for place in range(len(fields))]
    return record_of([(name, TYPES[type]) for name, type in fields], values).within(
        "SELECT {0} FROM json_each(?) AS J ORDER BY J.key"
    )
