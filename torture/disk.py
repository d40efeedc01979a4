"""A disk that can be watched: every read, write, sync and change of a name below one folder passes through a tap.

Python's own file functions are wrapped, and SQLite gets a VFS of its own. For a process of its own that ends afterwards.
"""

# os itself is wrapped here, and pathlib would come back through the tap:
# ruff: noqa: PTH100, PTH110, PTH112, PTH115, PTH118
from __future__ import annotations

import builtins
import errno
import io
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import apsw

from torture import broken

SILENT = ("acknowledged.jsonl", "errors.txt", "-shm", "problems.json", " (deleted)")
"""What the campaigns write themselves, what SQLite makes anew, and files that have lost their last name."""
SYNCS = ("sync", "sync folder")
READS = ("look", "read")
"""Opening a file or a folder to read it, and reading: nothing changes."""
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that is about to happen to the disk."""

    what: str
    path: str
    facts: dict[str, Any] = field(default_factory=dict)


_KEPT: list[apsw.VFS] = []
"""A VFS is in place as long as somebody holds it."""

Handler = Callable[[Step], "float | None"]
"""Told of each step before it happens; raises, or returns which part of a write takes place before it fails."""


class Tap:
    """Watches the folder ``home``; ``before`` is told of each step, ``after`` of each that went well.

    ``syncs=False`` brings nothing to the disk itself: only a power cut would know the difference. ``reads=True`` tells of reading too.
    """

    def __init__(
        self, home: str, before: Handler, after: Callable[[Step], None], *, syncs: bool = True, reads: bool = False
    ) -> None:
        self.home = home.rstrip("/") + "/"
        self._before, self._after = before, after
        self._syncs, self.reads = syncs, reads
        self._reading = self._writing = ""
        """The database that SQLite is reading, and the file that it is writing: reading on is no step of its own, writing on says so."""

    def watches(self, path: str) -> bool:
        return (path.startswith(self.home) or path == self.home[:-1]) and not path.endswith(SILENT)

    def around(self, step: Step, act: Callable[[], Any]) -> Any:
        if not self.watches(step.path) or (step.what in READS and not self.reads) or self._reads_on(step):
            return act()
        self._before(step)
        result = None if step.what in SYNCS and not self._syncs else act()
        self._after(step)
        return result

    def _reads_on(self, step: Step) -> bool:
        if step.what != "read" or not step.facts.get("sqlite"):
            self._reading = self._writing = ""
            return False
        database = step.path.removesuffix("-wal").removesuffix("-journal")
        on = database == self._reading or self._writing.startswith(database)
        self._reading = database
        return on

    def write(self, step: Step, data: bytes, put: Callable[[bytes], Any]) -> Any:
        if not self.watches(step.path):
            return put(data)
        before, self._writing = self._writing, step.path if step.facts.get("sqlite") else ""
        step.facts["goes on"] = bool(before) and before == self._writing
        self._reading = ""
        part = self._before(step)
        if part is not None:
            put(data[: int(len(data) * part)])
            raise OSError(5, "torn write", step.path)
        result = put(data)
        self._after(step)
        return result


def install(tap: Tap) -> None:
    """Put the tap under everything that this process does with files from now on."""
    shutil._USE_CP_SENDFILE = False  # type: ignore[attr-defined]  # which copies past Python's own files
    _wrap_names(tap)
    _wrap_descriptors(tap)
    _wrap_open(tap)
    _KEPT.append(Watching(tap))
    broken.apply(tapped=True)


def _absolute(path: Any, folder: int | None = None) -> str:
    text = os.fsdecode(path)
    return os.path.join(path_of(folder), text) if folder is not None else os.path.abspath(text)


def path_of(descriptor: int) -> str:
    """Return the path of an open file."""
    return os.readlink(f"/proc/self/fd/{descriptor}")


def _wrap_names(tap: Tap) -> None:
    def one(name: str) -> None:
        real = getattr(os, name)

        def call(path: Any, *rest: Any, **named: Any) -> Any:
            full = _absolute(path, named.get("dir_fd"))
            step = Step(name, full, {"there": os.path.lexists(full)})
            return tap.around(step, lambda: real(path, *rest, **named))

        setattr(os, name, call)

    def two(name: str) -> None:
        real = getattr(os, name)

        def call(source: Any, target: Any, *rest: Any, **named: Any) -> Any:
            origin = os.fsdecode(source) if name == "symlink" else _absolute(source)
            facts = {"source": origin, "there": os.path.lexists(target)}
            return tap.around(Step(name, _absolute(target), facts), lambda: real(source, target, *rest, **named))

        setattr(os, name, call)

    for name in ("mkdir", "unlink", "remove", "rmdir"):
        one(name)
    for name in ("replace", "rename", "link", "symlink"):
        two(name)


def _wrap_descriptors(tap: Tap) -> None:
    """The functions that work on descriptors: the object store, locks and queues use them."""
    real_open, real_write, real_pwrite, real_truncate = os.open, os.write, os.pwrite, os.ftruncate

    def open_(path: Any, flags: int, *rest: Any, **named: Any) -> int:
        full = _absolute(path, named.get("dir_fd"))
        there = os.path.lexists(full)
        mode = "w" if flags & os.O_TRUNC else "a"
        step = Step("open", full, {"mode": mode, "there": there}) if flags & WRITES else Step("look", full)
        return int(tap.around(step, lambda: real_open(path, flags, *rest, **named)))

    def write(descriptor: int, data: Any) -> int:
        offset = _position(descriptor) if tap.watches(path := _named(descriptor)) else 0
        return int(
            tap.write(_writing(descriptor, path, offset, data), bytes(data), lambda p: real_write(descriptor, p))
        )

    def pwrite(descriptor: int, data: Any, offset: int) -> int:
        step = _writing(descriptor, _named(descriptor), offset, data)
        return int(tap.write(step, bytes(data), lambda part: real_pwrite(descriptor, part, offset)))

    def truncate(descriptor: int, size: int) -> None:
        tap.around(Step("truncate", _named(descriptor), {"size": size}), lambda: real_truncate(descriptor, size))

    def sync(name: str) -> None:
        real = getattr(os, name)

        def call(file: Any) -> Any:
            number = file if isinstance(file, int) else file.fileno()
            path = _named(number)
            what = "sync folder" if os.path.isdir(path) else "sync"
            return tap.around(Step(what, path), lambda: real(file))

        setattr(os, name, call)

    os.open, os.write, os.pwrite, os.ftruncate = open_, write, pwrite, truncate  # type: ignore[assignment]
    for name in ("fsync", "fdatasync"):
        sync(name)


def _named(descriptor: int) -> str:
    try:
        return path_of(descriptor)
    except OSError:
        return ""


def _position(descriptor: int) -> int:
    return os.lseek(descriptor, 0, os.SEEK_CUR)


def _writing(descriptor: int, path: str, offset: int, data: Any) -> Step:
    return Step("write", path, {"offset": offset, "data": bytes(data)})


class _Raw(io.FileIO):
    """A file of Python's own that is read and written through the tap."""

    tap: Tap
    path: str

    def write(self, data: Any) -> int:  # type: ignore[override]
        content = bytes(data)
        offset = self.seek(0, os.SEEK_END) if "a" in self.mode else self.tell()
        facts = {"offset": offset, "data": content}
        return int(self.tap.write(Step("write", self.path, facts), content, super().write))

    def readinto(self, buffer: Any) -> int | None:  # type: ignore[override]
        read = super().readinto
        return self.tap.around(Step("read", self.path), lambda: read(buffer))  # type: ignore[no-any-return]

    def readall(self) -> bytes:
        return self.tap.around(Step("read", self.path), super().readall)  # type: ignore[no-any-return]


def _wrap_open(tap: Tap) -> None:
    real = io.open

    def call(file: Any, mode: str = "r", buffering: int = -1, encoding: Any = None, *rest: Any, **named: Any) -> Any:
        path = _absolute(file) if isinstance(file, str | bytes | os.PathLike) else ""
        writes = bool(set("wxa+") & set(mode))
        if not tap.watches(path) or not (writes or tap.reads):
            return real(file, mode, buffering, encoding, *rest, **named)
        plain = mode.replace("b", "").replace("t", "")
        facts = {"mode": plain, "there": os.path.lexists(path)}
        raw: _Raw = tap.around(Step("open" if writes else "look", path, facts), lambda: _Raw(path, plain))
        raw.tap, raw.path = tap, path
        if buffering == 0:
            return raw
        buffered = _buffered(raw, plain)
        return buffered if "b" in mode else io.TextIOWrapper(buffered, encoding or "utf-8", *rest, **named)

    io.open = call
    builtins.open = call  # type: ignore[assignment]


def _buffered(raw: _Raw, mode: str) -> Any:
    if "+" in mode:
        return io.BufferedRandom(raw)
    return io.BufferedReader(raw) if mode == "r" else io.BufferedWriter(raw)


class Watching(apsw.VFS):
    """SQLite's way to the disk, through the tap; what the tap refuses is said in SQLite's own words."""

    def __init__(self, tap: Tap) -> None:
        self.tap = tap
        super().__init__("watched", "unix", makedefault=True)

    def xOpen(self, name: Any, flags: Any) -> apsw.VFSFile:
        path = name.filename() if isinstance(name, apsw.URIFilename) else name
        if not path or not self.tap.watches(path):
            return apsw.VFSFile("unix", name, flags)
        there = os.path.exists(path)
        step = Step("open", path, {"mode": "a", "there": there, "sqlite": True})
        kind = _ReadFile if self.tap.reads else _WatchedFile
        try:
            return self.tap.around(step, lambda: kind(self.tap, path, name, flags, there))  # type: ignore[no-any-return]
        except OSError as error:
            if error.errno not in (errno.EACCES, errno.EROFS) or not there:
                raise _said(error, apsw.CantOpenError, apsw.SQLITE_CANTOPEN) from None
            flags[0] = flags[0] & ~(apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE) | apsw.SQLITE_OPEN_READONLY
            return kind(self.tap, path, name, flags, there)  # as SQLite does where it may not write

    def xDelete(self, name: str, syncdir: bool) -> None:
        step = Step("unlink", name, {"there": os.path.exists(name), "sqlite": True})
        try:
            self.tap.around(step, lambda: super(Watching, self).xDelete(name, syncdir))
        except OSError as error:
            raise _said(error, apsw.IOError, apsw.SQLITE_IOERR_DELETE) from None


class _WatchedFile(apsw.VFSFile):
    """One open of a file by SQLite, which syncs the folder of a log or journal that it has made, with its first sync."""

    def __init__(self, tap: Tap, path: str, name: Any, flags: Any, there: bool) -> None:
        self.tap, self.path = tap, path
        self._new = not there and path.endswith(("-wal", "-journal"))
        super().__init__("unix", name, flags)

    def xWrite(self, data: bytes, offset: int) -> None:
        step = Step("write", self.path, {"sqlite": True, "offset": offset, "data": data})
        write = super().xWrite
        try:
            self.tap.write(step, data, lambda part: write(part, offset))
        except OSError as error:
            kind = apsw.FullError if error.errno == errno.ENOSPC else apsw.IOError
            raise _said(error, kind, apsw.SQLITE_IOERR_WRITE) from None

    def xTruncate(self, size: int) -> None:
        step = Step("truncate", self.path, {"sqlite": True, "size": size})
        truncate = super().xTruncate
        self._through(step, lambda: truncate(size), apsw.SQLITE_IOERR_TRUNCATE)

    def xSync(self, flags: int) -> None:
        step = Step("sync", self.path, {"sqlite": True, "names": self._new})
        sync = super().xSync
        self._through(step, lambda: sync(flags), apsw.SQLITE_IOERR_FSYNC)
        self._new = False

    def _through(self, step: Step, act: Callable[[], Any], code: int) -> Any:
        try:
            return self.tap.around(step, act)
        except OSError as error:
            raise _said(error, apsw.IOError, code) from None


class _ReadFile(_WatchedFile):
    def xRead(self, amount: int, offset: int) -> bytes:
        step = Step("read", self.path, {"sqlite": True})
        read = super().xRead
        return self._through(step, lambda: read(amount, offset), apsw.SQLITE_IOERR_READ)  # type: ignore[no-any-return]


class _Unsynced(apsw.VFSFile):
    def xSync(self, flags: int) -> None:
        """Leave it to the kernel when it reaches the disk."""


class _Hurried(apsw.VFS):
    def __init__(self) -> None:
        super().__init__("hurried", "unix", makedefault=True)

    def xOpen(self, name: Any, flags: Any) -> apsw.VFSFile:
        return _Unsynced("unix", name, flags)


def bring_nothing_to_the_disk() -> None:
    """Let nothing that this process writes be synced: only a power cut would know the difference."""
    os.fsync = os.fdatasync = lambda file: None  # type: ignore[assignment]
    _KEPT.append(_Hurried())


def _said(error: OSError, kind: type[apsw.Error], code: int) -> apsw.Error:
    """Return what SQLite says where its own way to the disk meets ``error``."""
    said = kind(f"{apsw.mapping_result_codes.get(code & 255, code)}: {error}")
    if kind is apsw.IOError:
        said.extendedresult = code
    return said
