"""A dataset at a version, brought here as a checked bag; a released version comes from the cache the second time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from deriva_ml.bag.write import TableRows, write_bag
from deriva_ml.catalog.model import CatalogModel
from deriva_ml.catalog.rows import select
from deriva_ml.catalog.session import Catalog
from deriva_ml.dataset import files
from deriva_ml.dataset.bag import DatasetBag
from deriva_ml.dataset.cache import BagCache
from deriva_ml.dataset.history import versions_table
from deriva_ml.dataset.members import dataset_table
from deriva_ml.dataset.producers import Metadata, producers_of, read_metadata
from deriva_ml.dataset.resolve import ResolvedSpec, resolve_specs
from deriva_ml.dataset.scope import Scope, gather
from deriva_ml.dataset.spec import DatasetSpec
from deriva_ml.names import TableName

SHOWN = (
    "RID",
    "column_definitions",
    "keys",
    "foreign_keys",
    "schema_name",
    "table_name",
    "comment",
    "annotations",
    "kind",
)


def download_into(session: Catalog, cache_folder: Path, spec: DatasetSpec) -> DatasetBag:
    """Return the bag of the dataset version that ``spec`` names, kept in the cache.

    Raises:
        DerivaMLDatasetNotFound: there is no such dataset.
        DerivaMLNotFoundError: the dataset has no such version.
        DerivaMLIntegrityError: a file is not what its checksum says.
        DerivaMLCatalogError: the snapshot of the version is gone, or the catalog refuses.
    """
    (resolved,) = resolve_specs(session, [spec])
    return download_resolved(session, cache_folder, spec, resolved)


def download_resolved(session: Catalog, cache_folder: Path, spec: DatasetSpec, resolved: ResolvedSpec) -> DatasetBag:
    """As :func:`download_into`, for a version that was resolved before: on a cache hit the catalog is asked nothing at all."""
    cache = BagCache(cache_folder)
    exclude = spec.exclude_tables or ()
    place = cache.place(resolved, exclude, not spec.materialize)
    if resolved.snapshot is not None and (kept := cache.find(place, resolved.rid, holes=not spec.materialize)):
        return DatasetBag(kept, spec=spec, resolved=resolved)
    with cache.building() as building:
        finished = _build(session, cache, building / f"Dataset_{resolved.rid}", spec, resolved)
        if resolved.snapshot is None or not finished:
            place = cache.live_place(resolved.rid)
        bag = cache.keep(building, place, resolved.rid)
    return DatasetBag(bag, spec=spec, resolved=resolved)


def _build(session: Catalog, cache: BagCache, folder: Path, spec: DatasetSpec, resolved: ResolvedSpec) -> bool:
    """Write the bag; return whether another download of the same version would bring the same."""
    moment = session.at(resolved.snapshot or session.latest_snapshot())
    scope = gather(moment, resolved.rid, spec.exclude_tables or ())
    _complete_version(session, scope, resolved)
    metadata = _add_producers(session, scope)
    found = [
        file
        for table, rows in scope.rows.items()
        if scope.model.find_table(table).is_asset
        for file in files.asset_files(session, table, rows.values())
    ]
    if spec.materialize:
        payloads = files.payloads(session, cache, found, spec.fetch_concurrency)
    else:
        payloads = files.holes(session, found)
    write_bag(
        folder,
        tables=_tables(scope),
        payloads=payloads,
        schema_document=_document(scope.model, scope.rows),
        info=_info(session, resolved, moment),
        durable=False,
    )
    return metadata.finished


def _complete_version(session: Catalog, scope: Scope, resolved: ResolvedSpec) -> None:
    """Put the row of the version itself into the bag: it was written just after the snapshot that it names."""
    table = versions_table(session)
    if not scope.wants(table):
        return
    (row,) = select(session, table, {"RID": resolved.version_rid})
    scope.rows.setdefault(table, {})[resolved.version_rid] = row
    scope.rows[dataset_table(session)][resolved.rid]["Version"] = resolved.version_rid


def _add_producers(session: Catalog, scope: Scope) -> Metadata:
    versions = scope.rows.get(versions_table(session), {}).values()
    executions = producers_of(scope, [row["Execution"] for row in versions if row["Execution"]])
    metadata = read_metadata(session, executions)
    for table, rows in metadata.rows.items():
        if scope.wants(table):
            kept = scope.rows.setdefault(table, {})
            kept |= {row["RID"]: row for row in rows if row["RID"] not in kept}
    scope.close_upwards()
    return metadata


def _tables(scope: Scope) -> Iterator[TableRows]:
    for table, rows in sorted(scope.rows.items()):
        columns = tuple(scope.model.find_table(table).columns)
        ordered = sorted(rows.values(), key=lambda row: (len(row["RID"]), row["RID"]))
        yield TableRows(table.schema, table.name, columns, ordered)


def _document(model: CatalogModel, tables: Mapping[TableName, Any]) -> dict[str, Any]:
    """Return the model document of the bag's tables, without rights and access rules."""
    schemas: dict[str, Any] = {}
    for table in sorted(tables):
        schema = schemas.setdefault(table.schema, {"schema_name": table.schema, "tables": {}})
        document = model.document["schemas"][table.schema]["tables"][table.name]
        schema["tables"][table.name] = {name: document[name] for name in SHOWN if name in document}
    return {"schemas": schemas}


def _info(session: Catalog, resolved: ResolvedSpec, moment: Catalog) -> dict[str, str]:
    return {
        "External-Identifier": f"{session.host}/{session.catalog_id}/{resolved.rid}@{moment.snapshot}",
        "External-Description": f"Dataset {resolved.rid} version {resolved.version}",
        "Dataset-RID": resolved.rid,
        "Dataset-Version": str(resolved.version),
        "Catalog-Snapshot": str(moment.snapshot),
    }
