"""Writers wait in line: threads of this process, and processes of this machine.

SQLite lets one process write at a time and makes the others sleep and try again, which starves some of them. Here they
draw a number, and each waits for the one before it: nobody is passed over, and nobody is woken for nothing. The line
only keeps the order: what keeps the data is SQLite's own lock, taken inside.
"""

from __future__ import annotations

import fcntl
import os
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from weakref import WeakSet

from deriva_local.store.turnstile import Turnstile
from deriva_local.wire.errors import busy


class Queue:
    """The line in front of one file. Not for use inside itself: a thread that waits for itself is refused (503)."""

    def __init__(self, path: Path, patience: float) -> None:
        self.path = path
        self.patience = patience
        self._turnstile = Turnstile()
        self._handle: int | None = None
        self._number = 0
        _QUEUES.add(self)

    @property
    def waiting(self) -> int:
        """How many other threads of this process wait for their turn."""
        return self._turnstile.waiting

    @property
    def is_followed(self) -> bool:
        """Whether another process has drawn a number after ours; in our turn only."""
        return self._handle is not None and _HAS_NUMBERS and _read(self._handle)[0] > self._number

    @property
    def is_flagged(self) -> bool:
        """Whether somebody has left a flag for whoever has a turn; in our turn only."""
        return self._handle is not None and bool(_read(self._handle)[1])

    def flag(self, up: bool) -> None:
        """Leave a flag for whoever has a turn after us, in any process, or take it away; in our turn only."""
        if self._handle is not None:
            os.pwrite(self._handle, _FLAG.pack(up), _COUNTER.size)

    @contextmanager
    def turn(self, patience: float | None = None) -> Iterator[None]:
        """Hold the file for a block.

        Raises:
            Refusal: 503 after ``patience`` seconds, by default the queue's own.
        """
        turnstile, process = self._turnstile, os.getpid()
        patience = self.patience if patience is None else patience
        if not turnstile.enter(patience):
            raise busy("Other threads are writing to this catalog; try again.")
        try:
            handle = self._locked(patience)
            try:
                yield
            finally:
                if process == os.getpid():
                    _unlock(handle)
        finally:
            turnstile.exit()

    def close(self) -> None:
        """Let go of the lock file."""
        handle, self._handle = self._handle, None
        if handle is not None:
            os.close(handle)

    def rest(self) -> None:
        """Let go of the lock file if nobody has a turn; the next turn opens it again."""
        if self._turnstile.enter(0):
            try:
                self.close()
            finally:
                self._turnstile.exit()

    def forget(self) -> None:
        """Start afresh in a forked child, which holds nothing whatever its parent holds."""
        self._turnstile = Turnstile()
        self.close()

    def _locked(self, patience: float) -> int:
        if self._handle is None:
            self._handle = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        handle = self._handle
        if patience == 0:
            if _lock_at_once(handle):
                return handle
            raise busy("Other processes are writing to this catalog.")
        ahead = _draw(handle)
        self._number = ahead + 1
        if _is_free(handle, ahead) and _lock_at_once(handle):
            return handle
        return self._waited(handle, ahead, patience)

    def _waited(self, handle: int, ahead: int, patience: float) -> int:
        """Stand in the kernel's queue, which knows no time-out: another thread waits there for us."""
        waiter = _Waiter(handle, ahead)
        waiter.thread.start()
        if waiter.done.wait(patience) or not waiter.abandon():
            return handle
        self._handle = None  # the handle stays with the waiter, which closes it
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
        fcntl.flock(self.handle, fcntl.LOCK_EX)
        with self._guard:
            if self._abandoned:
                _unlock(self.handle)  # a forked child may share the handle: closing is not enough
                os.close(self.handle)
            self.done.set()


# ------------------------------------------------------------------------------------------------------------- numbers
#
# The lock file holds the number that was drawn last, and a flag. Who draws one locks the byte of that number until its turn is over,
# or until it dies, and waits for the byte of the number before. The lock on the whole file is what keeps others out: if
# somebody in the middle of the line dies, two may believe that it is their turn. Systems without such locks know no order.

_COUNTER, _FLAG, _BOTH = struct.Struct("q"), struct.Struct("q"), struct.Struct("qq")
_RANGE = struct.Struct("hhqqi4x")
_HAS_NUMBERS = hasattr(fcntl, "F_OFD_SETLKW")
_FIRST = 8
"""Before this byte lies the counter."""


def _draw(handle: int) -> int:
    """Draw a number; return the one before it."""
    if not _HAS_NUMBERS:
        return 0
    _range(handle, fcntl.LOCK_EX, 0, wait=True)
    try:
        last = _read(handle)[0]
        _range(handle, fcntl.LOCK_EX, last + 1)
        os.pwrite(handle, _COUNTER.pack(last + 1), 0)
    finally:
        _range(handle, fcntl.LOCK_UN, 0)
    return int(last)


def _read(handle: int) -> tuple[int, int]:
    """Return the number that was drawn last, and the flag."""
    found = os.pread(handle, _BOTH.size, 0)
    last, flag = _BOTH.unpack(found.ljust(_BOTH.size, b"\0"))
    return max(last, _FIRST), flag


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
