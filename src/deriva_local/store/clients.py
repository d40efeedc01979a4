"""Who has come to a catalog, as rows of its own tables ``public:ERMrest_Client`` and ``ERMrest_Group``.

Nearly every table has foreign keys from RCB and RMB to the first, so a client must be known there before it writes; it is from its first request on.
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


def known(connection: apsw.Connection, model: Model, client: Client) -> bool:
    """Say whether a client and its groups have their rows, as far as the catalog has the tables for them."""
    return all(
        table is None or _has(connection, table, facts["ID"])
        for table, facts in ((_table(model, name), facts) for name, facts in _rows(client))
    )


def introduce(connection: apsw.Connection, model: Model, client: Client, now: int, new_rid: Callable[[], str]) -> None:
    """Add the rows of a client and its groups, as far as they are missing.

    A catalog that has lost those tables does without.
    """
    for name, facts in _rows(client):
        table = _table(model, name)
        if table is not None and not _has(connection, table, facts["ID"]):
            _introduce(connection, table, facts, client, now, new_rid)


def _rows(client: Client) -> list[tuple[str, dict[str, Any]]]:
    groups = [(GROUPS, {"ID": group, "Display_Name": group}) for group in sorted(client.groups)]
    return [(CLIENTS, _facts(client)), *groups]


def _table(model: Model, name: str) -> Table | None:
    schema = model.schemas.get(SCHEMA)
    table = schema.tables.get(name) if schema else None
    return table if table is not None and "ID" in table.by_name else None


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
    table: Table,
    facts: dict[str, Any],
    client: Client,
    now: int,
    new_rid: Callable[[], str],
) -> None:
    row = _row(table, {"RID": new_rid(), "RCT": now, "RMT": now, "RCB": client.id, "RMB": client.id, **facts})
    names = ", ".join(quoted(name) for name in [*row, "born", "died"])
    marks = ", ".join("?" * (len(row) + 2))
    statement = f"INSERT INTO {quoted(table.physical)} ({names}) VALUES ({marks})"
    connection.execute(statement, (*row.values(), now, FOREVER))


def _has(connection: apsw.Connection, table: Table, id: str) -> bool:
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
