"""Copies of a whole store: made while it is used, and made into a store again.

A backup is itself a store. What is copied is one moment of each database; a content is copied for each version that
the copied rows name, and its checksums are verified on the way. Catalogs come before objects, so that what a row
refers to is in the copy. A copy is made beside its place, and gets its name when it is whole and on the disk.

Sessions and uploads that were under way are not copied, nor are the token file and the certificate.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deriva_local.objects.checksums import Checksums, Hashing
from deriva_local.objects.content import BLOCK, write_all
from deriva_local.service.check import HATRAC, REGISTRY, refuse_strange
from deriva_local.store.catalog import FILE as CATALOG
from deriva_local.store.connections import preallocate_log
from deriva_local.store.copies import ask, copy_database, editing
from deriva_local.store.place import StoreProblem, refuse_network, sync, sync_folder
from deriva_local.users.accounts import FILE as USERS

_FOLDER = re.compile(r"[0-9]{1,19}")
_VERSION = re.compile(r"[A-Z2-7]{26}")


@dataclass(frozen=True, slots=True)
class Copied:
    """What was copied, and what could not be: contents that are damaged or missing in the original."""

    catalogs: int
    contents: int
    bytes: int
    problems: tuple[str, ...] = ()


def copy_store(source: Path, target: Path) -> Copied:
    """Copy the store in ``source``, which may be in use, to ``target``, which must be empty or not there.

    Raises:
        StoreProblem: there is no store in ``source``, something is in ``target``, a database is damaged, or the disk
            is full. Nothing is left behind then.
    """
    refuse_strange(source)
    _refuse_place(source, target)
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = target.with_name(f".{target.name}.{secrets.token_hex(4)}.partial")
    beside.mkdir(mode=0o700)
    try:
        copied = _copied(source, beside)
        beside.rename(target)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise
    sync_folder(target.parent)
    return copied


def _refuse_place(source: Path, target: Path) -> None:
    refuse_network(target)
    if target.resolve().is_relative_to(source.resolve()) or source.resolve().is_relative_to(target.resolve()):
        raise StoreProblem(f"{target} and {source} lie in each other: choose another folder.")
    if target.is_symlink() or (target.exists() and (not target.is_dir() or any(target.iterdir()))):
        raise StoreProblem(f"{target} is not empty: choose a folder that is not there yet.")


def _copied(source: Path, target: Path) -> Copied:
    catalogs = _catalogs(source, target)
    if _plain(source / USERS).exists():
        copy_database(source / USERS, target / USERS)
        with editing(target / USERS) as db:
            db.execute("DELETE FROM ticket WHERE kind = 'session'")
    contents, size, problems = _contents(source, target) if _plain(source / HATRAC).exists() else (0, 0, [])
    return Copied(catalogs, contents, size, tuple(problems))


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


def _contents(source: Path, target: Path) -> tuple[int, int, list[str]]:
    copy_database(source / HATRAC, target / HATRAC)
    problems, copied, size = [], 0, 0
    with editing(target / HATRAC) as db:
        db.execute("DELETE FROM chunk; DELETE FROM job").fetchall()
        named: list[Any] = db.execute("SELECT version, md5, sha256 FROM version").fetchall()
        for version, md5, sha256 in named:
            problem, length = _content(source, target, _checked(_VERSION, version), Checksums(md5, sha256))
            if problem is None:
                copied, size = copied + 1, size + length
            elif not ask(source / HATRAC, "SELECT 1 FROM version WHERE version = ?", (version,)):
                db.execute("DELETE FROM version WHERE version = ?", (version,))
            else:
                problems.append(problem)
    for folder in (target / "objects").glob("*"):
        sync_folder(folder)
    return copied, size, problems


def _content(source: Path, target: Path, version: str, sums: Checksums) -> tuple[str | None, int]:
    """Copy one content; return what is wrong with it, and its length."""
    place = Path("objects") / version[0] / version
    _plain((source / place).parent)
    (target / place).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        length, found = _copy_file(_plain(source / place), target / place)
    except FileNotFoundError:
        return f"{source / place} is missing.", 0
    differences = sums.differences(found)
    return (f"{source / place} is damaged. {' '.join(differences)}" if differences else None), length


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
