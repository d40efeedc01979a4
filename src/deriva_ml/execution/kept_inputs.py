"""Inputs while the catalog is away: what this machine keeps of datasets and assets, found without asking."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

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
from deriva_ml.execution.inputs import Inputs, copy_kept, local_files, refuse_two_versions
from deriva_ml.execution.report import listed
from deriva_ml.execution.run import Run
from deriva_ml.execution.store import ExecutionStore
from deriva_ml.files import hash_file
from deriva_ml.names import TableName

T = TypeVar("T")
_BRING = "Bring it here while the catalog can be reached (`ml.download_dataset_bag(…)`, AssetSpec(rid, cache=True))."


def resolve_kept(session: Catalog, cache: Path, store: ExecutionStore, configuration: ExecutionConfiguration) -> Inputs:
    """Return the inputs that a configuration declares, as far as they are on this machine.

    Raises:
        DerivaMLOfflineError: the message names everything that is not.
        DerivaMLValidationError: a local file is not there, or a dataset is declared at two versions.
    """
    problems: list[str] = []
    datasets = [(spec, _tried(_find_dataset, problems, session, cache, spec)) for spec in configuration.datasets]
    specs = [spec for spec in configuration.assets if isinstance(spec, AssetSpec)]
    assets = [(spec, _tried(_asset_table, problems, cache, store, spec)) for spec in specs]
    if problems:
        raise DerivaMLOfflineError(
            f"The session is offline, and this machine does not have all inputs:\n{listed(problems)}\n{_BRING}"
        )
    refuse_two_versions(found for _, found in datasets if found is not None)
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


def kept_dataset(session: Catalog, cache: Path, spec: DatasetSpec) -> ResolvedSpec:
    """Return a dataset version that this machine keeps.

    Raises:
        DerivaMLOfflineError: it does not have it; the message says what to do.
    """
    return _here(_find_dataset, session, cache, spec)


def _here(find: Callable[..., T], *arguments: Any) -> T:
    """Return what ``find`` finds; where it is not here, say how it comes here."""
    try:
        return find(*arguments)
    except DerivaMLOfflineError as error:
        raise DerivaMLOfflineError(f"The session is offline, and {error}. {_BRING}") from error


def _find_dataset(session: Catalog, cache: Path, spec: DatasetSpec) -> ResolvedSpec:
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
    raise DerivaMLOfflineError(
        f"dataset {spec.rid}: version {spec.version} is not in the cache {cache}, where a version stays once the run that made it is committed"
    )


def _described(session: Catalog, folder: Path, rid: str, version: DatasetVersion) -> ResolvedSpec | None:
    """Return what a kept bag says that it is; None for one whose version's row is not in it."""
    bag = Bag(folder)
    for row in bag.rows(session.ml_schema, "Dataset_Version"):
        if row["Dataset"] == rid and row["Version"] == str(version) and row["RID"]:
            return ResolvedSpec(rid, version, row["RID"], bag.info.get("Catalog-Snapshot"))
    return None


def _asset_table(cache: Path, store: ExecutionStore, spec: AssetSpec) -> TableName:
    known = store.table_of_asset(spec.rid)
    if _kept_file(cache, spec.rid) is None:
        raise DerivaMLOfflineError(f"asset {spec.rid}: it is not in the cache {cache}")
    if known is None:
        raise DerivaMLOfflineError(
            f"asset {spec.rid}: its bytes are in the cache {cache}, and no execution of this workspace says of which table it is"
        )
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
    for spec, table in inputs.assets:
        yield _brought(run, cache, spec.rid, table, run.folder / "downloaded-assets" / table.name / spec.rid)
    for path, _ in inputs.files:
        yield AssetFilePath(path, asset_table="File", asset_rid=None, asset_types=[str(ExecAssetType.input_file)])


def bring_one(run: Run, cache: Path, rid: str, folder: Path) -> tuple[TableName, AssetFilePath]:
    """Bring one asset that this machine keeps into ``folder``; return its table, and where it is.

    Raises:
        DerivaMLOfflineError: it does not have it; the message says what to do.
    """
    table = _here(_asset_table, cache, run.store, AssetSpec(rid=rid))
    return table, _brought(run, cache, rid, table, folder)


def _brought(run: Run, cache: Path, rid: str, table: TableName, folder: Path) -> AssetFilePath:
    kept = _kept_file(cache, rid)
    if kept is None:
        raise DerivaMLOfflineError(f"Asset {rid} has just vanished from the cache {cache}.")
    target = folder / kept.name
    if target.exists() and (not target.is_file() or hash_file(target).md5 != hash_file(kept).md5):
        target = folder / rid / kept.name  # that name is another file's
    target.parent.mkdir(parents=True, exist_ok=True)
    copy_kept(kept, target)
    run.staged.add_download(rid, table.schema, table.name, str(target.absolute()))
    return AssetFilePath(target, asset_table=table.name, asset_rid=rid, asset_types=[str(ExecAssetType.input_file)])


def described_inputs(inputs: Inputs, urls: Sequence[str]) -> dict[str, Any]:
    """Return the inputs as the journal keeps them until the catalog can be told; ``urls`` name the local files."""
    return {
        "datasets": inputs.described(),
        "assets": [{"rid": spec.rid, "schema": table.schema, "table": table.name} for spec, table in inputs.assets],
        "files": [
            {"path": str(path), "url": url, "md5": digest.md5, "length": digest.length}
            for (path, digest), url in zip(inputs.files, urls, strict=True)
        ],
    }
