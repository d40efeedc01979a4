"""Promises broken on purpose, to see that the judge notices: small changes of the program, in the children of the campaigns only."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from deriva_ml import ml as front_door
from deriva_ml.execution import batch
from deriva_ml.execution.logged import Logged

CHOSEN = "DERIVA_ML_BROKEN"
"""The environment variable that says which promise is broken."""


def _no_file_is_synced() -> None:
    """Names and bytes of files reach the disk when the kernel likes."""
    os.fsync = lambda descriptor: None  # type: ignore[assignment]


def _told_before_written() -> None:
    """Each line of metrics is written when the next one comes, and has been acknowledged by then."""
    real, waiting = Logged.add_metrics, dict[str, tuple[Any, ...]]()

    def add_metrics(logged: Logged, *line: Any) -> None:
        before = waiting.get(logged.rid)
        waiting[logged.rid] = line
        if before is not None:
            real(logged, *before)

    Logged.add_metrics = add_metrics  # type: ignore[method-assign]


def _written_again_in_doubt() -> None:
    """A value that may not have been stored is stored once more; here, every one."""
    real = Logged.add_metrics

    def add_metrics(logged: Logged, *line: Any) -> None:
        real(logged, *line)
        real(logged, *line)

    Logged.add_metrics = add_metrics  # type: ignore[method-assign]


def _dead_runs_are_not_looked_for() -> None:
    """Nobody asks at an opening whose process is gone."""
    batch.recover_workspace = front_door.recover_workspace = lambda session, workspace: []  # type: ignore[attr-defined]


BREAKS: dict[str, Callable[[], None]] = {
    "no file is synced": _no_file_is_synced,
    "told before it is written": _told_before_written,
    "written again in doubt": _written_again_in_doubt,
    "dead runs are not looked for": _dead_runs_are_not_looked_for,
}
BELOW_THE_TAP = {"no file is synced"}
"""Broken once the tap is in place, so that it does not see what is not done."""


def apply(*, tapped: bool = False) -> None:
    """Break the promise that was chosen, in this process."""
    chosen = os.environ.get(CHOSEN, "")
    if chosen and (chosen in BELOW_THE_TAP) is tapped:
        BREAKS[chosen]()
