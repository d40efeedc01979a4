"""Copies of a whole store: made while it is used, and made into a store again.

A backup is itself a store. What is copied is one moment of each database; a content is copied for each version that
the copied rows name, and its checksums are verified on the way. Catalogs come before objects, so that what a row
refers to is in the copy. A copy is made beside its place, and gets its name when it is whole and on the disk.

Contents never change: one that an earlier copy has is given a second name instead of a second place on the disk. The
name of a file is the id of its version, 130 random bits that are given once: the same name is the same content, and its
length tells whether the earlier copy of it was cut off. That it decayed since then only its checksum tells.

Sessions and uploads that were under way are not copied, nor are the token file and the certificate.
"""

from __future__ import annotations

import errno
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deriva_local.objects.checksums import Checksums, Hashing
from deriva_local.objects.content import BLOCK, write_all
from deriva_local.service.check import HATRAC, REGISTRY, refuse_strange
from deriva_local.service.unfinished import unfinished
from deriva_local.store.catalog import FILE as CATALOG
from deriva_local.store.connections import preallocate_log
from deriva_local.store.copies import ask, copy_database, editing
from deriva_local.store.place import StoreProblem, refuse_network, sync, sync_folder
from deriva_local.users.accounts import FILE as USERS

_FOLDER = re.compile(r"[0-9]{1,19}")
_VERSION = re.compile(r"[A-Z2-7]{26}")


@dataclass(frozen=True, slots=True)
class Copied:
    """What was copied, and what could not be: contents that are damaged or missing in the original.

    ``shared`` are those of the ``contents`` that an earlier copy had; they are not in ``bytes``.
    """

    catalogs: int
    contents: int
    bytes: int
    problems: tuple[str, ...] = ()
    shared: int = 0


def copy_store(source: Path, target: Path, since: Path | None = None) -> Copied:
    """Copy the store in ``source``, which may be in use, to ``target``, which must be empty or not there.

    ``since`` is an earlier copy on the same file system; contents that it has are linked.

    Raises:
        StoreProblem: there is no store in ``source`` or ``since``, something is in ``target``, a database is damaged,
            or the disk is full. Nothing is left behind then.
    """
    refuse_strange(source)
    if since is not None:
        refuse_strange(since)
    _refuse_place(source, target)
    target.parent.mkdir(parents=True, exist_ok=True)
    with unfinished(target) as folder:
        copied = _copied(source, folder, since)
        folder.rename(target)
    sync_folder(target.parent)
    return copied


def _refuse_place(source: Path, target: Path) -> None:
    refuse_network(target)
    if target.resolve().is_relative_to(source.resolve()) or source.resolve().is_relative_to(target.resolve()):
        raise StoreProblem(f"{target} and {source} lie in each other: choose another folder.")
    if target.is_symlink() or (target.exists() and (not target.is_dir() or any(target.iterdir()))):
        raise StoreProblem(f"{target} is not empty: choose a folder that is not there yet.")


def _copied(source: Path, target: Path, since: Path | None) -> Copied:
    catalogs = _catalogs(source, target)
    if _plain(source / USERS).exists():
        copy_database(source / USERS, target / USERS)
        with editing(target / USERS) as db:
            db.execute("DELETE FROM ticket WHERE kind = 'session'")
    found = _contents(source, target, since) if _plain(source / HATRAC).exists() else []
    problems = tuple(each.problem for each in found if each.problem)
    good = [each for each in found if not each.problem]
    size = sum(each.length for each in good)
    return Copied(catalogs, len(good), size, problems, sum(each.is_shared for each in good))


def _plain(path: Path) -> Path:
    """Return a path that is no link: nothing outside of a store is taken for a part of it.

    Raises:
        StoreProblem: it is one.
    """
    if path.is_symlink():
        raise StoreProblem(f"{path} is a link; a store has none.")
    return path


# ----------------------------------------------------------------------------------------------------------- catalogs


def _catalogs(source: Path, target: Path) -> int:
    """Copy the registry and its catalogs; one that is deleted meanwhile is left out. Return how many there are."""
    copy_database(_plain(source / REGISTRY), target / REGISTRY)
    (target / "catalogs").mkdir(mode=0o700)
    with editing(target / REGISTRY) as db:
        named: list[Any] = db.execute("SELECT id, folder FROM catalog").fetchall()
        gone = [id for id, folder in named if not _catalog(source, target, _checked(_FOLDER, folder))]
        for id in gone:
            db.execute("UPDATE alias SET target = NULL WHERE target = ?", (id,))
            db.execute("DELETE FROM catalog WHERE id = ?", (id,))
    return len(named) - len(gone)


def _catalog(source: Path, target: Path, folder: str) -> bool:
    path = _plain(_plain(source / "catalogs" / folder) / CATALOG)
    if not path.exists():
        return False
    copy = target / "catalogs" / folder / CATALOG
    copy.parent.mkdir(mode=0o700)
    copy_database(path, copy)
    preallocate_log(copy)
    sync_folder(target / "catalogs")
    return True


def _checked(pattern: re.Pattern[str], name: str) -> str:
    """Return a name that a row gives to a file, if it can be one.

    Raises:
        StoreProblem: it could lead out of its folder: nobody but an attacker wrote it.
    """
    if not isinstance(name, str) or not pattern.fullmatch(name):
        raise StoreProblem(f"{name!r} is not the name of anything in a store.")
    return name


# ----------------------------------------------------------------------------------------------------------- contents


@dataclass(frozen=True, slots=True)
class _Content:
    """How the copy of one content went: how many bytes were written, and what is wrong with it, if anything."""

    length: int = 0
    problem: str = ""
    is_shared: bool = False


def _contents(source: Path, target: Path, since: Path | None) -> list[_Content]:
    """Copy what the copied rows name; what is deleted meanwhile is left out."""
    copy_database(source / HATRAC, target / HATRAC)
    copied = []
    with editing(target / HATRAC) as db:
        db.execute("DELETE FROM chunk; DELETE FROM job").fetchall()
        named: list[Any] = db.execute("SELECT version, length, md5, sha256 FROM version").fetchall()
        for version, length, md5, sha256 in named:
            place = Path("objects") / _checked(_VERSION, version)[0] / version
            (target / place).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            if since is not None and _is_shared(_plain(since / place), target / place, length):
                copied.append(_Content(is_shared=True))
                continue
            made = _content(source / place, target / place, Checksums(md5, sha256))
            if made.problem and not ask(source / HATRAC, "SELECT 1 FROM version WHERE version = ?", (version,)):
                db.execute("DELETE FROM version WHERE version = ?", (version,))
            else:
                copied.append(made)
    for folder in (target / "objects").glob("*"):
        sync_folder(folder)
    return copied


def _is_shared(earlier: Path, target: Path, length: int) -> bool:
    """Give a content of an earlier copy a second name; say False where it has none of that length, or cannot."""
    try:
        if earlier.stat().st_size != length:
            return False
        target.hardlink_to(earlier)
    except OSError as error:
        if error.errno not in {errno.ENOENT, errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP}:
            raise
        return False
    return True


def _content(source: Path, target: Path, sums: Checksums) -> _Content:
    """Copy one content."""
    _plain(source.parent)
    try:
        length, found = _copy_file(_plain(source), target)
    except FileNotFoundError:
        return _Content(problem=f"{source} is missing.")
    differences = sums.differences(found)
    return _Content(length, f"{source} is damaged. {' '.join(differences)}" if differences else "")


def _copy_file(source: Path, target: Path) -> tuple[int, Checksums]:
    hashing, length = Hashing(), 0
    with source.open("rb") as original:
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o400)
        with os.fdopen(descriptor, "wb", buffering=0) as copy:
            while block := original.read(BLOCK):
                write_all(copy.fileno(), block)
                hashing.update(block)
                length += len(block)
            sync(copy.fileno())
    return length, hashing.checksums()
