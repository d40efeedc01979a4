"""One sync for many: the write-ahead log of a database, brought to the disk once for all that was written before.

A transaction is durable when the log that holds it is on the disk. Where several threads commit at the same time, each
of their transactions is written to the log by itself, and one sync then makes all of them durable: whoever comes first
does it, and whoever comes while it runs shares the next one. Nobody is answered before the sync that covers them.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path
from weakref import WeakSet

from deriva_local.store.place import sync_data

A_WHILE = 1.0
"""Seconds after which who waits for another thread's sync looks whether that was interrupted before it could tell."""


class Log:
    """The log of the database at ``path``, for the threads of this process.

    Where a sync fails, what the log holds may never reach the disk: nothing may be written behind it before it is emptied.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.with_name(f"{path.name}-wal")
        self._handle: int | None = None
        self._lock = threading.RLock()
        self._change = threading.Condition(self._lock)
        self._written = self._durable = self._lost = 0
        self._leader: object = None
        _LOGS.add(self)

    @property
    def is_busy(self) -> bool:
        """Say whether somebody is syncing, so that a commit of this moment can share the next sync."""
        return self._leader is not None

    def settle(self) -> None:
        """Return once everything is durable that this thread has committed.

        Raises:
            OSError: the disk failed; what was committed is visible now, and may be gone after a power cut.
        """
        me, upto, kept = object(), 0, None
        try:
            with self._lock:
                self._written += 1
                mine = self._written
                while self._leader is not None and self._durable < mine:
                    self._change.wait(A_WHILE)
                if self._durable >= mine:
                    return self._refuse_lost(mine)
                self._leader, upto = me, self._written
            self._sync()
            kept = True
        except OSError:
            kept = False
            raise
        finally:
            try:
                self._led(me, upto, kept)
            finally:
                self._led(me, upto, kept)  # the first may have been interrupted before it began

    def _led(self, me: object, upto: int, kept: bool | None) -> None:
        """Tell everybody up to number ``upto`` what came of the sync; one that Ctrl-C interrupted (None) another thread does again."""
        with self._lock:
            if self._leader is not me:
                return
            if kept is not None:
                self._durable = upto
            if kept is False:
                self._lost = upto
            self._leader = None
            self._change.notify_all()

    def close(self) -> None:
        """Let go of the file."""
        handle, self._handle = self._handle, None
        if handle is not None:
            os.close(handle)

    def rest(self) -> None:
        """Let go of the file if nobody is syncing; the next sync opens it again."""
        with self._lock:
            if self._leader is None:
                self.close()

    def forget(self) -> None:
        """Start afresh in a forked child, in which nobody is syncing."""
        self._lock = threading.RLock()
        self._change = threading.Condition(self._lock)
        self._leader = None
        self.close()

    def _refuse_lost(self, mine: int) -> None:
        if mine <= self._lost:
            raise OSError("the disk failed while a transaction was brought to it")

    def _sync(self) -> None:
        if self._handle is None or os.fstat(self._handle).st_nlink == 0:  # it may have been put in another file's place
            self.close()
            self._handle = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)
        sync_data(self._handle)


_LOGS: WeakSet[Log] = WeakSet()


def _after_fork() -> None:
    for log in tuple(_LOGS):
        log.forget()


os.register_at_fork(after_in_child=_after_fork)
