"""Updates rows that the rows of a request name by key: the update of groups, and the update-or-insert of entities."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple, TypeAlias

from deriva_local.data.changes import Changes, Row
from deriva_local.data.insert import InsertOptions, refuse_doubles, store
from deriva_local.data.intake import Field, Values, check_header, read_columns
from deriva_local.history.versions import quoted
from deriva_local.model.elements import FOREVER, Column, Table
from deriva_local.store.database import WriteSession
from deriva_local.wire.errors import bad_request, conflict, forbidden
from deriva_local.wire.tabular import Rows

_FEW = 16
"""Up to so many rows are looked up one by one, even where no index helps."""


Permit: TypeAlias = Callable[[Sequence[str]], None]
"""Told the RIDs of the rows that are about to change, or have changed; it refuses what may not be."""


Sight: TypeAlias = Callable[[Sequence[str], Sequence[Column]], Collection[str]]
"""Told RIDs and columns, it returns those of the rows that the client sees, with the values in these columns."""


class Permits(NamedTuple):
    """What a client must be allowed: ``before`` sees the rows to be updated, ``after`` those that were, and
    ``inserted`` the new ones. ``sight`` is None where the client sees every row and value."""

    before: Permit
    after: Permit
    inserted: Permit
    sight: Sight | None = None


def _anything(rids: Sequence[str]) -> None:
    """Let everything pass."""


ANYTHING = Permits(_anything, _anything, _anything)


def update_groups(
    session: WriteSession,
    table: Table,
    keys: Sequence[Field],
    targets: Sequence[Field],
    rows: Rows,
    permits: Permits = ANYTHING,
) -> list[Row]:
    """Give the rows that the keys name new values of the targets; keys that name nothing are passed over.

    The same column may be a key and, under another name, a target: that is how a compare-and-set by RMT is written.
    A row that the client does not see, or whose value it may not read in a key, is not found by it: else trying
    values would tell what is hidden. Only what a whole unique key names is refused rather than passed over.

    Returns:
        For each updated row, the key as it was given and the new values.

    Raises:
        Refusal: 400 for malformed rows or no target, 403 for a target that nobody may write, 409 for values that
            contradict the model or the data.
    """
    _check_targets(targets)
    fields = [*keys, *targets]
    check_header(rows, [field.name for field in fields])
    session.data_changed()
    values = read_columns(rows, fields)
    refuse_doubles(values[: len(keys)])
    given = list(zip(*values, strict=True))
    found = _matches(session, table, [field.column for field in keys], values[: len(keys)])
    if permits.sight is not None:
        found = _seen(session, table, keys, values, found, permits, permits.sight)
    matched = [(rid, row) for rids, row in zip(found, given, strict=True) for rid in rids]
    changes = Changes(session)
    columns = [field.column for field in targets]
    permits.before([rid for rid, _ in matched])
    changes.update(table, columns, [(rid, row[len(keys) :]) for rid, row in matched])
    changes.settle()
    permits.after([rid for rid, _ in matched])
    return [row for _, row in matched]


def upsert(
    session: WriteSession,
    table: Table,
    rows: Rows,
    closed: Collection[str] = (),
    permits: Permits = ANYTHING,
) -> tuple[list[str], list[str]]:
    """Update the rows that have the keys given, insert the others; what a row leaves out becomes NULL.

    The columns that are ``closed`` keep their values in old rows, and take their defaults in new ones.

    Returns:
        The RIDs of the updated rows and those of the new ones.

    Raises:
        Refusal: 400 for malformed rows, 409 for a table without a key of its own and for values that contradict the
            model or the data.
    """
    keys = _key_fields(table)
    found_by = {key.column.rid for key in keys}
    others = [
        Field(column.name, column) for column in _own(table) if column.rid not in found_by and column.name not in closed
    ]
    fields = [*keys, *others]
    check_header(rows, table.by_name)
    session.data_changed()
    values = read_columns(rows, fields)
    refuse_doubles(values[: len(keys)])
    given = list(zip(*values, strict=True))
    found = _matches(session, table, [field.column for field in keys], values[: len(keys)])
    matched = [(rid, row[len(keys) :]) for rids, row in zip(found, given, strict=True) for rid in rids]
    changes = Changes(session)
    permits.before([rid for rid, _ in matched])
    changes.update(table, [field.column for field in others], matched)
    new = [row for rids, row in zip(found, given, strict=True) if not rids]
    inserted = store(session, table, _by_column(fields, new), len(new), InsertOptions())
    changes.settle()
    permits.after([rid for rid, _ in matched])
    permits.inserted(inserted)
    return [rid for rid, _ in matched], inserted


def _check_targets(targets: Sequence[Field]) -> None:
    if not targets:
        raise bad_request("An update needs at least one target column after the ';'.")
    for field in targets:
        if field.column.is_system:
            raise forbidden(f"Column '{field.column.name}' can only be set by the service.")
    if len({field.column.rid for field in targets}) < len(targets):
        raise bad_request("A column occurs twice among the targets.")


def _key_fields(table: Table) -> list[Field]:
    """Return the columns of all keys, without system columns."""
    chosen = {rid for key in table.keys for rid in key.columns}
    fields = [Field(column.name, column) for column in _own(table) if column.rid in chosen]
    if not fields:
        raise conflict(f"Table '{table.name}' has no key but the RID: its rows cannot be found by their values.")
    return fields


def _own(table: Table) -> list[Column]:
    return [column for column in table.columns if not column.is_system]


def _by_column(fields: Sequence[Field], rows: Sequence[Row]) -> dict[str, Values]:
    columns = zip(*rows, strict=True) if rows else [()] * len(fields)
    return {field.column.rid: list(each) for field, each in zip(fields, columns, strict=True)}


def _matches(
    session: WriteSession, table: Table, columns: Sequence[Column], values: Sequence[Values]
) -> list[list[str]]:
    """Return, for each row of key values, the RIDs of the live rows that have them; a NULL matches a NULL."""
    count = len(values[0]) if values else 0
    if count <= _FEW or _is_indexed(table, columns):
        return _found_one_by_one(session, table, columns, values, count)
    names = ", ".join(quoted(column.physical) for column in columns)
    sql = f"SELECT RID, {names} FROM {quoted(table.physical)} WHERE died = {FOREVER}"
    places: dict[Row, list[str]] = {key: [] for key in zip(*values, strict=True)}
    for rid, *key in session.connection.execute(sql):
        if tuple(key) in places:
            places[tuple(key)].append(rid)
    return [places[key] for key in zip(*values, strict=True)]


def _seen(
    session: WriteSession,
    table: Table,
    keys: Sequence[Field],
    values: Sequence[Values],
    found: list[list[str]],
    permits: Permits,
    sight: Sight,
) -> list[list[str]]:
    """Return the rows found that the client sees; the others that a whole unique key names meet ``permits.before``."""
    places = {field.column.rid: place for place, field in reversed(list(enumerate(keys)))}
    for key in table.keys:
        if places.keys() >= set(key.columns):
            columns = [keys[places[rid]].column for rid in key.columns]
            named = _matches(session, table, columns, [values[places[rid]] for rid in key.columns])
            rids = [rid for each in named for rid in each]
            visible = sight(rids, ())
            permits.before([rid for rid in rids if rid not in visible])
    legible = sight([rid for each in found for rid in each], [field.column for field in keys])
    return [[rid for rid in each if rid in legible] for each in found]


def _found_one_by_one(
    session: WriteSession, table: Table, columns: Sequence[Column], values: Sequence[Values], count: int
) -> list[list[str]]:
    same = " AND ".join(f"{quoted(column.physical)} IS ?" for column in columns)
    sql = f"SELECT ?, RID FROM {quoted(table.physical)} WHERE died = {FOREVER} AND {same}"
    found: list[list[str]] = [[] for _ in range(count)]
    for place, rid in session.connection.executemany(sql, list(zip(range(count), *values, strict=True))):
        found[place].append(rid)
    return found


def _is_indexed(table: Table, columns: Sequence[Column]) -> bool:
    """Tell whether a key or foreign key lies within the columns, so that its index finds rows by them."""
    chosen = {column.rid for column in columns}
    indexed = [key.columns for key in table.keys] + [key.columns for key in table.foreign_keys]
    system = {column.rid for column in table.columns if column.name in ("RCB", "RMB")}
    return any(set(each) <= chosen and not set(each) <= system for each in indexed)
