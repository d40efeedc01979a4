"""Who has written to a catalog, as rows of its own tables ``public:ERMrest_Client`` and ``ERMrest_Group``.

Nearly every table has foreign keys from RCB and RMB to the first, so a client must be known there before it writes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import apsw

from deriva_local.history.versions import live, quoted
from deriva_local.model.elements import FOREVER, Model, Table
from deriva_local.service.messages import Client
from deriva_local.wire.types import codec

SCHEMA, CLIENTS, GROUPS = "public", "ERMrest_Client", "ERMrest_Group"


def introduce(connection: apsw.Connection, model: Model, client: Client, now: int, new_rid: Callable[[], str]) -> bool:
    """Add the rows of a client and its groups, as far as they are missing; tell whether any was added.

    A catalog that has lost those tables does without.
    """
    rows = [
        (CLIENTS, _facts(client)),
        *((GROUPS, {"ID": group, "Display_Name": group}) for group in sorted(client.groups)),
    ]
    added = [_introduce(connection, model, table, facts, client, now, new_rid) for table, facts in rows]
    return any(added)


def _facts(client: Client) -> dict[str, Any]:
    identities = list(client.identities)
    return {
        "ID": client.id,
        "Display_Name": client.display_name,
        "Full_Name": client.display_name,
        "Client_Object": {"id": client.id, "display_name": client.display_name, "identities": identities},
    }


def _introduce(
    connection: apsw.Connection,
    model: Model,
    name: str,
    facts: dict[str, Any],
    client: Client,
    now: int,
    new_rid: Callable[[], str],
) -> bool:
    schema = model.schemas.get(SCHEMA)
    table = schema.tables.get(name) if schema else None
    if table is None or "ID" not in table.by_name or _known(connection, table, facts["ID"]):
        return False
    row = _row(table, {"RID": new_rid(), "RCT": now, "RMT": now, "RCB": client.id, "RMB": client.id, **facts})
    names = ", ".join(quoted(name) for name in [*row, "born", "died"])
    marks = ", ".join("?" * (len(row) + 2))
    statement = f"INSERT INTO {quoted(table.physical)} ({names}) VALUES ({marks})"
    connection.execute(statement, (*row.values(), now, FOREVER))
    return True


def _known(connection: apsw.Connection, table: Table, id: str) -> bool:
    name, column = quoted(table.physical), quoted(table.by_name["ID"].physical)
    question = f"SELECT 1 FROM {name} AS t WHERE {column} = ? AND {live('t')}"
    return connection.execute(question, (id,)).fetchone() is not None


def _row(table: Table, values: dict[str, Any]) -> dict[str, Any]:
    """Return the physical row of these values, of those columns that the table still has."""
    known = {name: (table.by_name[name], value) for name, value in values.items() if name in table.by_name}
    return {
        column.physical: codec(column.type).from_json(value) if name == "Client_Object" else value
        for name, (column, value) in known.items()
    }
