"""Runs queries and writes their rows as JSON, as a JSON stream or as CSV."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import apsw

from deriva_local.data.integrity import as_list
from deriva_local.history.versions import quoted
from deriva_local.model.elements import FOREVER, Column, Table, Type
from deriva_local.query.fragment import Sql
from deriva_local.query.plan import Output, Ref
from deriva_local.query.sql import record_of
from deriva_local.store.database import ReadSession
from deriva_local.wire.codec import same
from deriva_local.wire.errors import bad_request
from deriva_local.wire.tabular import CSV, JSON, QUOTED, Kind, csv_cell, csv_line
from deriva_local.wire.types import SQLiteValue, codec

TIME_LIMIT = 15.0
"""Seconds after which a query is stopped; clients ask for smaller pages then."""

_STEPS = 2_000_000
"""How many instructions of SQLite's machine lie between two looks at the clock: a fraction of a second."""


def fetch(session: ReadSession, sql: str, params: Iterable[SQLiteValue]) -> list[Any]:
    """Run a query within the time limit.

    Raises:
        Refusal: 400 when it takes too long.
    """
    connection = session.connection
    deadline = time.monotonic() + TIME_LIMIT
    connection.set_progress_handler(lambda: time.monotonic() > deadline, _STEPS)
    try:
        return connection.execute(sql, tuple(params)).fetchall()
    except apsw.InterruptError as stopped:
        raise bad_request("Query run time limit exceeded.") from stopped
    finally:
        connection.set_progress_handler(None)


def json_body(texts: Sequence[str], kind: Kind) -> bytes:
    """Return the JSON texts of rows as one array, or as one line each."""
    if kind == JSON:
        return ("[" + ",\n".join(texts) + "]\n").encode()
    return ("\n".join(texts) + "\n").encode() if texts else b""


def csv_body(outputs: Sequence[Output], rows: Sequence[Sequence[SQLiteValue]], arrays_as_json: bool) -> bytes:
    """Return rows of stored values as CSV with a header; whole columns are converted at once."""
    header = csv_line(output.name for output in outputs)
    if not rows:
        return header.encode()
    converters = [_csv_converter(output.type, arrays_as_json) for output in outputs]
    columns = [_csv_cells(convert, column) for convert, column in zip(converters, zip(*rows, strict=True), strict=True)]
    return (header + "\n".join(map(",".join, zip(*columns, strict=True))) + "\n").encode()


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
    session: ReadSession, table: Table, outputs: Sequence[Output], rids: Sequence[str], kind: Kind
) -> list[Any]:
    """Return live rows by RID, in that order: as JSON texts, or as stored values for CSV."""
    columns = [
        Sql(f"T0.{quoted(output.expression.column.physical)}")
        for output in outputs
        if isinstance(output.expression, Ref)
    ]
    shown = record_of(outputs, columns) if kind != CSV else Sql(", ".join(column.text for column in columns))
    sql = (
        f"SELECT {shown.text} FROM json_each(?) AS J CROSS JOIN {quoted(table.physical)} AS T0 "
        f"ON T0.died = {FOREVER} AND T0.RID = J.value ORDER BY J.key"
    )
    found = session.connection.execute(sql, (*shown.params, as_list([(rid,) for rid in rids], 1))).fetchall()
    return found if kind == CSV else [text for (text,) in found]


def given_rows(session: ReadSession, outputs: Sequence[Output], rows: Sequence[Sequence[SQLiteValue]]) -> list[str]:
    """Return rows of stored values as JSON texts."""
    values = [Sql(f"(J.value ->> {place})") for place in range(len(outputs))]
    shown = record_of(outputs, values)
    sql = f"SELECT {shown.text} FROM json_each(?) AS J ORDER BY J.key"
    found = session.connection.execute(sql, (*shown.params, json.dumps(list(rows), ensure_ascii=False)))
    return [text for (text,) in found]
