"""The life of an execution: seven states, thirteen edges, one table.

Floor 1, a law: values in, values out. Callers raise events; only this table knows where an event leads.

::

    Created ──START──▶ Running ──FINISH──▶ Stopped ──COMMIT──▶ Pending_Upload ──COMMITTED──▶ Uploaded
                         │  └──RECOVER (the process is gone)──────▶ ▲    │  ▲                    │
                         └──FAIL──▶ Failed ──COMMIT (retry)─────────┘    │  └──COMMIT (more)─────┘
                                      ▲                                  │
                                      └──────────────FAIL────────────────┘
    Created, Running, Stopped, Failed ──ABORT──▶ Aborted

Naming the state that an execution already has is not a transition: it carries a message.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

from deriva_ml.errors import DerivaMLValidationError, InvalidTransitionError


class ExecutionStatus(StrEnum):
    """Where an execution is in its life; the values are terms of the vocabulary ``Execution_Status``."""

    Created = "Created"
    Running = "Running"
    Stopped = "Stopped"
    Failed = "Failed"
    Pending_Upload = "Pending_Upload"
    Uploaded = "Uploaded"
    Aborted = "Aborted"


class Event(StrEnum):
    """What happens to an execution."""

    START = "start"
    FINISH = "finish"
    FAIL = "fail"
    RECOVER = "recover"
    COMMIT = "commit"
    COMMITTED = "committed"
    ABORT = "abort"


S, E = ExecutionStatus, Event

TRANSITIONS: Mapping[ExecutionStatus, Mapping[Event, ExecutionStatus]] = MappingProxyType(
    {
        S.Created: {E.START: S.Running, E.ABORT: S.Aborted},
        S.Running: {E.FINISH: S.Stopped, E.FAIL: S.Failed, E.RECOVER: S.Pending_Upload, E.ABORT: S.Aborted},
        S.Stopped: {E.COMMIT: S.Pending_Upload, E.ABORT: S.Aborted},
        S.Pending_Upload: {E.COMMITTED: S.Uploaded, E.FAIL: S.Failed},
        S.Failed: {E.COMMIT: S.Pending_Upload, E.ABORT: S.Aborted},
        S.Uploaded: {E.COMMIT: S.Pending_Upload},
        S.Aborted: {},
    }
)

INCOMPLETE = (S.Created, S.Running, S.Stopped, S.Failed, S.Pending_Upload)
"""The states from which something is still to be done."""

COMMITTABLE = (S.Running, S.Stopped, S.Failed, S.Pending_Upload, S.Uploaded)
"""The states in which a commit may begin (a running one is finished first)."""


def allowed(current: ExecutionStatus) -> tuple[ExecutionStatus, ...]:
    """Return the states that can follow ``current``."""
    return tuple(TRANSITIONS[current].values())


def follow(current: ExecutionStatus, event: Event, rid: str | None = None) -> ExecutionStatus:
    """Return the state to which ``event`` leads from ``current``.

    Raises:
        InvalidTransitionError: nothing leads there.

    Example:
        >>> follow(ExecutionStatus.Created, Event.START)
        <ExecutionStatus.Running: 'Running'>
    """
    target = TRANSITIONS[current].get(event)
    if target is None:
        raise InvalidTransitionError(current, _meant(event), allowed(current), rid)
    return target


def _meant(event: Event) -> str:
    """Return the states that ``event`` can lead to at all, for the message."""
    targets = {row[event]: None for row in TRANSITIONS.values() if event in row}
    return " or ".join(targets)


def event_towards(current: ExecutionStatus, target: ExecutionStatus, rid: str | None = None) -> Event | None:
    """Return the event that leads from ``current`` to ``target``; None when they are the same.

    Raises:
        InvalidTransitionError: no edge joins them.
    """
    if current == target:
        return None
    for event, state in TRANSITIONS[current].items():
        if state == target:
            return event
    raise InvalidTransitionError(current, target, allowed(current), rid)


def status_named(name: str) -> ExecutionStatus:
    """Return the state called ``name``.

    Raises:
        DerivaMLValidationError: there is no such state.
    """
    try:
        return ExecutionStatus(name)
    except ValueError:
        names = ", ".join(ExecutionStatus)
        raise DerivaMLValidationError(f"{name!r} is no state of an execution; the states are {names}.") from None
