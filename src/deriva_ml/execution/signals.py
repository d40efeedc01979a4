"""SIGTERM and SIGHUP while a run goes on: which of them ended it is written down, then the signal does what it always did.

Only where nobody else listens to the signal. A worker that the run has forked does not speak for the run.

Python lets the main thread alone set handlers. It does so when it creates an execution, which may begin in another thread, or
begins one. One that another thread both creates and begins is noted only where the main thread has others: opening a catalog sets no
handlers, because a process that runs nothing keeps its signals as they are. (A handler of Python waits for the end of a long call into
C, and libraries leave out their own where they find one.)
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from pathlib import Path
from types import FrameType

CAUGHT = (signal.SIGTERM, signal.SIGHUP)
_NOBODY = 0
_WATCHED: dict[Path, int] = {}
"""Where to write, and the process whose run it is; nobody's before it has begun."""


def expect(note: Path) -> None:
    """Set the handlers for a run that may begin in any thread, if this is the main one."""
    if threading.current_thread() is threading.main_thread():
        _WATCHED.setdefault(note, _NOBODY)
        _listen()


def watch(note: Path) -> None:
    """Write into the file ``note`` which signal ends this process, from now on until :func:`unwatch`."""
    _WATCHED[note] = os.getpid()
    if threading.current_thread() is threading.main_thread():
        _listen()


def _listen() -> None:
    for number in CAUGHT:
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _end)


def unwatch(note: Path) -> None:
    """The run has ended by itself."""
    _WATCHED.pop(note, None)
    if _WATCHED or threading.current_thread() is not threading.main_thread():
        return
    for number in CAUGHT:
        if signal.getsignal(number) is _end:
            signal.signal(number, signal.SIG_DFL)


def _end(number: int, _frame: FrameType | None) -> None:
    for note, process in tuple(_WATCHED.items()):  # other threads begin and end runs meanwhile
        if process == os.getpid():
            with contextlib.suppress(OSError):
                note.write_text(f"ended by {signal.Signals(number).name}")
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
