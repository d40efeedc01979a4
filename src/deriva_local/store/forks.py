"""Forks at any moment: threads stand still outside of SQLite while one of them forks, and a child begins with nothing of its parent's.

A fork copies one thread and all locks. What other threads held at that moment, in SQLite or here, nobody lets go in the
child. So each thread has a lock of its own, which it holds while it is :func:`inside`; who forks takes all of them first.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import apsw

from deriva_local.store.place import StoreProblem

PATIENCE = 60.0
"""Seconds that a fork waits for other threads to come out: longer than any of them waits for a lock."""

_LOCKS: dict[int, Any] = {}
"""The lock of each thread that has ever been inside, by the thread's number."""
_turn = threading.RLock()
"""Held by the thread that forks; whoever wants to go inside meanwhile waits for it."""
_FILES: set[int] = set()
_LEFT: list[apsw.Connection] = []
_CUT: set[str] = set()
"""Databases that this process must not use, as a transaction of its parent's was open in them."""


class _Own(threading.local):
    def __init__(self) -> None:
        self.lock: Any = threading.RLock()
        with _turn:
            _LOCKS[threading.get_ident()] = self.lock


class _Now:
    forks = 0
    """How many forks wait or are under way."""
    ready = True
    """Whether nobody else is inside."""
    whole = True
    """Whether nobody else was inside in any of the forks that made this process."""
    generation = 0
    """How many forks lie between the first process and this one."""


_own = _Own()


def inside() -> Any:
    """Return what a thread holds while it is in SQLite, or does what no fork may cut in two: ``with inside():``.

    Once inside, wait for nothing that is held by a thread which may be about to go inside.
    """
    own = _own.lock
    if _Now.forks and not own._is_owned():  # else threads that write without a pause would let no fork begin
        with _turn:
            pass
    return own


class Visit:
    """A stay inside that may be interrupted, while somebody takes what was read."""

    def __init__(self) -> None:
        self._lock: Any = None

    def begin(self) -> None:
        """Go inside, or stay there."""
        if self._lock is None:
            self._lock = inside()
            self._lock.acquire()

    def end(self) -> None:
        """Come out, or stay outside."""
        lock, self._lock = self._lock, None
        if lock is not None and lock._is_owned():
            lock.release()


def open_file(path: Path, flags: int) -> int:
    """Open a file to lock it; the lock belongs to the handle, so that a child lets go of its copy at once."""
    with inside():
        descriptor = os.open(path, flags | os.O_CLOEXEC, 0o600)
        _FILES.add(descriptor)
    return descriptor


def close_file(descriptor: int) -> None:
    """Close a file that was opened so, in the process that opened it."""
    with inside():
        _FILES.discard(descriptor)
        os.close(descriptor)


@contextmanager
def own_file(path: Path, flags: int) -> Iterator[int]:
    """Open a file so for a block."""
    born = _Now.generation
    descriptor = open_file(path, flags)
    try:
        yield descriptor
    finally:
        if born == _Now.generation:
            close_file(descriptor)


class Connection(apsw.Connection):
    """A connection that no thread closes while another one forks, and no child before it is clear how."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        self.born = os.getpid()
        super().__init__(*arguments, **named)

    def __del__(
        self, getpid: Callable[[], int] = os.getpid, is_finalizing: Callable[[], bool] = sys.is_finalizing
    ) -> None:
        if is_finalizing():
            return
        if self.born != getpid():  # a child, whose first act is to drop what the threads held that it does not have
            _LEFT.append(self)
            return
        with inside():
            self.close()


def refuse_cut(path: Path) -> None:
    """Let a database be opened of which this process has inherited nothing half done.

    Raises:
        StoreProblem: another thread, or this one, was in the middle of a write when its parent forked.
    """
    if not _Now.whole:
        reason = f"while another thread of its parent had been at it for {PATIENCE:.0f} seconds"
    elif _CUT and str(path.resolve()) in _CUT:
        reason = "inside a transaction of its parent's"
    else:
        return
    raise StoreProblem(
        f"This process was forked {reason}: it cannot use {path}. Nothing is lost, and the parent goes on. "
        "Fork at another moment, or start the worker with the method `spawn`."
    )


def _before() -> None:
    """Wait until no other thread is inside. Ctrl-C ends the waiting as the end of patience does: the child is then refused."""
    _turn.acquire()
    _Now.forks += 1
    _Now.ready = False
    ends = time.monotonic() + PATIENCE
    for lock in tuple(_LOCKS.values()):
        if lock is not _own.lock and not lock.acquire(timeout=max(0.0, ends - time.monotonic())):
            return
    _Now.ready = True


def _after_in_parent() -> None:
    for lock in tuple(_LOCKS.values()):
        if lock is not _own.lock and lock._is_owned():
            lock.release()
    _Now.forks -= 1
    _turn.release()


def _after_in_child() -> None:
    global _turn
    _turn = threading.RLock()
    _LOCKS.clear()
    _LOCKS[threading.get_ident()] = _own.lock
    _Now.forks = 0
    _Now.whole = _Now.whole and _Now.ready
    _Now.generation += 1
    for descriptor in _FILES:
        with suppress(OSError):
            os.close(descriptor)
    _FILES.clear()
    for connection in {*apsw.connections(), *_LEFT}:
        if isinstance(connection, Connection):
            _set_aside(connection)
    _LEFT.clear()


def _set_aside(connection: Connection) -> None:
    """Close a connection of the parent's, so that SQLite takes locks anew when this process opens the file.

    As long as it is open, SQLite believes that this process holds the locks of its parent; another process that opens the
    file then takes away the shared memory that this one is writing to. Closing lets go of no lock of the parent's, but
    it would undo an open transaction: such a connection is never closed, not even when this process ends.
    """
    if _Now.whole and connection.txn_state() != apsw.SQLITE_TXN_WRITE:
        connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        connection.close()
        connection.born = os.getpid()
        return
    import ctypes

    ctypes.pythonapi.Py_IncRef(ctypes.py_object(connection))
    if _Now.whole:
        _CUT.add(connection.filename)


os.register_at_fork(before=_before, after_in_parent=_after_in_parent, after_in_child=_after_in_child)
