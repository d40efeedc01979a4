"""Inputs while the catalog is away: what this machine keeps of datasets and assets, found without asking."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from deriva_ml.asset.path import AssetFilePath
from deriva_ml.asset.spec import AssetSpec, LocalFile
from deriva_ml.bag.read import Bag
from deriva_ml.catalog.session import Catalog
from deriva_ml.dataset.cache import BagCache
from deriva_ml.dataset.resolve import ResolvedSpec
from deriva_ml.dataset.spec import DatasetSpec
from deriva_ml.dataset.versions import DatasetVersion
from deriva_ml.enums import ExecAssetType
from deriva_ml.errors import DerivaMLOfflineError
from deriva_ml.execution.configuration import ExecutionConfiguration
from deriva_ml.execution.inputs import Inputs, copy_kept, local_files
from deriva_ml.execution.report import listed
from deriva_ml.execution.run import Run
from deriva_ml.execution.store import ExecutionStore
from deriva_ml.files import hash_file
from deriva_ml.names import TableName


def resolve_kept(session: Catalog, cache: Path, store: ExecutionStore, configuration: ExecutionConfiguration) -> Inputs:
    """Return the inputs that a configuration declares, as far as they are on this machine.

    Raises:
        DerivaMLOfflineError: the message names everything that is not.
        DerivaMLValidationError: a local file is not there.
    """
    problems: list[str] = []
    datasets = [(spec, _tried(_dataset, problems, session, cache, spec)) for spec in configuration.datasets]
    specs = [spec for spec in configuration.assets if isinstance(spec, AssetSpec)]
    assets = [(spec, _tried(_asset_table, problems, cache, store, spec)) for spec in specs]
    if problems:
        raise DerivaMLOfflineError(
            f"The session is offline, and this machine does not have all inputs:\n{listed(problems)}\n"
            "Bring them here while the catalog can be reached (`ml.download_dataset_bag(…)`, AssetSpec(rid, cache=True))."
        )
    files = [file for spec in configuration.assets if isinstance(spec, LocalFile) for file in local_files(spec)]
    return Inputs(
        tuple((spec, found) for spec, found in datasets if found is not None),
        tuple((spec, table) for spec, table in assets if table is not None),
        tuple(files),
    )


def _tried(find: Any, problems: list[str], *arguments: Any) -> Any:
    """Return what ``find`` finds; what is not here is added to ``problems``."""
    try:
        return find(*arguments)
    except DerivaMLOfflineError as error:
        problems.append(str(error))
        return None


def _dataset(session: Catalog, cache: Path, spec: DatasetSpec) -> ResolvedSpec:
    if spec.version is None:
        raise DerivaMLOfflineError(
            f"dataset {spec.rid}: which version is the current one is not known: name the version"
        )
    bags = BagCache(cache)
    for place in sorted((cache / "bags").glob(f"{spec.rid}_{spec.version}_*")):
        folder = place / f"Dataset_{spec.rid}"
        found = _described(session, folder, spec.rid, spec.version) if folder.is_dir() else None
        if (
            found is not None
            and bags.place(found, spec.exclude_tables or (), not spec.materialize) == place
            and bags.find(place, spec.rid, holes=not spec.materialize)
        ):
            return found
    raise DerivaMLOfflineError(f"dataset {spec.rid}: version {spec.version} is not in the cache {cache}")


def _described(session: Catalog, folder: Path, rid: str, version: DatasetVersion) -> ResolvedSpec | None:
    """Return what a kept bag says that it is; None for one whose version's row is not in it."""
    bag = Bag(folder)
    for row in bag.rows(session.ml_schema, "Dataset_Version"):
        if row["Dataset"] == rid and row["Version"] == str(version) and row["RID"]:
            return ResolvedSpec(rid, version, row["RID"], bag.info.get("Catalog-Snapshot"))
    return None


def _asset_table(cache: Path, store: ExecutionStore, spec: AssetSpec) -> TableName:
    known = store.table_of_asset(spec.rid)
    if known is None or _kept_file(cache, spec.rid) is None:
        raise DerivaMLOfflineError(f"asset {spec.rid}: it is not in the cache {cache}")
    return TableName(*known)


def _kept_file(cache: Path, rid: str) -> Path | None:
    """Return the bytes of an asset in the cache, if they are there and whole."""
    for folder in sorted((cache / "assets").glob(f"{rid}_*")):
        for path in sorted(folder.iterdir()):
            if not path.name.startswith(".") and hash_file(path).md5 == folder.name.rpartition("_")[2]:
                return path
    return None


def bring_kept(run: Run, cache: Path, inputs: Inputs) -> Iterator[AssetFilePath]:
    """Bring the declared assets into the run's folder, and yield where they are; local files stay where they are."""
    types = [str(ExecAssetType.input_file)]
    for spec, table in inputs.assets:
        kept = _kept_file(cache, spec.rid)
        if kept is None:
            raise DerivaMLOfflineError(f"Asset {spec.rid} has just vanished from the cache {cache}.")
        target = run.folder / "downloaded-assets" / table.name / spec.rid / kept.name
        target.parent.mkdir(parents=True, exist_ok=True)
        copy_kept(kept, target)
        run.staged.add_download(spec.rid, table.schema, table.name, str(target))
        yield AssetFilePath(target, asset_table=table.name, asset_rid=spec.rid, asset_types=types)
    for path, _ in inputs.files:
        yield AssetFilePath(path, asset_table="File", asset_rid=None, asset_types=types)


def waiting_inputs(inputs: Inputs, urls: Sequence[str]) -> dict[str, Any]:
    """Return the inputs as the journal keeps them until the catalog can be told; ``urls`` name the local files."""
    return {
        "datasets": inputs.described(),
        "assets": [{"rid": spec.rid, "schema": table.schema, "table": table.name} for spec, table in inputs.assets],
        "files": [
            {"path": str(path), "url": url, "md5": digest.md5, "length": digest.length}
            for (path, digest), url in zip(inputs.files, urls, strict=True)
        ],
    }
