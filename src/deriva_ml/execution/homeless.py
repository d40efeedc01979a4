"""What a run has staged and the catalog's model has no place for any more: a sealed bag keeps it whole in its record, as JSON.

Tables, columns and features may have gone since it was staged, and may come back. What has a place lies in the bag's tables.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from deriva_ml.bag.write import Payload
from deriva_ml.catalog.model import CatalogModel
from deriva_ml.errors import DerivaMLAmbiguousAssociationException, DerivaMLNoAssociationException
from deriva_ml.execution.fitting import misfit
from deriva_ml.execution.manifest import Entry, EntryState, Mode
from deriva_ml.execution.plan import payload_of
from deriva_ml.execution.run import Run
from deriva_ml.execution.staged import StagedFeature
from deriva_ml.execution.staged_values import columns_named
from deriva_ml.names import TableName
from deriva_ml.rid import check_rid

Types = Mapping[str, str]
"""Types of columns, by name."""


def parted(model: CatalogModel, entries: Sequence[Entry]) -> tuple[list[Entry], list[Entry]]:
    """Return the entries that rows of their tables can hold, and those that none can."""
    names = {(entry.schema, entry.table) for entry in entries}
    columns = {name: _asset_columns(model, TableName(*name)) for name in names}
    placed = [entry for entry in entries if _holds(columns[entry.schema, entry.table], entry.metadata)]
    held = {entry.key for entry in placed}
    return placed, [entry for entry in entries if entry.key not in held]


def _asset_columns(model: CatalogModel, name: TableName) -> Types | None:
    """Return the columns that users gave to an asset table; None when there is none with its links."""
    table = model.table(name)
    if table is None or not table.is_asset:
        return None
    try:
        model.asset_execution(name)
        model.asset_type_link(name)
    except (DerivaMLNoAssociationException, DerivaMLAmbiguousAssociationException):
        return None
    return {column.name: column.type for column in table.payload_columns}


def _holds(columns: Types | None, values: Mapping[str, Any]) -> bool:
    return columns is not None and all(
        name in columns and misfit(columns[name], value) is None for name, value in values.items()
    )


def tables_without_place(run: Run, up_to: int) -> list[TableName]:
    """Return the tables of staged feature values, up to an id, that are no features any more or lack a column of them."""
    model = run.session.model()
    found = [TableName(*name) for name in run.staged.feature_tables(up_to)]
    return [name for name in found if not _is_feature_with(model, name, columns_named(run.staged, name, up_to))]


def _is_feature_with(model: CatalogModel, name: TableName, columns: Collection[str]) -> bool:
    table = model.table(name)
    return table is not None and model.feature_of(table) is not None and table.columns.keys() >= set(columns)


# ------------------------------------------------------------------------------------------------------- in the record


def facts_of(entry: Entry) -> dict[str, Any]:
    """Return what the rows of an asset would say of its entry."""
    facts = ("description", "md5", "length", "url")
    return {
        **{name: getattr(entry, name) for name in facts},
        "asset_types": list(entry.asset_types),
        "metadata": dict(entry.metadata),
    }


def entry_of(described: Mapping[str, Any]) -> Entry:
    """Return the entry that the record of a bag describes wholly."""
    facts = described["facts"]
    return Entry(
        key=described["key"], schema=described["schema"], table=described["table"], file_name=described["file_name"],
        mode=Mode(described["mode"]), staged="", source=described["source"], source_stamp=described["source_stamp"],
        asset_types=tuple(facts["asset_types"]), metadata=facts["metadata"], description=facts["description"],
        state=EntryState.SEALED, md5=facts["md5"], sha256=described["sha256"], length=facts["length"],
        rid=check_rid(described["rid"]), url=facts["url"],
    )  # fmt: skip


def payloads(run: Run, entries: Sequence[Entry]) -> Iterator[Payload]:
    """Yield the files of these entries; equal ones have one name, and are one file."""
    for rid, entry in {entry.rid or "": entry for entry in entries}.items():
        yield payload_of(run, rid, entry)


def values_of(run: Run, tables: Sequence[TableName], up_to: int) -> Iterator[dict[str, Any]]:
    """Yield the staged values of these tables; they name files of the bag by their keys, and those in the catalog by RIDs."""
    for table in tables:
        features = list(run.staged.features((table.schema, table.name), up_to))
        entries = run.staged.by_id(number for feature in features for number in feature.assets.values())
        for feature in features:
            files = {column: entries[number] for column, number in feature.assets.items()}
            there = {column: entry.rid for column, entry in files.items() if entry.state is EntryState.UPLOADED}
            yield {
                "schema": feature.schema,
                "table": feature.table,
                "feature_name": feature.feature_name,
                "target_table": feature.target_table,
                "identity": feature.identity,
                "record": {**feature.record, **there},
                "files": {column: entry.key for column, entry in files.items() if column not in there},
            }


def value_of(described: Mapping[str, Any], ids: Mapping[str, int]) -> StagedFeature:
    """Return the staged value that the record of a bag describes; ``ids`` are those of the entries, by key."""
    return StagedFeature(
        schema=described["schema"],
        table=described["table"],
        feature_name=described["feature_name"],
        target_table=described["target_table"],
        identity=described["identity"],
        record=described["record"],
        assets={column: ids[key] for column, key in described["files"].items()},
    )
