"""A disk that can lose its power: what was done to it, and what of that is there after a cut.

A disk keeps what was synced. Of the rest it keeps nothing, everything, or any part: writes are dropped, torn and
reordered, and names appear in the order of their folder up to some moment. A name is durable when its folder was synced.
"""

from __future__ import annotations

import functools
import hashlib
import os
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

SECTOR = 512
MOODS = ("nothing", "all bytes, no names", "all names, no bytes", "any")
"""What a disk may have kept of that which was not synced."""
Event = tuple[str, str, dict[str, object]]


@dataclass(eq=False)
class File:
    """The bytes of a file: on the disk, and written since it was synced."""

    disk: bytearray
    waiting: list[tuple[int, bytes | None]] = field(default_factory=list)

    def apply(self, offset: int, data: bytes | None) -> None:
        """Write ``data`` at ``offset``; None cuts the file off there."""
        if data is None:
            del self.disk[offset:]
            self.disk.extend(bytes(max(0, offset - len(self.disk))))
            return
        self.disk.extend(bytes(max(0, offset - len(self.disk))))
        self.disk[offset : offset + len(data)] = data

    def sync(self) -> None:
        for offset, data in self.waiting:
            self.apply(offset, data)
        self.waiting.clear()

    def lose(self, keep: Callable[[], float]) -> None:
        """The power is cut: of what waits each write is there with some probability, perhaps in part."""
        for offset, data in self.waiting:
            share = keep()
            if share >= 1 or (data is None and share > 0):
                self.apply(offset, data)
            elif data is not None and share > 0:
                self.apply(offset, data[: int(len(data) * share) // SECTOR * SECTOR])
        self.waiting.clear()


@dataclass(eq=False)
class Folder:
    """The names of a folder: as programs see them, and as the disk has them."""

    now: dict[str, object] = field(default_factory=dict)
    disk: dict[str, object] = field(default_factory=dict)
    waiting: list[Callable[[], None]] = field(default_factory=list)

    def sync(self, most: int | None = None) -> None:
        for change in self.waiting[:most]:
            change()
        self.waiting.clear()


class Disk:
    """A folder of a disk, with what is durable and what is not."""

    def __init__(self, home: Path) -> None:
        self.home = str(home).rstrip("/")
        self.root = Folder()
        self._folders: list[Folder] = [self.root]
        self._files: list[File] = []
        self._fill(home, self.root)

    def _fill(self, place: Path, folder: Folder) -> None:
        for each in os.scandir(place):
            node: object
            if each.is_symlink():
                node = str(Path(each.path).readlink())
            elif each.is_dir():
                node = self._new(Folder())
                self._fill(Path(each.path), node)
            elif each.name.endswith("-shm"):
                continue
            else:
                node = self._new(File(bytearray(Path(each.path).read_bytes())))
            folder.now[each.name] = folder.disk[each.name] = node

    def _new(self, node: object) -> object:
        if isinstance(node, Folder):
            self._folders.append(node)
        if isinstance(node, File):
            self._files.append(node)
        return node

    def _at(self, path: str) -> tuple[Folder, str]:
        *above, name = path[len(self.home) + 1 :].split("/")
        folder = self.root
        for part in above:
            found = folder.now[part]
            assert isinstance(found, Folder)
            folder = found
        return folder, name

    def _file(self, path: str) -> File:
        folder, name = self._at(path)
        found = folder.now[name]
        assert isinstance(found, File)
        return found

    def _put(self, folder: Folder, name: str, node: object) -> None:
        folder.now[name] = node
        folder.waiting.append(lambda: folder.disk.__setitem__(name, node))

    def happen(self, event: Event) -> None:
        """Let the recorded event happen."""
        what, path, facts = event
        folder, name = self._at(path) if path != self.home else (self.root, "")
        if what == "open":
            if name not in folder.now:
                self._put(folder, name, self._new(File(bytearray())))
            elif facts["mode"] == "w":
                self._file(path).waiting.append((0, None))
        elif what == "write":
            self._file(path).waiting.append((int(str(facts["offset"])), bytes(facts["data"])))  # type: ignore[call-overload]
        elif what == "truncate":
            self._file(path).waiting.append((int(str(facts["size"])), None))
        elif what == "sync":
            self._file(path).sync()
            if facts.get("names"):  # SQLite syncs the folder of a log that it has made
                folder.sync()
        elif what == "sync folder":
            found = folder.now[name] if name else self.root
            assert isinstance(found, Folder)
            found.sync()
        else:
            self._names(what, folder, name, facts)

    def _names(self, what: str, folder: Folder, name: str, facts: dict[str, object]) -> None:
        if what == "mkdir":
            self._put(folder, name, self._new(Folder()))
        elif what == "symlink":
            self._put(folder, name, str(facts["source"]))
        elif what == "link":
            origin, old = self._at(str(facts["source"]))
            self._put(folder, name, origin.now[old])
        elif what in ("unlink", "remove", "rmdir"):
            folder.now.pop(name, None)
            folder.waiting.append(lambda: folder.disk.pop(name, None) and None)
        else:
            self._move(*self._at(str(facts["source"])), folder, name)

    def _move(self, origin: Folder, old: str, folder: Folder, name: str) -> None:
        node = folder.now[name] = origin.now.pop(old)

        def change() -> None:
            folder.disk[name] = node
            if origin.disk.get(old) is node and (origin, old) != (folder, name):
                del origin.disk[old]

        folder.waiting.append(change)

    def cut(self, mood: str, chance: random.Random) -> None:
        """Cut the power; ``mood`` is what of :data:`MOODS` is left of all that was not synced."""
        for file in self._files:
            share = {"nothing": 0.0, "all bytes, no names": 1.0, "all names, no bytes": 0.0}.get(mood)
            shares = (0.0, 0.5, 1.0, 1.0) if share is None else (share,)
            file.lose(functools.partial(chance.choice, shares))
        for folder in self._folders:
            most = {"nothing": 0, "all bytes, no names": 0, "all names, no bytes": len(folder.waiting)}.get(mood)
            folder.sync(chance.randint(0, len(folder.waiting)) if most is None else most)

    def digest(self) -> str:
        """Return what tells this disk from every other one."""
        found = hashlib.sha256()
        _digest(self.root, "", found)
        return found.hexdigest()

    def build(self, place: Path) -> None:
        """Write what the disk holds to ``place``."""
        _build(self.root, place, {})


def _build(folder: Folder, place: Path, made: dict[int, Path]) -> None:
    place.mkdir()
    for name, node in folder.disk.items():
        target = place / name
        if isinstance(node, Folder):
            _build(node, target, made)
        elif isinstance(node, str):
            target.symlink_to(node)
        elif isinstance(node, File):
            if id(node) in made:
                os.link(made[id(node)], target)
            else:
                target.write_bytes(node.disk)
                made[id(node)] = target


def _digest(folder: Folder, path: str, found: hashlib._Hash) -> None:
    for name, node in sorted(folder.disk.items()):
        found.update(f"{path}/{name}\0{type(node).__name__}\0".encode())
        if isinstance(node, Folder):
            _digest(node, f"{path}/{name}", found)
        else:
            found.update(node.disk if isinstance(node, File) else str(node).encode())
