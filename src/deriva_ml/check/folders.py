"""The folder of one execution against its record: manifest, staged and sealed bytes, the bag of a commit."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from deriva_ml.bag import layout
from deriva_ml.bag.verify import problems_of
from deriva_ml.check.findings import Finding, fatal, repairable
from deriva_ml.errors import DerivaMLIntegrityError
from deriva_ml.execution.manifest import ALWAYS_UP_TO, Entry, EntryState, Mode, rebuild
from deriva_ml.execution.staging import MANIFEST, has_changed, stamp
from deriva_ml.execution.states import ExecutionStatus
from deriva_ml.files import Digest, hash_file

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

    def __str__(self) -> str:
        return f"execution {self.rid}"


def folder_problems(folder: Folder, *, read_data: bool) -> Iterator[Finding]:
    """Yield what is wrong in one execution's folder."""
    waiting = [entry for entry in folder.entries if entry.state in OPEN]
    if folder.path.exists() and not folder.path.is_dir():
        yield fatal("folder", folder, f"{folder.path} is not a folder")
        return
    for name in ("assets", "sealed", "commit"):
        place = folder.path / name
        if place.is_symlink() or (place.exists() and not place.is_dir()):
            yield fatal("folder", folder, f"{place} is not a folder of its own")
            return
    if folder.status is not S.Aborted:
        for entry in folder.entries:
            yield from _entry_problems(folder, entry, read_data)
        yield from _manifest_problems(folder, waiting)
    yield from _commit_problems(folder, read_data)


# -------------------------------------------------------------------------------------------------------------- entries


def _entry_problems(folder: Folder, entry: Entry, read_data: bool) -> Iterator[Finding]:
    if entry.state is EntryState.PENDING:
        yield from _staged_problems(folder, entry)
    elif entry.sealed and entry.state in (EntryState.SEALED, EntryState.UPLOADED):
        yield from _sealed_problems(folder, entry, folder.path / entry.sealed, read_data)


def _staged_problems(folder: Folder, entry: Entry) -> Iterator[Finding]:
    path = folder.path / entry.staged
    if path.is_symlink() and entry.mode is not Mode.LINK:
        yield fatal("staged-link", folder, f"{entry.label}: its staged file is a symbolic link")
    elif entry.mode is Mode.LINK and path.exists() and not path.is_symlink():
        yield repairable("staged-no-link", folder, f"{entry.label}: {path} is no link to {entry.source} any more")
    elif path.exists():
        if not path.is_file():
            yield fatal("staged-kind", folder, f"{entry.label}: {path} is not a regular file")
        elif has_changed(entry, stamp(path)) and _namesakes(folder, entry) > 1:
            yield fatal(
                "staged-reused", folder, f"{entry.label}: {entry.source} was registered twice and has changed since"
            )
    elif entry.mode is Mode.LINK and path.is_symlink():
        yield fatal("staged-source", folder, f"{entry.label}: the registered file {entry.source} is not there any more")
    elif entry.mode is Mode.LINK:
        yield repairable(
            "staged-unlinked", folder, f"{entry.label}: the link {path} is gone", "register the file again"
        )
    elif entry.mode in (Mode.COPY, Mode.RECORD):
        yield fatal("staged-copy", folder, f"{entry.label}: its copy {path} is gone")
    elif folder.quiet and folder.status in (S.Stopped, S.Uploaded):
        yield repairable("staged-unwritten", folder, f"{entry.label}: registered, and never written to {path}",
                         "write it, or `exe.discard_asset(path)`")  # fmt: skip


def _namesakes(folder: Folder, entry: Entry) -> int:
    return sum(other.source == entry.source for other in folder.entries)


def _sealed_problems(folder: Folder, entry: Entry, path: Path, read_data: bool) -> Iterator[Finding]:
    gone = entry.state is EntryState.UPLOADED
    advice = "the embedded catalog may share these bytes: compare with `deriva-ml get`" if gone else ""
    if path.is_symlink() or (path.exists() and not path.is_file()):
        yield fatal("sealed-kind", folder, f"{entry.label}: {path} is not a regular file")
    elif not path.exists():
        if not gone:
            yield fatal("sealed-gone", folder, f"{entry.label}: its sealed copy {path} is gone")
    elif path.stat().st_size != entry.length:
        yield fatal(
            "sealed-length",
            folder,
            f"{entry.label}: {path} has {path.stat().st_size} bytes, not {entry.length}",
            advice,
        )
    elif read_data and not _same(hash_file(path), entry):
        yield fatal("sealed-bytes", folder, f"{entry.label}: {path} has other bytes than were sealed", advice)


def _same(found: Digest, entry: Entry) -> bool:
    return (found.md5, found.sha256) == (entry.md5, entry.sha256)


# ------------------------------------------------------------------------------------------------------------- manifest


def _manifest_problems(folder: Folder, waiting: Sequence[Entry]) -> Iterator[Finding]:
    path = folder.path / MANIFEST
    known = {entry.key: entry for entry in folder.entries}
    own = [entry for entry in waiting if entry.mode is not Mode.RECORD]
    advice = "the next commit or resume writes it anew from the store"
    if not path.is_file():
        if own and folder.quiet:
            yield repairable("manifest-gone", folder, f"{path} is missing", advice)
        return
    try:
        rid, listed = rebuild(path.read_bytes())
    except (DerivaMLIntegrityError, ValueError) as error:
        yield repairable("manifest-torn", folder, f"{path}: {error}", advice)
        return
    if rid != folder.rid:
        yield repairable("manifest-rid", folder, f"{path} is that of execution {rid}", advice)
    lost = sorted({entry.key for entry in listed} - known.keys())
    if lost:
        yield fatal("manifest-more", folder, f"the store has lost {', '.join(lost[:5])}, which the manifest lists")
    yield from _differences(folder, [(entry, known[entry.key]) for entry in listed if entry.key in known])
    unlisted = {entry.key for entry in own} - {entry.key for entry in listed}
    if unlisted and folder.quiet and len(folder.entries) <= ALWAYS_UP_TO:
        yield repairable("manifest-less", folder, f"the manifest lacks {', '.join(sorted(unlisted)[:5])}", advice)


def _differences(folder: Folder, pairs: Sequence[tuple[Entry, Entry]]) -> Iterator[Finding]:
    """Say where manifest and store speak of two contents; that the manifest lags behind in other facts is nothing."""
    for listed, entry in pairs:
        if listed.sha256 and entry.sha256 and listed.sha256 != entry.sha256:
            yield fatal("manifest-checksum", folder, f"{entry.label}: manifest and store have two checksums")
        if listed.rid and entry.rid and listed.rid != entry.rid and not entry.reused:
            yield fatal(
                "manifest-asset", folder, f"{entry.label}: it is {listed.rid} in the manifest, {entry.rid} in the store"
            )


# --------------------------------------------------------------------------------------------------------------- commit


def _commit_problems(folder: Folder, read_data: bool) -> Iterator[Finding]:
    bag = folder.path / "commit" / "bag"
    if folder.quiet and bag.exists():
        for text in bag_problems(bag, read_data=read_data):
            yield repairable("commit-bag", folder, f"{bag}: {text}", "the next commit writes it anew")
    for receipt in sorted((folder.path / "commit").glob("receipt-*.json")):
        try:
            whole = json.loads(receipt.read_bytes()).get("execution") == folder.rid
        except (ValueError, AttributeError):
            whole = False
        if not whole:
            yield repairable(
                "receipt", folder, f"{receipt} is no receipt of this execution", "the catalog has the facts"
            )


def bag_problems(bag: Path, *, read_data: bool) -> Iterator[str]:
    """Yield what is wrong with a bag: all with ``read_data``, else what can be told without reading its payload."""
    try:
        if read_data:
            yield from problems_of(bag, holes=(bag / "fetch.txt").is_file())
        else:
            yield from _outline(bag)
    except (DerivaMLIntegrityError, UnicodeDecodeError) as error:
        yield str(error)


def _outline(bag: Path) -> Iterator[str]:
    """Compare what the manifests list with the files that are there."""
    missing = [name for name in ("bagit.txt", "bag-info.txt", layout.PAYLOAD) if not (bag / name).exists()]
    lists = [path for name in layout.ALGORITHMS if (path := bag / f"manifest-{name}.txt").is_file()]
    if missing or not lists:
        yield f"{' and '.join(missing) or 'every manifest'} missing: this is not a bag"
        return
    listed = set().union(*(layout.parse_manifest(path.read_text("utf-8"), path.name) for path in lists))
    fetch = bag / "fetch.txt"
    holes = set(layout.parse_fetch(fetch.read_text("utf-8"))) if fetch.is_file() else set()
    present = {path.relative_to(bag).as_posix(): path for path in (bag / layout.PAYLOAD).rglob("*") if path.is_file()}
    yield from (f"{path}: missing" for path in sorted(listed - holes - present.keys()))
    yield from (f"{path}: present, but in no manifest" for path in sorted(present.keys() - listed))
    info = dict(line.partition(": ")[::2] for line in (bag / "bag-info.txt").read_text("utf-8").splitlines())
    size = sum(path.stat().st_size for path in present.values())
    if not holes and info.get("Payload-Oxum", "").partition(".")[0] != str(size):
        yield f"its payload has {size} bytes, not {info.get('Payload-Oxum', 'as many as it should')}"
