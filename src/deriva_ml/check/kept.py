"""What a workspace keeps beside its executions: downloaded bags and files, sealed bags, locks."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

from deriva_ml.check.findings import Finding, fatal, repairable
from deriva_ml.check.folders import bag_problems
from deriva_ml.dataset.cache import READY
from deriva_ml.execution.sealed_bag import FOLDER
from deriva_ml.files import hash_file

_AGAIN = "remove it: it is downloaded again"
_MD5 = re.compile(r"(?:[0-9A-Z-]+_)?([0-9a-f]{32})")


def cache_problems(cache: Path, *, read_data: bool) -> Iterator[Finding]:
    """Yield what is wrong with downloaded bags and asset files."""
    for place in _inside(cache / "bags"):
        yield from _kept_bag_problems(place, read_data)
    for path in sorted(path for path in (cache / "assets").rglob("*") if not path.is_dir() or path.is_symlink()):
        if not path.name.startswith("."):  # one that is being written
            yield from _kept_file_problems(path, read_data)


def _inside(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _kept_bag_problems(place: Path, read_data: bool) -> Iterator[Finding]:
    try:
        ready = json.loads((place / READY).read_bytes())
        whole = isinstance(ready, dict) and "boot" in ready
    except (OSError, ValueError):
        whole = False
    if not whole:
        yield repairable("cache-mark", place, f"it has no {READY} that can be read", _AGAIN)
    bags = [bag for bag in _inside(place) if bag.name.startswith("Dataset_")] if place.is_dir() else []
    if len(bags) != 1:
        yield repairable("cache-bag", place, f"it holds {len(bags)} bags, not one", _AGAIN)
    for bag in bags:
        for text in bag_problems(bag, read_data=read_data):
            yield repairable("cache-bag", place, text, _AGAIN)


def _kept_file_problems(path: Path, read_data: bool) -> Iterator[Finding]:
    named = _MD5.fullmatch(path.name) or _MD5.fullmatch(path.parent.name)
    if path.is_symlink() or not path.is_file():
        yield repairable("cache-kind", path, "it is not a regular file", _AGAIN)
    elif named is None or (named[0] == path.name and path.parent.name != path.name[:2]):
        yield repairable("cache-name", path, "it has no checksum in its name, or lies in another's folder", _AGAIN)
    elif read_data and hash_file(path).md5 != named[1]:
        yield repairable("cache-bytes", path, "its bytes are not those that its name says", _AGAIN)


def sealed_bag_problems(workspace: Path, *, read_data: bool) -> Iterator[Finding]:
    """Yield which sealed bags in the workspace could not be loaded."""
    for path in sorted((workspace / FOLDER).glob("*.zip")):
        try:
            with zipfile.ZipFile(path) as archive:
                damaged = archive.testzip() if read_data else None
                text = f"{damaged} in it is damaged" if damaged else ""
        except (zipfile.BadZipFile, OSError) as error:
            text = str(error)
        if text:
            yield repairable("sealed-bag", path, text, "seal the execution again")


def lock_problems(workspace: Path) -> Iterator[Finding]:
    """Yield the lock files that cannot be locked."""
    locks = workspace / "locks"
    if locks.exists() and not locks.is_dir():
        yield fatal("locks", locks, "it is not a folder: no run can start here", "move it away")
        return
    for path in _inside(locks):
        if path.is_symlink() or not path.is_file():
            yield fatal("lock", path, "it is not a file: nobody can hold this lock", "move it away")
