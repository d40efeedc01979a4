"""What a commit shows while it works: a bar on a terminal, tqdm in a notebook, a line per step elsewhere.

rich and tqdm are loaded when there is something to show: a commit that is over at once shows nothing on a terminal.
``DERIVA_ML_PROGRESS`` chooses: ``bar``, ``notebook``, ``lines``, ``quiet``, or ``auto`` (default).
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Protocol, Self

from deriva_ml.clock import monotonic
from deriva_ml.errors import DerivaMLException, DerivaMLValidationError
from deriva_ml.execution.report import UploadCallback, UploadProgress
from deriva_ml.forks import generation

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


SEALING, UPLOADING, RECORDING = "sealing", "uploading", "recording"
_PHASES = {"Staging": SEALING, "Uploading": UPLOADING, "Uploaded": UPLOADING}


@dataclass(slots=True)
class Reach:
    """How far one part of a commit is: how many of its files, and how many of its bytes or feature values."""

    phase: str
    files: int = 0
    of_files: int = 0
    done: int = 0
    of: int = 0
    under_way: dict[str, int] = field(default_factory=dict)
    """The bytes that are done of files that are not."""

    @property
    def over(self) -> bool:
        """Whether nothing of it is left."""
        return self.files >= self.of_files and self.done >= self.of

    def take(self, step: UploadProgress) -> None:
        """Count what is done of one file."""
        self.done += step.bytes_completed - self.under_way.pop(step.file_path, 0)
        if step.phase == "Uploaded" or (step.phase == "Staging" and step.bytes_completed >= step.bytes_total):
            self.files += 1
        else:
            self.under_way[step.file_path] = step.bytes_completed


class Display(Protocol):
    """One way to show how far a commit is."""

    def show(self, reach: Reach) -> None:
        """Show how far one part of it is."""
        ...

    def close(self) -> None:
        """Show nothing more."""
        ...


class _OfTheCallback(BaseException):
    """An error of the user's own, on its way out: no failure of the disk or the catalog, though it may look like one."""

    def __init__(self, error: Exception) -> None:
        super().__init__(error)
        self.error = error


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
        self._reached = {phase: Reach(phase) for phase in (SEALING, UPLOADING, RECORDING)}
        self._display: Display | None = None
        self._kind = "quiet" if callback is not None else chosen(_wish.get() or os.environ.get(VARIABLE, "auto"))

    def expect(self, phase: str, files: int, of: int) -> None:
        """Say how many files a phase has, and how many bytes or values."""
        self._reached[phase].of_files, self._reached[phase].of = files, of

    def __call__(self, step: UploadProgress) -> None:
        with self._guard:
            if self._callback is not None:
                self._call(self._callback, step)
            elif self._kind != "quiet" and step.phase in _PHASES:
                reach = self._reached[_PHASES[step.phase]]
                reach.take(step)
                self._show(reach)

    @staticmethod
    def _call(callback: UploadCallback, step: UploadProgress) -> None:
        try:
            callback(step)
        except (OSError, DerivaMLException) as error:
            raise _OfTheCallback(error) from error

    def recorded(self, values: int) -> None:
        """Say that so many more feature values are in the catalog."""
        with self._guard:
            self._reached[RECORDING].done += values
            if self._kind != "quiet":
                self._show(self._reached[RECORDING])

    def _show(self, reach: Reach) -> None:
        if self._display is None:
            if self._kind != "lines" and monotonic() - self._began < PATIENCE:
                return
            self._display = _DISPLAYS[self._kind](self._rid)
        try:
            self._display.show(reach)
        except OSError:  # the terminal is gone: nobody looks any more
            self._display, self._kind = None, "quiet"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._display is not None:
            self._display.close()
        if isinstance(error, _OfTheCallback):
            for note in getattr(error, "__notes__", ()):
                error.error.add_note(note)
            raise error.error from None


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
    """A line on the error stream when a part of the commit is done; and now and then where that takes long."""

    def __init__(self, rid: str) -> None:
        self._rid = rid
        self._next: dict[str, float] = {}

    def show(self, reach: Reach) -> None:
        """Print a line, but not for every file."""
        if not reach.over and monotonic() < self._next.setdefault(reach.phase, monotonic() + 10):
            return
        self._next[reach.phase] = monotonic() + 10
        amount = _counted(reach.done, reach.of, "value" if reach.phase == RECORDING else "byte")
        files = "" if reach.phase == RECORDING else f"{_counted(reach.files, reach.of_files, 'file')}, "
        print(f"execution {self._rid}: {reach.phase}, {files}{amount}", file=sys.stderr)

    def close(self) -> None:
        """Nothing is open."""


def _counted(done: int, of: int, thing: str) -> str:
    amount = f"{done:,}" if done >= of else f"{done:,} of {of:,}"
    return f"{amount} {thing}{'s' if max(done, of) != 1 else ''}"


class Bar:
    """A bar on the terminal for each part of the commit, drawn by rich."""

    def __init__(self, rid: str) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[amount]}"),
            TimeRemainingColumn(),
        )
        self._progress = Progress(*columns, console=Console(stderr=True), transient=True)
        self._rid = rid
        self._tasks: dict[str, Any] = {}
        self._progress.start()

    def show(self, reach: Reach) -> None:
        """Move the bar of a part."""
        total, amount = max(reach.of, reach.done), self._amount(reach)
        if reach.phase not in self._tasks:
            self._tasks[reach.phase] = self._progress.add_task(f"{self._rid} {reach.phase}", total=total, amount=amount)
        self._progress.update(self._tasks[reach.phase], completed=reach.done, total=total, amount=amount)

    @staticmethod
    def _amount(reach: Reach) -> str:
        from rich.filesize import decimal

        if reach.phase == RECORDING:
            return f"{reach.done:,}/{reach.of:,} values"
        return f"{reach.files}/{max(reach.files, reach.of_files)} files, {decimal(reach.done)}"

    def close(self) -> None:
        """Take the bars off the terminal."""
        self._progress.stop()


class Notebook:
    """A bar in the cell of a notebook for each part of the commit, drawn by tqdm (as text where ipywidgets is missing)."""

    def __init__(self, rid: str) -> None:
        from tqdm.auto import tqdm

        if generation():  # the lock that all bars share may be held for ever in a forked child
            tqdm.set_lock(threading.RLock())
        self._make: Callable[..., Any] = tqdm
        self._rid = rid
        self._bars: dict[str, Any] = {}

    def show(self, reach: Reach) -> None:
        """Move the bar of a part."""
        if reach.phase not in self._bars:
            unit = " values" if reach.phase == RECORDING else "B"
            description = f"{self._rid} {reach.phase}"
            self._bars[reach.phase] = self._make(
                total=max(reach.of, reach.done), desc=description, unit=unit, unit_scale=True
            )
        bar = self._bars[reach.phase]
        bar.total = max(reach.of, reach.done)
        bar.update(reach.done - bar.n)

    def close(self) -> None:
        """Let the bars stand as they are."""
        for bar in self._bars.values():
            bar.close()


_DISPLAYS: dict[str, Callable[[str], Display]] = {"bar": Bar, "lines": Lines, "notebook": Notebook}
