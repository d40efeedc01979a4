"""Inputs of which the catalog is to be told: those of runs that were begun offline, and those that offline sessions added.

They lie in the journal, in their order. What was told is counted there, so that a process that dies on the way leaves the
rest to the next one.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from deriva_ml.catalog.rows import select
from deriva_ml.catalog.session import Catalog
from deriva_ml.dataset.resolve import ResolvedSpec, resolve_specs
from deriva_ml.dataset.spec import DatasetSpec
from deriva_ml.dataset.versions import DatasetVersion
from deriva_ml.errors import DerivaMLDataError, DerivaMLStateInconsistency
from deriva_ml.execution.inputs import asset_tables, link_assets, link_datasets, link_file_rows
from deriva_ml.execution.report import listed
from deriva_ml.execution.run import Run
from deriva_ml.execution.store import ExecutionStore
from deriva_ml.names import TableName

log = logging.getLogger(__name__)

WAITING_INPUTS = "inputs waiting"
"""The step of the journal that holds inputs of which the catalog is to be told."""
_TOLD, _REFUSED = "inputs told", "input not recorded"
_KINDS = ("datasets", "assets", "files")


def note(store: ExecutionStore, rid: str, **inputs: Sequence[dict[str, Any]]) -> None:
    """Write down inputs of which the catalog is to be told: ``datasets``, ``assets``, ``files``."""
    store.note(rid, WAITING_INPUTS, **inputs)


def steps(store: ExecutionStore, rid: str) -> list[dict[str, Any]]:
    """Return what the journal holds of inputs that the catalog was not told of, oldest first."""
    journal = store.journal(rid)
    return [detail for step, detail in journal if step == WAITING_INPUTS][_told(journal) :]


def _told(journal: Sequence[tuple[str, dict[str, Any]]]) -> int:
    """Return of how many steps the catalog was told."""
    return max((detail["steps"] for step, detail in journal if step == _TOLD), default=0)


def of(found: Sequence[dict[str, Any]]) -> dict[str, list[Any]]:
    """Return the inputs that steps of the journal name, by kind."""
    return {kind: [each for detail in found for each in detail.get(kind, ())] for kind in _KINDS}


def gone(session: Catalog, waiting: dict[str, list[Any]]) -> Iterator[str]:
    """Yield what a run has read and the catalog does not have any more, or not as it was read."""
    for each in waiting["datasets"]:
        yield from problem(_check_version, session, each)
    for each in waiting["assets"]:
        yield from problem(asset_tables, session, [each["rid"]])


def problem(check: Callable[..., object], *arguments: Any) -> Iterator[str]:
    """Yield what a check says that is wrong."""
    try:
        check(*arguments)
    except DerivaMLDataError as error:
        yield str(error)


def _check_version(session: Catalog, each: dict[str, Any]) -> None:
    (found,) = resolve_specs(session, [DatasetSpec(rid=each["rid"], version=each["version"])])
    if found.version_rid != each["version_rid"]:
        raise DerivaMLDataError(
            f"Version {each['version']} of dataset {each['rid']} is {found.version_rid} now; the run read {each['version_rid']}."
        )


def tell_inputs(run: Run) -> None:
    """Tell the catalog of the inputs that wait; another call goes on where one stopped.

    Raises:
        DerivaMLStateInconsistency: some of them are gone from the catalog; all are named, and they go on waiting.
    """
    journal = run.store.journal(run.rid)
    found = [detail for step, detail in journal if step == WAITING_INPUTS]
    waiting = of(found[_told(journal) :])
    if not any(waiting.values()):
        return
    problems = list(gone(run.session, waiting))
    if problems:
        raise DerivaMLStateInconsistency(
            f"Execution {run.rid} has read what the catalog does not have any more; its record of that waits here:\n{listed(problems)}\n"
            "Put back what is missing and try again, or keep the run as it is with `exe.seal()`."
        )
    _link(run, waiting)
    run.store.note_on_the_way(run.rid, _TOLD, steps=len(found))  # told again, nothing changes


def _link(run: Run, waiting: dict[str, list[Any]]) -> None:
    datasets = [
        ResolvedSpec(each["rid"], DatasetVersion.parse(each["version"]), each["version_rid"], each["snapshot"])
        for each in waiting["datasets"]
    ]
    link_datasets(run.session, run.rid, datasets)
    _compare(run, datasets)
    for table in {(each["schema"], each["table"]) for each in waiting["assets"]}:
        rids = [each["rid"] for each in waiting["assets"] if (each["schema"], each["table"]) == table]
        link_assets(run.session, run.rid, TableName(*table), rids)
    files = [(Path(each["path"]), each["url"], each["length"], each["md5"]) for each in waiting["files"]]
    if files:
        link_file_rows(run.session, run.rid, files)


def _compare(run: Run, datasets: Sequence[ResolvedSpec]) -> None:
    """Report a dataset that the catalog has as an input at another version: an execution records one version of each."""
    table = run.session.model().ml_table("Dataset_Execution")
    if not datasets or "Dataset_Version" not in table.columns:
        return
    where = {"Execution": run.rid, "Dataset": [each.rid for each in datasets]}
    there = {row["Dataset"]: row["Dataset_Version"] for row in select(run.session, table.name, where)}
    for each in datasets:
        if there.get(each.rid) != each.version_rid:
            reason = (
                f"that version {each.version} of dataset {each.rid} was read is not recorded: the catalog has another version "
                f"of it ({there.get(each.rid)}) as an input of {run.rid}, which stays"
            )
            run.store.note(run.rid, _REFUSED, reason=reason)
            log.warning("%s", reason)


def refused(store: ExecutionStore, rid: str) -> list[str]:
    """Return which inputs the catalog did not take, as sentences."""
    return list(dict.fromkeys(detail["reason"] for step, detail in store.journal(rid) if step == _REFUSED))
