"""A disk that can be watched: every write, sync and change of a name below one folder passes through a tap.

Python's own file functions are wrapped, and SQLite gets a VFS of its own. For a process of its own that ends afterwards.
"""

# os itself is wrapped here, and pathlib would come back through the tap:
# ruff: noqa: PTH100, PTH110, PTH112, PTH115, PTH116, PTH118
from __future__ import annotations

import builtins
import io
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import apsw

SILENT = ("acknowledged.jsonl", "errors.txt", ".lock", ".run", ".commit", ".create", "-shm", "problems.json")


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
    """Watches the folder ``home``; ``before`` is told of each step, ``after`` of each that went well."""

    def __init__(self, home: str, before: Handler, after: Callable[[Step], None]) -> None:
        self.home = home.rstrip("/") + "/"
        self._before, self._after = before, after

    def watches(self, path: str) -> bool:
        return path.startswith(self.home) and not path.endswith(SILENT)

    def around(self, step: Step, act: Callable[[], Any]) -> Any:
        if not self.watches(step.path):
            return act()
        self._before(step)
        result = act()
        self._after(step)
        return result

    def write(self, step: Step, data: bytes, put: Callable[[bytes], Any]) -> Any:
        if not self.watches(step.path):
            return put(data)
        part = self._before(step)
        if part is not None:
            put(data[: int(len(data) * part)])
            raise OSError(5, "torn write", step.path)
        result = put(data)
        self._after(step)
        return result


def install(tap: Tap) -> None:
    """Put the tap under everything that this process writes from now on."""
    _wrap_names(tap)
    _wrap_open(tap)
    _KEPT.append(Watching(tap))


def _absolute(path: Any, folder: int | None = None) -> str:
    text = os.fsdecode(path)
    return os.path.join(os.readlink(f"/proc/self/fd/{folder}"), text) if folder is not None else os.path.abspath(text)


def _wrap_names(tap: Tap) -> None:
    def one(name: str) -> None:
        real = getattr(os, name)

        def call(path: Any, *rest: Any, **named: Any) -> Any:
            step = Step(name, _absolute(path, named.get("dir_fd")))
            return tap.around(step, lambda: real(path, *rest, **named))

        setattr(os, name, call)

    def two(name: str) -> None:
        real = getattr(os, name)

        def call(source: Any, target: Any, *rest: Any, **named: Any) -> Any:
            origin = os.fsdecode(source) if name == "symlink" else _absolute(source)
            return tap.around(
                Step(name, _absolute(target), {"source": origin}), lambda: real(source, target, *rest, **named)
            )

        setattr(os, name, call)

    def sync(name: str) -> None:
        real = getattr(os, name)

        def call(file: Any) -> Any:
            number = file if isinstance(file, int) else file.fileno()
            path = os.readlink(f"/proc/self/fd/{number}")
            what = "sync folder" if os.path.isdir(path) else "sync"
            return tap.around(Step(what, path, {"inode": os.fstat(number).st_ino}), lambda: real(file))

        setattr(os, name, call)

    for name in ("mkdir", "unlink", "remove", "rmdir"):
        one(name)
    for name in ("replace", "rename", "link", "symlink"):
        two(name)
    for name in ("fsync", "fdatasync"):
        sync(name)


class _Raw(io.FileIO):
    """A file of Python's own whose writes pass through the tap."""

    tap: Tap
    path: str

    def write(self, data: Any) -> int:  # type: ignore[override]
        content = bytes(data)
        offset = self.seek(0, os.SEEK_END) if "a" in self.mode else self.tell()
        facts = {"inode": os.fstat(self.fileno()).st_ino, "offset": offset, "data": content}
        return int(self.tap.write(Step("write", self.path, facts), content, super().write))


def _wrap_open(tap: Tap) -> None:
    real = io.open

    def call(file: Any, mode: str = "r", buffering: int = -1, encoding: Any = None, *rest: Any, **named: Any) -> Any:
        path = _absolute(file) if isinstance(file, str | bytes | os.PathLike) else ""
        if not set("wxa+") & set(mode) or not tap.watches(path):
            return real(file, mode, buffering, encoding, *rest, **named)
        plain = mode.replace("b", "").replace("t", "")
        raw: _Raw = tap.around(Step("open", path, {"mode": plain}), lambda: _Raw(path, plain))
        raw.tap, raw.path = tap, path
        buffered = io.BufferedRandom(raw) if "+" in plain else io.BufferedWriter(raw)
        return buffered if "b" in mode else io.TextIOWrapper(buffered, encoding or "utf-8", *rest, **named)

    io.open = call
    builtins.open = call  # type: ignore[assignment]


class Watching(apsw.VFS):
    """SQLite's way to the disk, through the tap."""

    def __init__(self, tap: Tap) -> None:
        self.tap = tap
        super().__init__("watched", "unix", makedefault=True)

    def xOpen(self, name: Any, flags: Any) -> apsw.VFSFile:
        path = name.filename() if isinstance(name, apsw.URIFilename) else name
        if not path or not self.tap.watches(path):
            return apsw.VFSFile("unix", name, flags)
        return self.tap.around(Step("open", path, {"mode": "a"}), lambda: _WatchedFile(self.tap, path, name, flags))  # type: ignore[no-any-return]

    def xDelete(self, name: str, syncdir: bool) -> None:
        self.tap.around(Step("unlink", name), lambda: super(Watching, self).xDelete(name, syncdir))


class _WatchedFile(apsw.VFSFile):
    def __init__(self, tap: Tap, path: str, name: Any, flags: Any) -> None:
        self.tap, self.path = tap, path
        super().__init__("unix", name, flags)

    def _facts(self, **more: Any) -> dict[str, Any]:
        return {"inode": os.stat(self.path).st_ino if os.path.exists(self.path) else 0, "sqlite": True, **more}

    def xWrite(self, data: bytes, offset: int) -> None:
        step = Step("write", self.path, self._facts(offset=offset, data=bytes(data)))
        self.tap.write(step, bytes(data), lambda part: super(_WatchedFile, self).xWrite(part, offset))

    def xTruncate(self, size: int) -> None:
        self.tap.around(
            Step("truncate", self.path, self._facts(size=size)), lambda: super(_WatchedFile, self).xTruncate(size)
        )

    def xSync(self, flags: int) -> None:
        self.tap.around(Step("sync", self.path, self._facts()), lambda: super(_WatchedFile, self).xSync(flags))
