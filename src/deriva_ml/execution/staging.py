"""Registering the assets of a run: a place to write a new file, a link to an existing one, or a copy of it.

The user's file is never moved, changed or written through. File first, row second, then the readable manifest.
"""

from __future__ import annotations

import os
import re
import secrets
import stat
import threading
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import apsw

from deriva_ml.catalog.model import TableModel
from deriva_ml.clock import from_iso
from deriva_ml.errors import DerivaMLValidationError
from deriva_ml.execution import manifest
from deriva_ml.execution.manifest import Entry, EntryState, Mode
from deriva_ml.execution.staged import Staged
from deriva_ml.files import Digest, copy_hashed, fsync_folder, make_folder, sha256_of, sync, sync_files, write_whole
from deriva_ml.forks import generation
from deriva_ml.names import safe_file_name

MANIFEST = "asset-manifest.json"
COPYING = re.compile(r"\.[0-9a-f]{16}\.copy")
"""What a copy is called that is not registered yet."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What the user says of an asset; None where nothing was said."""

    types: tuple[str, ...] | None = None
    metadata: Mapping[str, Any] | None = None
    description: str | None = None

    def applied(self, entry: Entry) -> Entry:
        """Return ``entry`` with what was said."""
        return replace(
            entry,
            asset_types=entry.asset_types if self.types is None else self.types,
            metadata=entry.metadata if self.metadata is None else dict(self.metadata),
            description=entry.description if self.description is None else self.description,
        )


@dataclass(frozen=True, slots=True)
class _Ready:
    """A file of the user's that is about to be registered; ``copy`` is its copy, when one was asked for, and ``digest`` that of its bytes."""

    path: Path
    name: str
    stamp: str
    copy: Path | None = None
    digest: Digest | None = None

    @property
    def is_gone(self) -> bool:
        """Whether the copy was tidied away with the folder in which it waited."""
        return self.copy is not None and not self.copy.exists()


class Staging:
    """The staging area of one execution, in its folder."""

    def __init__(self, staged: Staged, folder: Path, created_at: str) -> None:
        self.staged = staged
        self.folder = folder
        self._created = from_iso(created_at).timestamp()
        self._written_at = 0
        self._count = staged.count()
        self._guards: dict[int, AbstractContextManager[bool]] = {}
        self._tidied: dict[Path, bool] = {}
        self._synced: dict[Path, str] = {}
        """The stamps of linked and of new files when they were brought to the disk."""

    def _guard(self) -> AbstractContextManager[bool]:
        """Return what one thread at a time holds: this process's own, as a forked child inherits a held one for ever."""
        found = self._guards.get(generation())
        return self._guards.setdefault(generation(), threading.RLock()) if found is None else found

    # ---------------------------------------------------------------------------------------------------- registering

    def new(self, table: TableModel, name: str, wish: Wish) -> Entry:
        """Register a file to be written, whatever the working directory holds; the same name gives the same place.

        Raises:
            DerivaMLValidationError: ``name`` does not name a place inside the staging folder.
        """
        parts = _inside(name)
        self.staged.refuse_given_up()
        key = "/".join([table.name.name, *parts])
        self._folder(self.folder / "assets" / key)  # before others wait for the store
        with self._guard(), self.staged.writing() as connection:
            entry = self._open_entry(table, key, parts[-1], Mode.NEW, None)
            self._folder(self.folder / entry.staged)
            saved = self.staged.write(connection, wish.applied(_open(entry)))
        self._registered()
        return saved

    def existing(self, table: TableModel, source: Path, name: str, wish: Wish, *, copy: bool) -> Entry:
        """Register a file that is there: by a symbolic link, or a copy. The same file again renews its entry.

        Raises:
            DerivaMLValidationError: the name is none, the file is not a regular one, or it was registered under another
                name and has changed since.
        """
        return self.existing_many(table, [(source, name)], wish, copy=copy)[0]

    def existing_many(
        self, table: TableModel, sources: Sequence[tuple[Path, str]], wish: Wish, *, copy: bool
    ) -> list[Entry]:
        """Register files that are there, each under its name, all or none; raises as :meth:`existing` does."""
        self.staged.refuse_given_up()
        placed: list[_Ready] = []
        try:
            placed += (self._ready(table, source, name, copy) for source, name in sources)
            return self._take_all(table, placed, wish, copy)
        except BaseException:
            for each in placed:
                if each.copy is not None:
                    each.copy.unlink(missing_ok=True)
            raise

    def _take_all(self, table: TableModel, placed: list[_Ready], wish: Wish, copy: bool) -> list[Entry]:
        self._sync_linked([each for each in placed if each.copy is None])
        with self._guard(), self.staged.writing() as connection:
            self.staged.refuse_given_up()  # whoever makes room may have forgotten it since
            placed[:] = [self._ready(table, each.path, each.name, True) if each.is_gone else each for each in placed]
            saved = [self._take(connection, table, each, wish) for each in placed]
        self._registered()
        return saved

    def _ready(self, table: TableModel, source: Path, name: str, copy: bool) -> _Ready:
        safe_file_name(name)
        now = _regular(source)
        self._folder(self.folder / "assets" / table.name.name / name)
        path = Path(os.path.abspath(source))  # noqa: PTH100 - links on the way stay as the user named them
        return _Ready(path, name, now, *(self._copied(path, table) if copy or self._is_tidied(path.parent) else ()))

    def _is_tidied(self, folder: Path) -> bool:
        """Return whether a folder is one of deriva-ml's own, and of another run: files there go when that is committed."""
        if folder not in self._tidied:
            real, own = folder.resolve(), self.folder.resolve()
            self._tidied[folder] = real.is_relative_to(own.parents[2]) and not real.is_relative_to(own)
        return self._tidied[folder]

    def _sync_linked(self, files: Sequence[_Ready]) -> None:
        """Bring files of the user's to the disk, as registering them acknowledges their bytes; each once for as long as it stays the same."""
        stamps = {each.path: each.stamp for each in files if self._synced.get(each.path) != each.stamp}
        if stamps:
            sync_files(stamps)
            self._synced |= stamps

    def _take(self, connection: apsw.Connection, table: TableModel, ready: _Ready, wish: Wish) -> Entry:
        self._refuse_reused_path(ready, table.name.name)
        mode = Mode.LINK if ready.copy is None else Mode.COPY
        entry = self._open_entry(table, f"{table.name.name}/{ready.name}", ready.name, mode, str(ready.path))
        self._place(self.folder / entry.staged, ready)
        entry = replace(_open(entry), mode=mode, source_stamp=ready.stamp)
        if ready.digest is not None:
            entry = replace(entry, sha256=ready.digest.sha256, length=ready.digest.length)
        return self.staged.write(connection, wish.applied(entry))

    def change(self, key: str, wish: Wish, *, written: bool = False) -> Entry:
        """Change what is said of a registered asset; ``written``: its file is about to be written again.

        Raises:
            DerivaMLValidationError: it is in the catalog already.
        """
        with self._guard(), self.staged.writing() as connection:
            entry = self.staged.entry(key)
            if entry is None or entry.state is EntryState.UPLOADED:
                raise DerivaMLValidationError(
                    f"{key} is in the catalog already: change the asset itself, with `ml.lookup_asset(rid)`."
                )
            saved = self.staged.write(connection, wish.applied(_open(entry) if written else entry))
        self._registered()
        return saved

    def renewed(self, table: TableModel, name: str) -> Entry | None:
        """Return the entry that ``name`` already names as a new file or as a staged path, still open for writing."""
        absolute = Path(name).is_absolute()
        found = self._within(Path(name)) if absolute else self._open_new(f"{table.name.name}/{name}")
        if found is None or found.state is not EntryState.PENDING:
            return None
        return found if (found.schema, found.table) == (table.name.schema, table.name.name) else None

    def _open_new(self, key: str) -> Entry | None:
        return next((each for each in self.staged.namesakes(key) if each.mode is Mode.NEW), None)

    def find(self, path: str | os.PathLike[str]) -> Entry | None:
        """Return the asset that ``path`` names: by its staged place, or by the user's file; the newest when several do."""
        text = os.path.abspath(os.fspath(path))  # noqa: PTH100 - as it was registered, links kept
        named = [self._within(Path(text)), *reversed(self.staged.from_source(text))]
        return next((entry for entry in named if entry is not None and entry.state is not EntryState.DROPPED), None)

    def _within(self, path: Path) -> Entry | None:
        if not path.is_relative_to(self.folder):
            return None
        found = self.staged.at(path.relative_to(self.folder).as_posix())
        return found[-1] if found else None

    def _open_entry(self, table: TableModel, key: str, name: str, mode: Mode, source: str | None) -> Entry:
        """Return the entry to write: the one of this name and origin while it is open, else the first free namesake.

        Two files of one name from two places are two assets; what a commit has sealed is not touched any more.
        """
        for found in self.staged.namesakes(key):
            if source not in {None, found.source}:
                continue
            same = (found.schema, found.table, found.file_name) == (table.name.schema, table.name.name, name)
            if same and found.state is EntryState.PENDING and (found.mode is Mode.NEW) == (mode is Mode.NEW):
                return found
        self._count += 1
        free = self._free_key(key)
        return Entry(free, table.name.schema, table.name.name, name, mode, f"assets/{free}", source)

    def fresh(self, table: TableModel, name: str) -> Entry:
        """Return an entry of its own for a new file, though the name may be taken; inside ``staged.writing()``."""
        self._count += 1
        free = self._free_key(f"{table.name.name}/{name}")
        return Entry(free, table.name.schema, table.name.name, name, Mode.NEW, f"assets/{free}")

    def _free_key(self, key: str) -> str:
        if self.staged.entry(key) is None:
            return key
        number = self.staged.count_namesakes(key) + 1
        while self.staged.entry(manifest.numbered(key, number)) is not None:
            number += 1
        return manifest.numbered(key, number)

    # ---------------------------------------------------------------------------------------------------------- files

    def _place(self, target: Path, ready: _Ready) -> None:
        """Put a link to the user's file, or its copy, in the place of ``target``, which may be an older link."""
        self._folder(target)
        if ready.copy is None:
            link(ready.path, target)  # not synced: the store's row is enough to make it again
            return
        ready.copy.replace(target)
        fsync_folder(target.parent)

    def _copied(self, source: Path, table: TableModel) -> tuple[Path, Digest]:
        """Copy the user's file into the staging folder, under a name of its own, and return that, and what it holds."""
        target = self.folder / "assets" / table.name.name / f".{secrets.token_hex(8)}.copy"
        while True:
            self._folder(target)
            try:
                return target, copy_hashed(source, target)
            except FileNotFoundError:
                if not source.exists():  # else somebody has made room meanwhile
                    raise

    def _folder(self, target: Path) -> None:
        make_folder(target.parent)  # whoever makes room may have removed it since

    def _refuse_reused_path(self, ready: _Ready, table: str) -> None:
        for earlier in self.staged.outdated(str(ready.path), ready.stamp):
            if (earlier.table, earlier.file_name) != (table, ready.name):
                raise DerivaMLValidationError(reused_path(ready.path, earlier))

    # ------------------------------------------------------------------------------------------------------- manifest

    def _registered(self) -> None:
        if manifest.due(self._count, self._written_at):
            self.write_manifest()
            self._written_at = self._count

    def write_manifest(self) -> None:
        """Write ``asset-manifest.json`` from the store, whole or not at all, unless that is what it says already.

        After a power cut it may be the one from before: it is a copy of the store, which is durable.
        """
        with self._guard():
            make_folder(self.folder)
            path, document = self.folder / MANIFEST, manifest.document(self.staged.rid, self.staged.entries())
            if not path.exists() or path.read_bytes() != document:
                write_whole(path, document, name_durable=False)

    def sync(self) -> None:
        """Bring to the disk what was written to the staged paths, note its checksums, and write the manifest."""
        pending = self.staged.entries(EntryState.PENDING)
        self.sync_written(pending)
        self.staged.note_bytes(filter(None, map(self._as_left, pending)))
        self.write_manifest()

    def _as_left(self, entry: Entry) -> Entry | None:
        """Return the entry of a new file with what it holds now; None where it is not there, or being written."""
        path = self.folder / entry.staged
        if entry.mode is not Mode.NEW or not path.is_file():
            return None
        before = stamp(path)
        left = replace(entry, source_stamp=before, sha256=sha256_of(path), length=path.stat().st_size)
        return left if stamp(path) == before else None

    def sync_written(self, entries: Iterable[Entry], *, once: bool = False) -> None:
        """Bring to the disk what was written to those of these new files that are there.

        With ``once`` those are left out that look as they did when they were brought there: enough where nothing is
        acknowledged yet, as a clock that ticks slowly hides a change.
        """
        there = {
            path: stamp(path)
            for each in entries
            if (each.mode, each.state) == (Mode.NEW, EntryState.PENDING)
            and (path := self.folder / each.staged).is_file()
        }
        written = {path: now for path, now in there.items() if not once or self._synced.get(path) != now}
        for path in written:
            with path.open("rb") as file:
                sync(file.fileno())
        for folder in {path.parent for path in written}:  # a file without its name is lost as well
            fsync_folder(folder)
        self._synced |= written

    def existed_before_the_run(self, source: Path) -> bool:
        """Return whether a file was last written before the execution was created."""
        return source.stat().st_mtime < self._created


def stamp(path: Path) -> str:
    """Return what changes when a file is written again."""
    return _stamp(path.stat())


def _stamp(found: os.stat_result) -> str:
    return f"{found.st_size}:{found.st_mtime_ns}:{found.st_ino}"


def file_of(stamp: str) -> str:
    """Return which file a stamp is of, whatever it is called and holds."""
    return f"inode {stamp.rpartition(':')[2]}"


def link(source: Path, target: Path) -> None:
    """Make ``target`` a symbolic link to ``source``, in the place of an older one."""
    try:
        target.symlink_to(source)
    except FileExistsError:
        beside = target.with_name(f".{secrets.token_hex(8)}.link")
        beside.symlink_to(source)
        beside.replace(target)


def _open(entry: Entry) -> Entry:
    """Return the entry of a file that may become another: what was noted of its bytes goes."""
    return replace(entry, source_stamp=None, sha256=None, length=None)


def was_written(entry: Entry, now: str) -> bool:
    """Return whether a staged file, whose stamp is ``now``, was written to since the run left it."""
    return entry.mode is Mode.NEW and is_another(entry.source_stamp or "", now)


def is_another(before: str, now: str) -> bool:
    """Return whether a file, whose stamp was ``before``, was written to. Bringing back a backup is no writing."""
    return before.rpartition(":")[0] != now.rpartition(":")[0]


def has_changed(entry: Entry, now: str) -> bool:
    """Return whether a linked file that waits to be sealed is no longer what was registered."""
    return entry.mode is Mode.LINK and entry.state is EntryState.PENDING and entry.source_stamp != now


def reused_path(path: Path, earlier: Entry) -> str:
    """Return what to say of a path that was registered under two names with two contents."""
    return (
        f"{path} was registered as {earlier.label} and has changed since: the link would now show the new content under both names. "
        "Register each version with copy_file=True, which keeps it as it is."
    )


def _regular(source: Path) -> str:
    """Return the stamp of a regular file; anything else cannot be registered."""
    try:
        found = source.stat()
    except OSError as error:
        raise DerivaMLValidationError(f"{source} cannot be registered: {error.strerror}.") from error
    if not stat.S_ISREG(found.st_mode):
        what = "a folder: register its files one by one" if stat.S_ISDIR(found.st_mode) else "not a regular file"
        raise DerivaMLValidationError(f"{source} cannot be registered: it is {what}.")
    return _stamp(found)


def _inside(name: str) -> tuple[str, ...]:
    """Return the parts of a relative path that stays inside the staging folder."""
    path = Path(name)
    if path.is_absolute():
        raise DerivaMLValidationError(
            f"There is no file {name}. An absolute path names an existing file to register; a new file is named relative, like {path.name!r}."
        )
    return tuple(safe_file_name(part) for part in path.parts) or (safe_file_name(name),)
