"""The outputs of a run as its user registers them: three ways for a file to come in, and paths that know their asset."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from deriva_ml.asset.path import AssetFilePath
from deriva_ml.catalog.model import TableModel
from deriva_ml.catalog.terms import check_terms, terms
from deriva_ml.enums import ExecMetadataType, MLAsset, MLVocab
from deriva_ml.errors import DerivaMLValidationError
from deriva_ml.execution.manifest import Entry, EntryState
from deriva_ml.execution.rewritten import in_catalog
from deriva_ml.execution.run import Run
from deriva_ml.execution.staging import Wish
from deriva_ml.feature.record import can_hold
from deriva_ml.names import TableName, check_text


class LeftoverWarning(UserWarning):
    """A file named relative to the working directory was there before the run began, and is registered as it is."""


class Outputs:
    """The staged assets of a run; it is where an :class:`AssetFilePath` keeps what is assigned to it."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def register(
        self,
        asset_name: str,
        file_name: str | os.PathLike[str],
        asset_types: Iterable[str] | str | None,
        metadata: Mapping[str, Any] | None,
        description: str | None,
        *,
        copy: bool,
        rename: str | None,
    ) -> AssetFilePath:
        """Register a file: one to be written, or one that is there, by link or copy."""
        check_text(os.fspath(file_name), "name of the file")
        check_text(description or "", "description")
        table = self._run.session.model().find_asset_table(asset_name)
        check_metadata(table, metadata or {}, os.fspath(file_name))
        staging, name = self._run.staging, os.fspath(file_name)
        renewed = staging.renewed(table, name) if rename is None else None
        wish = Wish(self._types(asset_types, table, renewed is None), metadata, description)
        source = Path(name)
        if renewed is not None:
            entry = staging.change(renewed.key, wish, written=True)
        elif os.path.exists(name):  # noqa: PTH110 - a name that no disk takes does not exist
            if os.sep not in name and source.is_file() and not copy and staging.existed_before_the_run(source):
                _warn_of_leftover(name, source.absolute())
            entry = staging.existing(table, source, rename or source.name, wish, copy=copy)
        elif copy or rename is not None:
            raise DerivaMLValidationError(
                f"There is no file {name} to register{f' as {rename}' if rename else ''}: write it first, or leave `copy_file` and "
                "`rename_file` out to get a path for a new file."
            )
        else:
            entry = staging.new(table, name, wish)
        return self.path_of(entry)

    def register_many(
        self,
        asset_name: str,
        file_names: Iterable[str | os.PathLike[str]],
        asset_types: Iterable[str] | str | None,
        metadata: Mapping[str, Any] | None,
        description: str | None,
        *,
        copy: bool,
    ) -> list[AssetFilePath]:
        """Register files that are there, in one transaction."""
        table = self._run.session.model().find_asset_table(asset_name)
        wish = Wish(self._types(asset_types, table, True), metadata, description)
        sources = [(path, path.name) for path in map(Path, file_names)]
        check_text(description or "", "description")
        for path, _ in sources:
            check_text(str(path), "name of the file")
        check_metadata(table, metadata or {}, sources[0][1] if sources else "")
        return [self.path_of(entry) for entry in self._run.staging.existing_many(table, sources, wish, copy=copy)]

    def discard(self, path: str | os.PathLike[str]) -> None:
        """Give up a registered asset that is not in the catalog yet; the user's own file stays."""
        entry = self._run.staging.find(path)
        if entry is None or entry.state is EntryState.UPLOADED:
            raise DerivaMLValidationError(
                f"{os.fspath(path)} is not staged in execution {self._run.rid}, or is in the catalog already."
            )
        if in_catalog(self._run, [entry]):
            raise DerivaMLValidationError(
                f"{entry.label} was sent already, by a commit that did not end: it is an output of execution {self._run.rid} in the catalog, "
                "and stays one. `commit_output_assets()` ends what was begun."
            )
        self._run.staged.drop([entry])
        (self._run.folder / entry.staged).unlink(missing_ok=True)
        self._run.staging.write_manifest()

    def metrics_file(self, name: str) -> AssetFilePath:
        """Register a metrics file of the run's own, whatever the working directory holds."""
        table = self._run.session.model().find_asset_table(MLAsset.execution_metadata)
        wish = Wish((str(ExecMetadataType.metrics_file),), None, "Metrics of the run")
        return self.path_of(self._run.staging.new(table, name, wish))

    def _types(self, types: Iterable[str] | str | None, table: TableModel, new: bool) -> tuple[str, ...] | None:
        """Return the types that were asked for; for a new asset without any the term called like its table, if there is one."""
        vocabulary = TableName(self._run.session.ml_schema, MLVocab.asset_type)
        if types is not None:
            return tuple(check_terms(self._run.session, vocabulary, [types] if isinstance(types, str) else types))
        if not new:
            return None
        return (table.name.name,) if table.name.name in terms(self._run.session, vocabulary) else ()

    def path_of(self, entry: Entry) -> AssetFilePath:
        """Return the path of a registered asset as users hold it."""
        return AssetFilePath(
            self._run.folder / entry.staged,
            asset_table=entry.table,
            file_name=entry.file_name,
            metadata=entry.metadata,
            asset_types=entry.asset_types,
            asset_rid=entry.rid if entry.state is EntryState.UPLOADED else None,
            description=entry.description,
            keeper=self,
            key=entry.key,
        )

    # ---------------------------------------------------------------------------------------------- kept for the paths

    def keep_metadata(self, key: str, metadata: Mapping[str, Any]) -> dict[str, Any]:
        """Replace the whole metadata of the asset ``key``; return it as kept."""
        entry = self._entry(key)
        check_metadata(
            self._run.session.model().find_asset_table(TableName(entry.schema, entry.table)), metadata, entry.file_name
        )
        return dict(self._run.staging.change(key, Wish(metadata=metadata)).metadata)

    def keep_types(self, key: str, types: Iterable[str]) -> list[str]:
        """Replace the types of the asset ``key``; return them as kept."""
        vocabulary = TableName(self._run.session.ml_schema, MLVocab.asset_type)
        wish = Wish(types=tuple(check_terms(self._run.session, vocabulary, types)))
        return list(self._run.staging.change(key, wish).asset_types)

    def rid_of(self, key: str) -> str | None:
        """Return the RID of the asset ``key``, once it is in the catalog."""
        entry = self._entry(key)
        return entry.rid if entry.state is EntryState.UPLOADED else None

    def _entry(self, key: str) -> Entry:
        entry = self._run.staged.entry(key)
        if entry is None:
            raise DerivaMLValidationError(f"Execution {self._run.rid} has no asset {key}.")
        return entry


def check_metadata(table: TableModel, metadata: Mapping[str, Any], file_name: str) -> None:
    """Refuse metadata for columns that the asset table does not have, and values that its columns cannot hold.

    Raises:
        DerivaMLValidationError: all unknown columns are named, and those that there are; or the file, and each wrong value.
    """
    known = {column.name: column for column in table.payload_columns}
    unknown = [name for name in metadata if name not in known]
    if unknown:
        listing = ", ".join(known) or "none of its own"
        raise DerivaMLValidationError(
            f"{table.name.name} has no column {', '.join(map(repr, unknown))} for metadata. Its columns: {listing}."
        )
    wrong = [
        f"{name} is {value!r}, and the column holds {known[name].type}"
        for name, value in metadata.items()
        if not can_hold(known[name], value)
    ]
    if wrong:
        raise DerivaMLValidationError(f"{table.name.name}/{file_name}: its metadata does not fit: {'; '.join(wrong)}.")


def _warn_of_leftover(name: str, source: Path) -> None:
    """Say that a file in the working directory is taken as it is, rather than a new one made."""
    warnings.warn(
        f"{name!r} is an existing file ({source}, written before this run began), so it is registered as it is, by a link. For a new "
        "file choose a name that does not exist here; a path with a folder (./name) says that the existing one is meant.",
        LeftoverWarning,
        stacklevel=4,
    )
