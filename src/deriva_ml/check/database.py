"""A SQLite file examined without changing it: is it a database, are its pages whole, has it the tables it should have.

A file that this process has open as a database is read through SQLite alone: closing a second descriptor of it would let go
of SQLite's locks.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import apsw

from deriva_ml.check.findings import Finding, fatal, note, repairable, unreadable
from deriva_ml.check.remedies import make_index
from deriva_ml.db import looking
from deriva_ml.errors import DerivaMLIntegrityError
from deriva_ml.forks import inside

MAGIC = b"SQLite format 3\x00"
SHOWN = 5
RESTORE = "move it away and restore a backup; without one `deriva-ml resume RID` rebuilds what each manifest lists"
RESTORE_CATALOG = "restore a backup (`deriva-ml serve restore`)"


def file_problems(path: Path, advice: str = RESTORE) -> Iterator[Finding]:
    """Yield what is wrong with the file as a database; nothing after this can be asked of one that has a problem here."""
    if not path.is_file():
        yield fatal("store-no-file", path, "it is not a file", advice)
    elif not os.access(path, os.R_OK):
        yield unreadable(path, PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path)))
    elif (head := _head(path)) != MAGIC:
        yield fatal("store-no-database", path, "it is not a SQLite database" if head else "it is empty", advice)
    else:
        yield from (fatal("store-damaged", path, text, advice) for text in _damages(path))


def _head(path: Path) -> bytes:
    with inside():
        file = apsw.VFSFile("", str(path), [apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_MAIN_DB, 0])
        try:
            return file.xRead(min(len(MAGIC), file.xFileSize()), 0) if file.xFileSize() else b""
        finally:
            file.xClose()


def _damages(path: Path) -> list[str]:
    try:
        with looking(path) as connection:
            return [text for (text,) in connection.execute(f"PRAGMA integrity_check({SHOWN})") if text != "ok"]
    except (apsw.Error, DerivaMLIntegrityError) as error:
        return [str(error)]


def is_empty(path: Path) -> bool:
    """Return whether nothing was ever written to the database: it is missing, or its maker was killed before it had tables."""
    if not path.exists():
        return not path.is_symlink()
    if not path.is_file() or not os.access(path, os.R_OK):
        return False
    if path.stat().st_size == 0:
        return True
    try:
        with looking(path) as connection:
            return not connection.execute("SELECT 1 FROM sqlite_master").get
    except (apsw.Error, DerivaMLIntegrityError):  # what is wrong with it is said by those who look at damages
        return False


def schema_problems(path: Path, connection: apsw.Connection, steps: Sequence[str]) -> Iterator[Finding]:
    """Yield how the tables differ from those that ``steps`` make."""
    version = int(connection.pragma("user_version"))
    if version > len(steps):
        yield fatal("store-newer", path, f"a newer deriva-ml has written it (version {version})", "upgrade deriva-ml")
        return
    if version < len(steps):
        yield note("store-older", path, f"it is of version {version} of {len(steps)}", "the next opening upgrades it")
    fresh = made(steps[:version])
    here = {name: text for name, _, text in _elements(connection)}
    for name, kind, text in _elements(fresh):
        if name not in here and kind == "index":
            slow = f"the index {name} is missing: queries are slow"
            yield repairable("store-index", path, slow, make_index(path.parent, name))
        elif here.get(name) != text:
            wrong = "changed" if name in here else "missing"
            yield fatal("store-table", path, f"the {kind} {name} is {wrong}", RESTORE)


def made(steps: Sequence[str]) -> apsw.Connection:
    """Return an empty database with the tables that ``steps`` make."""
    fresh = apsw.Connection(":memory:")
    for step in steps:
        fresh.execute(step)
    return fresh


def _elements(connection: apsw.Connection) -> list[tuple[str, str, str]]:
    return list(connection.execute("SELECT name, type, sql FROM sqlite_master WHERE sql IS NOT NULL"))
