"""SQLite files looked over page by page, and copied while others use them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import apsw

from deriva_local.store.connections import explained, opened, transaction
from deriva_local.store.forks import inside
from deriva_local.store.place import StoreProblem, sync_folder


def damages(path: Path) -> list[str]:
    """Return what is wrong with a SQLite file: its pages, its indexes, its rows that name rows which are not there."""
    try:
        with explained(path), inside():
            connection = opened(path)
            try:
                found = [str(text) for (text,) in connection.execute("PRAGMA integrity_check") if text != "ok"]
                lost = connection.execute("PRAGMA foreign_key_check").fetchall()
            finally:
                connection.close()
    except StoreProblem as problem:
        return [str(problem)]
    return [f"{path}: {text}" for text in found] + [
        f"{path}: a row of '{row[0]}' names one of '{row[2]}' that is not there." for row in lost
    ]


def copy_database(source: Path, target: Path) -> None:
    """Copy a SQLite file as it is at one moment, whoever writes to it meanwhile; nobody waits for this.

    Raises:
        StoreProblem: the file is damaged or cannot be read, or the copy cannot be written.
    """
    os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    with explained(source), inside():
        origin, copy = opened(source), apsw.Connection(str(target))
        try:
            with copy.backup("main", origin, "main") as copying:
                copying.step(-1)
        finally:
            copy.close()
            origin.close()
    sync_folder(target.parent)


def ask(path: Path, query: str, values: Sequence[Any] = ()) -> list[Any]:
    """Return the rows that answer a question to a file that may be in use."""
    with explained(path), inside():
        connection = opened(path)
        try:
            return connection.execute(query, tuple(values)).fetchall()
        finally:
            connection.close()


@contextmanager
def editing(path: Path) -> Iterator[apsw.Connection]:
    """Change a copy that nobody else uses, in one transaction; its log is written back into the file."""
    with explained(path), inside():
        connection = opened(path, create=True)
        try:
            with transaction(connection):
                yield connection
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        finally:
            connection.close()
