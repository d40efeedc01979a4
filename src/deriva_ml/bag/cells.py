"""Rows as CSV text and back: NULL and the empty text stay apart, values come back with their types.

The dialect is the catalog's own: NULL is an empty field, the empty text is ``""``, booleans are ``t`` and ``f``,
arrays and JSON columns are JSON text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import date, datetime
from typing import Any, TypeAlias

from deriva_ml.errors import DerivaMLIntegrityError

Cell: TypeAlias = str | None
_NEEDS_QUOTES = re.compile(r'[",\r\n]')
_FIELD = re.compile(r'("(?:[^"]|"")*"|[^,"]*)(?:,|$)')


def cell(value: Any, typename: str = "") -> Cell:
    """Return the text of one JSON value, None for NULL. ``typename`` is the column's type where it is known.

    Example:
        >>> cell(True), cell(["a"]), cell("x", "jsonb"), cell(None, "jsonb")
        ('t', '["a"]', '"x"', None)
    """
    if value is None:
        return None
    if typename in {"json", "jsonb"}:
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "t" if value else "f"
    if isinstance(value, list | tuple | dict):
        return json.dumps(value, ensure_ascii=False)
    return value.isoformat() if isinstance(value, date | datetime) else str(value)


def line(cells: Iterable[Cell]) -> str:
    """Return one CSV record with its line end."""
    return ",".join(map(_field, cells)) + "\n"


def _field(text: Cell) -> str:
    if text is None:
        return ""
    if text == "" or _NEEDS_QUOTES.search(text):
        return '"' + text.replace('"', '""') + '"'
    return text


def records(lines: Iterable[str]) -> Iterator[list[Cell]]:
    """Yield the records of a CSV text given line by line.

    Raises:
        DerivaMLIntegrityError: a quote is not closed, or text follows a closing quote.
    """
    pending = ""
    for text in lines:
        pending += text
        if pending.count('"') % 2 == 0:
            yield _split(pending.removesuffix("\n").removesuffix("\r"))
            pending = ""
    if pending:
        raise DerivaMLIntegrityError(f"A CSV file ends inside a quoted field: {pending[:80]!r}.")


def _split(record: str) -> list[Cell]:
    if '"' not in record:
        return [text or None for text in record.split(",")]
    fields: list[Cell] = []
    position, ended = 0, False
    while not ended:
        match = _FIELD.match(record, position)
        if match is None:
            raise DerivaMLIntegrityError(f"A CSV record has text beside a quoted field: {record[:80]!r}.")
        fields.append(_unquote(match[1]))
        position, ended = match.end(), match.end() == match.end(1)
    return fields


def _unquote(text: str) -> Cell:
    return text[1:-1].replace('""', '"') if text.startswith('"') else text or None


def column_types(schema_document: Mapping[str, Any], schema: str, table: str) -> dict[str, str]:
    """Return column → type name of one table of a model document; nothing for a table that it does not have."""
    tables = schema_document.get("schemas", {}).get(schema, {}).get("tables", {})
    columns = tables.get(table, {}).get("column_definitions", [])
    return {column["name"]: _typename(column.get("type", {})) for column in columns}


def _typename(document: Mapping[str, Any]) -> str:
    if document.get("is_array"):
        return "json[]"
    if document.get("is_domain"):
        return _typename(document.get("base_type", {}))
    return str(document.get("typename", "text"))


def reader(typename: str) -> Callable[[str], Any]:
    """Return what turns a cell's text into the value that the catalog shows as JSON.

    Example:
        >>> reader("int4")("7"), reader("boolean")("t"), reader("text")("7")
        (7, True, '7')
    """
    return _READERS.get(typename, str)


_READERS: dict[str, Callable[[str], Any]] = {
    **dict.fromkeys(("int2", "int4", "int8", "serial2", "serial4", "serial8"), int),
    **dict.fromkeys(("float4", "float8", "numeric"), float),
    **dict.fromkeys(("json", "jsonb", "json[]"), json.loads),
    "boolean": lambda text: text.lower() in {"t", "true"},
}
