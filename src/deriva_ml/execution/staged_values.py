"""Staged feature values looked through by the rows that they name, and taken back by their user."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from deriva_ml.errors import DerivaMLValidationError
from deriva_ml.execution.staged import Staged
from deriva_ml.names import TableName

WINDOW = 10_000
"""How many values are looked through at a time."""
_OF_TABLE = "execution = ? AND state = 'pending' AND schema = ? AND feature_table = ?"


def named_in(staged: Staged, table: TableName, column: str, up_to: int) -> Iterator[list[str]]:
    """Yield what waiting values of a feature, up to an id, have in ``column``: the different ones of some thousand at a time."""
    connection, place = staged.database.connection(), (staged.rid, table.schema, table.name)
    first = connection.execute(f"SELECT min(id) FROM features WHERE {_OF_TABLE}", place).get or 0
    sql = f"SELECT DISTINCT json_extract(record, ?) FROM features WHERE {_OF_TABLE} AND id >= ? AND id < ? AND id <= ?"
    for start in range(first, up_to + 1, WINDOW):
        rows = connection.execute(sql, (_path(column), *place, start, start + WINDOW, up_to))
        if found := [str(value) for (value,) in rows if value is not None]:
            yield found


def targets_naming(
    staged: Staged, table: TableName, column: str, values: Sequence[str], up_to: int
) -> tuple[str, str, list[str]]:
    """Return the table and the name of a feature, and the targets of its waiting values that have one of ``values`` in ``column``."""
    sql = (
        f"SELECT target_table, feature_name, json_extract(identity, '$[0]') FROM features WHERE {_OF_TABLE} AND id <= ? "
        f"AND json_extract(record, ?) IN ({', '.join('?' * len(values))}) ORDER BY id LIMIT 20"
    )
    bound = (staged.rid, table.schema, table.name, up_to, _path(column), *values)
    rows = list(staged.database.connection().execute(sql, bound))
    return rows[0][0], rows[0][1], list(dict.fromkeys(target for _, _, target in rows))


def columns_named(staged: Staged, table: TableName, up_to: int) -> set[str]:
    """Return the columns that waiting values of a feature, up to an id, are about."""
    sql = f"SELECT DISTINCT each.key FROM features, json_each(features.record) AS each WHERE {_OF_TABLE} AND features.id <= ?"
    rows = staged.database.connection().execute(sql, (staged.rid, table.schema, table.name, up_to))
    return {str(column) for (column,) in rows}


def first_targets(staged: Staged, table: TableName) -> tuple[str, str, list[str]]:
    """Return the table and the name of a feature of which values wait, and some of their targets."""
    sql = f"SELECT target_table, feature_name, json_extract(identity, '$[0]') FROM features WHERE {_OF_TABLE} ORDER BY id LIMIT 20"
    rows = list(staged.database.connection().execute(sql, (staged.rid, table.schema, table.name)))
    return rows[0][0], rows[0][1], list(dict.fromkeys(target for _, _, target in rows))


def tables_of(staged: Staged, target_table: str, feature_name: str) -> list[TableName]:
    """Return the tables of a feature, by the names of its target's table and its own, of which values wait."""
    sql = (
        "SELECT DISTINCT schema, feature_table FROM features WHERE execution = ? AND state = 'pending' "
        "AND target_table = ? AND feature_name = ? ORDER BY 1, 2"
    )
    rows = staged.database.connection().execute(sql, (staged.rid, target_table, feature_name))
    return [TableName(*row) for row in rows]


def take_back(staged: Staged, table: TableName, feature_name: str, targets: Sequence[str]) -> int:
    """Remove the waiting values of a feature about ``targets``, durably, all or none; return how many.

    Raises:
        DerivaMLValidationError: a target has none.
    """
    sql = f"DELETE FROM features WHERE {_OF_TABLE} AND feature_name = ? AND json_extract(identity, '$[0]') = ?"
    with staged.database.transaction() as connection:
        before = connection.total_changes()
        for target in targets:
            connection.execute(sql, (staged.rid, table.schema, table.name, feature_name, target))
            if not connection.changes():
                raise DerivaMLValidationError(
                    f"No value of feature {feature_name!r} about {target} waits for a commit of this execution; nothing was taken back."
                )
        return int(connection.total_changes() - before)


def _path(column: str) -> str:
    name = column.replace("\\", "\\\\").replace('"', '\\"')
    return f'$."{name}"'
