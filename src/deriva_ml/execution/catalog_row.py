"""The catalog's row of one execution: it follows the store, and is written only if it says what was expected."""

from __future__ import annotations

import logging
from typing import Any

from deriva_ml.catalog.answers import DOUBTFUL
from deriva_ml.catalog.rows import select, update_if
from deriva_ml.catalog.session import Catalog
from deriva_ml.clock import pause
from deriva_ml.errors import (
    OUT_OF_REACH,
    DerivaMLOfflineError,
    DerivaMLServerError,
    DerivaMLStateInconsistency,
    InvalidTransitionError,
)
from deriva_ml.execution.states import Event, ExecutionStatus, allowed
from deriva_ml.execution.store import ExecutionStore, Registered
from deriva_ml.names import TableName, written_out
from deriva_ml.rid import is_local

log = logging.getLogger(__name__)

S = ExecutionStatus

_MUST_REACH = {Event.COMMIT}
"""What is nothing without the catalog; a run itself goes on when the catalog is out of reach."""


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
        """Return the state that the row has now.

        Raises:
            DerivaMLStateInconsistency: there is no such row.
        """
        rows = select(self._session, self.table, {"RID": self._rid}, columns=["RID", "Status"])
        if not rows:
            raise DerivaMLStateInconsistency(
                f"The catalog has no execution {self._rid}, but the workspace {self._store.workspace} has: it was deleted there."
            )
        return S(rows[0]["Status"] or S.Created)

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
        except OUT_OF_REACH as error:
            self.told = False
            if event in _MUST_REACH:
                raise
            self.not_told(status, error)

    def not_told(self, status: ExecutionStatus, error: Exception) -> None:
        """Note that the row may not say what the store says; who opens the execution again tells it."""
        self.told = False
        told = "The catalog could not be told that execution %s is %s; it will be when it can be reached: %s"
        log.warning(told, self._rid, status, error)

    def follow(self, found: Registered, expected: ExecutionStatus) -> None:
        """Write what ``found`` says, if the row is in the state ``expected`` or lags behind.

        Raises:
            InvalidTransitionError: somebody else has driven the execution elsewhere.
        """
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
            actual = self.status()
            if actual not in passed and actual is not found.status and found.status not in allowed(actual):
                self._store.adopt(self._rid, actual, f"the catalog says {actual}")
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
    minutes, rest = divmod(round(max(seconds, 0.0), 3), 60)
    hours, minutes = divmod(int(minutes), 60)
    text = "".join(
        [
            f"{hours}H" if hours else "",
            f"{minutes}M" if minutes else "",
            f"{rest:g}S" if rest or not (hours or minutes) else "",
        ]
    )
    return f"PT{text}"
