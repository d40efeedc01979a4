"""The objects of a store: each verb of Hatrac, over rows and content files, for a client who may.

Every verb says 401 to nobody and 403 to somebody who may not. Order of every change: content first, row second, leftovers last. What a verb refuses it refuses before it takes in
a body, and again inside the transaction that writes the row.
"""

from __future__ import annotations

import base64
import secrets
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

import apsw

from deriva_local.objects import rows, tree
from deriva_local.objects.access import Acls, Right
from deriva_local.objects.checksums import Checksums
from deriva_local.objects.content import Announced, Arrived, Arriving, Contents, hashed, said_clearly
from deriva_local.objects.names import url_of
from deriva_local.objects.rename import Renaming, rename
from deriva_local.objects.rows import Name, Version
from deriva_local.objects.uploads import Job, Uploads, write_chunk
from deriva_local.service.messages import Client
from deriva_local.store.tables import Tables
from deriva_local.wire.errors import Refusal, conflict, forbidden, not_found

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


@dataclass(frozen=True, slots=True)
class Wanted:
    """An object, or a version of one, that somebody wants to make."""

    name: str
    body: bytes | BinaryIO | Path
    announced: Announced
    told: Told = Told()
    parents: bool = False
    precondition: Precondition = lambda current: None

    def let_in(self, db: apsw.Connection, client: Client | None) -> None:
        """Refuse what will be refused, before the body is taken in."""
        found = tree.let_write(db, self.name, client, parents=self.parents)
        self.precondition(rows.current(db, found.id) if found else None)

    def make(self, db: apsw.Connection, arrived: Arrived, owned: Acls, client: Client | None) -> Version:
        """Write the row that names a content that has arrived."""
        found = tree.object_to_write(db, self.name, client, parents=self.parents)
        self.precondition(rows.current(db, found.id))
        made = Version(arrived.version, self.name, arrived.length, arrived.checksums, *_both(self.told), owned)
        rows.add_version(db, found.id, made)
        return made


class Objects:
    """All namespaces and objects of the store in ``folder``: rows in ``hatrac.sqlite``, bytes below ``objects``.

    Threads and processes may use one store at the same time, and a forked child may go on using this value.
    """

    def __init__(self, folder: Path) -> None:
        self._database = Tables(folder / "hatrac.sqlite", rows.STEPS)
        self._contents = Contents(folder / "objects")
        self._uploads = Uploads(folder / "objects" / "uploads")
        self.sweep()

    def close(self) -> None:
        """Let go of the database."""
        self._database.close()

    def all_versions(self) -> list[Version]:
        """Return every version of every object, oldest first."""
        with self._database.read() as db:
            return rows.all_versions(db)

    def has(self, version: Version) -> bool:
        """Say whether a version is still there."""
        with self._database.read() as db:
            return rows.is_version(db, version.version)

    def strays(self) -> list[Path]:
        """Return the files among the contents that no version names."""
        with self._database.read() as db:
            return [path for path in self._contents.files() if not rows.is_version(db, path.name)]

    def vacuum(self) -> None:
        """Give the space of deleted rows back to the disk."""
        self._database.vacuum()

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
        """Return the namespace or object of this name, for anybody: what is in it is another question.

        Raises:
            Refusal: 404 there is none, or it was deleted.
        """
        with self._database.read() as db:
            return tree.alive(db, name)

    def children(self, namespace: Name, client: Client | None) -> list[str]:
        """Return the addresses of what lies directly in a namespace."""
        with self._database.read() as db:
            tree.require(db, namespace, "read", client)
            return [url_of(name) for name in rows.children(db, namespace.id)]

    def versions(self, found: Name, client: Client | None) -> list[str]:
        """Return the addresses of the versions of an object, newest first."""
        with self._database.read() as db:
            tree.require(db, found, "read", client)
            return [url_of(found.name, version) for version in rows.versions(db, found.id)]

    def version(self, found: Name, wanted: str | None, client: Client | None, right: Right = "read") -> Version:
        """Return that version of an object, the current one for None, wherever it is by now.

        Raises:
            Refusal: 404 it has no such version, 409 it has none at all, or the version was renamed and is gone.
        """
        with self._database.read() as db:
            version = tree.version(db, found, wanted)
            tree.require_version(db, version, right, client)
            return version

    def content(self, version: Version) -> Path:
        """Return the file that holds the bytes of a version. Nobody may change it."""
        return self._contents.path(version.version)

    # ------------------------------------------------------------------------------------------------------- make names

    def make_namespace(self, name: str, client: Client | None, *, parents: bool) -> None:
        """Make a namespace.

        Raises:
            Refusal: 404 the namespace above is missing, 409 the name is in use, or was.
        """
        with self._database.write() as db:
            if rows.find(db, name) is not None:
                raise conflict(f"{url_of(name)} exists, or did: a name is given once.")
            tree.make(db, name, "namespace", client, parents=parents)

    def put(
        self,
        name: str,
        body: bytes | BinaryIO | Path,
        announced: Announced,
        told: Told,
        client: Client | None,
        *,
        parents: bool = False,
        precondition: Precondition = lambda current: None,
    ) -> Version:
        """Make an object, or a new version of one.

        Raises:
            Refusal: 400 the bytes are not as announced, 404 the namespace above is missing, 409 the name is a
                namespace or was deleted, 412 the precondition, 507 the disk is full.
        """
        wanted = Wanted(name, body, announced, told, parents, precondition)
        with self._database.read() as db:  # what will be refused is refused before a body is taken in
            wanted.let_in(db, client)
        return self._put_all([wanted], client)[0]

    def put_together(self, wanted: Sequence[Wanted], client: Client | None) -> list[Version | Refusal]:
        """Make several objects in one durable step; what is refused at once takes nothing from the others.

        Raises:
            Refusal: as :meth:`put`, for what is found too late to let the others in; nothing was made.
        """
        answers: dict[int, Version | Refusal] = {}
        with self._database.read() as db:
            for number, each in enumerate(wanted):
                try:
                    each.let_in(db, client)
                except Refusal as refusal:
                    answers[number] = refusal
        let_in = [number for number in range(len(wanted)) if number not in answers]
        made = self._put_all([wanted[number] for number in let_in], client)
        answers |= dict(zip(let_in, made, strict=True))
        return [answers[number] for number in range(len(wanted))]

    def _put_all(self, wanted: Sequence[Wanted], client: Client | None) -> list[Version]:
        bodies = [Arriving(new_id(), each.body, each.announced) for each in wanted]
        with self._contents.arriving_together(bodies) as arrived, self._database.write() as db:
            owned = rows.owned_by(tree.id_of(client))
            return [each.make(db, one, owned, client) for each, one in zip(wanted, arrived, strict=True)]

    def tell(
        self, found: Name, wanted: str | None, change: Callable[[Version], Version], client: Client | None
    ) -> None:
        """Let the owner of a version change what is told of it besides its bytes.

        Raises:
            Refusal: 404 it has no such version, 409 it has none at all; and what ``change`` raises.
        """
        with self._database.write() as db:
            version = tree.version(db, tree.alive(db, found.name), wanted)
            tree.require_version(db, version, "owner", client)
            rows.set_told(db, change(version))

    def rename(self, wanted: Renaming, client: Client | None) -> list[Version]:
        """Give an object, or versions of it, another name; return them under that name. None are returned if they
        have it already.

        Raises:
            Refusal: 404 the source is missing, 409 they cannot be called that.
        """
        with self._database.write() as db:
            return rename(db, wanted, client)

    # ----------------------------------------------------------------------------------------------------- access lists

    def acls(self, found: Name, wanted: str | None, client: Client | None) -> Acls:
        """Return the access lists of a namespace or object, or of a version of it, to its owner."""
        if wanted is not None:
            return self.version(found, wanted, client, "owner").acls
        with self._database.read() as db:
            tree.require(db, found, "owner", client)
            return found.acls

    def change_acls(self, name: str, wanted: str | None, change: Callable[[Acls], Acls], client: Client | None) -> None:
        """Let the owner of a namespace or object, or of a version of it, change its access lists."""
        with self._database.write() as db:
            found = tree.alive(db, name)
            if wanted is None:
                tree.require(db, found, "owner", client)
                rows.set_name_acls(db, found.id, change(found.acls))
                return
            version = tree.version(db, found, wanted)
            tree.require_version(db, version, "owner", client)
            rows.set_version_acls(db, version.version, change(version.acls))

    # ----------------------------------------------------------------------------------------------------------- delete

    def delete(
        self,
        name: str,
        wanted: str | None,
        client: Client | None,
        precondition: Precondition = lambda current: None,
        listing: Callable[[list[str]], None] = lambda names: None,
    ) -> None:
        """Delete a version, an object with its versions, or a namespace with all below it, all of it the client's.

        ``listing`` is the precondition of a namespace: it is given the names directly in it.

        Raises:
            Refusal: 403 the root, 404 there is nothing of that name, 412 the precondition.
        """
        found = self.look(name)
        if not name:
            raise forbidden("The root namespace cannot be deleted.")
        if wanted is not None:
            self._delete_version(found, wanted, client, precondition)
            return
        with self._database.read() as db:
            tree.require_all_below(db, found, client)
            versions, jobs = rows.versions_below(db, found.id), rows.jobs_below(db, found.id)
        with self._contents.leaving(versions) as leaving, self._database.write() as db:
            tree.require_all_below(db, tree.alive(db, name), client)
            if found.kind == "namespace":
                listing(rows.children(db, found.id))
            else:
                precondition(rows.current(db, found.id))
            leaving[:] = rows.versions_below(db, found.id)
            rows.delete_name(db, found.id)
        for job in jobs:
            self._uploads.discard(job)

    def _delete_version(self, found: Name, wanted: str, client: Client | None, precondition: Precondition) -> None:
        if self._forget_forward(found, wanted, client):
            return
        with self._contents.leaving([wanted]), self._database.write() as db:
            version = rows.version(db, found.id, wanted)
            if version is None:
                raise not_found(f"There is no {url_of(found.name, wanted)}.")
            tree.require_version(db, version, "owner", client)
            precondition(version)
            rows.delete_version(db, wanted)

    def _forget_forward(self, found: Name, wanted: str, client: Client | None) -> bool:
        """Let the old name of a renamed version lead nowhere; say False for a version that was not renamed."""
        with self._database.read() as db:
            if wanted not in rows.forwards(db, found.id):
                return False
        with self._database.write() as db:
            tree.require(db, tree.alive(db, found.name), "owner", client)
            rows.drop_forward(db, found.id, wanted)
        return True

    # ---------------------------------------------------------------------------------------------------- upload jobs

    def start_job(self, name: str, job: Job, client: Client | None, *, parents: bool) -> Job:
        """Begin a chunked upload; the object is made if it is not there.

        Raises:
            Refusal: 404 the namespace above is missing, 409 the name is a namespace or was deleted.
        """
        started = replace(job, id=new_id())
        with self._database.write() as db:
            rows.add_job(db, tree.object_to_write(db, name, client, parents=parents).id, started, int(time.time()))
        return started

    def jobs(self, found: Name, client: Client | None) -> list[str]:
        """Return the ids of the unfinished jobs of an object that the client may see."""
        with self._database.read() as db:
            return tree.jobs(db, found, client)

    def job(self, found: Name, wanted: str, client: Client | None) -> Job:
        """Return an unfinished job that the client began, or that goes to an object of theirs.

        Raises:
            Refusal: 404 it is not there: never begun, finished, or cancelled.
        """
        with self._database.read() as db:
            return tree.job(db, found, wanted, client)

    def put_chunk(
        self, found: Name, job: Job, position: int, body: bytes | BinaryIO, length: int, sums: Checksums
    ) -> None:
        """Take in one chunk of a job that :meth:`job` returned. Repeating it is allowed, until the job is finished.

        Raises:
            Refusal: 400 the checksum is another one, 404 there is no such job, 409 the length or position is wrong.
        """
        if length != job.length_of(position):
            raise conflict(f"Chunk {position} has {job.length_of(position)} bytes, not {length}.")
        with said_clearly(self._uploads.folder), self._uploads.writing(job.id) as descriptor:
            self._refuse_ended(found, job.id)
            self._forget_chunk(job.id, position)
            write_chunk(descriptor, job, position, body, sums)
            with self._database.write() as db:
                rows.add_chunk(db, job.id, position, int(time.time()))

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

    def finish_job(self, found: Name, wanted: str, client: Client | None) -> Version:
        """Make a version of a job whose chunks are all there, for who began it and may still write to the object.

        Raises:
            Refusal: 404 there is no such job, 409 chunks are missing or the content is not as announced.
        """
        with ExitStack() as stack:
            job = self.job(found, wanted, client)
            file = stack.enter_context(self._uploads.closing(wanted))
            self._refuse_ended(found, wanted)
            sums = self._checked(job, file)
            announced = Announced(job.content_length, sums, sealed=True)
            arrived = stack.enter_context(self._contents.arriving(new_id(), file, announced))
            db = stack.enter_context(self._database.write())
            told, owned = (job.content_type, job.content_disposition), rows.owned_by(job.owner)
            made = Version(arrived.version, job.name, arrived.length, arrived.checksums, *told, owned)
            rows.add_version(db, tree.object_to_write(db, job.name, client, parents=False).id, made)
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

    def cancel_job(self, found: Name, wanted: str, client: Client | None) -> None:
        """Forget a job and its chunks.

        Raises:
            Refusal: 404 there is no such job.
        """
        with self._database.write() as db:
            rows.delete_job(db, tree.job(db, found, wanted, client).id)
        self._uploads.discard(wanted)


def _both(told: Told) -> tuple[str | None, str | None]:
    return told.content_type, told.content_disposition
