"""Chunked uploads on disk: one file per job, written chunk by chunk, which becomes a content when it is whole.

A chunk that was acknowledged is synced and recorded, so that an upload goes on after the server or its client died.
Chunks of one job may be written at the same time by many processes; while one of them makes the content of it,
none writes.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from deriva_local.objects.checksums import Checksums, Hashing
from deriva_local.objects.content import blocks, write_all
from deriva_local.store.forks import own_file
from deriva_local.store.place import make_folder, sync, sync_folder
from deriva_local.wire.errors import bad_request, conflict


@dataclass(frozen=True, slots=True)
class Job:
    """What was said of an object before its chunks come. ``name`` is the canonical name of the object."""

    id: str
    name: str
    owner: str
    chunk_length: int
    content_length: int
    checksums: Checksums
    content_type: str | None = None
    content_disposition: str | None = None

    @property
    def chunks(self) -> int:
        """Return how many chunks make the content."""
        return -(-self.content_length // self.chunk_length)

    def length_of(self, position: int) -> int:
        """Return how many bytes chunk ``position`` has.

        Raises:
            Refusal: 409 there is no such chunk.
        """
        if position >= self.chunks:
            raise conflict(f"The content has {self.chunks} chunks, from 0; there is no chunk {position}.")
        return min(self.chunk_length, self.content_length - position * self.chunk_length)


class Uploads:
    """The files of upload jobs below ``folder``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        make_folder(self.folder)

    def path(self, job: str) -> Path:
        """Return where the chunks of a job lie."""
        return self.folder / job

    @contextmanager
    def writing(self, job: str) -> Iterator[int]:
        """Open the file of a job for chunks; nobody makes a content of it meanwhile. Its name is durable when the block is entered."""
        with self._opened(job, os.O_WRONLY | os.O_CREAT, fcntl.LOCK_SH) as descriptor:
            sync_folder(self.folder)
            yield descriptor

    @contextmanager
    def closing(self, job: str) -> Iterator[Path]:
        """Keep every writer of chunks out while a content is made of the file."""
        with self._opened(job, os.O_RDONLY | os.O_CREAT, fcntl.LOCK_EX):
            yield self.path(job)

    @contextmanager
    def _opened(self, job: str, flags: int, lock: int) -> Iterator[int]:
        with own_file(self.path(job), flags) as descriptor:
            fcntl.flock(descriptor, lock)
            yield descriptor

    def discard(self, job: str) -> None:
        """Remove the file of a job, if there is one."""
        self.path(job).unlink(missing_ok=True)

    def sweep(self, is_known: Callable[[str], bool]) -> list[str]:
        """Remove the files of jobs that no row knows any more; return their ids."""
        left = [job for job in sorted(file.name for file in self.folder.iterdir()) if not is_known(job)]
        for job in left:
            self.discard(job)
        return left


def write_chunk(descriptor: int, job: Job, position: int, body: bytes | BinaryIO, checksums: Checksums) -> None:
    """Write one chunk where it belongs, durably, once it is as announced.

    Raises:
        Refusal: 400 the checksum is another one, 409 the body is shorter or longer than the chunk.
    """
    length, start = job.length_of(position), position * job.chunk_length
    stream = BytesIO(body) if isinstance(body, bytes) else body
    hashing, found = Hashing(), 0
    for block in blocks(stream, length):
        write_all(descriptor, block, start + found)
        hashing.update(block)
        found += len(block)
    if found != length or (isinstance(body, bytes) and len(body) != length):
        raise conflict(f"Chunk {position} has {length} bytes, and another number came.")
    differences = checksums.differences(hashing.checksums())
    if differences:
        raise bad_request(" ".join(differences))
    sync(descriptor)
