"""Rows on the wire: a JSON array, a JSON stream (one object a line), or CSV.

Floor 1, pure. CSV keeps the difference between an empty cell, which is NULL, and ``""``, which is the empty string.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, BinaryIO, Literal, TypeAlias

from deriva_local.wire.errors import Refusal, bad_request
from deriva_local.wire.jsontext import parse_json

Kind: TypeAlias = Literal["application/json", "application/x-json-stream", "text/csv"]
Cell: TypeAlias = str | None
JSON: Kind = "application/json"
JSON_STREAM: Kind = "application/x-json-stream"
CSV: Kind = "text/csv"
KINDS: tuple[Kind, ...] = (JSON, JSON_STREAM, CSV)


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of a request body.

    With CSV ``columns`` holds the header and each row is a list of cells, as many as there are columns. With JSON
    ``columns`` is None and each row is an object, in which numbers with a fraction or exponent are Decimal.
    """

    columns: tuple[str, ...] | None
    rows: list[dict[str, Any]] | list[list[Cell]]
    kind: Kind


def read_rows(content_type: str, body: bytes | BinaryIO) -> Rows:
    """Return the rows of a request body.

    Raises:
        Refusal: 415 for another content type, 400 for a body that is not what it says to be.

    Example:
        >>> read_rows("text/csv", b'a,b\\n1,\\n,""\\n').rows
        [['1', None], [None, '']]
    """
    kind = content_type.partition(";")[0].strip().lower()
    text = _text(body if isinstance(body, bytes) else body.read())
    if kind == JSON:
        return Rows(None, _json_rows(text), JSON)
    if kind == JSON_STREAM:
        return Rows(None, _stream_rows(text), JSON_STREAM)
    if kind == CSV:
        columns, rows = parse_csv(text)
        return Rows(columns, rows, CSV)
    raise Refusal(415, f"Rows cannot be read from '{kind}'; possible are {', '.join(KINDS)}.")


def _text(body: bytes) -> str:
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError as wrong:
        raise bad_request(f"The body is not UTF-8: {wrong.reason} at byte {wrong.start}.") from None


# ----------------------------------------------------------------------------------------------------------- JSON


def _json_rows(text: str) -> list[dict[str, Any]]:
    try:
        document = parse_json(text)
    except ValueError as wrong:
        raise bad_request(f"The body is not JSON: {wrong}") from None
    rows = [document] if isinstance(document, dict) else document
    if not isinstance(rows, list):
        raise bad_request("The body must be a JSON array of objects.")
    for position, row in enumerate(rows):
        if type(row) is not dict:
            raise bad_request(f"Row {position + 1} of the body is not a JSON object.")
    return rows


def _stream_rows(text: str) -> list[dict[str, Any]]:
    lines = enumerate(text.split("\n"), 1)
    return [_stream_row(position, line) for position, line in lines if line and not line.isspace()]


def _stream_row(position: int, line: str) -> dict[str, Any]:
    try:
        row = parse_json(line)
    except ValueError as wrong:
        raise bad_request(f"Line {position} of the body is not JSON: {wrong}") from None
    if not isinstance(row, dict):
        raise bad_request(f"Line {position} of the body is not a JSON object.")
    return row


# ------------------------------------------------------------------------------------------------------------ CSV

_CELL = re.compile(r'(?:("[^"]*+(?:""[^"]*+)*+")|([^",\r\n]*+))(,|\r\n|\n|\r|\Z)|([\s\S])')
QUOTED = re.compile(r'[",\r\n]')
"""Finds what makes a cell need quotes."""


def parse_csv(text: str) -> tuple[tuple[str, ...], list[list[Cell]]]:
    """Return the header and the rows of CSV text; None is an empty cell without quotes.

    Raises:
        Refusal: 400, there is no header, a row has another number of cells, or quotes are out of place.
    """
    records = _quoted_records(text) if '"' in text else _bare_records(text)
    if not records:
        raise bad_request("CSV needs a line with the names of its columns.")
    header = tuple("" if name is None else name for name in records[0])
    rows = records[1:]
    width = len(header)
    for position, row in enumerate(rows, 2):
        if len(row) != width:
            raise bad_request(f"Line {position} of the CSV has {len(row)} cells, its header has {width}.")
    return header, rows


def csv_cell(text: Cell) -> str:
    """Return one cell as it stands in a line of CSV.

    Example:
        >>> csv_cell(None), csv_cell(""), csv_cell("a"), csv_cell('a "b"')
        ('', '""', 'a', '"a ""b""\"')
    """
    if text is None:
        return ""
    if text and not QUOTED.search(text):
        return text
    return '"' + text.replace('"', '""') + '"'


def csv_line(cells: Iterable[Cell]) -> str:
    """Return one line of CSV with its line feed."""
    return ",".join(map(csv_cell, cells)) + "\n"


def _bare_records(text: str) -> list[list[Cell]]:
    """Return the records of text without any quote, several times faster than the general rule."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    if not lines[-1]:
        lines.pop()
    return [[cell or None for cell in line.split(",")] for line in lines]


def _quoted_records(text: str) -> list[list[Cell]]:
    records: list[list[Cell]] = []
    record: list[Cell] = []
    for quoted, bare, separator, wrong in _CELL.findall(text):
        if wrong:
            raise bad_request(f"The quotes of the CSV are out of place in record {len(records) + 1}.")
        record.append(quoted[1:-1].replace('""', '"') if quoted else bare or None)
        if separator == ",":
            continue
        records.append(record)
        record = []
        if not separator:
            break
    return records[:-1] if text.endswith(("\n", "\r")) else records
