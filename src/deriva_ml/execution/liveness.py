"""Locks that tell a living process from a dead one: free the instant the holder dies, however it dies.

A POSIX record lock on a small file of its own: it needs no heartbeat, a forked worker does not inherit it, and a
suspended laptop still holds it. The file's text says who holds it and since when; that is description, the lock decides. Who lets go in order
empties the file, so that a text beside a free lock is that of a holder who died.
Closing any descriptor of a locked file lets go of the lock, so no other code may open these files.

:func:`alive` only looks, and :func:`holding_still` takes a lock without a word: neither changes what a dead holder left.
"""

from __future__ import annotations

import fcntl
import json
import os
import struct
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary, finalize

from deriva_ml.clock import iso, now
from deriva_ml.environment.host import this_process
from deriva_ml.errors import DerivaMLBusyError, DerivaMLReadOnlyError
from deriva_ml.files import with_advice

_GUARD = threading.RLock()  # whoever has it may be told to collect garbage, which lets go of locks
_HELD: dict[str, Lock] = {}
"""The locks that this process holds, by file."""


_FLOCK = "@qqihh" if sys.platform == "darwin" else "@hhqqi4x"
"""How the C structure lies that asks who holds a lock: its kind comes fourth on macOS, first on Linux."""
_KIND = 3 if sys.platform == "darwin" else 0


def _forget_parent() -> None:
    """In a forked child: the locks are the parent's, and no thread of the parent holds the guard here."""
    global _GUARD
    _GUARD = threading.RLock()
    _HELD.clear()


os.register_at_fork(after_in_child=_forget_parent)


class Lock:
    """A held lock. ``release`` in the process that took it; elsewhere it does nothing."""

    def __init__(self, path: Path, descriptor: int, about: Mapping[str, Any], before: Mapping[str, Any]) -> None:
        self.path = path
        self.about = dict(about)
        self.before = dict(before)
        """What an earlier holder wrote who did not let go, but died; nothing after one that let go."""
        self.owed: str | None = None
        """How what it stands for went wrong, where its holder could not write that down yet."""
        self.file = _identity(os.fstat(descriptor))
        self._descriptor = descriptor
        self._process = os.getpid()

    @property
    def held(self) -> bool:
        """Return whether this process holds it now."""
        return self._process == os.getpid() and _HELD.get(str(self.path)) is self

    def release(self) -> None:
        """Let go, and write down that it was let go in order."""
        self._let_go({})

    def leave(self) -> None:
        """Let go as if it had never been taken: what an earlier holder wrote stays there."""
        self._let_go(self.before)

    def say(self, what: str, **more: Any) -> None:
        """Write something else about the holder."""
        self.about = {"what": what, "since": iso(now()), **this_process(), **more}
        _write(self._descriptor, self.about)

    def drop(self) -> None:
        """Let go without a word: the file stays as it is."""
        self._let_go(None)

    def _let_go(self, text: Mapping[str, Any] | None) -> None:
        with _GUARD:
            if not self.held:
                return
            del _HELD[str(self.path)]
            try:
                if text is not None:
                    _write(self._descriptor, text)
            finally:
                os.close(self._descriptor)


def take(path: Path, what: str, **more: Any) -> Lock:
    """Take the lock of the file ``path``, made if need be; ``what`` says what for, ``more`` is written beside it.

    Raises:
        DerivaMLBusyError: somebody holds it; the message says who and since when.
        DerivaMLReadOnlyError: the folder cannot be written.
    """
    return _taken(path, what, {"what": what, "since": iso(now()), **this_process(), **more})


def _taken(path: Path, what: str, about: Mapping[str, Any] | None) -> Lock:
    """Take the lock and write ``about`` into its file; None writes nothing."""
    with _GUARD:
        mine = held_here(path)
        if mine is not None:
            raise DerivaMLBusyError(_sentence(what, mine.about))
        descriptor = _open(path)
        try:
            before = _locked(descriptor, what)
            if about is not None:
                _write(descriptor, about)
            lock = _HELD[str(path)] = Lock(path, descriptor, before if about is None else about, before)
            return lock
        except OSError as error:
            os.close(descriptor)
            raise with_advice(error, path) from error
        except BaseException:
            os.close(descriptor)
            raise


def _locked(descriptor: int, what: str) -> dict[str, Any]:
    """Take the lock of an open file; return what an earlier holder wrote."""
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        raise DerivaMLBusyError(_sentence(what, _read(descriptor))) from None
    return _read(descriptor)


@contextmanager
def holding(path: Path, what: str) -> Iterator[Lock]:
    """Hold the lock of ``path`` for a block; raises as :func:`take` does."""
    lock = take(path, what)
    try:
        yield lock
    finally:
        try:
            lock.release()
        finally:
            lock.release()  # Ctrl-C may have interrupted the first before it began


@contextmanager
def holding_still(path: Path, what: str) -> Iterator[Lock]:
    """Hold the lock of ``path`` for a block, and write nothing: whatever ends this process, the file says what it said.

    Raises as :func:`take` does.
    """
    lock = _taken(path, what, None)
    try:
        yield lock
    finally:
        try:
            lock.drop()
        finally:
            lock.drop()


def alive(path: Path) -> bool:
    """Return whether a living process, this one included, holds the lock of ``path``; nobody notices the look."""
    with _GUARD:
        if held_here(path) is not None:
            return True
        if not path.is_file():
            return False
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:  # removed just now
            return False
        try:
            return _is_held(descriptor)
        finally:
            os.close(descriptor)


def garbage(path: Path) -> bytes:
    """Return the text of a lock file that nobody holds and that no process of ours has written; empty for one that is in order."""
    with _GUARD:
        if held_here(path) is not None:
            return b""
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            text = os.pread(descriptor, 4096, 0)
            ours = bool(_read(descriptor)) or not text.strip(b"\0 \n")  # zeros are what a power cut leaves
            return b"" if ours or _is_held(descriptor) else text
        finally:
            os.close(descriptor)


def _is_held(descriptor: int) -> bool:
    """Ask the system whether another process holds the lock of an open file."""
    question = [0, 0, 0, fcntl.F_WRLCK, os.SEEK_SET] if _KIND else [fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0]
    answer = fcntl.fcntl(descriptor, fcntl.F_GETLK, struct.pack(_FLOCK, *question))
    return bool(struct.unpack(_FLOCK, answer)[_KIND] != fcntl.F_UNLCK)


def release(path: Path) -> None:
    """Let go of the lock of ``path``, if this process holds it."""
    held = held_here(path)
    if held is not None:
        held.release()


class Keeper:
    """Keeps a lock that this process holds: it is let go of when nobody has the keeper any more, or the process ends in order."""


_KEEPERS: WeakValueDictionary[str, Keeper] = WeakValueDictionary()


def keeper(path: Path) -> Keeper:
    """Return the keeper of the lock of ``path``, the same to all who have one; where this process does not hold it, it keeps nothing."""
    name = os.path.realpath(path)  # the lock is that of the file, whatever leads there
    found = _KEEPERS.get(name)
    if found is None:
        found = _KEEPERS[name] = Keeper()
        finalize(found, release, path)
    return found


def held_here(path: Path) -> Lock | None:
    """Return the lock, if this very process holds it, under whatever name it knows the file: a second lock would end the first."""
    found = _HELD.get(str(path))
    if found is not None or not _HELD:
        return found
    try:
        file = _identity(path.stat())
    except (FileNotFoundError, NotADirectoryError):
        return None
    return next((lock for lock in tuple(_HELD.values()) if lock.file == file), None)


def _identity(found: os.stat_result) -> tuple[int, int]:
    return found.st_dev, found.st_ino


def _open(path: Path) -> int:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except PermissionError as error:
        raise DerivaMLReadOnlyError(f"{path.parent} cannot be written: {error}.") from error


def _write(descriptor: int, about: Mapping[str, Any]) -> None:
    os.ftruncate(descriptor, 0)
    if about:
        os.pwrite(descriptor, json.dumps(dict(about)).encode(), 0)


def _read(descriptor: int) -> dict[str, Any]:
    try:
        found = json.loads(os.pread(descriptor, 4096, 0))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _sentence(what: str, about: Mapping[str, Any]) -> str:
    who = f"process {about.get('pid', '?')} on {about.get('host', 'this machine')}"
    return (
        f"{what}: {who} has been at it since {about.get('since', 'a moment ago')}. Wait for it to end, then try again."
    )
