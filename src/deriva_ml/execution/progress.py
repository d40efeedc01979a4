"""What a commit shows while it works: a bar on a terminal, tqdm in a notebook, a line per step elsewhere.

rich and tqdm are loaded when there is something to show: a commit that is over at once shows nothing on a terminal.
``DERIVA_ML_PROGRESS`` chooses: ``bar``, ``notebook``, ``lines``, ``quiet``, or ``auto`` (default).
"""

from __future__ import annotations

import os
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import TracebackType
from typing import Any, Protocol, Self

from deriva_ml.clock import monotonic
from deriva_ml.errors import DerivaMLValidationError
from deriva_ml.execution.report import UploadCallback, UploadProgress

VARIABLE = "DERIVA_ML_PROGRESS"
PATIENCE = 0.4
"""So many seconds a commit may take before a bar appears."""


_wish: ContextVar[str | None] = ContextVar("progress", default=None)


@contextmanager
def showing(wish: str | None) -> Iterator[None]:
    """Let the commits inside the block use this display, whatever the variable says; None changes nothing."""
    before = _wish.set(wish or _wish.get())
    try:
        yield
    finally:
        _wish.reset(before)


class Display(Protocol):
    """One way to show how far a commit is."""

    def show(self, phase: str, files: int, of: int, size: int) -> None:
        """Show that ``files`` of ``of`` files, ``size`` bytes in all, have passed a phase."""
        ...

    def close(self) -> None:
        """Show nothing more."""
        ...


class Telling:
    """Tells of each file of a commit: to the user's own callback, else to a display.

    Calls come from several threads; the callback sees one after the other. What it raises ends the commit there, and
    everything done so far stays done.
    """

    def __init__(self, rid: str, callback: UploadCallback | None) -> None:
        self._rid = rid
        self._callback = callback
        self._guard = threading.Lock()
        self._began = monotonic()
        self._files: Counter[str] = Counter()
        self._bytes: Counter[str] = Counter()
        self._display: Display | None = None
        self._kind = "quiet" if callback is not None else chosen(_wish.get() or os.environ.get(VARIABLE, "auto"))
        self.total = 0

    def __call__(self, step: UploadProgress) -> None:
        with self._guard:
            if self._callback is not None:
                self._callback(step)
            elif self._kind != "quiet" and step.phase in _PHASES:
                self._files[step.phase] += 1
                self._bytes[step.phase] += step.bytes_total
                self._show(step.phase)

    def _show(self, phase: str) -> None:
        if self._display is None:
            if self._kind != "lines" and monotonic() - self._began < PATIENCE:
                return
            self._display = _DISPLAYS[self._kind](self._rid)
        self._display.show(_PHASES[phase], self._files[phase], max(self.total, self._files[phase]), self._bytes[phase])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._display is not None:
            self._display.close()


_PHASES = {"Staging": "sealing", "Uploaded": "uploading"}


def chosen(wish: str) -> str:
    """Return the display that ``DERIVA_ML_PROGRESS`` names, or that fits where this program runs.

    Raises:
        DerivaMLValidationError: there is no such display.
    """
    if wish in _DISPLAYS or wish == "quiet":
        return wish
    if wish not in ("auto", ""):
        raise DerivaMLValidationError(f"{VARIABLE} is {wish!r}; it may be auto, {', '.join(_DISPLAYS)} or quiet.")
    if "ipykernel" in sys.modules and "IPython" in sys.modules:
        return "notebook"
    return "bar" if sys.stderr is not None and sys.stderr.isatty() else "lines"


class Lines:
    """A line on the error stream when all files have passed a phase; and now and then where that takes long."""

    def __init__(self, rid: str) -> None:
        self._rid = rid
        self._next: dict[str, float] = {}

    def show(self, phase: str, files: int, of: int, size: int) -> None:
        """Print a line, but not for every file."""
        if files < of and monotonic() < self._next.setdefault(phase, monotonic() + 10):
            return
        self._next[phase] = monotonic() + 10
        done = f"{files:,}" if files == of else f"{files:,} of {of:,}"
        print(
            f"execution {self._rid}: {phase}, {done} file{'s' if of != 1 else ''}, {size:,} byte{'s' if size != 1 else ''}",
            file=sys.stderr,
        )

    def close(self) -> None:
        """Nothing is open."""


class Bar:
    """A bar on the terminal for each phase, drawn by rich."""

    def __init__(self, rid: str) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._progress = Progress(*columns, console=Console(stderr=True), transient=True)
        self._rid = rid
        self._tasks: dict[str, Any] = {}
        self._progress.start()

    def show(self, phase: str, files: int, of: int, size: int) -> None:
        """Move the bar of a phase."""
        if phase not in self._tasks:
            self._tasks[phase] = self._progress.add_task(f"{self._rid} {phase}", total=of)
        self._progress.update(self._tasks[phase], completed=files, total=of)

    def close(self) -> None:
        """Take the bars off the terminal."""
        self._progress.stop()


class Notebook:
    """A bar in the cell of a notebook for each phase, drawn by tqdm (as text where ipywidgets is missing)."""

    def __init__(self, rid: str) -> None:
        from tqdm.auto import tqdm

        self._make: Callable[..., Any] = tqdm
        self._rid = rid
        self._bars: dict[str, Any] = {}

    def show(self, phase: str, files: int, of: int, size: int) -> None:
        """Move the bar of a phase."""
        if phase not in self._bars:
            self._bars[phase] = self._make(total=of, desc=f"{self._rid} {phase}", unit="file")
        self._bars[phase].update(files - self._bars[phase].n)

    def close(self) -> None:
        """Let the bars stand as they are."""
        for bar in self._bars.values():
            bar.close()


_DISPLAYS: dict[str, Callable[[str], Display]] = {"bar": Bar, "lines": Lines, "notebook": Notebook}
