"""One execution as its verbs share it: catalog, store, staging area, and the two that must agree on its state."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import apsw

from deriva_ml.catalog.rows import select, update_if
from deriva_ml.catalog.session import Catalog
from deriva_ml.clock import from_iso, iso, monotonic, now
from deriva_ml.environment.host import this_process
from deriva_ml.errors import (
    DerivaMLAuthenticationError,
    DerivaMLOfflineError,
    DerivaMLServerError,
    DerivaMLStateInconsistency,
    InvalidTransitionError,
)
from deriva_ml.execution import liveness, provenance, signals
from deriva_ml.execution.staged import Staged
from deriva_ml.execution.staging import Staging
from deriva_ml.execution.states import Event, ExecutionStatus, allowed
from deriva_ml.execution.store import ExecutionStore, Registered
from deriva_ml.names import TableName
from deriva_ml.rid import is_local

log = logging.getLogger(__name__)

S = ExecutionStatus

OUT_OF_REACH = (DerivaMLOfflineError, DerivaMLServerError, DerivaMLAuthenticationError)
_MUST_REACH = {Event.COMMIT}
"""What is nothing without the catalog; a run itself goes on when the catalog is out of reach."""
_ENDS_RUN = {Event.FINISH, Event.FAIL, Event.RECOVER, Event.ABORT}


class Run:
    """An execution of this workspace. ``dry`` ones have a store of their own and never write to the catalog."""

    def __init__(self, session: Catalog, store: ExecutionStore, rid: str, *, dry: bool = False) -> None:
        self.session = session
        self.store = store
        self.rid = rid
        self.dry = dry
        self.staged = Staged(store, rid)
        self.staging = Staging(self.staged, store.folder(rid), store.require(rid).created_at)
        self._catalog_status: ExecutionStatus | None = None
        self.told = not is_local(rid)
        """Whether the catalog answered when it was told of a state last."""

    @property
    def folder(self) -> Path:
        """The execution's folder in the workspace."""
        return self.store.folder(self.rid)

    @property
    def registered(self) -> Registered:
        """What the store says now."""
        return self.store.require(self.rid)

    @property
    def table(self) -> TableName:
        """The catalog's table of executions."""
        return TableName(self.session.ml_schema, "Execution")

    def lock_file(self, kind: str) -> Path:
        """Return the file whose lock says that a process is alive (``run``) or commits (``commit``)."""
        return lock_file(self.store.workspace, self.rid, kind)

    # --------------------------------------------------------------------------------------------------------- states

    def happen(
        self,
        event: Event,
        detail: str | None = None,
        *,
        values: Mapping[str, Any] | None = None,
        also: Callable[[apsw.Connection], object] | None = None,
    ) -> ExecutionStatus:
        """Let an event happen: in the store, durably, then in the catalog; return the state it led to.

        Raises:
            InvalidTransitionError: nothing leads there, or somebody else has driven the execution elsewhere.
            DerivaMLStateInconsistency: the catalog has no such execution.
        """
        if event is Event.FINISH and self.staged.count():
            self.staging.sync()  # what the state promises is on the disk before it
        if event in (Event.FAIL, Event.ABORT):
            detail = (detail or "").strip() or provenance.NO_REASON
            values = {"error": detail, **(values or {})}
        lock = (
            liveness.take(self.lock_file("run"), f"Execution {self.rid} cannot start") if event is Event.START else None
        )
        try:
            was, became = self.store.change(
                self.rid, event, detail, {**self._times(event), **self._known(), **(values or {})}, also
            )
        except BaseException:
            if lock is not None:
                lock.release()
            raise
        if event is Event.START:
            signals.watch(self.lock_file("end"))
        if event in (Event.START, Event.ABORT):
            liveness.release(self.lock_file("create"))
        if event in _ENDS_RUN:
            liveness.release(self.lock_file("run"))
            signals.unwatch(self.lock_file("end"))
        self.tell(event, became)
        if event in _ENDS_RUN and not self.dry:
            provenance.record_end(self, event, was, became)
        log.info("%s: %s -> %s", self.rid, was, became)
        return became

    def _known(self) -> dict[str, str]:
        return {"catalog_status": self._catalog_status.value} if self._catalog_status else {}

    def _times(self, event: Event) -> dict[str, Any]:
        moment = now()
        if event is Event.START:
            return {
                "start_time": iso(moment),
                "owner": json.dumps({**this_process(), "end": str(self.lock_file("end"))}),
            }
        found = self.registered
        if event in _ENDS_RUN and found.status is ExecutionStatus.Running:
            seconds = (moment - from_iso(found.start_time)).total_seconds() if found.start_time else None
            if event is Event.RECOVER:  # when it ended is not known
                return {}
            return {"stop_time": iso(moment), "duration": seconds}
        return {}

    def completed_in_catalog(self, detail: str | None, began: float) -> float:
        """Record in the catalog that all is there, by a commit that began at ``began``; return the seconds that it took.

        Raises:
            InvalidTransitionError: somebody else has driven the execution elsewhere.
        """
        seconds = monotonic() - began
        done = replace(self.registered, status=S.Uploaded, detail=detail, upload_duration=seconds)
        if not self._write_if(S.Pending_Upload, done):
            self._settle(done)
        self._catalog_status = S.Uploaded
        return seconds

    def complete(self, detail: str | None, seconds: float, also: Callable[[apsw.Connection], object]) -> None:
        """Record in the store that all is in the catalog, durably there, together with what ``also`` writes."""
        self.store.change(self.rid, Event.COMMITTED, detail, {**self._known(), "upload_duration": seconds}, also)

    def message(self, detail: str | None) -> None:
        """Write the execution's message; its state stays."""
        self.store.message(self.rid, detail)
        self.tell(None, self.registered.status)

    def tell(self, event: Event | None, status: ExecutionStatus) -> None:
        """Bring the catalog's row to what the store says. A run goes on where the catalog is out of reach; a commit does not.

        In an offline session it waits in the store, as all does of a run that the catalog does not know yet: whoever opens the
        execution online tells the catalog.
        """
        if self.dry or self.session.offline or is_local(self.rid):
            return
        try:
            self._push(status)
            self.told = True
        except OUT_OF_REACH as error:
            self.told = False
            if event in _MUST_REACH:
                raise
            log.warning(
                "The catalog could not be told that execution %s is %s; it will be when it can be reached: %s",
                self.rid,
                status,
                error,
            )

    def _push(self, status: ExecutionStatus) -> None:
        found = self.registered
        if not self._write_if(self._catalog_status or found.catalog_status or S.Created, found):
            self._settle(found)
        self._catalog_status = status

    def _write_if(self, expected: ExecutionStatus, found: Registered) -> bool:
        return update_if(
            self.session, self.table, self.rid, {"Status": expected.value}, catalog_values(self.session, found)
        )

    def _settle(self, found: Registered) -> None:
        """The catalog says something else than expected: it lags behind, or somebody else has driven the execution on."""
        passed = {ExecutionStatus(step) for row in self.store.history(self.rid) for step in row[1:3]} | {S.Created}
        for _ in range(3):
            actual = self.catalog_status()
            if actual not in passed and actual is not found.status and found.status not in allowed(actual):
                self.store.adopt(self.rid, actual, f"the catalog says {actual}")
                raise InvalidTransitionError(actual, found.status, allowed(actual), self.rid)
            if self._write_if(actual, found):
                return
        raise DerivaMLStateInconsistency(
            f"The catalog's status of execution {self.rid} keeps changing: somebody else drives it."
        )

    def catalog_status(self) -> ExecutionStatus:
        """Return the state that the catalog's row has now.

        Raises:
            DerivaMLStateInconsistency: there is no such row.
        """
        rows = select(self.session, self.table, {"RID": self.rid}, columns=["RID", "Status"])
        if not rows:
            raise DerivaMLStateInconsistency(
                f"The catalog has no execution {self.rid}, but the workspace {self.store.workspace} has: it was deleted there."
            )
        return ExecutionStatus(rows[0]["Status"] or ExecutionStatus.Created)

    def created_in_catalog(self, status: ExecutionStatus = ExecutionStatus.Created) -> None:
        """Note that the catalog's row is there, and what it says."""
        self._catalog_status = status


def lock_file(workspace: Path, rid: str, kind: str) -> Path:
    """Return the lock file of an execution; outside its folder, so that cleaning the folder lets nobody in."""
    return workspace / "locks" / f"{rid}.{kind}"


def catalog_values(session: Catalog, found: Registered) -> dict[str, Any]:
    """Return the columns of the catalog's row that follow the store."""
    values: dict[str, Any] = {
        "Status": found.status.value,
        "Status_Detail": found.detail,
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
