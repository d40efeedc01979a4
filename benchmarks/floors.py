"""The floors: what plain SQLite, plain hashing and a plain copy cost on this machine, now."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import apsw

COLUMNS = "a TEXT, b TEXT, c INTEGER, d REAL, e TEXT"


def plain_table(folder: Path) -> apsw.Connection:
    """Open a durable SQLite file with one table of a row id and five columns."""
    connection = apsw.Connection(str(folder / "floor.sqlite"))
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute(f"CREATE TABLE t (rid TEXT PRIMARY KEY, rct INTEGER, {COLUMNS}) WITHOUT ROWID")
    return connection


def insert(connection: apsw.Connection, start: int, count: int) -> None:
    """Insert ``count`` rows in one durable transaction."""
    rows = ((f"r{n:09}", n, f"name {n}", "text", n, n / 7, "x") for n in range(start, start + count))
    with connection:
        connection.executemany("INSERT INTO t VALUES (?,?,?,?,?,?,?)", rows)


def read_json(connection: apsw.Connection) -> str:
    """Let SQLite build one JSON array of all rows."""
    query = "SELECT json_group_array(json_object('rid',rid,'rct',rct,'a',a,'b',b,'c',c,'d',d,'e',e)) FROM t"
    return str(connection.execute(query).fetchone()[0])


def hash_copy_sync(source: Path, target: Path) -> None:
    """Read once, hash MD5 and SHA-256, write a copy, sync it."""
    md5, sha256 = hashlib.md5(usedforsecurity=False), hashlib.sha256()
    with source.open("rb") as read, target.open("wb") as write:
        while block := read.read(1 << 20):
            md5.update(block)
            sha256.update(block)
            write.write(block)
        write.flush()
        os.fsync(write.fileno())
