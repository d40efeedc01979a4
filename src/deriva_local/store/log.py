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


class Log:
    """The log of the database at ``path``, for the threads of this process.

    Where a sync fails, what the log holds may never reach the disk: nothing may be written behind it before it is emptied.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.with_name(f"{path.name}-wal")
        self._handle: int | None = None
        self._change = threading.Condition()
        self._written = self._durable = self._lost = 0
        self._syncing = False
        _LOGS.add(self)

    @property
    def is_busy(self) -> bool:
        """Say whether somebody is syncing, so that a commit of this moment can share the next sync."""
        return self._syncing

    def settle(self) -> None:
        """Return once everything is durable that this thread has committed.

        Raises:
            OSError: the disk failed; what was committed is visible now, and may be gone after a power cut.
        """
        with self._change:
            self._written += 1
            mine = self._written
            while self._syncing and self._durable < mine:
                self._change.wait()
            if self._durable >= mine:
                return self._refuse_lost(mine)
            self._syncing, upto = True, self._written
        self._lead(upto)
        return None

    def close(self) -> None:
        """Let go of the file."""
        handle, self._handle = self._handle, None
        if handle is not None:
            os.close(handle)

    def rest(self) -> None:
        """Let go of the file if nobody is syncing; the next sync opens it again."""
        with self._change:
            if not self._syncing:
                self.close()

    def forget(self) -> None:
        """Start afresh in a forked child, in which nobody is syncing."""
        self._change = threading.Condition()
        self._syncing = False
        self.close()

    def _lead(self, upto: int) -> None:
        """Sync for everybody up to number ``upto``, and tell them."""
        done = False
        try:
            self._sync()
            done = True
        finally:
            with self._change:
                self._syncing, self._durable = False, upto
                if not done:
                    self._lost = upto
                self._change.notify_all()

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
