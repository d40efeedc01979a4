"""What an execution reads: declared inputs resolved, linked with the role Input, and brought here."""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deriva_ml.asset.asset import Asset, lookup_assets
from deriva_ml.asset.path import AssetFilePath
from deriva_ml.asset.spec import AssetSpec, LocalFile
from deriva_ml.catalog import objects
from deriva_ml.catalog.rows import insert, select
from deriva_ml.catalog.session import Catalog
from deriva_ml.clock import now
from deriva_ml.dataset.resolve import ResolvedSpec, resolve_specs
from deriva_ml.dataset.spec import DatasetSpec
from deriva_ml.enums import AssetRole, ExecAssetType
from deriva_ml.environment.host import host_name
from deriva_ml.errors import DerivaMLNotFoundError, DerivaMLTableTypeError, DerivaMLValidationError
from deriva_ml.execution.configuration import ExecutionConfiguration
from deriva_ml.execution.run import Run
from deriva_ml.files import BLOCK, Digest, hash_file, replacing
from deriva_ml.names import TableName, encode, safe_file_name
from deriva_ml.rids import resolve_rids


@dataclass(frozen=True, slots=True)
class Inputs:
    """The declared inputs of an execution, all found."""

    datasets: tuple[tuple[DatasetSpec, ResolvedSpec], ...] = ()
    assets: tuple[tuple[AssetSpec, TableName], ...] = ()
    files: tuple[tuple[Path, Digest], ...] = ()

    def described(self) -> list[dict[str, Any]]:
        """Return the datasets as the configuration names them: RID, version, the version's RID and snapshot."""
        return [described(found) for _, found in self.datasets]


def described(found: ResolvedSpec) -> dict[str, Any]:
    """Return a dataset version as configurations and journals name it."""
    return {
        "rid": found.rid,
        "version": str(found.version),
        "version_rid": found.version_rid,
        "snapshot": found.snapshot,
    }


def resolve(session: Catalog, configuration: ExecutionConfiguration) -> Inputs:
    """Return the inputs that a configuration declares. Nothing is written.

    Raises:
        DerivaMLNotFoundError: a dataset, version or asset is not there.
        DerivaMLTableTypeError: a RID is not that of an asset.
        DerivaMLValidationError: a local file is not there, or a dataset is declared at two versions.
    """
    datasets = tuple(zip(configuration.datasets, resolve_specs(session, configuration.datasets), strict=True))
    refuse_two_versions([found for _, found in datasets])
    specs = [spec for spec in configuration.assets if isinstance(spec, AssetSpec)]
    tables = asset_tables(session, [spec.rid for spec in specs])
    files = tuple(local_files(spec) for spec in configuration.assets if isinstance(spec, LocalFile))
    return Inputs(
        datasets, tuple((spec, tables[spec.rid]) for spec in specs), tuple(file for some in files for file in some)
    )


def refuse_two_versions(datasets: Iterable[ResolvedSpec]) -> None:
    """Refuse a dataset at two versions: the catalog keeps one of each for an execution, so the other would be lost.

    Raises:
        DerivaMLValidationError: it names the dataset and both.
    """
    versions: dict[str, ResolvedSpec] = {}
    for found in datasets:
        other = versions.setdefault(found.rid, found)
        if other.version_rid != found.version_rid:
            raise DerivaMLValidationError(
                f"Dataset {found.rid} is named at versions {other.version} and {found.version}, and an execution records one version "
                "of each: read the other one in an execution of its own."
            )


def asset_tables(session: Catalog, rids: Sequence[str]) -> dict[str, TableName]:
    """Return the asset table of each RID; raises as :func:`resolve` does."""
    found = {rid: result.table for rid, result in resolve_rids(session, rids).items()} if rids else {}
    model = session.model()
    for rid, table in found.items():
        if not model.find_table(table).is_asset:
            raise DerivaMLTableTypeError(
                "asset table", table.name, f"{rid} is a row of {table.name}, which is not an asset table."
            )
    return found


def local_files(spec: LocalFile) -> Iterator[tuple[Path, Digest]]:
    """Yield the files that a local input means, with their checksums; raises as :func:`resolve` does."""
    path = spec.path.expanduser().absolute()
    if not path.exists():
        raise DerivaMLValidationError(f"The input {spec.path} is not there.")
    for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
        if file.is_file():
            yield file, hash_file(file)


# ---------------------------------------------------------------------------------------------------------------- links


def link(session: Catalog, rid: str, inputs: Inputs) -> dict[Path, str]:
    """Record the inputs of the execution ``rid``; return the RIDs of the local files."""
    link_datasets(session, rid, [found for _, found in inputs.datasets])
    by_table: defaultdict[TableName, list[str]] = defaultdict(list)
    for spec, table in inputs.assets:
        by_table[table].append(spec.rid)
    for table, rids in by_table.items():
        link_assets(session, rid, table, rids)
    return _link_files(session, rid, inputs.files) if inputs.files else {}


def link_datasets(session: Catalog, rid: str, datasets: Iterable[ResolvedSpec]) -> None:
    """Record datasets at their versions as read by the execution; recording one again changes nothing."""
    table = session.model().ml_table("Dataset_Execution")
    versioned = "Dataset_Version" in table.columns
    rows = [
        {"Dataset": found.rid, "Execution": rid, **({"Dataset_Version": found.version_rid} if versioned else {})}
        for found in {found.rid: found for found in datasets}.values()
    ]
    if rows:
        insert(session, table.name, rows, skip_conflicts=True)


def link_assets(session: Catalog, rid: str, table: TableName, assets: Sequence[str]) -> None:
    """Record assets of one table as read by the execution: the role Input, and the type Input_File."""
    model = session.model()
    roles, types = model.asset_execution(table), model.asset_type_link(table)
    role_column, type_column = roles.references_to(table)[0].column, types.references_to(table)[0].column
    distinct = list(dict.fromkeys(assets))
    insert(
        session,
        roles.name,
        [{role_column: asset, "Execution": rid, "Asset_Role": str(AssetRole.input)} for asset in distinct],
        skip_conflicts=True,
    )
    insert(
        session,
        types.name,
        [{type_column: asset, "Asset_Type": str(ExecAssetType.input_file)} for asset in distinct],
        skip_conflicts=True,
    )


def _link_files(session: Catalog, rid: str, files: Sequence[tuple[Path, Digest]]) -> dict[Path, str]:
    """Record local files by name, length and checksum; a file that was recorded before keeps its row."""
    urls = {path: tag(path, digest) for path, digest in files}
    known = link_file_rows(session, rid, [(path, urls[path], digest.length, digest.md5) for path, digest in files])
    return {path: known[url] for path, url in urls.items()}


def link_file_rows(session: Catalog, rid: str, files: Sequence[tuple[Path, str, int, str]]) -> dict[str, str]:
    """Record local files, each by path, address, length and MD5, as read by the execution; return their RIDs by address."""
    table = TableName(session.ml_schema, "File")
    rows = [
        {"URL": url, "Filename": path.name, "Length": length, "MD5": md5, "Description": f"local file {path}"}
        for path, url, length, md5 in {url: (path, url, length, md5) for path, url, length, md5 in files}.values()
    ]
    insert(session, table, rows, skip_conflicts=True)
    wanted = [url for _, url, *_ in files]
    known = {row["URL"]: row["RID"] for row in select(session, table, {"URL": wanted}, columns=["RID", "URL"])}
    link_assets(session, rid, table, list(known.values()))
    return known


def tag(path: Path, digest: Digest) -> str:
    """Return the name of a file's content on this machine: what changes gets another name."""
    return f"tag://{host_name()},{now().date().isoformat()}:file://{encode(str(path)).replace('%2F', '/')}#{digest.md5}"


# ------------------------------------------------------------------------------------------------------------- download


def download_assets(run: Run, cache: Path, inputs: Inputs, local: dict[Path, str]) -> list[AssetFilePath]:
    """Bring the declared assets here, each into a folder of its RID, and note where they are."""
    found: list[AssetFilePath] = []
    for table in dict.fromkeys(table for _, table in inputs.assets):
        specs = {spec.rid: spec for spec, of in inputs.assets if of == table}
        for rid, asset in lookup_assets(run.session, table, specs).items():
            folder = run.folder / "downloaded-assets" / table.name / rid
            found.append(fetch(run, asset, folder / _name(asset), table, cache if specs[rid].cache else None))
    return found + [_local_path(run, path, rid) for path, rid in local.items()]


def _local_path(run: Run, path: Path, rid: str) -> AssetFilePath:
    run.staged.add_download(rid, run.session.ml_schema, "File", str(path))
    return AssetFilePath(path, asset_table="File", asset_rid=rid, asset_types=[str(ExecAssetType.input_file)])


def _name(asset: Asset) -> str:
    return safe_file_name(asset.filename or asset.asset_rid)


def free_place(folder: Path, asset: Asset) -> Path:
    """Return where the asset goes: under its own name, in a folder of its RID where that name is another file's."""
    place = folder / _name(asset)
    if place.exists() and (not place.is_file() or hash_file(place).md5 != asset.md5):
        return folder / asset.asset_rid / place.name
    return place


def fetch(run: Run, asset: Asset, target: Path, table: TableName, cache: Path | None) -> AssetFilePath:
    """Bring the bytes of an asset to ``target``, by the cache if there is one, and note where they are.

    Raises:
        DerivaMLNotFoundError: they are not in the object store.
        DerivaMLIntegrityError: they are damaged.
    """
    if not asset.url.startswith(("/", "http://", "https://")):
        raise DerivaMLNotFoundError(
            f"The bytes of {asset.asset_rid} ({asset.filename}) are not in the object store, but at {asset.url}."
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    if cache is None:
        objects.get(run.session, asset.url, target, md5=asset.md5)
    else:
        copy_kept(_cached(run.session, asset, cache), target)
    run.staged.add_download(asset.asset_rid, table.schema, table.name, str(target.absolute()))
    return path_of(asset, target)


def _cached(session: Catalog, asset: Asset, cache: Path) -> Path:
    """Return the asset's bytes in the cache, brought there if need be; kept ones are checked before they are used."""
    kept = cache / "assets" / f"{asset.asset_rid}_{asset.md5}" / _name(asset)
    if not kept.is_file() or hash_file(kept).md5 != asset.md5:
        kept.parent.mkdir(parents=True, exist_ok=True)
        objects.get(session, asset.url, kept, md5=asset.md5)
    return kept


def copy_kept(source: Path, target: Path) -> None:
    """Copy a file of the cache to where its user may change it."""
    with source.open("rb") as reader, replacing(target) as writer:
        shutil.copyfileobj(reader, writer, BLOCK)


def path_of(asset: Asset, place: Path) -> AssetFilePath:
    """Return where a downloaded asset is, with what the catalog says of it."""
    types = dict.fromkeys([*asset.asset_types, str(ExecAssetType.input_file)])
    return AssetFilePath(
        place,
        asset_table=asset.asset_table,
        file_name=asset.filename,
        metadata={name: value for name, value in asset.metadata.items() if value is not None},
        asset_types=types,
        asset_rid=asset.asset_rid,
        description=asset.description,
    )


def known_paths(run: Run) -> list[AssetFilePath]:
    """Return the input assets that an earlier process brought here and that are still there."""
    return [
        AssetFilePath(path, asset_table=table, asset_rid=rid, asset_types=[str(ExecAssetType.input_file)])
        for rid, _, table, path in run.staged.downloads()
        if Path(path).exists()
    ]
