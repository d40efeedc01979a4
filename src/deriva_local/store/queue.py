"""Writers wait in line: threads of this process, and processes of this machine.

SQLite lets one process write at a time and makes the others sleep and try again, which starves some of them. Here they
draw a number, and each waits for the one before it. A turn is much shorter than it takes to wake a process on a busy
machine, so that a line in strict order would mostly wait for its next one to wake up: whoever runs and finds the file
free takes it, past the line, until a moment that the first in line has set. Nobody is passed over after that. The line
only keeps the order: what keeps the data is SQLite's own lock, taken inside.
"""

from __future__ import annotations

import fcntl
import os
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple
from weakref import WeakSet

from deriva_local.store.forks import close_file, open_file
from deriva_local.store.turnstile import Turnstile
from deriva_local.wire.errors import busy

PAUSES = (0.0003, 0.0006, 0.0012, 0.0024, 0.0048)
"""Seconds after which a writer looks again before it gets in line: most turns are over by then, and no thread is needed."""

PASSING = 0.02
"""Seconds for which others may go past the first in line."""

PASSING_ALL = 0.3
"""Seconds for which others may go past a whole line, until its last one has had its turn."""


class Queue:
    """The line in front of one file. Not for use inside itself: a thread that waits for itself is refused (503)."""

    def __init__(self, path: Path, patience: float) -> None:
        self.path = path
        self.patience = patience
        self._turnstile = Turnstile()
        self._handle: int | None = None
        _QUEUES.add(self)

    @property
    def waiting(self) -> int:
        """How many other threads of this process wait for their turn."""
        return self._turnstile.waiting

    @property
    def is_sought(self) -> bool:
        """Whether another process waits for its turn, or has waited lately; in our turn only."""
        if self._handle is None:
            return False
        state = _read(self._handle)
        return state.until > 0 or 0 <= time.monotonic_ns() - state.missed < _LATELY

    @property
    def is_flagged(self) -> bool:
        """Whether somebody has left a flag for whoever has a turn; in our turn only."""
        return self._handle is not None and bool(_read(self._handle).flag)

    def flag(self, up: bool) -> None:
        """Leave a flag for whoever has a turn after us, in any process, or take it away; in our turn only."""
        if self._handle is not None:
            _write(self._handle, _FLAG, up)

    @contextmanager
    def turn(self, patience: float | None = None) -> Iterator[None]:
        """Hold the file for a block.

        Raises:
            Refusal: 503 after ``patience`` seconds, by default the queue's own.
        """
        process, patience = os.getpid(), self.patience if patience is None else patience
        with self._turnstile.turn(patience) as came:
            if not came:
                raise busy("Other threads are writing to this catalog; try again.")
            try:
                self._lock(patience)
                yield
            finally:
                try:
                    self._let_go(process)
                finally:
                    self._let_go(process)  # Ctrl-C may have interrupted the first before it began

    def _let_go(self, process: int) -> None:
        """End a turn of process ``process``, also one that never came."""
        if process == os.getpid() and self._handle is not None:
            _unlock(self._handle)

    def close(self) -> None:
        """Let go of the lock file."""
        handle, self._handle = self._handle, None
        if handle is not None:
            close_file(handle)

    def rest(self) -> None:
        """Let go of the lock file if nobody has a turn; the next turn opens it again."""
        with self._turnstile.turn(0) as came:
            if came:
                self.close()

    def forget(self) -> None:
        """Start afresh in a forked child, which holds nothing whatever its parent holds."""
        self._turnstile = Turnstile()
        self._handle = None

    def _lock(self, patience: float) -> None:
        if self._handle is None:
            self._handle = open_file(self.path, os.O_RDWR | os.O_CREAT)
        handle = self._handle
        if patience == 0:
            if not _lock_at_once(handle):
                raise busy("Other processes are writing to this catalog.")
            return
        if _passes(handle):
            return
        ahead = _draw(handle)
        if not (_is_free(handle, ahead) and _lock_at_once(handle)):
            self._wait(handle, ahead, patience)
        _write(handle, _UNTIL, 0)

    def _wait(self, handle: int, ahead: int, patience: float) -> None:
        """Stand in the kernel's queue, which knows no time-out: another thread waits there for us."""
        waiter = _Waiter(handle, ahead)
        try:
            waiter.thread.start()
            waiter.done.wait(patience)
        finally:  # Ctrl-C, or no more threads: whoever waits for a lock that nobody wants must not keep it
            if gave_up := waiter.abandon():
                self._handle = None  # the handle stays with the waiter, which closes it
                if waiter.thread.ident is None:
                    close_file(handle)
        if gave_up:
            raise busy("Other processes are writing to this catalog; try again.")


class _Waiter:
    """One blocking wait for a lock, which its owner may give up."""

    def __init__(self, handle: int, ahead: int) -> None:
        self.handle = handle
        self.ahead = ahead
        self.done = threading.Event()
        self.thread = threading.Thread(target=self._wait, daemon=True)
        self._guard = threading.Lock()
        self._abandoned = False

    def abandon(self) -> bool:
        """Give up, unless the lock came in this very moment."""
        with self._guard:
            self._abandoned = not self.done.is_set()
            return self._abandoned

    def _wait(self) -> None:
        _wait_for(self.handle, self.ahead)
        _lead(self.handle, self.ahead + 1)
        fcntl.flock(self.handle, fcntl.LOCK_EX)
        with self._guard:
            if self._abandoned:
                _write(self.handle, _UNTIL, 0)
                _unlock(self.handle)  # a child that was forked a moment ago may share the handle: closing is not enough
                close_file(self.handle)
            self.done.set()


# ------------------------------------------------------------------------------------------------------------- numbers
#
# The lock file holds the number that was drawn last, a flag, the moment until which others may go past the first in line (0 if
# nobody stands there), and the moment at which somebody found the file taken. Who draws a number locks the byte of that number until its turn is over, or until it dies, and waits for the
# byte of the number before. The lock on the whole file is what keeps others out: if somebody in the middle of the line dies, two may
# believe that it is their turn. If the first in line dies, the moment it has set goes by, and whoever comes gets in line and takes
# it away. Systems without such locks know no order.


class _State(NamedTuple):
    """What the lock file holds."""

    last: int
    flag: int
    until: int
    missed: int


_WORD, _STATE = struct.Struct("q"), struct.Struct("4q")
_COUNTER, _FLAG, _UNTIL, _MISSED = 0, 8, 16, 24
"""Where each of them lies in the file."""
_LATELY = 50_000_000
_RANGE = struct.Struct("hhqqi4x")
_HAS_NUMBERS = hasattr(fcntl, "F_OFD_SETLKW")
_FIRST = 8
"""Before this byte lies the counter."""


def _draw(handle: int) -> int:
    """Draw a number; return the one before it."""
    if not _HAS_NUMBERS:
        return 0
    try:
        _range(handle, fcntl.LOCK_EX, 0, wait=True)
        last = _read(handle).last
        _range(handle, fcntl.LOCK_EX, last + 1)
        _write(handle, _COUNTER, last + 1)
    finally:
        _range(handle, fcntl.LOCK_UN, 0)
    return last


def _read(handle: int) -> _State:
    last, *others = _STATE.unpack(os.pread(handle, _STATE.size, 0).ljust(_STATE.size, b"\0"))
    return _State(max(last, _FIRST), *others)


def _write(handle: int, place: int, value: int) -> None:
    os.pwrite(handle, _WORD.pack(value), place)


def _passes(handle: int) -> bool:
    """Take the lock past the line, if it is free in a moment and the first in line has not waited for long."""
    for pause in PAUSES:
        until = _read(handle).until
        if until and time.monotonic_ns() > until:
            return False
        if _lock_at_once(handle):
            return True
        _write(handle, _MISSED, time.monotonic_ns())
        time.sleep(pause)
    return False


def _lead(handle: int, number: int) -> None:
    """Say as the first in line until when others may go past it: not for long when many stand behind it."""
    seconds = min(PASSING, PASSING_ALL / (_read(handle).last - number + 1))
    _write(handle, _UNTIL, time.monotonic_ns() + int(seconds * 1e9))


def _is_free(handle: int, number: int) -> bool:
    """Tell whether nobody holds a number any more."""
    if not _HAS_NUMBERS:
        return True
    try:
        _range(handle, fcntl.LOCK_SH, number)
    except BlockingIOError:
        return False
    return True


def _wait_for(handle: int, number: int) -> None:
    if _HAS_NUMBERS:
        _range(handle, fcntl.LOCK_SH, number, wait=True)


def _lock_at_once(handle: int) -> bool:
    with suppress(BlockingIOError):
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False


def _unlock(handle: int) -> None:
    """End a turn: let go of the file, then of our number and of the one before it."""
    fcntl.flock(handle, fcntl.LOCK_UN)
    if _HAS_NUMBERS:
        _range(handle, fcntl.LOCK_UN, _FIRST, length=0)


_KINDS = {fcntl.LOCK_EX: fcntl.F_WRLCK, fcntl.LOCK_SH: fcntl.F_RDLCK, fcntl.LOCK_UN: fcntl.F_UNLCK}


def _range(handle: int, kind: int, first: int, *, length: int = 1, wait: bool = False) -> None:
    """Lock a byte of the file, or everything from there for ``length`` 0, as the owner of this handle."""
    asked = _RANGE.pack(_KINDS[kind], os.SEEK_SET, first, length, 0)
    fcntl.fcntl(handle, fcntl.F_OFD_SETLKW if wait else fcntl.F_OFD_SETLK, asked)


_QUEUES: WeakSet[Queue] = WeakSet()


def _after_fork() -> None:
    for queue in tuple(_QUEUES):
        queue.forget()


os.register_at_fork(after_in_child=_after_fork)
