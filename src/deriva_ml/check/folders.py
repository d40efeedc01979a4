"""The folder of one execution against its record: the manifest, the bag of a commit, receipts; its files one by one."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from deriva_ml.bag import layout
from deriva_ml.bag.verify import problems_of
from deriva_ml.check.entries import OPEN, Folder, entry_problems, matches
from deriva_ml.check.findings import Finding, fatal, repairable
from deriva_ml.check.remedies import FOLDER, set_aside, write_manifest
from deriva_ml.errors import DerivaMLIntegrityError
from deriva_ml.execution.manifest import ALWAYS_UP_TO, Entry, EntryState, Mode, rebuild
from deriva_ml.execution.staging import MANIFEST
from deriva_ml.execution.states import ExecutionStatus
from deriva_ml.files import hash_file

_ASIDE = f"moves it into {FOLDER} and "


def folder_problems(folder: Folder, *, read_data: bool) -> Iterator[Finding]:
    """Yield what is wrong in one execution's folder."""
    places = [folder.path, *(folder.path / name for name in ("assets", "sealed", "commit"))]
    for place in places:
        own = place.is_dir() and (place == folder.path or not place.is_symlink())
        if not own and (place.exists() or place.is_symlink()):
            yield fatal(
                "folder", folder, f"{place} is not a folder of its own", "move it away, and put the folder back"
            )
            return
    if folder.status is not ExecutionStatus.Aborted:
        for entry in folder.entries:
            yield from entry_problems(folder, entry, read_data=read_data)
        yield from _manifest_problems(folder, [entry for entry in folder.entries if entry.state in OPEN])
    yield from _commit_problems(folder, read_data)


# ------------------------------------------------------------------------------------------------------------- manifest


def _manifest_problems(folder: Folder, waiting: Sequence[Entry]) -> Iterator[Finding]:
    path = folder.path / MANIFEST
    known = {entry.key: entry for entry in folder.entries}
    own = [entry for entry in waiting if entry.mode is not Mode.RECORD]
    anew = write_manifest(folder.workspace, folder.rid)
    replaced = write_manifest(folder.workspace, folder.rid, _ASIDE)
    if folder.manifest is None:
        if own and folder.quiet:
            yield repairable("manifest-gone", folder, f"{path} is missing", anew)
        return
    try:
        rid, listed = rebuild(folder.manifest)
    except (DerivaMLIntegrityError, ValueError) as error:
        yield repairable("manifest-torn", folder, f"{path}: {error}", replaced)
        return
    if rid != folder.rid:
        yield repairable("manifest-rid", folder, f"{path} is that of execution {rid}", replaced)
        return
    lost = sorted({entry.key for entry in listed} - known.keys())
    if lost:
        yield fatal(
            "manifest-more", folder, f"the store has lost {', '.join(lost[:5])}, which the manifest lists",
            f"restore a backup of store.sqlite, or register again what is in {folder.path / 'assets'}",
        )  # fmt: skip
    yield from _differences(folder, [(entry, known[entry.key]) for entry in listed if entry.key in known])
    unlisted = {entry.key for entry in own} - {entry.key for entry in listed}
    if unlisted and folder.quiet and len(folder.entries) <= ALWAYS_UP_TO:
        yield repairable("manifest-less", folder, f"the manifest lacks {', '.join(sorted(unlisted)[:5])}", anew)


def _differences(folder: Folder, pairs: Sequence[tuple[Entry, Entry]]) -> Iterator[Finding]:
    """Say where manifest and store speak of two contents; that the manifest lags behind in other facts is nothing."""
    for listed, entry in pairs:
        if listed.state is not EntryState.PENDING and entry.sha256 and listed.sha256 != entry.sha256:
            yield _two_checksums(folder, entry)
        if listed.rid and entry.rid and listed.rid != entry.rid and not entry.reused:
            two = f"{entry.label}: it is {listed.rid} in the manifest, {entry.rid} in the store"
            yield fatal("manifest-asset", folder, two, "`ml.lookup_asset(RID)` shows which of them the catalog has")


def _two_checksums(folder: Folder, entry: Entry) -> Finding:
    """Weigh a manifest that contradicts the store: where the sealed bytes agree with the store, the manifest is wrong."""
    text = f"{entry.label}: manifest and store have two checksums"
    sealed = folder.path / (entry.sealed or "")
    if entry.sealed and sealed.is_file() and matches(hash_file(sealed), entry):
        told = f"{text}, and the sealed bytes that of the store"
        return repairable("manifest-checksum", folder, told, write_manifest(folder.workspace, folder.rid, _ASIDE))
    return fatal("manifest-checksum", folder, text, "compare both with the bytes: `sha256sum`, `deriva-ml get`")


# --------------------------------------------------------------------------------------------------------------- commit


def _commit_problems(folder: Folder, read_data: bool) -> Iterator[Finding]:
    bag = folder.path / "commit" / "bag"
    if folder.quiet and bag.exists():
        for text in bag_problems(bag, read_data=read_data):
            aside = set_aside(folder.workspace, bag, folder.rid, "; the next commit writes it anew")
            yield repairable("commit-bag", folder, f"{bag}: {text}", aside)
    for receipt in sorted((folder.path / "commit").glob("receipt-*.json")):
        if not _is_receipt(receipt, folder.rid):
            aside = set_aside(folder.workspace, receipt, folder.rid, "; the catalog has the facts")
            yield repairable("receipt", folder, f"{receipt} is no receipt of this execution", aside)


def _is_receipt(path: Path, rid: str) -> bool:
    try:
        return bool(json.loads(path.read_bytes()).get("execution") == rid)
    except (ValueError, AttributeError):
        return False


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
