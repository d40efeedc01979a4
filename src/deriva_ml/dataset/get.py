"""A file or a dataset version brought into a folder of the user's own, as copies that are theirs to change."""

from __future__ import annotations

import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deriva_ml.asset.asset import Asset, lookup_asset
from deriva_ml.catalog import objects
from deriva_ml.catalog.session import Catalog
from deriva_ml.dataset.download import download_into
from deriva_ml.dataset.files import store_address
from deriva_ml.dataset.spec import DatasetSpec
from deriva_ml.errors import DerivaMLTableTypeError, DerivaMLValidationError
from deriva_ml.files import hash_file
from deriva_ml.names import safe_file_name
from deriva_ml.rids import resolve_rid


@dataclass(frozen=True, slots=True)
class Brought:
    """What was brought, and where it is now."""

    rid: str
    kind: str
    path: Path
    length: int | None = None
    md5: str | None = None
    version: str | None = None

    def document(self) -> dict[str, Any]:
        """Return the facts that there are, for JSON."""
        facts = {name: getattr(self, name) for name in ("rid", "kind", "length", "md5", "version")}
        return {"path": str(self.path), **{name: value for name, value in facts.items() if value is not None}}


def get(session: Catalog, cache: Path, rid: str, folder: Path) -> Brought:
    """Bring the asset ``rid``, or the dataset ``rid`` (``RID@version``), into ``folder``, made if need be.

    Raises:
        DerivaMLRidsNotFound: no row has this RID.
        DerivaMLTableTypeError: the row is neither.
        DerivaMLValidationError: something else of that name is in the folder, or the bytes are not in the store.
        DerivaMLIntegrityError: the bytes are not what their checksum says.
    """
    own, _, version = rid.partition("@")
    table = resolve_rid(session, own).table
    if table.schema == session.ml_schema and table.name == "Dataset":
        return _dataset(session, cache, DatasetSpec.from_shorthand(rid), folder)
    if version:
        raise DerivaMLValidationError(f"{own} is a row of {table.name}, which has no versions: leave out @{version}.")
    if not session.model().find_table(table).is_asset:
        raise DerivaMLTableTypeError("file", table.name, f"{own} is a row of {table.name}: only assets and datasets can be downloaded. `deriva-ml show {own}` lists what belongs to it.")  # fmt: skip
    return _asset(session, lookup_asset(session, own), folder)


def _asset(session: Catalog, asset: Asset, folder: Path) -> Brought:
    address = store_address(session, asset.url)
    if address is None:
        raise DerivaMLValidationError(f"The bytes of {asset.asset_rid} are not in this catalog's store: {asset.url}")
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / safe_file_name(asset.filename or asset.md5)
    if target.exists() or target.is_symlink():
        if not target.is_file() or hash_file(target).md5 != asset.md5:
            raise _taken(target)
    else:
        objects.get(session, address, target, md5=asset.md5)
    return Brought(asset.asset_rid, asset.asset_table, target, asset.length, asset.md5)


def _dataset(session: Catalog, cache: Path, spec: DatasetSpec, folder: Path) -> Brought:
    bag = download_into(session, cache, spec)
    target = folder / f"Dataset_{bag.rid}_{bag.version}"
    if target.exists() or target.is_symlink():
        raise _taken(target)
    folder.mkdir(parents=True, exist_ok=True)
    copying = folder / f".{target.name}.{secrets.token_hex(4)}.part"
    try:
        shutil.copytree(bag.path, copying, copy_function=shutil.copyfile)
        copying.rename(target)
    finally:
        shutil.rmtree(copying, ignore_errors=True)
    return Brought(bag.rid, "Dataset", target, version=str(bag.version))


def _taken(target: Path) -> DerivaMLValidationError:
    return DerivaMLValidationError(
        f"{target} is there already, and is something else: choose another folder with --to."
    )
