"""What a workspace keeps beside its executions: downloaded bags and files, sealed bags, locks, what offline sessions know.

Only what bears a name of ours is looked at: what users put beside it is theirs.
"""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

from deriva_ml.catalog.schema_cache import ADDED, NAME
from deriva_ml.check.findings import Finding, fatal, note, repairable, unreadable
from deriva_ml.check.folders import bag_problems
from deriva_ml.check.remedies import FOLDER as ASIDE
from deriva_ml.check.remedies import empty_lock, seal_bag, set_aside
from deriva_ml.dataset.cache import READY
from deriva_ml.execution import liveness
from deriva_ml.execution.sealed_bag import FOLDER
from deriva_ml.files import hash_file
from deriva_ml.settings import workspace_folder

_AGAIN = "; it is downloaded again"
_BAG_PLACE = re.compile(r"[0-9A-Z-]+_.+_[0-9a-f]{16}")
_BY_MD5 = re.compile(r"[0-9a-f]{2}")
_BY_RID = re.compile(r"[0-9A-Z-]+_([0-9a-f]{32})")
_MD5 = re.compile(r"[0-9a-f]{32}")
_LOCK = re.compile(r"([0-9A-Z-]+)\.(run|commit|create|bag)")
_SEALED_BAG = re.compile(r"execution-([0-9A-Z-]+)-[0-9a-f]{8}\.zip")

Waiting = Callable[[str], bool | None]
"""Tells of an execution whether something of it waits to be committed here; None of one that the store does not know."""


def cache_problems(cache: Path, *, read_data: bool) -> Iterator[Finding]:
    """Yield what is wrong with downloaded bags and asset files."""
    for place in _inside(cache / "bags"):
        if _BAG_PLACE.fullmatch(place.name):
            yield from _guarded(place, _kept_bag_problems(cache, place, read_data))
    for folder in _inside(cache / "assets"):
        if _BY_MD5.fullmatch(folder.name) or _BY_RID.fullmatch(folder.name):
            for path in _inside(folder):
                if not path.name.startswith("."):  # one that is being written
                    yield from _guarded(path, _kept_file_problems(cache, path, read_data))
    yield from set_aside_notes(cache)


def _guarded(where: Path, found: Iterator[Finding]) -> Iterator[Finding]:
    try:
        yield from found
    except OSError as error:
        yield unreadable(where, error)


def _inside(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _kept_bag_problems(cache: Path, place: Path, read_data: bool) -> Iterator[Finding]:
    again = set_aside(cache, place, then=_AGAIN)
    try:
        ready = json.loads((place / READY).read_bytes())
        whole = isinstance(ready, dict) and "boot" in ready
    except PermissionError:
        raise
    except (OSError, ValueError):
        whole = False
    if not whole:
        yield repairable("cache-mark", place, f"it has no {READY} that can be read", again)
    bags = [bag for bag in _inside(place) if bag.name.startswith("Dataset_")]
    if len(bags) != 1:
        yield repairable("cache-bag", place, f"it holds {len(bags)} bags, not one", again)
    for bag in bags:
        for text in bag_problems(bag, read_data=read_data):
            yield repairable("cache-bag", place, text, again)


def _kept_file_problems(cache: Path, path: Path, read_data: bool) -> Iterator[Finding]:
    again = set_aside(cache, path, then=_AGAIN)
    by_rid = _BY_RID.fullmatch(path.parent.name)
    md5 = by_rid[1] if by_rid else path.name
    if path.is_symlink() or not path.is_file():
        yield repairable("cache-kind", path, "it is not a regular file", again)
    elif not by_rid and not (_MD5.fullmatch(md5) and md5.startswith(path.parent.name)):
        yield repairable("cache-name", path, "it is not named by its checksum, or lies in another's folder", again)
    elif read_data and hash_file(path).md5 != md5:
        yield repairable("cache-bytes", path, "its bytes are not those that its name says", again)


def set_aside_notes(area: Path) -> Iterator[Finding]:
    """Remind of what an earlier repair has set aside."""
    if (area / ASIDE).is_dir():
        yield note(
            "set-aside",
            area / ASIDE,
            "an earlier repair put there what was damaged",
            "remove it when you have looked at it",
        )


# ---------------------------------------------------------------------------------------------------------- sealed bags


def sealed_bag_problems(workspace: Path, waits: Waiting, *, read_data: bool) -> Iterator[Finding]:
    """Yield which sealed bags in the workspace could not be loaded; ``waits`` tells whether they can be sealed again."""
    for path in _inside(workspace / FOLDER):
        named = _SEALED_BAG.fullmatch(path.name)
        if named and (text := _archive_problem(path, read_data)):
            yield _damaged_bag(workspace, path, named[1], text, waits(named[1]))


def _archive_problem(path: Path, read_data: bool) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip() if read_data else None
    except PermissionError as error:
        return f"it cannot be read: {error.strerror}"
    except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError) as error:
        return str(error)
    return f"{damaged} in it is damaged" if damaged else ""


def _damaged_bag(workspace: Path, path: Path, rid: str, text: str, waits: bool | None) -> Finding:
    if waits is None:
        only = f"{text}; this workspace does not know execution {rid}, so it may be the only copy"
        return fatal("sealed-bag", path, only, "bring it again from where it was sealed")
    if waits:
        return repairable("sealed-bag", path, text, seal_bag(workspace, path, rid))
    done = f"{text}; the catalog has what it held"
    return repairable("sealed-bag", path, done, set_aside(workspace, path))


# ---------------------------------------------------------------------------------------------------------------- locks


def lock_problems(workspace: Path) -> Iterator[Finding]:
    """Yield the lock files that cannot be locked, and those whose text nobody has written."""
    locks = workspace / "locks"
    if not locks.is_dir() and (locks.exists() or locks.is_symlink()):
        yield repairable("locks", locks, "it is not a folder: no run can start here", set_aside(workspace, locks))
        return
    for path in _inside(locks):
        if not _LOCK.fullmatch(path.name):
            continue
        if path.is_symlink() or not path.is_file():
            yield repairable("lock", path, "it is not a file: nobody can hold this lock", set_aside(workspace, path))
        elif garbage := liveness.garbage(path):
            unknown = f"its text {garbage[:40]!r} says nothing of who held it"
            yield repairable("lock-text", path, unknown, empty_lock(workspace, path))


# ------------------------------------------------------------------------------------------- what offline sessions know


def schema_cache_problems(workspace: Path) -> Iterator[Finding]:
    """Yield whether what is kept for offline sessions can be read, and is that of this catalog."""
    path, then = workspace / NAME, "; the next online opening writes it anew"
    if path.exists() or path.is_symlink():
        wrong = _wrong_cache(path)
        if wrong:
            yield repairable(
                "schema-cache", path, f"{wrong}: sessions cannot begin offline", set_aside(workspace, path, then=then)
            )
    if (workspace / ADDED).exists() and not _are_terms(workspace / ADDED):
        torn = "a line of it cannot be read: sessions cannot begin offline"
        yield repairable("schema-cache", workspace / ADDED, torn, set_aside(workspace, workspace / ADDED, then=then))


def _wrong_cache(path: Path) -> str:
    try:
        found = json.loads(path.read_bytes())
        schemas, host, catalog = found["schema"]["schemas"], found["hostname"], found["catalog_id"]
    except PermissionError:
        raise
    except (OSError, ValueError, KeyError, TypeError):
        return "it cannot be read"
    if not isinstance(schemas, dict) or found.get("ml_schema") not in schemas:
        return "it describes no catalog of deriva-ml"
    other = workspace_folder(Path(), str(host), str(catalog)).name != path.parent.name
    return f"it describes catalog {catalog} of {host}" if other else ""


def _are_terms(path: Path) -> bool:
    try:
        lines = [json.loads(line) for line in path.read_text("utf-8").splitlines() if line.endswith("}")]
    except ValueError:
        return False
    return all(isinstance(line, dict) and isinstance(line.get("terms"), list) for line in lines)
