"""The versions of datasets in the catalog: read in bulk, started, marked as changed, released."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import Any

from deriva_ml.catalog.rows import Row, insert, select, update, update_if
from deriva_ml.catalog.session import Catalog
from deriva_ml.dataset.versions import DatasetHistory, DatasetVersion, VersionPart, current
from deriva_ml.errors import DerivaMLBusyError, DerivaMLConflictError, DerivaMLValidationError
from deriva_ml.names import TableName

TRIES = 20
NO_VERSION = DatasetVersion(0, 0, 0)


def versions_table(session: Catalog) -> TableName:
    """Return the name of the table that holds the versions."""
    return TableName(session.ml_schema, "Dataset_Version")


def read_histories(session: Catalog, rids: Collection[str] | None) -> dict[str, list[DatasetHistory]]:
    """Return the versions of each dataset, oldest first; of all datasets when ``rids`` is None."""
    rows = select(session, versions_table(session), {} if rids is None else {"Dataset": rids})
    found: dict[str, list[DatasetHistory]] = {rid: [] for rid in rids or ()}
    for row in rows:
        found.setdefault(row["Dataset"], []).append(entry_of(row))
    return {rid: sorted(entries, key=lambda entry: entry.dataset_version) for rid, entries in found.items()}


def read_history(session: Catalog, rid: str) -> list[DatasetHistory]:
    """Return the versions of one dataset, oldest first."""
    return read_histories(session, [rid])[rid]


def entry_of(row: Row) -> DatasetHistory:
    """Return what a row of the versions table says."""
    return DatasetHistory(
        dataset_version=DatasetVersion.parse(row["Version"]),
        dataset_rid=row["Dataset"],
        version_rid=row["RID"],
        execution_rid=row["Execution"],
        description=row["Description"],
        minid=row["Minid"],
        spec_hash=row["Minid_Spec_Hash"],
        snapshot=row["Snapshot"],
    )


def start(
    session: Catalog, rid: str, version: DatasetVersion, description: str | None, execution: str | None
) -> DatasetHistory:
    """Give a new dataset its first version, released at the catalog's present state."""
    return _insert(session, rid, version, description, execution, session.latest_snapshot())


def mark_dev(session: Catalog, rid: str, description: str | None, execution: str | None) -> DatasetVersion:
    """Record that the dataset has changed since its last release; return the development version.

    A producer that is recorded already stays unless a new one is given.

    Raises:
        DerivaMLBusyError: other processes change the dataset faster than this one can.
    """
    for history in _attempts(session, rid):
        newest = current(history) if history else None
        if newest is None or not newest.dataset_version.is_dev:
            label = (newest.dataset_version if newest else NO_VERSION).next_dev()
            try:
                _insert(session, rid, label, description, execution, None)
            except DerivaMLConflictError:  # somebody else has just made this development version
                continue
            return label
        label = newest.dataset_version.next_dev()
        values: dict[str, Any] = {"Version": str(label)}
        values |= {"Description": description} if description else {}
        values |= {"Execution": execution} if execution else {}
        if _change(session, newest, values):
            return label
    raise _busy(rid)


def announce(
    session: Catalog, rid: str, changes: Callable[[], bool], description: str | None, execution: str | None
) -> DatasetHistory | None:
    """Say before a change that the dataset changes: a process that dies in the middle of it leaves no release that is not what it says.

    Returns the development version that was made for that; None where there is one, or where nothing ``changes``.
    """
    known = read_history(session, rid)
    newest = current(known).dataset_version if known else None
    if newest is None or newest.is_dev or not changes():
        return None
    try:
        return _insert(session, rid, newest.next_dev(), description, execution, None)
    except DerivaMLConflictError:  # somebody else has just made this development version
        return None


def changed(
    session: Catalog, rid: str, announced: DatasetHistory | None, description: str, execution: str | None
) -> None:
    """Record that the dataset has changed; where the version that was announced is still the newest, it says so already."""
    if announced is None or not _change(session, announced, {"Description": description}):
        mark_dev(session, rid, description, execution)


def release(
    session: Catalog, rid: str, bump: VersionPart | str, description: str | None, execution: str | None
) -> DatasetVersion:
    """Turn the development version into the next release, which names the catalog's present state.

    The label, the snapshot and the description are written in one request. The snapshot is read before it, and the
    request takes effect only if nobody marked a change in between, so a release never names a state that it has not
    seen. The producer stays unless a new one is given.

    Raises:
        DerivaMLValidationError: nothing has changed since the last release, or ``bump`` is no part of a version.
        DerivaMLBusyError: other processes change the dataset faster than this one can.
    """
    for history in _attempts(session, rid):
        newest = current(history)
        if not newest.dataset_version.is_dev:
            raise DerivaMLValidationError(
                f"Dataset {rid} has not changed since version {newest.dataset_version}, so there is nothing to release. "
                "`mark_dev(description)` records a change that was made elsewhere."
            )
        label = newest.dataset_version.base.bumped(bump)
        values: dict[str, Any] = {"Version": str(label), "Snapshot": session.latest_snapshot()}
        values |= {"Description": description} if description else {}
        values |= {"Execution": execution} if execution else {}
        if _change(session, newest, values):
            return label
    raise _busy(rid)


def _attempts(session: Catalog, rid: str) -> Iterator[list[DatasetHistory]]:
    for _ in range(TRIES):
        yield read_history(session, rid)


def _insert(
    session: Catalog,
    rid: str,
    version: DatasetVersion,
    description: str | None,
    execution: str | None,
    snapshot: str | None,
) -> DatasetHistory:
    row = {
        "Dataset": rid,
        "Version": str(version),
        "Description": description,
        "Execution": execution,
        "Snapshot": snapshot,
    }
    stored = insert(session, versions_table(session), [row])[0]
    dataset = TableName(session.ml_schema, "Dataset")
    update(session, dataset, [{"RID": rid, "Version": stored["RID"]}], targets=["Version"])
    return entry_of(stored)


def _change(session: Catalog, entry: DatasetHistory, values: dict[str, Any]) -> bool:
    """Write ``values`` if the version still has the label that was read."""
    return update_if(
        session, versions_table(session), entry.version_rid, {"Version": str(entry.dataset_version)}, values
    )


def _busy(rid: str) -> DerivaMLBusyError:
    return DerivaMLBusyError(f"Other processes keep changing dataset {rid}: try again when they are done.")
