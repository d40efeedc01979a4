"""Writers wait in line: threads of this process, and processes of this machine.

SQLite lets one process write at a time and makes the others sleep and try again, which starves some of them. A lock
file has a queue in the kernel. It only keeps the order: what keeps the data is SQLite's own lock, taken inside.
"""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from weakref import WeakSet

from deriva_local.wire.errors import busy


class Queue:
    """The line in front of one file. Not for use inside itself: a thread that waits for itself is refused (503)."""

    def __init__(self, path: Path, patience: float) -> None:
        self.path = path
        self.patience = patience
        self._turnstile = threading.Lock()
        self._handle: int | None = None
        self._waiting: set[int] = set()
        _QUEUES.add(self)

    @property
    def is_wanted(self) -> bool:
        """Say whether other threads of this process are waiting for their turn."""
        return bool(self._waiting)

    @contextmanager
    def turn(self, patience: float | None = None) -> Iterator[None]:
        """Hold the file for a block.

        Raises:
            Refusal: 503 after ``patience`` seconds, by default the queue's own.
        """
        turnstile, process = self._turnstile, os.getpid()
        patience = self.patience if patience is None else patience
        thread = threading.get_ident()
        self._waiting.add(thread)
        try:
            if not turnstile.acquire(timeout=patience):
                raise busy("Other threads are writing to this catalog; try again.")
        finally:
            self._waiting.discard(thread)
        try:
            handle = self._locked(patience)
            try:
                yield
            finally:
                if process == os.getpid():
                    fcntl.flock(handle, fcntl.LOCK_UN)
        finally:
            turnstile.release()

    def close(self) -> None:
        """Let go of the lock file."""
        handle, self._handle = self._handle, None
        if handle is not None:
            os.close(handle)

    def rest(self) -> None:
        """Let go of the lock file if nobody has a turn; the next turn opens it again."""
        if self._turnstile.acquire(blocking=False):
            try:
                self.close()
            finally:
                self._turnstile.release()

    def forget(self) -> None:
        """Start afresh in a forked child, which holds nothing whatever its parent holds."""
        self._turnstile = threading.Lock()
        self._waiting = set()
        self.close()

    def _locked(self, patience: float) -> int:
        if self._handle is None:
            self._handle = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        with suppress(BlockingIOError):
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return self._handle
        return self._waited(self._handle, patience)

    def _waited(self, handle: int, patience: float) -> int:
        """Stand in the kernel's queue, which knows no time-out: another thread waits there for us."""
        if patience == 0:
            raise busy("Other processes are writing to this catalog.")
        waiter = _Waiter(handle)
        waiter.thread.start()
        if waiter.done.wait(patience) or not waiter.abandon():
            return handle
        self._handle = None  # the handle stays with the waiter, which closes it
        raise busy("Other processes are writing to this catalog; try again.")


class _Waiter:
    """One blocking wait for a lock, which its owner may give up."""

    def __init__(self, handle: int) -> None:
        self.handle = handle
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
        fcntl.flock(self.handle, fcntl.LOCK_EX)
        with self._guard:
            if self._abandoned:
                fcntl.flock(self.handle, fcntl.LOCK_UN)  # a forked child may share the handle: closing is not enough
                os.close(self.handle)
            self.done.set()


_QUEUES: WeakSet[Queue] = WeakSet()


def _after_fork() -> None:
    for queue in tuple(_QUEUES):
        queue.forget()


os.register_at_fork(after_in_child=_after_fork)
