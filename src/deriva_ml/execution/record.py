"""``ExecutionRecord``: the catalog's row of an execution, live; what is assigned to it is written through."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from deriva_ml.asset.asset import Asset
from deriva_ml.catalog.rows import Row, select, update, update_if
from deriva_ml.catalog.session import Catalog
from deriva_ml.clock import from_iso
from deriva_ml.errors import DerivaMLConflictError, DerivaMLNotFoundError
from deriva_ml.execution import by_hand, nesting
from deriva_ml.execution.provenance import NO_REASON, settle_record
from deriva_ml.execution.roles import assets_of
from deriva_ml.execution.states import Event, ExecutionStatus, event_towards, status_named
from deriva_ml.names import TableName, written_out
from deriva_ml.rid import check_rid
from deriva_ml.workflow.registry import types_of
from deriva_ml.workflow.workflow import Workflow, from_row

if TYPE_CHECKING:
    from deriva_ml.dataset.dataset import Dataset

S = ExecutionStatus

NEWEST_FIRST = ("RCT::desc::", "RID::desc::")


class ExecutionRecord:
    """One execution as the catalog has it.

    ``status`` and ``description`` can be assigned; the state machine holds here as well.
    """

    def __init__(self, session: Catalog, row: Row, workflow: Workflow | None = None) -> None:
        self._session = session
        self._row = row
        self.workflow = workflow

    def __repr__(self) -> str:
        return f"ExecutionRecord({self.execution_rid!r}, {self.status}, {self.description!r})"

    @property
    def execution_rid(self) -> str:
        """The RID."""
        return str(self._row["RID"])

    @property
    def rid(self) -> str:
        """The RID, under its short name."""
        return self.execution_rid

    @property
    def workflow_rid(self) -> str | None:
        """The RID of the workflow's row."""
        rid: str | None = self._row["Workflow"]
        return rid

    @property
    def status(self) -> ExecutionStatus:
        """The state, as last read."""
        return ExecutionStatus(self._row["Status"] or ExecutionStatus.Created)

    @status.setter
    def status(self, status: ExecutionStatus | str) -> None:
        self.update_status(status)

    @property
    def status_detail(self) -> str:
        """The message that goes with the state."""
        return self._row["Status_Detail"] or ""

    @property
    def description(self) -> str:
        """What the run was for."""
        return self._row["Description"] or ""

    @description.setter
    def description(self, text: str) -> None:
        update(
            self._session,
            _table(self._session),
            [{"RID": self.execution_rid, "Description": text}],
            targets=["Description"],
        )
        self._row["Description"] = text

    @property
    def created_time(self) -> datetime:
        """When the row was made."""
        return from_iso(self._row["RCT"])

    @property
    def start_time(self) -> datetime | None:
        """When the work began, where the catalog records it."""
        return _moment(self._row.get("Start_Time"))

    @property
    def stop_time(self) -> datetime | None:
        """When the work ended, where the catalog records it."""
        return _moment(self._row.get("Stop_Time"))

    @property
    def duration(self) -> str | None:
        """How long the work took (ISO 8601)."""
        return self._row.get("Execution_Duration") or self._row.get("Duration")

    @property
    def download_duration(self) -> str | None:
        """How long fetching the inputs took (ISO 8601)."""
        return self._row.get("Download_Duration")

    @property
    def upload_duration(self) -> str | None:
        """How long the last commit took (ISO 8601)."""
        return self._row.get("Upload_Duration")

    def update_status(self, status: ExecutionStatus | str, status_detail: str = "") -> None:
        """Write a state and its message to the catalog; naming the present state changes the message alone.

        Raises:
            InvalidTransitionError: no edge leads there.
            DerivaMLBusyError: another process of this workspace runs, commits or creates it.
            DerivaMLValidationError: there is no such state, or it is Uploaded and something waits for a commit.
            DerivaMLConflictError: somebody changed the state meanwhile; read the record again.
        """
        target = status_named(str(status))
        self._refuse_wrong(event_towards(self.status, target, self.execution_rid))
        was = self.status
        if not status_detail.strip() and target in (S.Failed, S.Aborted):
            status_detail = (self.status_detail if was in (target, S.Failed) else "") or NO_REASON
        values = {"Status": target.value, "Status_Detail": written_out(status_detail) or None}
        if not update_if(
            self._session, _table(self._session), self.execution_rid, {"Status": self._row["Status"]}, values
        ):
            raise DerivaMLConflictError(
                412,
                f"Execution {self.execution_rid} is not {self.status} any more.",
                hint="Read it again with `ml.lookup_execution`.",
            )
        self._row.update(values)
        settle_record(self._session, self.execution_rid, was, target)

    def _refuse_wrong(self, event: Event | None) -> None:
        """Refuse what only the process that has the run, or a commit, may tell; a message for the present state is free."""
        workspace = self._session.workspace
        if event is not None and workspace is not None:
            by_hand.refuse_others_living(workspace, self.execution_rid)
        if event is Event.COMMITTED:
            by_hand.refuse_unknown(workspace, self.execution_rid)

    def list_execution_children(self, recurse: bool = False) -> list[ExecutionRecord]:
        """Return the executions that this one ran."""
        return records(self._session, nesting.children(self._session, self.execution_rid, recurse))

    def list_execution_parents(self, recurse: bool = False) -> list[ExecutionRecord]:
        """Return the executions that ran this one."""
        return records(self._session, nesting.parents(self._session, self.execution_rid, recurse))

    def add_nested_execution(self, child: Any, sequence: int | None = None) -> None:
        """Record that this execution ran another one (a record, an execution, or a RID)."""
        nesting.nest(self._session, self.execution_rid, nesting.rid_of(child), sequence)

    def is_nested(self) -> bool:
        """Return whether another execution ran this one."""
        return bool(nesting.parents(self._session, self.execution_rid))

    def is_parent(self) -> bool:
        """Return whether this execution ran others."""
        return bool(nesting.children(self._session, self.execution_rid))

    def list_input_datasets(self) -> list[Dataset]:
        """Return the datasets that the execution read."""
        return nesting.input_datasets(self._session, self.execution_rid)

    def list_assets(self, asset_role: str | None = None) -> list[Asset]:
        """Return the assets that the execution read ("Input") or wrote ("Output"), or both."""
        return assets_of(self._session, self.execution_rid, asset_role)


def _table(session: Catalog) -> TableName:
    return TableName(session.ml_schema, "Execution")


def _moment(text: str | None) -> datetime | None:
    return from_iso(text) if text else None


def lookup_record(session: Catalog, rid: str) -> ExecutionRecord:
    """Return the execution ``rid``.

    Raises:
        DerivaMLNotFoundError: there is none.
    """
    found = records(session, [check_rid(rid)])
    if not found:
        raise DerivaMLNotFoundError(f"No execution has the RID {rid}. `ml.find_executions()` lists the executions.")
    return found[0]


def records(session: Catalog, rids: Iterable[str]) -> list[ExecutionRecord]:
    """Return the executions ``rids`` in that order; those that do not exist are left out."""
    listing = list(rids)
    if not listing:
        return []
    found = {
        record.execution_rid: record
        for record in from_rows(session, select(session, _table(session), {"RID": listing}))
    }
    return [found[rid] for rid in listing if rid in found]


def from_rows(session: Catalog, rows: Sequence[Row]) -> list[ExecutionRecord]:
    """Return records with their workflows: two more requests for any number of rows."""
    rids = sorted({row["Workflow"] for row in rows if row["Workflow"]})
    if not rids:
        return [ExecutionRecord(session, row) for row in rows]
    types: defaultdict[str, list[str]] = defaultdict(list, types_of(session, rids))
    workflows = {
        row["RID"]: from_row(session, row, types[row["RID"]])
        for row in select(session, TableName(session.ml_schema, "Workflow"), {"RID": rids})
    }
    return [ExecutionRecord(session, row, workflows.get(row["Workflow"])) for row in rows]
