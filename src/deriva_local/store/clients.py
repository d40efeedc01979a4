"""Who has written to a catalog, as rows of its own table ``public:ERMrest_Client``.

Nearly every table has foreign keys from RCB and RMB to that table, so a client must be known there before it writes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import apsw

from deriva_local.history.versions import live, quoted
from deriva_local.model.elements import FOREVER, Model, Table
from deriva_local.service.messages import Client
from deriva_local.wire.types import codec

SCHEMA, TABLE = "public", "ERMrest_Client"


def introduce(connection: apsw.Connection, model: Model, client: Client, now: int, new_rid: Callable[[], str]) -> bool:
    """Add the row of a client, unless it is there or the catalog has lost that table; tell whether it was added."""
    schema = model.schemas.get(SCHEMA)
    table = schema.tables.get(TABLE) if schema else None
    if table is None or "ID" not in table.by_name or _known(connection, table, client):
        return False
    row = _row(table, client, now, new_rid())
    names = ", ".join(quoted(name) for name in [*row, "born", "died"])
    marks = ", ".join("?" * (len(row) + 2))
    statement = f"INSERT INTO {quoted(table.physical)} ({names}) VALUES ({marks})"
    connection.execute(statement, (*row.values(), now, FOREVER))
    return True


def _known(connection: apsw.Connection, table: Table, client: Client) -> bool:
    name, column = quoted(table.physical), quoted(table.by_name["ID"].physical)
    question = f"SELECT 1 FROM {name} AS t WHERE {column} = ? AND {live('t')}"
    return connection.execute(question, (client.id,)).fetchone() is not None


def _row(table: Table, client: Client, now: int, rid: str) -> dict[str, Any]:
    values = {
        "RID": rid,
        "RCT": now,
        "RMT": now,
        "RCB": client.id,
        "RMB": client.id,
        "ID": client.id,
        "Display_Name": client.display_name,
        "Full_Name": client.display_name,
        "Client_Object": {"id": client.id, "display_name": client.display_name, "identities": [client.id]},
    }
    known = {name: (table.by_name[name], value) for name, value in values.items() if name in table.by_name}
    return {
        column.physical: codec(column.type).from_json(value) if name == "Client_Object" else value
        for name, (column, value) in known.items()
    }
