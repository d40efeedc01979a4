"""A signal that ends the runner interrupts the running cell first, so that what the notebook left can be kept.

The cell ends by KeyboardInterrupt, and its traceback is in the executed notebook. A cell that does not end, or a second
signal, ends the kernel.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import FrameType

CAUGHT = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
PATIENCE = 5.0
"""Seconds that an interrupted cell has to end."""


@dataclass
class Stop:
    """Which signal came, None until one does."""

    signal: signal.Signals | None = None


@contextmanager
def stopping(kernel: int) -> Iterator[Stop]:
    """Interrupt the process ``kernel`` when a signal comes that ends this one (0: none is known); raise KeyboardInterrupt when that was not enough."""
    stop = Stop()

    def interrupt(number: int, _frame: FrameType | None) -> None:
        again = stop.signal is not None
        stop.signal = stop.signal or signal.Signals(number)
        if again or not kernel:
            raise KeyboardInterrupt
        signal.setitimer(signal.ITIMER_REAL, PATIENCE)
        with suppress(ProcessLookupError):
            os.kill(kernel, signal.SIGINT)

    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    heard = [
        number for number in CAUGHT if signal.getsignal(number) not in (signal.SIG_IGN, None)
    ]  # nohup ignores some
    before = {number: signal.signal(number, interrupt) for number in [*heard, signal.SIGALRM]}
    try:
        yield stop
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler)
