"""Executions found: in the catalog by what they ran, read or wrote; in this workspace by where they stand."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from deriva_ml.catalog.rows import select
from deriva_ml.catalog.session import Catalog
from deriva_ml.catalog.terms import check_terms
from deriva_ml.clock import from_iso, iso
from deriva_ml.enums import AssetRole, MLVocab
from deriva_ml.errors import DerivaMLTableTypeError, DerivaMLValidationError
from deriva_ml.execution.manifest import EntryState
from deriva_ml.execution.pending import pending_of
from deriva_ml.execution.record import NEWEST_FIRST, ExecutionRecord, from_rows, records
from deriva_ml.execution.report import PendingSummary
from deriva_ml.execution.roles import executions_with_assets
from deriva_ml.execution.staged import Staged
from deriva_ml.execution.states import INCOMPLETE, ExecutionStatus, status_named
from deriva_ml.execution.store import ExecutionStore, Registered
from deriva_ml.names import TableName
from deriva_ml.rid import check_rid, is_local
from deriva_ml.rids import resolve_rid
from deriva_ml.schema.tables import UNKNOWN_EXECUTION

if TYPE_CHECKING:
    from deriva_ml.ml import DerivaML

DATASET_ROLES = ("any", "input", "output")


def find_executions(
    session: Catalog,
    workflow: Any = None,
    workflow_type: str | None = None,
    status: ExecutionStatus | str | None = None,
    sort: bool | None = None,
    dataset: Any = None,
    dataset_role: str = "any",
) -> list[ExecutionRecord]:
    """Return the catalog's executions that fit every condition, newest first with ``sort=True``: a few requests in all.

    The row that stands for unknown provenance is no run, and is not among them.

    Raises:
        DerivaMLValidationError: no such state or role.
        DerivaMLInvalidTerm: no such workflow type.
    """
    where: dict[str, Any] = {}
    if status is not None:
        where["Status"] = status_named(str(status)).value
    workflows = _workflows(session, workflow, workflow_type)
    if workflows is not None:
        where["Workflow"] = workflows
    if dataset is not None:
        where["RID"] = _with_dataset(session, _rid(dataset), dataset_role)
    rows = select(session, TableName(session.ml_schema, "Execution"), where, sort=NEWEST_FIRST if sort else ())
    return from_rows(session, [row for row in rows if row["Description"] != UNKNOWN_EXECUTION["Description"]])


def _rid(thing: Any) -> str:
    for name in ("workflow_rid", "dataset_rid", "rid"):
        found = getattr(thing, name, None)
        if isinstance(found, str):
            return check_rid(found)
    return check_rid(thing)


def _workflows(session: Catalog, workflow: Any, workflow_type: str | None) -> list[str] | None:
    """Return the RIDs of the workflows that are asked for, None when all are."""
    wanted = None if workflow is None else [_rid(workflow)]
    if workflow_type is None:
        return wanted
    (workflow_type,) = check_terms(session, TableName(session.ml_schema, MLVocab.workflow_type), [workflow_type])
    links = TableName(session.ml_schema, "Workflow_Workflow_Type")
    typed = {row["Workflow"] for row in select(session, links, {"Workflow_Type": workflow_type}, columns=["Workflow"])}
    return sorted(typed if wanted is None else typed & set(wanted))


def _with_dataset(session: Catalog, rid: str, role: str) -> list[str]:
    """Return the executions that read the dataset, or produced a version of it."""
    if role not in DATASET_ROLES:
        raise DerivaMLValidationError(f"{role!r} is no role of a dataset; the roles are {', '.join(DATASET_ROLES)}.")
    found: list[str] = []
    if role != "output":
        table = TableName(session.ml_schema, "Dataset_Execution")
        found += [row["Execution"] for row in select(session, table, {"Dataset": rid}, columns=["Execution"])]
    if role != "input":
        table = TableName(session.ml_schema, "Dataset_Version")
        found += [row["Execution"] for row in select(session, table, {"Dataset": rid}, columns=["Execution"])]
    return [execution for execution in dict.fromkeys(found) if execution]


def find_consuming(session: Catalog, rid: str) -> list[ExecutionRecord]:
    """Return the executions that read a dataset or an asset.

    Raises:
        DerivaMLRidsNotFound: no such row.
        DerivaMLTableTypeError: it is neither a dataset nor an asset.
    """
    table = session.model().find_table(resolve_rid(session, rid).table)
    if table.name == TableName(session.ml_schema, "Dataset"):
        return records(session, _with_dataset(session, rid, "input"))
    if not table.is_asset:
        raise DerivaMLTableTypeError(
            "dataset or asset table",
            table.name.name,
            f"{rid} is a row of {table.name.name}: only datasets and assets are read.",
        )
    return records(session, executions_with_assets(session, [rid], AssetRole.input))


def count_by_status(session: Catalog, workflow_rid: str) -> dict[str, int]:
    """Return how many executions of a workflow are in each state."""
    rows = select(
        session, TableName(session.ml_schema, "Execution"), {"Workflow": check_rid(workflow_rid)}, columns=["Status"]
    )
    return dict(Counter(row["Status"] for row in rows))


# ------------------------------------------------------------------------------------------------------- this workspace


@dataclass(frozen=True, slots=True)
class ExecutionSnapshot:
    """One execution as this workspace's store has it."""

    rid: str
    workflow_rid: str | None
    description: str
    status: ExecutionStatus
    mode: str
    working_dir_rel: str
    start_time: datetime | None
    stop_time: datetime | None
    last_activity: datetime
    error: str | None
    sync_pending: bool
    created_at: datetime
    pending_rows: int
    pending_files: int
    detail: str | None = None

    @property
    def execution_rid(self) -> str:
        """The RID, under its long name."""
        return self.rid

    def update_status(self, target: ExecutionStatus | str, *, ml: DerivaML, error: str | None = None) -> None:
        """Bring the execution to another state, here and in the catalog of ``ml``; the snapshot stays what it was.

        Raises as :meth:`Execution.update_status <deriva_ml.execution.execution.Execution.update_status>` does.
        """
        ml.executions.move(self.rid, target, error)

    def pending_summary(self, *, ml: DerivaML) -> PendingSummary:
        """Return what is staged and not yet committed, as it is now."""
        store = ml.executions.store
        return pending_of(Staged(store, store.require(self.rid).rid))


def list_executions(
    store: ExecutionStore,
    status: Any = None,
    workflow_rid: str | None = None,
    mode: str | None = None,
    since: datetime | None = None,
) -> list[ExecutionSnapshot]:
    """Return the executions of this workspace, newest first; the catalog is not asked.

    Raises:
        DerivaMLValidationError: no such state.
    """
    conditions, values = ["1"], list[Any]()
    if status is not None:
        wanted = [status_named(str(each)).value for each in ([status] if isinstance(status, str) else status)]
        conditions.append(f"status IN ({', '.join('?' * len(wanted))})")
        values += wanted
    for column, value in (("workflow_rid", workflow_rid), ("mode", mode)):
        if value is not None:
            conditions.append(f"{column} = ?")
            values.append(str(value))
    if since is not None:
        conditions.append("last_activity >= ?")
        values.append(iso(since))
    return [_snapshot(store, found) for found in store.select(" AND ".join(conditions), values)]


def find_incomplete(store: ExecutionStore) -> list[ExecutionSnapshot]:
    """Return the executions of this workspace that are not yet Uploaded, and not given up."""
    return list_executions(store, status=INCOMPLETE)


def _snapshot(store: ExecutionStore, found: Registered) -> ExecutionSnapshot:
    staged = Staged(store, found.rid)
    return ExecutionSnapshot(
        rid=found.rid,
        workflow_rid=found.workflow_rid,
        description=found.description,
        status=found.status,
        mode=found.mode,
        working_dir_rel=f"executions/{found.rid}",
        start_time=from_iso(found.start_time) if found.start_time else None,
        stop_time=from_iso(found.stop_time) if found.stop_time else None,
        last_activity=from_iso(found.last_activity),
        error=found.error,
        sync_pending=is_local(found.rid)
        or (found.catalog_status is not None and found.catalog_status is not found.status),
        created_at=from_iso(found.created_at),
        pending_rows=sum(staged.feature_tables(staged.newest_feature()).values()),
        pending_files=len(staged.entries(EntryState.PENDING, EntryState.SEALED)),
        detail=found.detail,
    )
