"""The catalog's row of one execution: it follows the store, and is written only if it says what was expected."""

from __future__ import annotations

import logging
from typing import Any, NamedTuple

from deriva_ml.catalog.answers import DOUBTFUL
from deriva_ml.catalog.leases import LEASES
from deriva_ml.catalog.rows import select, update_if
from deriva_ml.catalog.session import Catalog
from deriva_ml.clock import pause
from deriva_ml.errors import (
    OUT_OF_REACH,
    DerivaMLCatalogError,
    DerivaMLExecutionGone,
    DerivaMLOfflineError,
    DerivaMLServerError,
    DerivaMLStateInconsistency,
    InvalidTransitionError,
)
from deriva_ml.execution.staged import Staged
from deriva_ml.execution.states import Event, ExecutionStatus, allowed
from deriva_ml.execution.store import ExecutionStore, Registered
from deriva_ml.names import TableName, written_out
from deriva_ml.rid import is_local

log = logging.getLogger(__name__)

S = ExecutionStatus

REBUILT = "rebuilt-"
"""Begins what stands for the token of a run whose record was lost."""
_HIDDEN = (403, 404)
"""What says that a catalog does not show its leases."""
_MUST_REACH = {Event.COMMIT}
"""What is nothing without the catalog; a run itself goes on when the catalog is out of reach."""


class Said(NamedTuple):
    """What a catalog's row says of an execution."""

    status: ExecutionStatus
    detail: str | None

    def __str__(self) -> str:
        return f"the catalog says {self.status}" + (f": {self.detail}" if self.detail else "")


class CatalogRow:
    """The row of an execution in the catalog. That of a dry run is never written."""

    def __init__(self, session: Catalog, store: ExecutionStore, rid: str, *, dry: bool = False) -> None:
        self._session = session
        self._store = store
        self._rid = rid
        self._dry = dry
        self.said: ExecutionStatus | None = None
        """The state that the row had when it was written or read last."""
        self.told = not is_local(rid)
        """Whether the catalog answered when it was told of a state last."""

    @property
    def table(self) -> TableName:
        """The catalog's table of executions."""
        return TableName(self._session.ml_schema, "Execution")

    def status(self) -> ExecutionStatus:
        """Return the state that the row has now; raises as :meth:`found` does, and DerivaMLExecutionGone where there is none."""
        found = self.found()
        if found is None:
            raise self.gone()
        return found.status

    def found(self) -> Said | None:
        """Return what the row says now; None where the catalog has no row of this run, or not any more."""
        rows = select(self._session, self.table, {"RID": self._rid}, columns=["RID", "Status", "Status_Detail"])
        if not rows or self._is_strangers():
            return None
        return Said(S(rows[0]["Status"] or S.Created), rows[0]["Status_Detail"])

    def is_older(self) -> bool:
        """Return whether the row tells of another commit than the last one here: a copy was restored that is older than that.

        Where it tells of this one, and outputs are not there, somebody has deleted them.
        """
        told = catalog_values(self._session, self._store.require(self._rid)).get("Upload_Duration")
        if told is None:
            return False
        rows = select(self._session, self.table, {"RID": self._rid}, columns=["RID", "Upload_Duration"])
        return any(row["Upload_Duration"] != told for row in rows)

    def _is_strangers(self) -> bool:
        """Return whether the row of this RID is another run's: a catalog that was restored from an older copy gives its RIDs again.

        The token of the lease, which was written down before the row was made, tells one from the other.
        """
        token = self._store.require(self._rid).uuid
        if self.said is not None or token.startswith(REBUILT):
            return False
        try:
            leased = select(self._session, LEASES, {"RID": self._rid}, columns=["ID"])
        except DerivaMLCatalogError as error:
            if error.status not in _HIDDEN:
                raise
            return False
        return any(row["ID"] != token for row in leased)

    def gone(self) -> DerivaMLExecutionGone:
        """Return what to say where the catalog has no row of this run."""
        workspace, folder, rid = self._store.workspace, self._store.folder(self._rid), self._rid
        what = (
            f"The catalog has given the RID {rid} again, as an older copy of it was restored: what goes under it there is not the run that the "
            f"workspace {workspace} has."
            if self._is_strangers()
            else f"The catalog has no execution {rid}, but the workspace {workspace} has: its row was deleted there, or an older copy of the "
            "catalog was restored."
        )
        if not Staged(self._store, rid).has_pending():
            return DerivaMLExecutionGone(
                f"{what} Nothing waits here: what it committed went with the row, but for what {folder} still holds. Restore a newer copy of "
                "the catalog, or let `ml.gc_executions()` forget it."
            )
        return DerivaMLExecutionGone(
            f"{what} What it staged is in {folder}: `deriva-ml upload --seal --mode offline --execution {rid}` keeps all of it in one file, "
            f"a new run can register it, `deriva-ml mark {rid} Aborted --reason …` gives it up."
        )

    def tell(self, event: Event | None, status: ExecutionStatus) -> None:
        """Bring the row to what the store says. A run goes on where the catalog is out of reach; a commit does not.

        In an offline session it waits in the store, as all does of a run that the catalog does not know yet: whoever opens the
        execution online tells the catalog.
        """
        if self._dry or self._session.offline or is_local(self._rid):
            return
        try:
            found = self._store.require(self._rid)
            self.follow(found, self.said or found.catalog_status or S.Created)
            self.said = status
            self.told = True
        except (*OUT_OF_REACH, DerivaMLCatalogError, DerivaMLExecutionGone) as error:
            self.told = False
            if event in _MUST_REACH:
                raise
            self.not_told(status, error)

    def not_told(self, status: ExecutionStatus, error: Exception) -> None:
        """Note that the row may not say what the store says; who opens the execution again tells it."""
        self.told = False
        later = "; it will be when it can be reached" if isinstance(error, OUT_OF_REACH) else ""
        log.warning("The catalog could not be told that execution %s is %s%s: %s", self._rid, status, later, error)

    def follow(self, found: Registered, expected: ExecutionStatus) -> None:
        """Write what ``found`` says, if the row is in the state ``expected`` or lags behind.

        Raises:
            InvalidTransitionError: somebody else has driven the execution elsewhere.
            DerivaMLExecutionGone: there is no such row, or it is another run's.
        """
        if self._is_strangers():
            raise self.gone()
        if not self._write_if(expected, found):
            self._settle(found)

    def _write_if(self, expected: ExecutionStatus, found: Registered) -> bool:
        """Write what ``found`` says if the row is in the state ``expected``; where the answer is lost, once more.

        The second time finds either the same state, or the one that it brings: the caller looks which.
        """
        condition, values = {"Status": expected.value}, catalog_values(self._session, found)
        for seconds in self._session.pauses:
            try:
                return update_if(self._session, self.table, self._rid, condition, values)
            except DerivaMLOfflineError as error:
                if not error.doubtful:
                    raise
            except DerivaMLServerError as error:
                if error.status not in DOUBTFUL:
                    raise
            pause(seconds)
        return update_if(self._session, self.table, self._rid, condition, values)

    def _settle(self, found: Registered) -> None:
        """The row says something else than expected: it lags behind, or somebody else has driven the execution on."""
        passed = {S(step) for row in self._store.history(self._rid) for step in row[1:3]} | {S.Created}
        for _ in range(3):
            said = self.found()
            if said is None:
                raise self.gone()
            actual = said.status
            if actual not in passed and actual is not found.status and found.status not in allowed(actual):
                self._store.adopt(self._rid, actual, str(said))
                raise InvalidTransitionError(actual, found.status, allowed(actual), self._rid)
            if self._write_if(actual, found):
                return
        raise DerivaMLStateInconsistency(
            f"The catalog's status of execution {self._rid} keeps changing: somebody else drives it."
        )


def catalog_values(session: Catalog, found: Registered) -> dict[str, Any]:
    """Return the columns of the catalog's row that follow the store."""
    values: dict[str, Any] = {
        "Status": found.status.value,
        "Status_Detail": found.detail and written_out(found.detail),
        "Execution_Duration": iso_duration(found.duration),
        "Download_Duration": iso_duration(found.download_duration),
        "Upload_Duration": iso_duration(found.upload_duration),
        "Start_Time": found.start_time,
        "Stop_Time": found.stop_time,
    }
    columns = session.model().ml_table("Execution").columns
    return {name: value for name, value in values.items() if name in columns}


def iso_duration(seconds: float | None) -> str | None:
    """Return a duration as ISO 8601 writes it.

    Example:
        >>> iso_duration(62.5), iso_duration(None)
        ('PT1M2.5S', None)
    """
    if seconds is None:
        return None
    minutes, rest = divmod(round(max(seconds, 0.0), 6), 60)
    hours, minutes = divmod(int(minutes), 60)
    text = "".join(
        [
            f"{hours}H" if hours else "",
            f"{minutes}M" if minutes else "",
            f"{rest:g}S" if rest or not (hours or minutes) else "",
        ]
    )
    return f"PT{text}"
