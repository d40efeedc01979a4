"""Rows read and written in batches: never a request per row, never an address longer than a server takes."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime
from typing import Any, TypeAlias

from deriva_ml.catalog.session import Catalog
from deriva_ml.clock import iso
from deriva_ml.errors import DerivaMLCatalogError
from deriva_ml.names import SYSTEM_COLUMNS, TableName, encode

Row: TypeAlias = dict[str, Any]

MOST_VALUES = 200
LONGEST_VALUES = 3_500
"""Limits of one ``any(…)``: how many values, and how many letters they take in the address."""
BATCH_ROWS = 5_000
BATCH_BYTES = 4_000_000
PAGE_ROWS = 10_000


# ----------------------------------------------------------------------------------------------------------------- read


def fetch(catalog: Catalog, path: str) -> list[Row]:
    """Return the rows at ``path`` below the catalog, an address that is encoded already.

    Example::

        fetch(catalog, "/entity/deriva-ml:Execution@sort(RCT::desc::)?limit=5")
    """
    rows: list[Row] = catalog.get(path)
    return rows


def select(
    catalog: Catalog,
    table: TableName,
    where: Mapping[str, Any] | None = None,
    *,
    columns: Sequence[str] | None = None,
    sort: Sequence[str] = (),
    limit: int | None = None,
) -> list[Row]:
    """Return the rows of ``table`` whose columns have the values of ``where``.

    A value of None means null; a collection means any of its values. However many values there are, they go out in
    as few requests as addresses of a reasonable length allow. ``sort`` names columns, ``"RCT::desc::"`` downwards.

    Example::

        select(catalog, TableName("deriva-ml", "Execution"), {"RID": rids}, columns=["RID", "Status"])
    """
    head = f"/entity/{table.path}" if columns is None else f"/attribute/{table.path}"
    tail = "" if columns is None else "/" + ",".join(encode(column) for column in columns)
    order = f"@sort({','.join(_sort_key(key) for key in sort)})" if sort else ""
    end = f"?limit={limit}" if limit is not None else ""
    filters = list(conditions(where or {}))
    parts = [fetch(catalog, f"{head}{part}{tail}{order}{end}") for part in filters]
    rows = [row for part in parts for row in part]
    if len(filters) > 1:
        rows = _in_order(rows, sort)[:limit]
    return rows


def pages(catalog: Catalog, path: str, size: int = PAGE_ROWS) -> Iterator[Row]:
    """Yield the rows at an entity address in order of their RIDs, ``size`` of them per request."""
    after = ""
    while True:
        rows = fetch(catalog, f"{path}@sort(RID){after}?limit={size}")
        yield from rows
        if len(rows) < size:
            return
        after = f"@after({encode(rows[-1]['RID'])})"


def count(catalog: Catalog, table: TableName, where: Mapping[str, Any] | None = None) -> int:
    """Return how many rows of ``table`` have the values of ``where`` (as for :func:`select`)."""
    return sum(
        int(fetch(catalog, f"/aggregate/{table.path}{part}/n:=cnt(*)")[0]["n"]) for part in conditions(where or {})
    )


def conditions(where: Mapping[str, Any]) -> Iterator[str]:
    """Yield the filter steps (``/A=1/B=any(2,3)``) that say ``where``; several when its values are many, none when empty."""
    many = {column: list(dict.fromkeys(value)) for column, value in where.items() if _is_collection(value)}
    if any(not values for values in many.values()):
        return
    longest = max(many, key=lambda column: len(many[column]), default=None)
    fixed = "".join(_condition(column, many.get(column, value)) for column, value in where.items() if column != longest)
    if longest is None:
        yield fixed
        return
    for part in chunks(many[longest]):
        yield fixed + _condition(longest, part)


def chunks(values: Iterable[Any]) -> Iterator[list[Any]]:
    """Yield ``values`` in parts that fit into one address each."""
    part: list[Any] = []
    length = 0
    for value in values:
        size = len(encode(literal(value))) + 1
        if part and (len(part) >= MOST_VALUES or length + size > LONGEST_VALUES):
            yield part
            part, length = [], 0
        part.append(value)
        length += size
    if part:
        yield part


def literal(value: Any) -> str:
    """Return ``value`` as the text that stands for it in an address, not yet encoded."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return iso(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Mapping | list):
        return json.dumps(value)
    return "" if value is None else str(value)


def _is_collection(value: Any) -> bool:
    return isinstance(value, Collection) and not isinstance(value, str | bytes | Mapping)


def _condition(column: str, value: Any) -> str:
    name = encode(column)
    if value is None:
        return f"/{name}::null::"
    if not isinstance(value, list):
        return f"/{name}={encode(literal(value))}"
    given = [encode(literal(one)) for one in value if one is not None]
    alternatives = [f"{name}=any({','.join(given)})"] if len(given) > 1 else [f"{name}={one}" for one in given]
    return "/" + ";".join([*alternatives, *([f"{name}::null::"] if None in value else [])])


def _sort_key(key: str) -> str:
    name, down, _ = key.partition("::desc::")
    return encode(name) + down


def _in_order(rows: list[Row], sort: Sequence[str]) -> list[Row]:
    """Sort what several requests brought as the server sorts: nulls last upwards, first downwards."""
    for key in reversed(sort):
        name, down, _ = key.partition("::desc::")
        rows = sorted(
            rows, key=lambda row: (row[name] is None, "" if row[name] is None else row[name]), reverse=bool(down)
        )
    return rows


# ---------------------------------------------------------------------------------------------------------------- write


def insert(
    catalog: Catalog,
    table: TableName,
    rows: Iterable[Mapping[str, Any]],
    *,
    given: Collection[str] = frozenset(),
    skip_conflicts: bool = False,
) -> list[Row]:
    """Insert ``rows`` and return them as stored, in order; with ``skip_conflicts`` only those that were new.

    ``given`` names the system columns that the rows bring themselves (RIDs from a lease, say). A column that no row
    names gets its default; where only some rows name it, the others get the default's value as well.

    Raises:
        DerivaMLConflictError: a key is taken, a reference leads nowhere, a value is missing; the batch is not stored.
    """
    model = catalog.model().find_table(table)
    defaults = {
        column.name: column.default
        for column in model.columns.values()
        if column.default is not None and not column.is_system
    }
    stored: list[Row] = []
    for batch in batches(rows):
        named = {name for row in batch for name in row}
        partly = {name: value for name, value in defaults.items() if name in named}
        asked = [
            *(name for name in SYSTEM_COLUMNS if name not in given),
            *(name for name in defaults if name not in named),
        ]
        options = [
            *(["onconflict=skip"] if skip_conflicts else []),
            f"defaults={','.join(encode(name) for name in asked)}",
        ]
        if given:
            options.append(f"nondefaults={','.join(name for name in SYSTEM_COLUMNS if name in given)}")
        body = [{**partly, **row} for row in batch] if partly else [dict(row) for row in batch]
        stored += catalog.read(catalog.request("POST", f"/entity/{table.path}?{'&'.join(options)}", json=body))
    return stored


def update(
    catalog: Catalog,
    table: TableName,
    rows: Iterable[Mapping[str, Any]],
    *,
    keys: Sequence[str] = ("RID",),
    targets: Sequence[str],
) -> list[Row]:
    """Set the columns ``targets`` of the rows that ``keys`` name; return the keys and targets of those that exist."""
    address = f"/attributegroup/{table.path}/{','.join(map(encode, keys))};{','.join(map(encode, targets))}"
    named = (*keys, *targets)
    stored: list[Row] = []
    for batch in batches({name: row.get(name) for name in named} for row in rows):
        stored += catalog.read(catalog.request("PUT", address, json=batch))
    return stored


def update_if(
    catalog: Catalog, table: TableName, rid: str, expected: Mapping[str, Any], values: Mapping[str, Any]
) -> bool:
    """Set ``values`` in the row ``rid`` if it still holds ``expected``; return whether it did. One request, atomic."""
    old = {f"o{number}": name for number, name in enumerate(expected)}
    new = {f"n{number}": name for number, name in enumerate(values)}
    row = {
        "RID": rid,
        **{alias: expected[name] for alias, name in old.items()},
        **{alias: values[name] for alias, name in new.items()},
    }
    correlated = ",".join(["RID", *(f"{alias}:={encode(name)}" for alias, name in old.items())])
    assigned = ",".join(f"{alias}:={encode(name)}" for alias, name in new.items())
    return bool(
        catalog.read(catalog.request("PUT", f"/attributegroup/{table.path}/{correlated};{assigned}", json=[row]))
    )


def delete(catalog: Catalog, table: TableName, where: Mapping[str, Any]) -> int:
    """Delete the rows that have the values of ``where`` now; return how many there were."""
    rids = [row["RID"] for row in select(catalog, table, where, columns=["RID"])]
    for part in conditions({"RID": rids}):
        try:
            catalog.request("DELETE", f"/entity/{table.path}{part}")
        except DerivaMLCatalogError as error:
            if error.status != 404:  # none left: somebody else deleted them, which is what was wanted
                raise
    return len(rids)


def batches(rows: Iterable[Mapping[str, Any]]) -> Iterator[list[Mapping[str, Any]]]:
    """Yield ``rows`` in parts that one request may carry; nothing when there are none."""
    part: list[Mapping[str, Any]] = []
    size = 0
    for row in rows:
        length = 40 * len(row) + sum(len(value) for value in row.values() if isinstance(value, str))
        if part and (len(part) >= BATCH_ROWS or size + length > BATCH_BYTES):
            yield part
            part, size = [], 0
        part.append(row)
        size += length
    if part:
        yield part
