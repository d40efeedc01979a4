"""What a commit writes, as rows: assets, their links and types, feature values, in the order that references need.

The bag and the load are made of the same rows, so that they cannot differ.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from deriva_ml.bag.layout import asset_path
from deriva_ml.bag.write import Payload, TableRows
from deriva_ml.catalog.model import TableModel
from deriva_ml.enums import AssetRole, ExecAssetType
from deriva_ml.execution.features import row_of
from deriva_ml.execution.manifest import Entry
from deriva_ml.execution.run import Run
from deriva_ml.names import TableName

ASSET_COLUMNS = ("RID", "URL", "Filename", "Length", "MD5", "Description")


@dataclass(frozen=True, slots=True)
class AssetGroup:
    """The entries of one asset table that go into the catalog together, and the tables of their links."""

    table: TableModel
    roles: TableModel
    types: TableModel
    entries: tuple[Entry, ...]

    @property
    def assets(self) -> dict[str, Entry]:
        """The entries by RID, one for each; equal files are one asset."""
        return {entry.rid or "": entry for entry in self.entries}

    @property
    def new(self) -> dict[str, Entry]:
        """The assets that the catalog does not have yet, by RID."""
        return {rid: entry for rid, entry in self.assets.items() if not entry.reused}

    def link_column(self, links: TableModel) -> str:
        """Return the column of ``links`` that names the asset."""
        return links.references_to(self.table.name)[0].column

    def asset_rows(self) -> Iterator[dict[str, Any]]:
        """Yield the rows of the new assets."""
        for rid, entry in self.new.items():
            yield {
                **{
                    column.name: entry.metadata[column.name]
                    for column in self.table.payload_columns
                    if column.name in entry.metadata
                },
                "RID": rid,
                "URL": entry.url,
                "Filename": entry.file_name,
                "Length": entry.length,
                "MD5": entry.md5,
                "Description": entry.description or None,
            }

    def role_rows(self, rid: str, role: str = AssetRole.output) -> Iterator[dict[str, Any]]:
        """Yield the rows that say which execution wrote (or read) the assets."""
        column = self.link_column(self.roles)
        for asset in self.assets:
            yield {column: asset, "Execution": rid, "Asset_Role": str(role)}

    def type_rows(self, direction: str = ExecAssetType.output_file) -> Iterator[dict[str, Any]]:
        """Yield the rows that say what kind of files the assets are, the direction included."""
        column = self.link_column(self.types)
        pairs = {(entry.rid, kind): None for entry in self.entries for kind in (*entry.asset_types, str(direction))}
        for asset, kind in pairs:
            yield {column: asset, "Asset_Type": kind}


def groups(run: Run, entries: Sequence[Entry]) -> list[AssetGroup]:
    """Return the entries by asset table."""
    by_table: defaultdict[TableName, list[Entry]] = defaultdict(list)
    for entry in entries:
        by_table[TableName(entry.schema, entry.table)].append(entry)
    model = run.session.model()
    return [
        AssetGroup(model.find_asset_table(name), model.asset_execution(name), model.asset_type_link(name), tuple(group))
        for name, group in by_table.items()
    ]


Naming = Callable[[Entry], Entry]
"""Gives an entry the RID, or what stands for it, under which rows refer to it."""


def _as_it_is(entry: Entry) -> Entry:
    return entry


def feature_rows(run: Run, table: TableName, up_to: int, naming: Naming = _as_it_is) -> Iterator[dict[str, Any]]:
    """Yield the rows of the staged values of one feature, up to an id, a few hundred in memory at a time."""
    batch: list[Any] = []
    for feature in run.staged.features((table.schema, table.name), up_to):
        batch.append(feature)
        if len(batch) >= 500:
            yield from _feature_rows(run, batch, naming)
            batch = []
    yield from _feature_rows(run, batch, naming)


def _feature_rows(run: Run, batch: Sequence[Any], naming: Naming) -> Iterator[dict[str, Any]]:
    found = run.staged.by_id(number for feature in batch for number in feature.assets.values())
    entries = {number: naming(entry) for number, entry in found.items()}
    for feature in batch:
        yield row_of(feature, run.rid, entries)


def bag_tables(
    run: Run,
    assets: Sequence[AssetGroup],
    up_to: int,
    naming: Naming = _as_it_is,
    without: Collection[TableName] = (),
) -> Iterator[TableRows]:
    """Yield the tables of the commit's bag, in the order in which they can be loaded; of features all but ``without``."""
    for group in assets:
        columns = (*ASSET_COLUMNS, *(column.name for column in group.table.payload_columns))
        yield _rows(group.table, columns, group.asset_rows())
    for group in assets:
        yield _rows(group.roles, (group.link_column(group.roles), "Execution", "Asset_Role"), group.role_rows(run.rid))
        yield _rows(group.types, (group.link_column(group.types), "Asset_Type"), group.type_rows())
    for named in (TableName(*name) for name in run.staged.feature_tables(up_to)):
        if named in without:
            continue
        table = run.session.model().find_table(named)
        columns = tuple(column.name for column in table.columns.values() if not column.is_system)
        yield _rows(table, columns, feature_rows(run, table.name, up_to, naming))


def _rows(table: TableModel, columns: tuple[str, ...], rows: Iterator[Mapping[str, Any]]) -> TableRows:
    return TableRows(table.name.schema, table.name.name, columns, rows)


def bag_payloads(run: Run, assets: Sequence[AssetGroup]) -> Iterator[Payload]:
    """Yield the files of the commit's bag."""
    for group in assets:
        for rid, entry in group.assets.items():
            yield payload_of(run, rid, entry)


def payload_of(run: Run, rid: str, entry: Entry) -> Payload:
    """Return the sealed bytes of an entry as the file of a bag in which it is called ``rid``."""
    path, source = asset_path(entry.table, rid, entry.file_name), run.folder / (entry.sealed or "")
    return Payload(path, entry.length or 0, entry.md5 or "", entry.sha256 or "", source=source)


def bag_model(run: Run, tables: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """Return the part of the catalog's model that describes ``tables``."""
    known = run.session.model().document["schemas"]
    schemas: dict[str, Any] = {}
    for schema, table in tables:
        part = schemas.setdefault(schema, {"schema_name": schema, "tables": {}})
        part["tables"][table] = known[schema]["tables"][table]
    return {"schemas": schemas}
