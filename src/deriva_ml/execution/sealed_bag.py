"""A run as one file for a machine that can reach the catalog: everything staged, with the record of the run.

The archive is a BDBag. ``data/execution.json`` is the record, ``data/entries.jsonl`` and ``data/features.jsonl`` what is
staged, ``data/assets/<Table>/<entry>/<Filename>`` the sealed bytes. Entries have the ids of this workspace; whoever loads
the bag asks the catalog for their RIDs.
"""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from deriva_ml.bag import layout
from deriva_ml.bag.archive import pack
from deriva_ml.bag.write import Payload, write_bag
from deriva_ml.errors import DerivaMLValidationError, InvalidTransitionError
from deriva_ml.execution import liveness
from deriva_ml.execution.begin_away import WAITING_INPUTS
from deriva_ml.execution.commit import end_run
from deriva_ml.execution.manifest import Entry, EntryState
from deriva_ml.execution.run import Run
from deriva_ml.execution.seal import check, seal
from deriva_ml.execution.staged import StagedFeature
from deriva_ml.execution.states import COMMITTABLE, ExecutionStatus, allowed
from deriva_ml.files import hash_file, make_folder, write_whole

FORMAT = 1
FOLDER = "sealed-bags"
RECORD, ENTRIES, FEATURES = "execution.json", "entries.jsonl", "features.jsonl"


def seal_bag(run: Run, target: Path | None = None) -> Path:
    """Write everything that ``run`` has staged into one archive and return its path; a run that goes on is ended first.

    The run can still be committed here, and sealed again: the catalog ends the same.

    Raises:
        InvalidTransitionError: the execution never ran, or was aborted.
        DerivaMLUploadError: a file is missing, or a value is not complete.
        DerivaMLBusyError: another process commits this execution, or still runs it.
        DerivaMLValidationError: this is a dry run, or ``target`` exists.
    """
    if run.dry:
        raise DerivaMLValidationError("A dry run leaves nothing behind, so there is nothing to seal.")
    bag = str(uuid.uuid4())
    archive = target or run.store.workspace / FOLDER / f"execution-{run.rid}-{bag[:8]}.zip"
    if archive.exists():
        raise DerivaMLValidationError(f"{archive} exists: choose another name for the sealed bag.")
    with liveness.holding(run.lock_file("commit"), f"Execution {run.rid} cannot be sealed"):
        end_run(run)
        status = run.registered.status
        if status not in COMMITTABLE:
            raise InvalidTransitionError(status, ExecutionStatus.Pending_Upload, allowed(status), run.rid)
        check(run)
        newest = run.staged.newest_feature()
        seal(run, None)
        run.staging.write_manifest()
        _write(run, bag, newest, archive)
        run.store.note(run.rid, "sealed bag", bag=bag, file=str(archive))
    return archive


def _write(run: Run, bag: str, newest: int, archive: Path) -> None:
    building = run.store.workspace / FOLDER / f".{bag}"
    make_folder(building)
    try:
        entries = run.staged.entries(EntryState.SEALED)
        keys = {entry.id: entry.key for entry in run.staged.entries()}
        write_whole(building / RECORD, json.dumps(_record(run, bag), indent=1).encode())
        _write_lines(building / ENTRIES, (described(entry) for entry in entries))
        _write_lines(building / FEATURES, _features(run, newest, keys))
        documents = [_document(building / name) for name in (RECORD, ENTRIES, FEATURES)]
        folder = building / f"execution-{bag}"
        write_bag(
            folder,
            tables=(),
            payloads=[*documents, *(_payload(run, entry) for entry in entries)],
            schema_document={"schemas": {}},
            info={
                "External-Identifier": f"urn:uuid:{bag}",
                "External-Description": f"Execution {run.rid} of catalog {run.session.catalog_id} of {run.session.host}, sealed",
            },
            durable=False,
        )
        pack(folder, archive)
    finally:
        shutil.rmtree(building, ignore_errors=True)


def _record(run: Run, bag: str) -> dict[str, Any]:
    """Return the document ``execution.json``: the store's record, its history, and what else a commit asks for."""
    inputs = [detail for step, detail in run.store.journal(run.rid) if step == "input"]
    waiting = [detail for step, detail in run.store.journal(run.rid) if step == WAITING_INPUTS]
    inputs += [{"asset": rid} for rid, *_ in run.staged.downloads()]
    return {
        "format": FORMAT,
        "bag": bag,
        "catalog": {"host": run.session.host, "id": run.session.catalog_id},
        "execution": asdict(run.registered),
        "history": run.store.history(run.rid),
        "inputs": inputs,
        "waiting": waiting,
        "parameters": run.staged.parameters(),
    }


def described(entry: Entry) -> dict[str, Any]:
    """Return an entry as a line of ``entries.jsonl``."""
    return {**asdict(entry), "file": file_path(entry)}


def file_path(entry: Entry) -> str:
    """Return where the bytes of an entry lie, below ``data/``."""
    return f"{layout.ASSETS}/{layout.folder_name(entry.table)}/{entry.id}/{entry.file_name}"


def _features(run: Run, newest: int, keys: Mapping[int, str]) -> Iterator[dict[str, Any]]:
    """Yield the staged feature values; assets are named by their keys, which are the same everywhere."""
    for table in run.staged.feature_tables(newest):
        for feature in run.staged.features(table, newest):
            yield _feature(feature, keys)


def _feature(feature: StagedFeature, keys: Mapping[int, str]) -> dict[str, Any]:
    assets = {column: keys[number] for column, number in feature.assets.items()}
    return {**asdict(feature), "assets": assets}


def _write_lines(path: Path, documents: Iterable[Mapping[str, Any]]) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.writelines(f"{json.dumps(document, default=str)}\n" for document in documents)


def _document(path: Path) -> Payload:
    digest = hash_file(path)
    return Payload(path.name, digest.length, digest.md5, digest.sha256, source=path)


def _payload(run: Run, entry: Entry) -> Payload:
    source = run.folder / (entry.sealed or "")
    return Payload(file_path(entry), entry.length or 0, entry.md5 or "", entry.sha256 or "", source=source)
