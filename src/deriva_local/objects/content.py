"""The files of object versions: whole and durable, or absent.

A content lies in ``objects/<first letter>/<version>``, readable by its owner only and never changed. It arrives as
``objects/incoming/<version>``, is synced, and gets its final name as a second link; the row that names it is written
while both links are there, and the first link goes last. So a process that dies on the way leaves a file in
``incoming``, and whoever opens the store next, with nobody uploading, clears it away unless the row was written.

A body that is a path is hard-linked, on one file system: the store then owns that content, and nobody may write to
the file again. It is copied where it cannot be linked.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from deriva_local.objects.checksums import Checksums, Hashing
from deriva_local.store.forks import own_file
from deriva_local.store.place import make_folder, sync, sync_folder
from deriva_local.wire.errors import Refusal, bad_request, forbidden

BLOCK = 1024 * 1024
LOCK = "uploading.lock"
_NOT_LINKABLE = {errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP, errno.EACCES}
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_DOUBTFUL = {403, 500, 503, 507}
"""What may have been said after a log was written that the next opening finds."""
_NO_PERMISSION = {errno.EROFS, errno.EACCES, errno.EPERM}


@dataclass(frozen=True, slots=True)
class Announced:
    """What the sender says of a body before it comes.

    ``sealed`` is the word of a caller in this process that it has just hashed a file that nobody writes to: the
    file is then linked without reading it.
    """

    length: int
    checksums: Checksums
    sealed: bool = False


@dataclass(frozen=True, slots=True)
class Arriving:
    """A content on its way in, under the version that it will have."""

    version: str
    body: bytes | BinaryIO | Path
    announced: Announced


@dataclass(frozen=True, slots=True)
class Arrived:
    """A content that is on disk under its final name."""

    version: str
    length: int
    checksums: Checksums


class Contents:
    """The content files below ``folder``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.incoming = folder / "incoming"
        make_folder(self.incoming)

    def path(self, version: str) -> Path:
        """Return where the content of ``version`` lies."""
        return self.folder / version[0] / version

    def files(self) -> list[Path]:
        """Return all files that lie where contents do."""
        return sorted(path for path in self.folder.glob("?/*") if path.parent.is_dir())

    @contextmanager
    def arriving(self, version: str, body: bytes | BinaryIO | Path, announced: Announced) -> Iterator[Arrived]:
        """Take in ``body``; the block writes the row that names it. Without that row no content remains.

        A write that failed below may turn up at the next opening all the same (its log was written, and could not be
        synced): then both links stay, and the sweep decides by the row.

        Raises:
            Refusal: 400 the body is not as announced, 403 the store is read-only, 507 the disk is full.
        """
        with self.arriving_together([Arriving(version, body, announced)]) as arrived:
            yield arrived[0]

    @contextmanager
    def arriving_together(self, bodies: Sequence[Arriving]) -> Iterator[list[Arrived]]:
        """Take in several bodies, all or none, as :meth:`arriving` does one; each folder is synced once."""
        places = [(self.incoming / each.version, self.path(each.version)) for each in bodies]
        doubtful = False
        with self._uploading(), said_clearly(self.folder):
            kept = False
            try:
                arrived = [
                    Arrived(each.version, each.announced.length, _filled(marker, each.body, each.announced))
                    for each, (marker, _) in zip(bodies, places, strict=True)
                ]
                _name(places)
                doubtful = True
                yield arrived
                kept = True
            except Refusal as refusal:
                doubtful = doubtful and refusal.status in _DOUBTFUL
                raise
            finally:
                for marker, final in places if kept or not doubtful else ():
                    if not kept:
                        final.unlink(missing_ok=True)
                    marker.unlink(missing_ok=True)

    @contextmanager
    def leaving(self, versions: Iterable[str]) -> Iterator[list[str]]:
        """Let go of contents: the block deletes the rows, then the files go. If the block fails, they stay; the sweep looks again.

        The block may change the list that it gets.
        """
        going = list(versions)
        marked, gone = tuple(going), False
        with self._uploading(), said_clearly(self.folder):
            for version in marked:
                self._mark(version)
            doubtful = True
            try:
                yield going
                gone = True
            except Refusal as refusal:
                doubtful = refusal.status in _DOUBTFUL
                raise
            finally:
                for version in going if gone else ():
                    self.path(version).unlink(missing_ok=True)
                for version in marked if gone or not doubtful else ():
                    (self.incoming / version).unlink(missing_ok=True)

    def _mark(self, version: str) -> None:
        """Leave a second link to a content in ``incoming``; one that is there already, or lost, is no obstacle."""
        try:
            _link(self.path(version), self.incoming / version)
        except (FileExistsError, FileNotFoundError):
            pass

    @contextmanager
    def _uploading(self) -> Iterator[None]:
        """Say, for as long as the block runs, that files in ``incoming`` belong to somebody who is alive."""
        with own_file(self.folder / LOCK, os.O_RDWR | os.O_CREAT) as descriptor:
            fcntl.flock(descriptor, fcntl.LOCK_SH)
            yield

    def sweep(self, is_known: Callable[[str], bool]) -> list[str]:
        """Clear away what killed uploads and deletions left; return their versions. Does nothing while anybody uploads.

        ``is_known`` says whether a row names that version.
        """
        with own_file(self.folder / LOCK, os.O_RDWR | os.O_CREAT) as descriptor:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return []
            left = sorted(marker.name for marker in self.incoming.iterdir())
            for version in left:
                if not is_known(version):
                    self.path(version).unlink(missing_ok=True)
                (self.incoming / version).unlink()
        return left


@contextmanager
def said_clearly(folder: Path) -> Iterator[None]:
    """Translate what the file system says about room and permission."""
    try:
        yield
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise Refusal(507, f"The disk that holds {folder} is full: make room and send it again.") from error
        if error.errno in _NO_PERMISSION:
            raise forbidden(f"{folder} is read-only: nothing can be stored.") from error
        raise


# ------------------------------------------------------------------------------------------------------------ writing


def _filled(target: Path, body: bytes | BinaryIO | Path, announced: Announced) -> Checksums:
    """Make ``target`` hold the body, durable and private; return its checksums once they agree with the announced."""
    if isinstance(body, Path):
        found = _taken(target, body, announced)
    elif isinstance(body, bytes):
        found = _written(target, iter((body,)), announced.length)
    else:
        found = _written(target, blocks(body, announced.length), announced.length)
    differences = announced.checksums.differences(found)
    if differences:
        raise bad_request(" ".join(differences))
    return found


def _taken(target: Path, body: Path, announced: Announced) -> Checksums:
    """Link the file ``body``, or copy it where that is impossible."""
    source = regular_file(body)
    if source.stat().st_size != announced.length:
        raise _wrong_length(source.stat().st_size, announced.length)
    if not _link(source, target):
        with source.open("rb") as file:
            return _written(target, blocks(file, announced.length), announced.length)
    if announced.sealed and announced.checksums.md5 and announced.checksums.sha256:
        return announced.checksums
    descriptor = os.open(target, os.O_RDONLY)
    try:
        os.fchmod(descriptor, 0o400)
        sync(descriptor)
    finally:
        os.close(descriptor)
    return hashed(target)


def regular_file(path: Path) -> Path:
    """Return the file that ``path`` leads to, through links.

    Raises:
        Refusal: 400 it is not there, or is a folder or a device.
    """
    try:
        found = path.resolve(strict=True)
    except FileNotFoundError as error:
        raise bad_request(f"There is no file {path}.") from error
    if not stat.S_ISREG(found.stat().st_mode):
        raise bad_request(f"{path} is no regular file.")
    return found


def _written(target: Path, content: Iterator[bytes], length: int) -> Checksums:
    hashing, arrived = Hashing(), 0
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o400)
    with os.fdopen(descriptor, "wb", buffering=0) as file:
        for block in content:
            write_all(file.fileno(), block)
            hashing.update(block)
            arrived += len(block)
        if arrived != length:
            raise _wrong_length(arrived, length)
        sync(file.fileno())
    return hashing.checksums()


def write_all(descriptor: int, block: bytes, offset: int | None = None) -> None:
    """Write every byte of ``block``, at ``offset`` or where the file stands."""
    view, done = memoryview(block), 0
    while done < len(view):
        rest = view[done:]
        done += os.write(descriptor, rest) if offset is None else os.pwrite(descriptor, rest, offset + done)


def blocks(stream: BinaryIO, length: int) -> Iterator[bytes]:
    """Yield at most ``length`` bytes of ``stream`` in blocks, fewer if it ends early."""
    left = length
    while left and (block := stream.read(min(BLOCK, left))):
        left -= len(block)
        yield block


def _wrong_length(found: int, announced: int) -> Refusal:
    return bad_request(f"The body has {found} bytes, and {announced} were announced.")


def hashed(path: Path) -> Checksums:
    """Return the checksums of a file, read once."""
    hashing = Hashing()
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            hashing.update(block)
    return hashing.checksums()


def _link(source: Path, target: Path) -> bool:
    """Give a file a second name; say False where that cannot be done."""
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno not in _NOT_LINKABLE:
            raise
        return False
    return True


def _name(places: Sequence[tuple[Path, Path]]) -> None:
    """Give the contents their final names, durably; the markers stay where the file system can link."""
    folders = {final.parent for _, final in places}
    made = [folder for folder in folders if not folder.exists()]
    for folder in made:
        folder.mkdir(mode=0o700, exist_ok=True)
    for parent in {folder.parent for folder in made}:
        sync_folder(parent)
    for marker, final in places:
        if not _link(marker, final):
            marker.rename(final)
    for folder in folders:
        sync_folder(folder)
