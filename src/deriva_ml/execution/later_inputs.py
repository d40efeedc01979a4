"""Inputs that a run takes after it was created: from the catalog; offline from what this machine keeps, and their links wait."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from deriva_ml.asset.asset import lookup_assets
from deriva_ml.asset.path import AssetFilePath
from deriva_ml.catalog.session import Catalog
from deriva_ml.dataset.bag import DatasetBag
from deriva_ml.dataset.dataset import Dataset
from deriva_ml.dataset.download import download_into, download_resolved
from deriva_ml.dataset.resolve import ResolvedSpec, resolve_specs
from deriva_ml.dataset.spec import DatasetSpec
from deriva_ml.errors import DerivaMLValidationError
from deriva_ml.execution import inputs, kept_inputs, nesting, waiting_inputs
from deriva_ml.execution.provenance import input_declared
from deriva_ml.execution.run import Run


def bag(session: Catalog, cache: Path, spec: DatasetSpec) -> DatasetBag:
    """Return a dataset version as a bag on this machine; offline one that was brought here before.

    Raises:
        DerivaMLNotFoundError: no such dataset or version.
        DerivaMLIntegrityError: a file is not what its checksum says.
        DerivaMLOfflineError: the session is offline, and this machine does not have it.
    """
    if not session.offline:
        return download_into(session, cache, spec)
    return download_resolved(session, cache, spec, kept_inputs.kept_dataset(session, cache, spec))


def add_dataset(run: Run, cache: Path, spec: DatasetSpec) -> None:
    """Record a dataset as read by a run that did not declare it; of a dry run it is only looked up.

    Raises:
        DerivaMLNotFoundError: no such dataset or version.
        DerivaMLValidationError: another version of it is an input of the run already.
        DerivaMLOfflineError: the session is offline, and this machine does not have it.
    """
    offline = run.session.offline
    found = kept_inputs.kept_dataset(run.session, cache, spec) if offline else resolve_specs(run.session, [spec])[0]
    _refuse_another_version(run, found)
    if run.dry:
        return
    if offline or run.registered.untold:
        waiting_inputs.note(run.store, run.rid, datasets=[inputs.described(found)])
    else:
        inputs.link_datasets(run.session, run.rid, [found])
    run.store.note(run.rid, "input", dataset=found.rid, version=str(found.version))
    if not offline:
        input_declared(run)


def _refuse_another_version(run: Run, found: ResolvedSpec) -> None:
    """Refuse a second version of a dataset: the catalog keeps one of each for an execution, so it would be lost."""
    for each in _known(run):
        if each["rid"] == found.rid and each["version"] != str(found.version):
            raise DerivaMLValidationError(
                f"Dataset {found.rid} is an input of execution {run.rid} at version {each['version']}, and an execution records one "
                f"version of each: read version {found.version} in an execution of its own."
            )


def _known(run: Run) -> Iterator[Mapping[str, Any]]:
    """Yield the datasets that the run has declared, at first or later, with their versions."""
    for each in run.registered.config.get("datasets") or ():
        if each.get("version"):
            yield each
    for step, detail in run.store.journal(run.rid):
        if step == "input" and detail.get("dataset"):
            yield {"rid": detail["dataset"], "version": detail["version"]}


def list_datasets(run: Run) -> list[Dataset]:
    """Return the datasets that the run has read: by the catalog, offline by what this workspace knows of the run."""
    if run.dry:
        return []
    if not run.session.offline and not run.registered.untold:
        return nesting.input_datasets(run.session, run.rid)
    return [Dataset(run.session, rid) for rid in dict.fromkeys(each["rid"] for each in _known(run))]


def download_asset(run: Run, cache: Path, rid: str, folder: Path, *, record: bool, use_cache: bool) -> AssetFilePath:
    """Bring one asset into ``folder`` and, with ``record``, record it as an input of the execution.

    Raises:
        DerivaMLRidsNotFound: there is no such row.
        DerivaMLTableTypeError: the RID is not that of an asset.
        DerivaMLIntegrityError: the bytes are damaged.
        DerivaMLOfflineError: the session is offline, and this machine does not have it.
    """
    if run.session.offline:
        table, path = kept_inputs.bring_one(run, cache, rid, folder)
        if record and not run.dry:
            described = {"rid": rid, "schema": table.schema, "table": table.name}
            waiting_inputs.note(run.store, run.rid, assets=[described])
        return path
    table = inputs.asset_tables(run.session, [rid])[rid]
    if record and not run.dry:
        inputs.link_assets(run.session, run.rid, table, [rid])
        input_declared(run)
    asset = lookup_assets(run.session, table, [rid])[rid]
    return inputs.fetch(run, asset, inputs.free_place(folder, asset), table, cache if use_cache else None)
