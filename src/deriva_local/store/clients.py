"""Who has written to a catalog, as rows of its own table ``public:ERMrest_Client``.

Nearly every table has foreign keys from RCB and RMB to that table, so a client must be known there before it writes.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from deriva_local.history.versions import live, quoted
from deriva_local.model.elements import FOREVER, Table
from deriva_local.service.messages import Client
from deriva_local.wire.types import codec

if TYPE_CHECKING:
    from deriva_local.store.database import WriteSession

SCHEMA, TABLE = "public", "ERMrest_Client"


def record(session: WriteSession) -> None:
    """Add the row of the session's client, if it is not there and the catalog still has its table."""
    schema = session.model.schemas.get(SCHEMA)
    table = schema.tables.get(TABLE) if schema else None
    if table is None or "ID" not in table.by_name or _known(session, table):
        return
    row = _row(session, table)
    names = ", ".join(quoted(name) for name in [*row, "born", "died"])
    marks = ", ".join("?" * (len(row) + 2))
    session.connection.execute(
        f"INSERT INTO {quoted(table.physical)} ({names}) VALUES ({marks})", (*row.values(), session.now, FOREVER)
    )
    session.data_changed()


def _known(session: WriteSession, table: Table) -> bool:
    name, column = quoted(table.physical), quoted(table.by_name["ID"].physical)
    question = f"SELECT 1 FROM {name} AS t WHERE {column} = ? AND {live('t')}"
    return session.connection.execute(question, (session.client.id,)).fetchone() is not None


def _row(session: WriteSession, table: Table) -> dict[str, object]:
    client = session.client
    values = {
        "RID": session.new_rid(),
        "RCT": session.now,
        "RMT": session.now,
        "RCB": client.id,
        "RMB": client.id,
        "ID": client.id,
        "Display_Name": client.display_name,
        "Full_Name": client.display_name,
        "Email": None,
        "Client_Object": _described(client, table),
    }
    return {table.by_name[name].physical: value for name, value in values.items() if name in table.by_name}


def _described(client: Client, table: Table) -> object:
    column = table.by_name.get("Client_Object")
    said = {"id": client.id, "display_name": client.display_name, "identities": [client.id]}
    return codec(column.type).from_json(said) if column else json.dumps(said)
