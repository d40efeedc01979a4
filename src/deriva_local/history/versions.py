"""The SQLite table behind a catalog's table: one table that holds every version of every row.

Floor 1, pure: values in, SQL text out.

Each version lived from ``born`` (included) to ``died`` (excluded), both moments in microseconds; what is alive has
``died`` = 2^63-1. So one statement reads the present and the past; only the predicate of a table instance differs::

    t1A   RID  RCT RMT RCB RMB  c1C…   born  died
          1-E  …                red    100   250      what snapshot 100 ≤ t < 250 shows
          1-E  …                blue   250   FOREVER  what is there now

How rows change, always inside one transaction with the moment ``now``:

* insert: ``born = now``, ``died = FOREVER``.
* update: the statement sets ``born = now`` along with the new values; the trigger keeps the old version. A row that
  was born in this very transaction has no past and is simply overwritten.
* delete: :func:`retire`, two statements: what has a past gets ``died = now``, what was born now goes for good.

Columns have no type, and a column that is dropped from the model stays here until the history is truncated.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from deriva_local.model.elements import FOREVER, Column, ForeignKey, Key, Table

HIDDEN = ("born", "died")
CAPTURE = "tag:isrd.isi.edu,2020:history-capture"
"""The annotation of a table that, when it is false, keeps the table out of history."""


def quoted(name: str) -> str:
    """Return a physical name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def is_captured(table: Table) -> bool:
    """Tell whether the history of a table is recorded."""
    return table.annotations.get(CAPTURE) is not False


def live(alias: str) -> str:
    """Return the predicate that keeps the rows of ``alias`` that are alive."""
    return f"{alias}.died = {FOREVER}"


def at(alias: str, parameter: str = "?1") -> str:
    """Return the predicate that keeps the rows of ``alias`` that lived at one moment.

    ``parameter`` is how the statement spells its moment: a numbered or named one, as it occurs twice.
    """
    return f"({alias}.died > {parameter} AND {alias}.born <= {parameter})"


def retire(physical: str, chosen: str, parameter: str = "?1") -> tuple[str, str]:
    """Return the two statements that delete the live rows for which ``chosen`` holds; run both, in this order.

    ``chosen`` speaks of the table by its physical name or by bare columns and must not depend on the rows deleted
    by the first statement (collect RIDs first where it does). ``parameter`` is the moment of the transaction.
    """
    table = quoted(physical)
    return (
        f"DELETE FROM {table} WHERE died = {FOREVER} AND born = {parameter} AND ({chosen})",
        f"UPDATE {table} SET died = {parameter} WHERE died = {FOREVER} AND ({chosen})",
    )


def remove(table: Table, chosen: str, parameter: str = "?1") -> tuple[str, ...]:
    """Return the statements that delete live rows of a table: what is not recorded goes for good."""
    if is_captured(table):
        return retire(table.physical, chosen, parameter)
    return (f"DELETE FROM {quoted(table.physical)} WHERE died = {FOREVER} AND ({chosen})",)


def create_table(table: Table) -> list[str]:
    """Return the statements that create the physical table with its trigger and indexes."""
    columns = [column.physical for column in table.columns]
    names = ", ".join(quoted(name) for name in [*columns, *HIDDEN])
    return [
        f"CREATE TABLE {quoted(table.physical)} ({names}, PRIMARY KEY (died, RID)) WITHOUT ROWID",
        *([keep_versions(table.physical, columns)] if is_captured(table) else []),
        *(create_key(table, key) for key in table.keys),
        *create_foreign_keys(table, table.foreign_keys),
    ]


def keep_versions(physical: str, columns: Iterable[str]) -> str:
    """Return the trigger that keeps the old version of an updated row; ``columns`` are all physical ones."""
    names = [quoted(name) for name in columns if name not in HIDDEN]
    return (
        f"CREATE TRIGGER {quoted('v' + physical)} AFTER UPDATE ON {quoted(physical)} "
        f"WHEN NEW.died = {FOREVER} AND NEW.born > OLD.born BEGIN "
        f"INSERT INTO {quoted(physical)} ({', '.join(names)}, born, died) "
        f"VALUES ({', '.join('OLD.' + name for name in names)}, OLD.born, NEW.born); END"
    )


def add_columns(table: Table, present: Sequence[str], added: Sequence[str]) -> list[str]:
    """Return the statements that add columns to a table that has the physical columns ``present``."""
    return [
        *(f"ALTER TABLE {quoted(table.physical)} ADD COLUMN {quoted(name)}" for name in added),
        forget_versions(table.physical),
        *([keep_versions(table.physical, [*present, *added])] if is_captured(table) else []),
    ]


def forget_versions(physical: str) -> str:
    """Return the statement after which updates of a table keep no old versions."""
    return f"DROP TRIGGER IF EXISTS {quoted('v' + physical)}"


def create_key(table: Table, key: Key) -> str:
    """Return the unique index of a key over all versions.

    Two versions with equal keys that died at one moment would have been alive together, so over a history in which
    the key always held, this holds as well. For another history there is :func:`create_live_key`.
    """
    columns = _columns(table, key.columns)
    return f"CREATE UNIQUE INDEX {quoted(key_index(key.rid))} ON {quoted(table.physical)} ({columns}, died)"


def create_live_key(table: Table, key: Key) -> list[str]:
    """Return the indexes of a key that holds for the rows alive now, and did not always hold."""
    columns, name = _columns(table, key.columns), quoted(table.physical)
    return [
        f"CREATE UNIQUE INDEX {quoted(key_index(key.rid))} ON {name} ({columns}) WHERE died = {FOREVER}",
        f"CREATE INDEX {quoted(past_index(key.rid))} ON {name} ({columns}, died)",
    ]


def create_foreign_keys(table: Table, foreign_keys: Iterable[ForeignKey]) -> list[str]:
    """Return the indexes behind foreign keys, one per column list that needs one.

    RCB and RMB have none: on one machine nearly all rows share one value, and an index on it would only cost.
    """
    return [create_foreign_key(table, key) for key in foreign_keys if _worth_an_index(table, key)]


def create_foreign_key(table: Table, foreign_key: ForeignKey) -> str:
    columns = _columns(table, foreign_key.columns)
    name = foreign_key_index(foreign_key.rid)
    return f"CREATE INDEX {quoted(name)} ON {quoted(table.physical)} ({columns}, died)"


def drop_index(name: str) -> str:
    return f"DROP INDEX IF EXISTS {quoted(name)}"


def key_index(rid: str) -> str:
    """Return the name of the index of a key."""
    return "k" + rid.replace("-", "")


def past_index(rid: str) -> str:
    """Return the name of the second index of a key that did not always hold."""
    return "h" + rid.replace("-", "")


def foreign_key_index(rid: str) -> str:
    """Return the name of the index of a foreign key."""
    return "f" + rid.replace("-", "")


def _columns(table: Table, rids: Iterable[str]) -> str:
    return ", ".join(quoted(table.by_rid[rid].physical) for rid in rids)


def _worth_an_index(table: Table, foreign_key: ForeignKey) -> bool:
    columns: list[Column] = [table.by_rid[rid] for rid in foreign_key.columns]
    return [column.name for column in columns] not in (["RCB"], ["RMB"])
