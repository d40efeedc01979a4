"""What the store knows of its objects: names, versions, jobs and their chunks, as rows.

Functions over an open connection, so that a verb reads and writes in one transaction. A name that was deleted stays
as a row: it is never given again. A version that was given another name leaves a row in ``forward`` under the old one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import apsw

from deriva_local.objects.access import Acls
from deriva_local.objects.checksums import Checksums
from deriva_local.objects.uploads import Job
from deriva_local.service.messages import ADMINISTRATORS

STEPS = (
    """
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
""",
    f"""
ALTER TABLE name ADD COLUMN acls TEXT NOT NULL DEFAULT '{{}}';
ALTER TABLE version ADD COLUMN acls TEXT NOT NULL DEFAULT '{{}}';
UPDATE name SET acls = json_object('owner', json_array(owner)) WHERE owner <> '';
UPDATE version SET acls = json_object('owner', json_array(owner)) WHERE owner <> '';
UPDATE name SET acls = json_object('owner', json_array('{ADMINISTRATORS}')) WHERE id = 1;
CREATE TABLE forward (
    name INTEGER NOT NULL REFERENCES name (id), version TEXT NOT NULL, number INTEGER NOT NULL,
    PRIMARY KEY (name, version)
) WITHOUT ROWID;
""",
    "ALTER TABLE version ADD COLUMN untold TEXT NOT NULL DEFAULT '';",
)
"""The scripts that make the tables, each from what the one before left. The access lists of a resource are JSON;
``untold`` are the names of checksums that are not shown, with blanks between them."""

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
    parent: int | None
    acls: Acls
    deleted: bool


@dataclass(frozen=True, slots=True)
class Version:
    """One immutable content of an object, and what is told of it.

    ``untold`` names the checksums (``md5``, ``sha256``) that are kept and checked, and not shown.
    """

    version: str
    name: str
    length: int
    checksums: Checksums
    content_type: str | None = None
    content_disposition: str | None = None
    acls: Acls = field(default_factory=dict)
    untold: frozenset[str] = frozenset()

    @property
    def shown(self) -> Checksums:
        """Return the checksums that are shown."""
        md5, sha256 = self.checksums.md5, self.checksums.sha256
        return Checksums(None if "md5" in self.untold else md5, None if "sha256" in self.untold else sha256)


def _acls(text: str) -> Acls:
    return {access: tuple(roles) for access, roles in json.loads(text).items()}


def owned_by(role: str) -> Acls:
    """Return the access lists of something new."""
    return {"owner": (role,)}


# ------------------------------------------------------------------------------------------------------------- names

_NAME = "SELECT id, name, kind, parent, acls, deleted FROM name"


def _name(row: Any) -> Name:
    return Name(row[0], row[1], row[2], row[3], _acls(row[4]), bool(row[5]))


def find(db: apsw.Connection, name: str) -> Name | None:
    """Return what has this canonical name, deleted or not; None if nothing ever had."""
    row = db.execute(f"{_NAME} WHERE name = ?", (name,)).get
    return _name(row) if row else None


def children(db: apsw.Connection, parent: int) -> list[str]:
    """Return the names directly in a namespace, sorted."""
    found = db.execute("SELECT name FROM name WHERE parent = ? AND NOT deleted ORDER BY name", (parent,))
    return [name for (name,) in found]


def above(db: apsw.Connection, parent: int | None) -> tuple[Acls, ...]:
    """Return the access lists from a namespace up to the root."""
    found = db.execute(
        "WITH RECURSIVE up (id, parent, acls, depth) AS ("
        " SELECT id, parent, acls, 0 FROM name WHERE id = ?"
        " UNION ALL SELECT name.id, name.parent, name.acls, depth + 1 FROM name JOIN up ON name.id = up.parent"
        ") SELECT acls FROM up ORDER BY depth",
        (parent,),
    )
    return tuple(_acls(text) for (text,) in found)


def below(db: apsw.Connection, top: int) -> list[Name]:
    """Return a name and all below it, what contains before what is contained."""
    return [_name(row) for row in db.execute(BELOW + f"{_NAME} WHERE id IN (SELECT id FROM below) ORDER BY id", (top,))]


def add_name(db: apsw.Connection, name: str, parent: int, kind: Kind, owner: str) -> Name:
    """Record a new namespace or object."""
    acls = owned_by(owner)
    db.execute(
        "INSERT INTO name (name, parent, kind, owner, acls) VALUES (?, ?, ?, ?, ?)",
        (name, parent, kind, owner, json.dumps(acls)),
    )
    return Name(db.last_insert_rowid(), name, kind, parent, acls, False)


def set_name_acls(db: apsw.Connection, name: int, acls: Acls) -> None:
    """Give a namespace or object other access lists."""
    db.execute("UPDATE name SET acls = ? WHERE id = ?", (json.dumps(acls), name))


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
    db.execute(BELOW + "DELETE FROM forward WHERE name IN (SELECT id FROM below)", (top,))
    db.execute(BELOW + "UPDATE name SET deleted = 1 WHERE id IN (SELECT id FROM below)", (top,))


# ---------------------------------------------------------------------------------------------------------- versions

_VERSION = """
SELECT version.version, name.name, length, md5, sha256, content_type, content_disposition, version.acls, untold
FROM version JOIN name ON name.id = version.name WHERE NOT name.deleted
"""


def _version(row: Any) -> Version | None:
    if row is None:
        return None
    version, name, length, md5, sha256, content_type, content_disposition, acls, untold = row
    told = (content_type, content_disposition, _acls(acls), frozenset(untold.split()))
    return Version(version, name, length, Checksums(md5, sha256), *told)


def current(db: apsw.Connection, name: int) -> Version | None:
    """Return the newest version that an object has under its own name; None while it has none."""
    return _version(db.execute(_VERSION + "AND name.id = ? ORDER BY number DESC LIMIT 1", (name,)).get)


def version(db: apsw.Connection, name: int, wanted: str) -> Version | None:
    """Return that version of an object; None where it has no such version under its own name."""
    return _version(db.execute(_VERSION + "AND name.id = ? AND version.version = ?", (name, wanted)).get)


def wherever(db: apsw.Connection, wanted: str) -> Version | None:
    """Return a version under the name that it has by now; None where it is gone."""
    return _version(db.execute(_VERSION + "AND version.version = ?", (wanted,)).get)


def versions(db: apsw.Connection, name: int) -> list[str]:
    """Return the versions of an object, newest first: its own, and those that were given another name."""
    found = db.execute(
        "SELECT version, number FROM version WHERE name = ?1 UNION SELECT version, number FROM forward WHERE name = ?1"
        " ORDER BY number DESC",
        (name,),
    )
    return [version for version, _ in found]


def versions_of(db: apsw.Connection, name: int) -> list[Version]:
    """Return the versions that an object has under its own name, oldest first."""
    found = db.execute(_VERSION + "AND name.id = ? ORDER BY number", (name,))
    return [made for row in found if (made := _version(row)) is not None]


def forwards(db: apsw.Connection, name: int) -> list[str]:
    """Return the versions of an object that were given another name, newest first."""
    found = db.execute("SELECT version FROM forward WHERE name = ? ORDER BY number DESC", (name,))
    return [version for (version,) in found]


def move_version(db: apsw.Connection, wanted: str, source: int, target: int) -> None:
    """Give a version to another object, and let its old name lead there."""
    db.execute("UPDATE version SET name = ? WHERE version = ?", (target, wanted))
    db.execute("DELETE FROM forward WHERE name = ? AND version = ?", (target, wanted))
    db.execute(
        "INSERT INTO forward (name, version, number) SELECT ?, version, number FROM version WHERE version = ?",
        (source, wanted),
    )


def drop_forward(db: apsw.Connection, name: int, wanted: str) -> None:
    """Let the old name of a version lead nowhere."""
    db.execute("DELETE FROM forward WHERE name = ? AND version = ?", (name, wanted))


def set_version_acls(db: apsw.Connection, wanted: str, acls: Acls) -> None:
    """Give a version other access lists."""
    db.execute("UPDATE version SET acls = ? WHERE version = ?", (json.dumps(acls), wanted))


def all_versions(db: apsw.Connection) -> list[Version]:
    """Return every version of every object, oldest first."""
    return [made for row in db.execute(_VERSION + "ORDER BY number") if (made := _version(row)) is not None]


def is_version(db: apsw.Connection, wanted: str) -> bool:
    """Say whether a row names this version."""
    return db.execute("SELECT 1 FROM version WHERE version = ?", (wanted,)).get is not None


def add_version(db: apsw.Connection, name: int, made: Version) -> None:
    """Record a content that is on disk."""
    sums = (made.checksums.md5, made.checksums.sha256)
    told = (made.content_type, made.content_disposition, json.dumps(made.acls))
    db.execute(
        "INSERT INTO version (version, name, owner, length, md5, sha256, content_type, content_disposition, acls)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (made.version, name, next(iter(made.acls.get("owner", ())), ""), made.length, *sums, *told),
    )


def set_told(db: apsw.Connection, changed: Version) -> None:
    """Write down what is told of a version besides its bytes."""
    told = (changed.content_type, changed.content_disposition, " ".join(sorted(changed.untold)))
    db.execute(
        "UPDATE version SET content_type = ?, content_disposition = ?, untold = ? WHERE version = ?",
        (*told, changed.version),
    )


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


def jobs(db: apsw.Connection, name: int) -> list[tuple[str, str]]:
    """Return the unfinished jobs of an object, and who began each."""
    found = db.execute("SELECT id, owner FROM job WHERE name = ? ORDER BY touched, id", (name,))
    return [(job, owner) for job, owner in found]


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
