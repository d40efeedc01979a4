"""The files of one execution's assets against their record: staged, linked, copied and sealed bytes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from deriva_ml.check.findings import Finding, fatal, note, repairable
from deriva_ml.check.remedies import FOLDER, link_again, seal_again, set_aside
from deriva_ml.clock import from_iso
from deriva_ml.environment.host import is_here, may_live
from deriva_ml.execution.manifest import Entry, EntryState, Mode
from deriva_ml.execution.seal import logged_again
from deriva_ml.execution.staged import Staged
from deriva_ml.execution.staging import MANIFEST, has_changed, stamp, was_written
from deriva_ml.execution.states import ExecutionStatus
from deriva_ml.execution.store import ExecutionStore, Registered
from deriva_ml.files import Digest, hash_file, sha256_of

S = ExecutionStatus
OPEN = (EntryState.PENDING, EntryState.SEALED)


@dataclass(frozen=True, slots=True)
class Folder:
    """One execution's folder with what the store says of it; ``quiet`` when no living process works in it."""

    path: Path
    rid: str
    status: ExecutionStatus
    entries: Sequence[Entry]
    quiet: bool
    ended: float | None = None
    """When the run ended, in seconds since 1970; None for one that goes on, or of which nobody knows."""
    owned: bool = False
    """Whether the process that ran it may still be alive, as that of a notebook is, and go on with it without a lock."""
    staged: Staged | None = None
    manifest: bytes | None = None
    """The text of the manifest, read before the entries: what it lists, they have; None where there is no such file."""

    @classmethod
    def of(cls, store: ExecutionStore, found: Registered, *, quiet: bool) -> Folder:
        """Return the folder of an execution of ``store``."""
        path = store.folder(found.rid)
        manifest = (path / MANIFEST).read_bytes() if (path / MANIFEST).is_file() else None
        ended = from_iso(found.stop_time).timestamp() if found.stop_time else None
        staged = Staged(store, found.rid)
        owned = is_here(found.owner) and may_live(found.owner)
        return cls(path, found.rid, found.status, staged.entries(), quiet, ended, owned, staged, manifest)

    @property
    def workspace(self) -> Path:
        """The workspace that it lies in."""
        return self.path.parents[1]

    def __str__(self) -> str:
        return f"execution {self.rid}"


def entry_problems(folder: Folder, entry: Entry, *, read_data: bool) -> Iterator[Finding]:
    """Yield what is wrong with the file of one asset."""
    if entry.state is EntryState.PENDING and entry.mode is Mode.LINK:
        yield from _link_problems(folder, entry, folder.path / entry.staged, Path(entry.source or ""))
    elif entry.state is EntryState.PENDING:
        yield from _staged_problems(folder, entry, folder.path / entry.staged, read_data)
    elif entry.sealed and entry.state in (EntryState.SEALED, EntryState.UPLOADED):
        yield from _sealed_problems(folder, entry, folder.path / entry.sealed, read_data)


# --------------------------------------------------------------------------------------------------------------- staged


def _link_problems(folder: Folder, entry: Entry, path: Path, source: Path) -> Iterator[Finding]:
    again = partial(link_again, folder.workspace, folder.rid, entry.key)
    if not source.exists():
        copy = f"; what is at {path} may be a copy of it" if path.is_file() else ""
        gone = f"{entry.label}: the registered file {source} is not there any more{copy}"
        yield fatal("staged-source", folder, gone, "put it back, or `exe.discard_asset(path)`")
    elif not source.is_file():
        yield fatal("staged-kind", folder, f"{entry.label}: {source} is not a regular file", "put the file back")
    elif not path.is_symlink() and path.exists():
        aside = f"moves that into {FOLDER} and "
        yield repairable(
            "staged-no-link", folder, f"{entry.label}: {path} is no link to {source} any more", again(aside)
        )
    elif not path.is_symlink():
        yield repairable("staged-unlinked", folder, f"{entry.label}: the link {path} is gone", again())
    elif path.readlink() != source:
        yield repairable(
            "staged-astray", folder, f"{entry.label}: {path} leads to {path.readlink()}, not to {source}", again()
        )
    elif has_changed(entry, stamp(path)) and _namesakes(folder, entry) > 1:
        changed = f"{entry.label}: {source} was registered twice and has changed since"
        yield fatal("staged-reused", folder, changed, "what it was before is gone: `exe.discard_asset(path)`")


def _staged_problems(folder: Folder, entry: Entry, path: Path, read_data: bool) -> Iterator[Finding]:
    if path.is_symlink():
        if entry.mode is not Mode.NEW or (folder.quiet and not _users_own_link(folder, path)):
            link = f"{entry.label}: its staged file is a symbolic link to {path.readlink()}"
            yield fatal("staged-link", folder, link, f"put the file itself back in the place of {path}")
    elif path.exists() and not path.is_file():
        yield fatal("staged-kind", folder, f"{entry.label}: {path} is not a regular file", "put the file back there")
    elif path.exists():
        yield from _bytes_problems(folder, entry, path, read_data)
    elif entry.mode in (Mode.COPY, Mode.RECORD):
        yield fatal(
            "staged-copy",
            folder,
            f"{entry.label}: its copy {path} is gone",
            "`exe.discard_asset(path)`, then register it again",
        )
    elif entry.sha256 is not None:
        gone = f"{entry.label}: {path} is gone, which the run left with {entry.length:,} bytes"
        yield fatal("staged-bytes", folder, gone, "put it back from a backup, or `exe.discard_asset(path)`")
    elif folder.quiet and folder.status in (S.Stopped, S.Uploaded):
        unwritten = f"{entry.label}: registered, and never written to {path}"
        if folder.owned:
            yield note("staged-unwritten", folder, f"{unwritten}; the program that registered it may be about to")
            return
        yield repairable("staged-unwritten", folder, unwritten, "write it, or `exe.discard_asset(path)`")


def _bytes_problems(folder: Folder, entry: Entry, path: Path, read_data: bool) -> Iterator[Finding]:
    """Say where a file that waits is not what the run left."""
    if entry.sha256 is None or not folder.quiet:
        return
    if path.stat().st_size == entry.length and not (read_data and sha256_of(path) != entry.sha256):
        return
    text = f"{entry.label}: {path} has other bytes than the run left there"
    if was_written(entry, stamp(path)):
        commit = f"if that was you, `deriva-ml upload --execution {folder.rid}` commits it as it is; else put it back from a backup"
        yield repairable("staged-changed", folder, f"{text}: it was written to after the end of the run", commit)
    else:
        again = "put it back from a backup, or `exe.discard_asset(path)`"
        yield fatal("staged-bytes", folder, f"{text}, and nobody wrote to it", again)


def _users_own_link(folder: Folder, path: Path) -> bool:
    """Return whether the run itself may have put a link to a file into the place of its output, as some programs do."""
    return path.is_file() and (folder.ended is None or path.lstat().st_mtime <= folder.ended)


def _namesakes(folder: Folder, entry: Entry) -> int:
    return sum(other.source == entry.source for other in folder.entries)


# --------------------------------------------------------------------------------------------------------------- sealed


def _sealed_problems(folder: Folder, entry: Entry, path: Path, read_data: bool) -> Iterator[Finding]:
    kind, wrong = _wrong(entry, path, read_data)
    text = f"{entry.label}: {path} {wrong}"
    if not kind or (kind == "sealed-gone" and entry.state is EntryState.UPLOADED):
        return
    if entry.state is EntryState.UPLOADED:
        yield _copy_of_what_is_there(folder, path, kind, text)
    elif is_whole(entry, folder.path / entry.staged, path) or remade(folder, entry):
        yield repairable(kind, folder, text, seal_again(folder.workspace, folder.rid, entry.key))
    else:
        yield fatal(kind, folder, text, "put the file back from a backup, or `exe.discard_asset(path)`")


def _wrong(entry: Entry, path: Path, read_data: bool) -> tuple[str, str]:
    """Return the kind of what is wrong with a sealed copy, and how one says it; both empty for nothing."""
    if path.is_symlink() or (path.exists() and not path.is_file()):
        return "sealed-kind", "is not a regular file"
    if not path.exists():
        return "sealed-gone", "is gone"
    if path.stat().st_size != entry.length:
        return "sealed-length", f"has {path.stat().st_size} bytes, not {entry.length}"
    if read_data and not matches(hash_file(path), entry):
        return "sealed-bytes", "has other bytes than were sealed"
    return "", ""


def _copy_of_what_is_there(folder: Folder, path: Path, kind: str, text: str) -> Finding:
    """Weigh a damaged copy of what the catalog has: alone it is of no use, but the embedded catalog may have the very same bytes."""
    if path.is_file() and not path.is_symlink() and path.stat().st_nlink > 1:
        shared = "the embedded catalog may share these bytes: compare with `deriva-ml get`"
        return fatal(kind, folder, text, shared)
    return repairable(kind, folder, f"{text}; the catalog has the file", set_aside(folder.workspace, path, folder.rid))


def is_whole(entry: Entry, staged: Path, sealed: Path) -> bool:
    """Return whether the staged file still has the bytes that were sealed."""
    if staged == sealed or not staged.is_file() or staged.stat().st_size != entry.length:
        return False
    return matches(hash_file(staged), entry)


def remade(folder: Folder, entry: Entry) -> bytes:
    """Return what was sealed, made once more of what the run has logged; empty where that does not give the very bytes."""
    content = logged_again(folder.staged, entry) if folder.staged is not None else b""
    return content if hashlib.sha256(content).hexdigest() == entry.sha256 else b""


def matches(found: Digest, entry: Entry) -> bool:
    """Return whether these are the bytes that were sealed."""
    return (found.md5, found.sha256, found.length) == (entry.md5, entry.sha256, entry.length)
