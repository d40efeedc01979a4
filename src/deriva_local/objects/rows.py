"""What the store knows of its objects: names, versions, jobs and their chunks, as rows.

Functions over an open connection, so that a verb reads and writes in one transaction. A name that was deleted stays
as a row: it is never given again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

import apsw

from deriva_local.objects.checksums import Checksums
from deriva_local.objects.uploads import Job

SCHEMA = """
CREATE TABLE name (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    parent INTEGER REFERENCES name (id),
    kind TEXT NOT NULL CHECK (kind IN ('namespace', 'object')),
    owner TEXT NOT NULL,
    deleted INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX name_parent ON name (parent);
CREATE TABLE version (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    version TEXT NOT NULL UNIQUE,
    name INTEGER NOT NULL REFERENCES name (id),
    owner TEXT NOT NULL,
    length INTEGER NOT NULL,
    md5 BLOB NOT NULL,
    sha256 BLOB NOT NULL,
    content_type TEXT,
    content_disposition TEXT
);
CREATE INDEX version_name ON version (name, number);
CREATE TABLE job (
    id TEXT PRIMARY KEY,
    name INTEGER NOT NULL REFERENCES name (id),
    owner TEXT NOT NULL,
    chunk_length INTEGER NOT NULL,
    content_length INTEGER NOT NULL,
    md5 BLOB,
    sha256 BLOB,
    content_type TEXT,
    content_disposition TEXT,
    touched INTEGER NOT NULL
);
CREATE INDEX job_name ON job (name);
CREATE TABLE chunk (
    job TEXT NOT NULL,
    position INTEGER NOT NULL,
    PRIMARY KEY (job, position)
) WITHOUT ROWID;
INSERT INTO name (id, name, kind, owner) VALUES (1, '', 'namespace', '');
"""

Kind: TypeAlias = Literal["namespace", "object"]

BELOW = """
WITH RECURSIVE below (id) AS (
    SELECT ? UNION ALL SELECT name.id FROM name JOIN below ON name.parent = below.id WHERE NOT name.deleted
)
"""


@dataclass(frozen=True, slots=True)
class Name:
    """A namespace or an object. ``deleted`` names exist only to be refused."""

    id: int
    name: str
    kind: Kind
    owner: str
    deleted: bool


@dataclass(frozen=True, slots=True)
class Version:
    """One immutable content of an object, and what is told of it."""

    version: str
    name: str
    owner: str
    length: int
    checksums: Checksums
    content_type: str | None = None
    content_disposition: str | None = None


def find(db: apsw.Connection, name: str) -> Name | None:
    """Return what has this canonical name, deleted or not; None if nothing ever had."""
    row = db.execute("SELECT id, name, kind, owner, deleted FROM name WHERE name = ?", (name,)).get
    return Name(row[0], row[1], row[2], row[3], bool(row[4])) if row else None


def children(db: apsw.Connection, parent: int) -> list[str]:
    """Return the names directly in a namespace, sorted."""
    found = db.execute("SELECT name FROM name WHERE parent = ? AND NOT deleted ORDER BY name", (parent,))
    return [name for (name,) in found]


def add_name(db: apsw.Connection, name: str, parent: int, kind: Kind, owner: str) -> Name:
    """Record a new namespace or object."""
    db.execute("INSERT INTO name (name, parent, kind, owner) VALUES (?, ?, ?, ?)", (name, parent, kind, owner))
    return Name(db.last_insert_rowid(), name, kind, owner, False)


def versions_below(db: apsw.Connection, top: int) -> list[str]:
    """Return every version of an object, or of all objects below a namespace."""
    found = db.execute(BELOW + "SELECT version FROM version WHERE name IN (SELECT id FROM below)", (top,))
    return [version for (version,) in found]


def jobs_below(db: apsw.Connection, top: int) -> list[str]:
    """Return every unfinished job of an object, or of all objects below a namespace."""
    return [job for (job,) in db.execute(BELOW + "SELECT id FROM job WHERE name IN (SELECT id FROM below)", (top,))]


def delete_name(db: apsw.Connection, top: int) -> None:
    """Delete a name and all below it: versions and jobs go, the names stay as deleted."""
    for table in ("version", "job"):
        db.execute(BELOW + f"DELETE FROM {table} WHERE name IN (SELECT id FROM below)", (top,))
    db.execute("DELETE FROM chunk WHERE job NOT IN (SELECT id FROM job)")
    db.execute(BELOW + "UPDATE name SET deleted = 1 WHERE id IN (SELECT id FROM below)", (top,))


# ---------------------------------------------------------------------------------------------------------- versions

_VERSION = """
SELECT version.version, name.name, version.owner, length, md5, sha256, content_type, content_disposition
FROM version JOIN name ON name.id = version.name WHERE NOT name.deleted
"""


def _version(row: tuple[object, ...] | None) -> Version | None:
    if row is None:
        return None
    version, name, owner, length, md5, sha256, *told = row
    return Version(version, name, owner, length, Checksums(md5, sha256), *told)  # type: ignore[arg-type]


def current(db: apsw.Connection, name: int) -> Version | None:
    """Return the newest version of an object; None while it has none."""
    return _version(db.execute(_VERSION + "AND name.id = ? ORDER BY number DESC LIMIT 1", (name,)).get)


def version(db: apsw.Connection, name: int, wanted: str) -> Version | None:
    """Return that version of an object; None where it has no such version."""
    return _version(db.execute(_VERSION + "AND name.id = ? AND version.version = ?", (name, wanted)).get)


def versions(db: apsw.Connection, name: int) -> list[str]:
    """Return the versions of an object, newest first."""
    return [
        found for (found,) in db.execute("SELECT version FROM version WHERE name = ? ORDER BY number DESC", (name,))
    ]


def is_version(db: apsw.Connection, wanted: str) -> bool:
    """Say whether a row names this version."""
    return db.execute("SELECT 1 FROM version WHERE version = ?", (wanted,)).get is not None


def add_version(db: apsw.Connection, name: int, made: Version) -> None:
    """Record a content that is on disk."""
    sums = (made.checksums.md5, made.checksums.sha256)
    db.execute(
        "INSERT INTO version (version, name, owner, length, md5, sha256, content_type, content_disposition)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (made.version, name, made.owner, made.length, *sums, made.content_type, made.content_disposition),
    )


def set_told(
    db: apsw.Connection, wanted: str, field: Literal["content_type", "content_disposition"], text: str | None
) -> None:
    """Change what is told of a version besides its bytes."""
    db.execute(f"UPDATE version SET {field} = ? WHERE version = ?", (text, wanted))


def delete_version(db: apsw.Connection, wanted: str) -> None:
    """Forget one version."""
    db.execute("DELETE FROM version WHERE version = ?", (wanted,))


# -------------------------------------------------------------------------------------------------------------- jobs


def add_job(db: apsw.Connection, name: int, job: Job, now: int) -> None:
    """Record a job that is about to receive chunks. ``now`` is in seconds since the epoch."""
    sums = (job.checksums.md5, job.checksums.sha256)
    told = (job.content_type, job.content_disposition, now)
    db.execute(
        "INSERT INTO job (id, name, owner, chunk_length, content_length, md5, sha256, content_type,"
        " content_disposition, touched) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (job.id, name, job.owner, job.chunk_length, job.content_length, *sums, *told),
    )


def job(db: apsw.Connection, name: int, wanted: str) -> Job | None:
    """Return that unfinished job of an object."""
    row = db.execute(
        "SELECT job.id, name.name, job.owner, chunk_length, content_length, md5, sha256, content_type,"
        " content_disposition FROM job JOIN name ON name.id = job.name WHERE name.id = ? AND job.id = ?",
        (name, wanted),
    ).get
    if row is None:
        return None
    found, named, owner, chunk_length, content_length, md5, sha256, *told = row
    return Job(found, named, owner, chunk_length, content_length, Checksums(md5, sha256), *told)


def is_job(db: apsw.Connection, wanted: str) -> bool:
    """Say whether a row names this job."""
    return db.execute("SELECT 1 FROM job WHERE id = ?", (wanted,)).get is not None


def jobs(db: apsw.Connection, name: int) -> list[str]:
    """Return the unfinished jobs of an object."""
    return [found for (found,) in db.execute("SELECT id FROM job WHERE name = ? ORDER BY touched, id", (name,))]


def add_chunk(db: apsw.Connection, wanted: str, position: int, now: int) -> None:
    """Record a chunk that is on disk."""
    db.execute("INSERT OR IGNORE INTO chunk (job, position) VALUES (?, ?)", (wanted, position))
    db.execute("UPDATE job SET touched = ? WHERE id = ?", (now, wanted))


def forget_chunk(db: apsw.Connection, wanted: str, position: int) -> None:
    """Forget a chunk that is about to be written anew."""
    db.execute("DELETE FROM chunk WHERE job = ? AND position = ?", (wanted, position))


def has_chunk(db: apsw.Connection, wanted: str, position: int) -> bool:
    """Say whether a chunk is on disk."""
    return db.execute("SELECT 1 FROM chunk WHERE job = ? AND position = ?", (wanted, position)).get is not None


def missing_chunks(db: apsw.Connection, wanted: Job) -> Iterator[int]:
    """Return the chunks of a job that are not on disk."""
    there = {position for (position,) in db.execute("SELECT position FROM chunk WHERE job = ?", (wanted.id,))}
    return (position for position in range(wanted.chunks) if position not in there)


def delete_job(db: apsw.Connection, wanted: str) -> None:
    """Forget a job and its chunks."""
    db.execute("DELETE FROM chunk WHERE job = ?", (wanted,))
    db.execute("DELETE FROM job WHERE id = ?", (wanted,))


def abandoned_jobs(db: apsw.Connection, before: int) -> list[str]:
    """Return the jobs that no chunk has reached since ``before``."""
    return [found for (found,) in db.execute("SELECT id FROM job WHERE touched < ?", (before,))]
