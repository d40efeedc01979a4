"""One execution as its verbs share it: catalog, store, staging area, and the two that must agree on its state."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from traceback import TracebackException
from typing import Any

import apsw

from deriva_ml.catalog.session import Catalog
from deriva_ml.clock import iso, monotonic, now
from deriva_ml.environment.host import is_here, this_process
from deriva_ml.errors import DerivaMLBusyError, DerivaMLException, DerivaMLServerError
from deriva_ml.execution import liveness, provenance, signals
from deriva_ml.execution.catalog_row import CatalogRow
from deriva_ml.execution.staged import Staged
from deriva_ml.execution.staging import Staging
from deriva_ml.execution.states import Event, ExecutionStatus, event_towards
from deriva_ml.execution.store import UPLOAD_FAILED, ExecutionStore, Registered
from deriva_ml.names import written_out

log = logging.getLogger(__name__)

S = ExecutionStatus

_HELD_BY = {S.Running: "run", S.Pending_Upload: "commit"}
"""Which lock a process holds that has brought an execution into this state, and is at it."""
_ENDS_RUN = {Event.FINISH, Event.FAIL, Event.RECOVER, Event.ABORT}


class Run:
    """An execution of this workspace, and its ``folder`` there. ``dry`` ones have a store of their own and never write to the catalog."""

    def __init__(self, session: Catalog, store: ExecutionStore, rid: str, *, dry: bool = False) -> None:
        self.session = session
        self.store = store
        self.rid = rid
        self.dry = dry
        self.folder = store.folder(rid)
        self.staged = Staged(store, rid)
        self.staging = Staging(self.staged, self.folder, store.require(rid).created_at)
        self.row = CatalogRow(session, store, rid, dry=dry)

    @property
    def here(self) -> Run:
        """The run itself, where it still goes under this name; raises as :meth:`ExecutionStore.refuse_old_name` does."""
        self.store.refuse_old_name(self.rid)
        return self

    @property
    def registered(self) -> Registered:
        """What the store says now."""
        return self.store.require(self.rid)

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
        by_hand: bool = False,
    ) -> ExecutionStatus:
        """Let an event happen: in the store, durably, then in the catalog; return the state it led to.

        Raises:
            DerivaMLBusyError: a living process runs or commits it, or it runs on another machine.
            InvalidTransitionError: nothing leads there, or somebody else has driven the execution elsewhere.
            DerivaMLStateInconsistency: the catalog has no such execution.
        """
        if not by_hand:
            self.refuse_others()
        if event is Event.FINISH and self.staged.count():
            self.staging.sync()  # what the state promises is on the disk before it
        if event in (Event.FAIL, Event.ABORT):
            detail = written_out(str(detail or "").strip()) or self._known_reason() or provenance.NO_REASON
            values = {**(values or {}), "error": detail}
        with self._alive(event):
            facts = {**self._times(event), **self._known(), **(values or {})}
            was, became = self.store.change(self.rid, event, detail, facts, also)
        if event in _ENDS_RUN and not self.dry:
            self._tell_end(event, was, became)
        else:
            self.row.tell(event, became)
        log.info("%s: %s -> %s", self.rid, was, became)
        return became

    def _known_reason(self) -> str | None:
        """Return why the run failed, which a further end without a reason does not take away."""
        found = self.registered
        return found.error or found.detail if found.status is S.Failed else None

    def refuse_others(self) -> None:
        """Refuse to move an execution that somebody else has: a living process that runs or commits it, or another machine.

        Raises:
            DerivaMLBusyError: that is so; the message says who.
        """
        found = self.registered
        kind = _HELD_BY.get(found.status)
        if kind is None or liveness.held_here(self.lock_file(kind)):
            return
        if kind == "run" and found.owner.get("host") and not is_here(found.owner):
            raise DerivaMLBusyError(
                f"Execution {self.rid} runs on {found.owner['host']}, or died there: nobody can tell from here. There: `deriva-ml resume {self.rid}`. "
                f"If you know that it is dead: `deriva-ml mark {self.rid} Pending_Upload --reason …`."
            )
        if liveness.alive(self.lock_file(kind)):
            liveness.take(self.lock_file(kind), f"Execution {self.rid} cannot be moved from {found.status}").leave()

    def _tell_end(self, event: Event, was: ExecutionStatus, became: ExecutionStatus) -> None:
        """Tell the catalog how the run ended, and what is known of its inputs, with one sync; then record what it was told."""
        told = provenance.Told(provenance.LATER)
        try:
            with self.session.durable_at_end():
                self.row.tell(event, became)
                told = provenance.tell_end(self, event, was)
        except DerivaMLServerError as error:  # the disk of the embedded catalog failed
            self.row.not_told(became, error)
            told = provenance.Told(provenance.LATER, [f"the catalog could not be told: {error}"])
        provenance.record_end(self, event, became, told)

    def leave(self, error: BaseException | None) -> None:
        """End the run as its block ended, in the process that began it; Ctrl-C in the middle of that is the error of a block that had none."""
        try:
            self._end(error)
        except KeyboardInterrupt as interrupted:
            self._end(error or interrupted)
            raise

    def _end(self, error: BaseException | None) -> None:
        if not liveness.held_here(self.lock_file("run")) or self.registered.status is not S.Running:
            return
        if error is None:
            self.stop()
        else:
            self.fail(error)

    def stop(self) -> None:
        """End the run in order; where what was written cannot be brought to the disk, it has failed."""
        try:
            self.happen(Event.FINISH)
        except OSError as error:
            self.fail(error)
            raise

    def fail(self, error: BaseException) -> None:
        """Record the user's error; whatever goes wrong with that does not take its place, and a later commit records it first."""
        text = TracebackException(type(error), error, None)  # has a text also where str() of the error fails
        reason = f"{type(error).__name__}: {text}"
        if (lock := liveness.held_here(self.lock_file("run"))) is not None:
            lock.owed = reason
        try:
            self.happen(Event.FAIL, reason)
            if self.staged.count():  # what was written to the staged paths is acknowledged now
                self.staging.sync()
        except (DerivaMLException, OSError) as second:
            error.add_note(f"deriva-ml could not record this failure of execution {self.rid}: {second}")

    @contextmanager
    def _alive(self, event: Event) -> Iterator[None]:
        """Show that a process is at it from before a run starts; let go after it ended, or when it could not start."""
        if event is Event.START:
            liveness.take(self.lock_file("run"), f"Execution {self.rid} cannot start")
        try:
            yield
        except BaseException as error:
            if event is Event.START and not self._has_begun(error):
                liveness.release(self.lock_file("run"))
            raise
        if event is Event.START:
            signals.watch(self.lock_file("end"))
        if event in (Event.START, Event.ABORT):
            liveness.release(self.lock_file("create"))
        if event in _ENDS_RUN:
            liveness.release(self.lock_file("run"))
            signals.unwatch(self.lock_file("end"))

    def _has_begun(self, error: BaseException) -> bool:
        """Return whether Ctrl-C came when the store had noted already that the run begins: it is this process's then, to be ended by it."""
        return not isinstance(error, DerivaMLException) and self.registered.status is S.Running

    def _known(self) -> dict[str, str]:
        return {"catalog_status": self.row.said.value} if self.row.said else {}

    def _times(self, event: Event) -> dict[str, Any]:
        moment = now()
        if event is Event.START:
            return {
                "start_time": iso(moment),
                "owner": json.dumps({**this_process(), "end": str(self.lock_file("end"))}),
            }
        found = self.registered
        if event not in _ENDS_RUN or event is Event.RECOVER or found.status is not S.Running:
            return {}  # of a run that is found dead nobody knows when it ended
        seconds = (moment - found.started).total_seconds() if found.started else None
        return {"stop_time": iso(moment), "duration": seconds}

    def completed_in_catalog(self, detail: str | None, began: float) -> float:
        """Record in the catalog that all is there, by a commit that began at ``began``; return the seconds that it took.

        Raises:
            InvalidTransitionError: somebody else has driven the execution elsewhere.
        """
        seconds = monotonic() - began
        done = replace(self.registered, status=S.Uploaded, detail=detail, upload_duration=seconds)
        self.row.follow(done, S.Pending_Upload)
        self.row.said = S.Uploaded
        return seconds

    def complete(self, detail: str | None, seconds: float, also: Callable[[apsw.Connection], object]) -> None:
        """Record in the store that all is in the catalog, durably there, together with what ``also`` writes; no upload has failed now."""
        values: dict[str, Any] = {**self._known(), "upload_duration": seconds}
        if (self.registered.error or "").startswith(UPLOAD_FAILED):
            values["error"] = self.store.own_failure(self.rid)
        self.store.complete(self.rid, detail, values, also)

    def go(self, target: ExecutionStatus, detail: str | None, *, is_error: bool) -> None:
        """Go to the state ``target``, whichever event leads there; to the present one, with the message alone.

        Raises:
            InvalidTransitionError: no edge leads there from the present state.
        """
        event = event_towards(self.registered.status, target, self.rid)
        if event is None and detail is not None:
            self._message(detail)
        elif event is None:
            return  # nothing new: what is known of the cause stays
        else:
            self.happen(event, detail, values={"error": written_out(str(detail))} if is_error else None)

    def _message(self, detail: str | None) -> None:
        found = self.registered
        if found.status in (S.Failed, S.Aborted) and not (detail or "").strip():
            detail = found.detail or provenance.NO_REASON  # a reason may be replaced, and is not taken away
        self.store.message(self.rid, detail)
        self.row.tell(None, found.status)


def lock_file(workspace: Path, rid: str, kind: str) -> Path:
    """Return the lock file of an execution; outside its folder, so that cleaning the folder lets nobody in."""
    return workspace / "locks" / f"{rid}.{kind}"
