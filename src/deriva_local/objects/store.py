"""The objects of a store: each verb of Hatrac, over rows and content files.

Order of every change: content first, row second, leftovers last. What a verb refuses it refuses before it takes in
a body, and again inside the transaction that writes the row.
"""

from __future__ import annotations

import base64
import secrets
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, Literal

import apsw

from deriva_local.objects import rows
from deriva_local.objects.checksums import Checksums
from deriva_local.objects.content import Announced, Contents, hashed
from deriva_local.objects.database import ObjectsDatabase
from deriva_local.objects.names import url_of
from deriva_local.objects.rows import Name, Version
from deriva_local.objects.uploads import Job, Uploads, write_chunk
from deriva_local.wire.errors import conflict, forbidden, not_found

ABANDONED_SECONDS = 30 * 24 * 3600
Precondition = Callable[[Version | None], None]
"""Given the current version of an object (None: there is none), raises the Refusal that If-Match asks for."""


def new_id() -> str:
    """Return a fresh name of 26 letters and digits for a version or a job."""
    return base64.b32encode(secrets.token_bytes(16)).decode().rstrip("=")


@dataclass(frozen=True, slots=True)
class Told:
    """What a sender says of an object besides its bytes."""

    content_type: str | None = None
    content_disposition: str | None = None


class Objects:
    """All namespaces and objects of the store in ``folder``: rows in ``hatrac.sqlite``, bytes below ``objects``.

    Threads and processes may use one store at the same time, and a forked child may go on using this value.
    """

    def __init__(self, folder: Path) -> None:
        self._database = ObjectsDatabase(folder / "hatrac.sqlite")
        self._contents = Contents(folder / "objects")
        self._uploads = Uploads(folder / "objects" / "uploads")
        self.sweep()

    def close(self) -> None:
        """Let go of the database."""
        self._database.close()

    def sweep(self) -> None:
        """Clear away what killed processes left, and jobs that nobody has touched for a month."""
        with self._database.read() as db:
            abandoned = rows.abandoned_jobs(db, int(time.time()) - ABANDONED_SECONDS)
        if abandoned:
            with self._database.write() as db:
                for job in abandoned:
                    rows.delete_job(db, job)
        with self._database.read() as db:
            self._contents.sweep(lambda version: rows.is_version(db, version))
            self._uploads.sweep(lambda job: rows.is_job(db, job))

    # -------------------------------------------------------------------------------------------------- look at names

    def look(self, name: str) -> Name:
        """Return the namespace or object of this name.

        Raises:
            Refusal: 404 there is none, or it was deleted.
        """
        with self._database.read() as db:
            return _alive(db, name)

    def children(self, namespace: Name) -> list[str]:
        """Return the addresses of what lies directly in a namespace."""
        with self._database.read() as db:
            return [url_of(name) for name in rows.children(db, namespace.id)]

    def versions(self, found: Name) -> list[str]:
        """Return the addresses of the versions of an object, newest first."""
        with self._database.read() as db:
            return [url_of(found.name, version) for version in rows.versions(db, found.id)]

    def version(self, found: Name, wanted: str | None) -> Version:
        """Return that version of an object, the current one for None.

        Raises:
            Refusal: 404 it has no such version, 409 it has none at all.
        """
        with self._database.read() as db:
            return _version(db, found, wanted)

    def content(self, version: Version) -> Path:
        """Return the file that holds the bytes of a version. Nobody may change it."""
        return self._contents.path(version.version)

    # ----------------------------------------------------------------------------------------------------- make names

    def make_namespace(self, name: str, owner: str, *, parents: bool) -> None:
        """Make a namespace.

        Raises:
            Refusal: 404 the namespace above is missing, 409 the name is in use, or was.
        """
        with self._database.write() as db:
            if rows.find(db, name) is not None:
                raise conflict(f"{url_of(name)} exists, or did: a name is given once.")
            _make(db, name, "namespace", owner, parents=parents)

    def put(
        self,
        name: str,
        body: bytes | BinaryIO | Path,
        announced: Announced,
        told: Told,
        owner: str,
        *,
        parents: bool = False,
        precondition: Precondition = lambda current: None,
    ) -> Version:
        """Make an object, or a new version of one.

        Raises:
            Refusal: 400 the bytes are not as announced, 404 the namespace above is missing, 409 the name is a
                namespace or was deleted, 412 the precondition, 507 the disk is full.
        """
        self._foreseen(name, parents, precondition)
        with self._contents.arriving(new_id(), body, announced) as arrived, self._database.write() as db:
            found = _object(db, name, owner, parents=parents)
            precondition(rows.current(db, found.id))
            made = Version(arrived.version, name, owner, arrived.length, arrived.checksums, *_both(told))
            rows.add_version(db, found.id, made)
        return made

    def _foreseen(self, name: str, parents: bool, precondition: Precondition) -> None:
        """Refuse what will be refused before a body is taken in."""
        with self._database.read() as db:
            found = rows.find(db, name)
            if found is not None:
                _refuse_other(found)
            elif not parents:
                _namespace(db, name.rpartition("/")[0])
            precondition(rows.current(db, found.id) if found else None)

    def tell(self, version: Version, field: Literal["content_type", "content_disposition"], text: str | None) -> None:
        """Change what is told of a version besides its bytes."""
        with self._database.write() as db:
            rows.set_told(db, version.version, field, text)

    # --------------------------------------------------------------------------------------------------------- delete

    def delete(self, name: str, wanted: str | None, precondition: Precondition = lambda current: None) -> None:
        """Delete a version, an object with its versions, or a namespace with all below it.

        Raises:
            Refusal: 403 the root, 404 there is nothing of that name, 412 the precondition.
        """
        found = self.look(name)
        if not name:
            raise forbidden("The root namespace cannot be deleted.")
        if wanted is not None:
            self._delete_version(found, wanted, precondition)
            return
        with self._database.read() as db:
            versions, jobs = rows.versions_below(db, found.id), rows.jobs_below(db, found.id)
        with self._contents.leaving(versions) as leaving, self._database.write() as db:
            precondition(rows.current(db, found.id))
            leaving += sorted(set(rows.versions_below(db, found.id)) - set(versions))
            rows.delete_name(db, _alive(db, name).id)
        for job in jobs:
            self._uploads.discard(job)

    def _delete_version(self, found: Name, wanted: str, precondition: Precondition) -> None:
        with self._contents.leaving([wanted]), self._database.write() as db:
            precondition(_version(db, found, wanted))
            rows.delete_version(db, wanted)

    # ---------------------------------------------------------------------------------------------------- upload jobs

    def start_job(self, name: str, job: Job, *, parents: bool) -> Job:
        """Begin a chunked upload; the object is made if it is not there.

        Raises:
            Refusal: 404 the namespace above is missing, 409 the name is a namespace or was deleted.
        """
        started = replace(job, id=new_id())
        with self._database.write() as db:
            rows.add_job(db, _object(db, name, job.owner, parents=parents).id, started, int(time.time()))
        return started

    def jobs(self, found: Name) -> list[str]:
        """Return the ids of the unfinished jobs of an object."""
        with self._database.read() as db:
            return rows.jobs(db, found.id)

    def job(self, found: Name, wanted: str) -> Job:
        """Return that unfinished job of an object.

        Raises:
            Refusal: 404 it is not there: never begun, finished, or cancelled.
        """
        with self._database.read() as db:
            return _job(db, found, wanted)

    def put_chunk(
        self, found: Name, wanted: str, position: int, body: bytes | BinaryIO, length: int, sums: Checksums
    ) -> None:
        """Take in one chunk. Repeating it is allowed, until the job is finished.

        Raises:
            Refusal: 400 the checksum is another one, 404 there is no such job, 409 the length or position is wrong.
        """
        job = self.job(found, wanted)
        if length != job.length_of(position):
            raise conflict(f"Chunk {position} has {job.length_of(position)} bytes, not {length}.")
        with self._uploads.writing(wanted) as descriptor:
            self._refuse_ended(found, wanted)
            self._forget_chunk(wanted, position)
            write_chunk(descriptor, job, position, body, sums)
            with self._database.write() as db:
                rows.add_chunk(db, wanted, position, int(time.time()))

    def _refuse_ended(self, found: Name, wanted: str) -> None:
        """Refuse a job that ended while we waited for its file; the empty one that waiting made is removed."""
        with self._database.read() as db:
            if rows.job(db, found.id, wanted) is not None:
                return
        self._uploads.discard(wanted)
        raise not_found(f"The upload {wanted} is finished.")

    def _forget_chunk(self, wanted: str, position: int) -> None:
        """Forget that a chunk is there, before its bytes are written over."""
        with self._database.read() as db:
            there = rows.has_chunk(db, wanted, position)
        if there:
            with self._database.write() as db:
                rows.forget_chunk(db, wanted, position)

    def finish_job(self, found: Name, wanted: str) -> Version:
        """Make a version of a job whose chunks are all there.

        Raises:
            Refusal: 404 there is no such job, 409 chunks are missing or the content is not as announced.
        """
        with ExitStack() as stack:
            job = self.job(found, wanted)
            file = stack.enter_context(self._uploads.closing(wanted))
            self._refuse_ended(found, wanted)
            sums = self._checked(job, file)
            announced = Announced(job.content_length, sums, sealed=True)
            arrived = stack.enter_context(self._contents.arriving(new_id(), file, announced))
            db = stack.enter_context(self._database.write())
            told = (job.content_type, job.content_disposition)
            made = Version(arrived.version, job.name, job.owner, arrived.length, arrived.checksums, *told)
            rows.add_version(db, _alive(db, job.name).id, made)
            rows.delete_job(db, wanted)
        self._uploads.discard(wanted)
        self.content(made).chmod(0o400)
        return made

    def _checked(self, job: Job, file: Path) -> Checksums:
        with self._database.read() as db:
            missing = next(rows.missing_chunks(db, job), None)
        if missing is not None:
            raise conflict(f"Chunk {missing} has not arrived.")
        sums = hashed(file)
        differences = job.checksums.differences(sums)
        if differences:
            raise conflict(" ".join(differences))
        return sums

    def cancel_job(self, found: Name, wanted: str) -> None:
        """Forget a job and its chunks.

        Raises:
            Refusal: 404 there is no such job.
        """
        with self._database.write() as db:
            rows.delete_job(db, _job(db, found, wanted).id)
        self._uploads.discard(wanted)


# ------------------------------------------------------------------------------------- names, inside a transaction


def _both(told: Told) -> tuple[str | None, str | None]:
    return told.content_type, told.content_disposition


def _alive(db: apsw.Connection, name: str) -> Name:
    found = rows.find(db, name)
    if found is None or found.deleted:
        raise not_found(f"There is no {url_of(name)}.")
    return found


def _namespace(db: apsw.Connection, name: str) -> Name:
    found = _alive(db, name)
    if found.kind != "namespace":
        raise conflict(f"{url_of(name)} is an object: nothing can lie in it.")
    return found


def _refuse_other(found: Name) -> None:
    if found.deleted:
        raise conflict(f"{url_of(found.name)} was deleted: a name is given once.")
    if found.kind == "namespace":
        raise conflict(f"{url_of(found.name)} is a namespace.")


def _object(db: apsw.Connection, name: str, owner: str, *, parents: bool) -> Name:
    """Return the object of this name, made if need be."""
    found = rows.find(db, name)
    if found is None:
        return _make(db, name, "object", owner, parents=parents)
    _refuse_other(found)
    return found


def _make(db: apsw.Connection, name: str, kind: rows.Kind, owner: str, *, parents: bool) -> Name:
    """Record a new name, and with ``parents`` the namespaces above it that are missing."""
    missing: list[str] = []
    above = name.rpartition("/")[0]
    while parents and rows.find(db, above) is None:
        missing.append(above)
        above = above.rpartition("/")[0]
    inside = _namespace(db, above)
    while missing:
        inside = rows.add_name(db, missing.pop(), inside.id, "namespace", owner)
    return rows.add_name(db, name, inside.id, kind, owner)


def _version(db: apsw.Connection, found: Name, wanted: str | None) -> Version:
    version = rows.current(db, found.id) if wanted is None else rows.version(db, found.id, wanted)
    if version is not None:
        return version
    if wanted is None:
        raise conflict(f"{url_of(found.name)} has no content yet.")
    raise not_found(f"There is no {url_of(found.name, wanted)}.")


def _job(db: apsw.Connection, found: Name, wanted: str) -> Job:
    job = rows.job(db, found.id, wanted)
    if job is None:
        raise not_found(f"{url_of(found.name)} has no unfinished upload {wanted}.")
    return job
