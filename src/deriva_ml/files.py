"""Files that are whole or absent: temp, write, sync, rename, sync the folder.

Only this file and :mod:`deriva_ml.db` know how bytes become durable.
"""

from __future__ import annotations

import errno
import fcntl
import functools
import hashlib
import os
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import BinaryIO

from deriva_ml.forks import own_file

BLOCK = 1024 * 1024
PARALLEL_ABOVE = 4 * BLOCK
NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
AT_ONCE = 8
"""How many files are brought to the disk at the same time: they share what the disk has to do for each."""
_NEVER_SYNCED = {errno.EINVAL, errno.EROFS, errno.ENOTSUP, errno.ENOSYS}
_NOT_LINKABLE = {errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP, errno.EACCES}


@dataclass(frozen=True, slots=True)
class Digest:
    """What a file's bytes are: both checksums in hexadecimal, and how many bytes."""

    md5: str
    sha256: str
    length: int


def sync(descriptor: int) -> None:
    """Bring the written bytes of an open file to the disk itself (macOS needs a stronger word than fsync)."""
    full = getattr(fcntl, "F_FULLFSYNC", None)
    if full is None:
        os.fsync(descriptor)
        return
    try:
        fcntl.fcntl(descriptor, full)
    except OSError as error:  # a disk that does not know the stronger word
        if error.errno not in {errno.ENOTSUP, errno.EINVAL, errno.ENOTTY}:
            raise
        os.fsync(descriptor)


def fsync_folder(path: Path) -> None:
    """Make the names in the folder ``path`` durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_files(paths: Iterable[Path]) -> None:
    """Bring files to the disk that others have written, with their names; what cannot be synced (read-only disks) is there already."""
    resolved = functools.cache(Path.resolve)  # most lie in one folder
    files = {path.resolve() if path.is_symlink() else resolved(path.parent) / path.name for path in paths}
    with ThreadPoolExecutor(AT_ONCE) as threads:
        list(threads.map(_sync_path, files))
        list(threads.map(_sync_path, {file.parent for file in files}))


def _sync_path(path: Path) -> None:
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except PermissionError:  # a folder that only others may list
        return
    try:
        sync(descriptor)
    except OSError as error:
        if error.errno not in _NEVER_SYNCED:
            raise
    finally:
        os.close(descriptor)


TRIES = 1000
"""How often the folders are made that others remove meanwhile: whoever makes room in a loop is faster than a sync."""


def make_folder(path: Path) -> None:
    """Make the folder ``path`` and those above it, durably, where they are missing, or somebody removes them meanwhile."""
    for left in reversed(range(TRIES)):
        missing = list(takewhile(lambda each: not each.is_dir(), (path, *path.parents)))
        try:
            for each in reversed(missing):
                each.mkdir(exist_ok=True)
                fsync_folder(each.parent)
            break
        except FileNotFoundError:
            if not left:
                raise


def beginning(name: str) -> str:
    """Return so much of a file's name that more can be put before and after it: names have 255 bytes at most."""
    return os.fsencode(name)[:100].decode(errors="ignore")


@contextmanager
def replacing(path: Path, *, name_durable: bool = True) -> Iterator[BinaryIO]:
    """Open a file that takes the place of ``path``, whole and durable, when the block ends well, and vanishes if not.

    ``name_durable=False`` leaves the folder to be synced by the caller, once for many files.
    """
    temporary = path.with_name(f".{beginning(path.name)}.{secrets.token_hex(6)}.tmp")
    try:
        with temporary.open("xb") as file:
            yield file
            file.flush()
            sync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise with_advice(error, path) from error
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if name_durable:
        fsync_folder(path.parent)


def with_advice(error: OSError, path: Path) -> OSError:
    """Return ``error``; where the disk has no room, one that names ``path`` and says what to do."""
    if error.errno not in NO_ROOM:
        return error
    return OSError(
        error.errno, f"{os.strerror(error.errno)}: make room there, then try again; nothing staged is lost", str(path)
    )


def write_whole(path: Path, content: bytes, *, name_durable: bool = True) -> None:
    """Write ``content`` to ``path``: afterwards the file is old or new, never in between, and durable as for :func:`replacing`."""
    with replacing(path, name_durable=name_durable) as file:
        file.write(content)


def hash_file(path: Path) -> Digest:
    """Return the digest of the file ``path``, read once."""
    with path.open("rb") as source:
        return _read_hashed(source, lambda block: None)


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of the file ``path``."""
    with path.open("rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest()


def copy_hashed(
    source: Path, target: Path, *, name_durable: bool = True, told: Callable[[int], object] | None = None
) -> Digest:
    """Copy ``source`` to ``target``, whole and durable as for :func:`replacing`, and return its digest: one pass over the bytes.

    ``told`` hears after each block how many bytes are copied; what it raises ends the copy, and nothing is left of it.
    """
    with source.open("rb") as reader, replacing(target, name_durable=name_durable) as writer:
        return _read_hashed(reader, writer.write if told is None else _counted(writer.write, told))


def _counted(use: Callable[[bytes], object], told: Callable[[int], object]) -> Callable[[bytes], None]:
    done = 0

    def each(block: bytes) -> None:
        nonlocal done
        use(block)
        done += len(block)
        told(done)

    return each


def _read_hashed(source: BinaryIO, use: Callable[[bytes], object]) -> Digest:
    """Read ``source`` to its end; hash each block, and hand it to ``use``."""
    md5, sha256 = hashlib.md5(usedforsecurity=False), hashlib.sha256()
    if os.fstat(source.fileno()).st_size > PARALLEL_ABOVE:
        return _read_hashed_beside(source, use, md5, sha256)
    length = 0
    while block := source.read(BLOCK):
        use(block)
        md5.update(block)
        sha256.update(block)
        length += len(block)
    return Digest(md5.hexdigest(), sha256.hexdigest(), length)


def _read_hashed_beside(
    source: BinaryIO, use: Callable[[bytes], object], md5: hashlib._Hash, sha256: hashlib._Hash
) -> Digest:
    """As above with a second thread: hashing lets go of the interpreter, so the checksums run side by side."""
    length = 0
    with ThreadPoolExecutor(1) as beside:
        while block := source.read(BLOCK):
            hashing = beside.submit(md5.update, block)
            sha256.update(block)
            use(block)
            length += len(block)
            hashing.result()
    return Digest(md5.hexdigest(), sha256.hexdigest(), length)


def link_or_copy(source: Path, target: Path) -> None:
    """Give the whole file ``source`` a second name ``target``; copy it, durably, where the disk cannot link."""
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno not in _NOT_LINKABLE:
            raise
        with source.open("rb") as reader, replacing(target) as writer:
            shutil.copyfileobj(reader, writer, BLOCK)
        return
    fsync_folder(target.parent)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the exclusive lock of the small file ``path``, made if need be; other processes wait for it."""
    with own_file(path, os.O_RDWR | os.O_CREAT) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def hide_from_git(folder: Path) -> None:
    """Let git overlook all of ``folder``, a folder of our own: a home inside a work tree must not make it dirty."""
    ignore = folder / ".gitignore"
    if not ignore.exists():
        write_whole(ignore, b"*\n", name_durable=False)
