"""Creating an execution: nothing is written before all inputs are found; after that every step leaves a trace.

A lease gives the RID, it is journalled, then the catalog's row is inserted, inputs are linked and the files that
describe the run are uploaded. A failure on the way leaves the row, Aborted, with the reason.
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from traceback import TracebackException
from typing import Any

import apsw

from deriva_ml.asset.path import AssetFilePath
from deriva_ml.catalog.leases import lease
from deriva_ml.catalog.rows import insert
from deriva_ml.catalog.session import Catalog
from deriva_ml.clock import iso, monotonic, now
from deriva_ml.dataset.bag import DatasetBag
from deriva_ml.dataset.download import download_resolved
from deriva_ml.enums import ConnectionMode
from deriva_ml.environment.host import this_process
from deriva_ml.errors import DerivaMLException, DerivaMLReadOnlyError, DerivaMLWorkflowError
from deriva_ml.execution import inputs, liveness
from deriva_ml.execution.configuration import ExecutionConfiguration, plain
from deriva_ml.execution.identify import identify
from deriva_ml.execution.kept_inputs import bring_kept
from deriva_ml.execution.load import load_assets, load_links, load_objects
from deriva_ml.execution.manifest import Entry, EntryState, Mode
from deriva_ml.execution.metadata import MetadataFile, captured, configuration_document, configuration_file
from deriva_ml.execution.plan import groups
from deriva_ml.execution.run import Run, lock_file
from deriva_ml.execution.staged import Staged
from deriva_ml.execution.states import Event, ExecutionStatus
from deriva_ml.execution.store import ExecutionStore, Registered
from deriva_ml.files import fsync_folder, hash_file, make_folder, write_whole
from deriva_ml.names import DRY_RUN_RID
from deriva_ml.settings import SAVE_RID_VARIABLE
from deriva_ml.workflow.registry import add_workflow


@dataclass(frozen=True, slots=True)
class Place:
    """Where executions of one workspace live: its store, its cache, and the Hydra run they belong to."""

    store: ExecutionStore
    cache: Path
    hydra_dir: Path | None = None


@dataclass(frozen=True, slots=True)
class Created:
    """A new execution with its inputs."""

    run: Run
    bags: tuple[DatasetBag, ...]
    assets: tuple[AssetFilePath, ...]


RECORDED = "~run"
"""Stands for the RID in the keys of files about a run that was begun offline."""
CREATING, WAITING = "creating", "waiting"
"""What the lock of an execution says that is Created: how far its creator is."""


def create(session: Catalog, place: Place, configuration: ExecutionConfiguration, *, dry: bool = False) -> Created:
    """Create an execution.

    Raises:
        DerivaMLWorkflowError: no workflow was given.
        DerivaMLNotFoundError, DerivaMLTableTypeError, DerivaMLValidationError: an input is not as declared; nothing was written.
        DerivaMLException: a step failed; the execution is Aborted, with the reason.
    """
    if configuration.workflow is None:
        raise DerivaMLWorkflowError(
            "An execution needs a workflow: pass `workflow=ml.create_workflow(name, type, description)` here or in the configuration."
        )
    if session.snapshot and not dry:
        raise DerivaMLReadOnlyError("A snapshot of the catalog cannot take executions: open the live catalog.")
    found = inputs.resolve(session, configuration)
    if dry:
        return dry_run(session, place, configuration, found)
    workflow = add_workflow(session, configuration.workflow)
    return _recorded(session, place, configuration, found, workflow)


def _recorded(
    session: Catalog, place: Place, configuration: ExecutionConfiguration, found: inputs.Inputs, workflow: str
) -> Created:
    moment, problems = now(), list[str]()
    files = captured(
        configuration.workflow.git_root if configuration.workflow else None, place.hydra_dir, moment, problems
    )
    tokens = [str(uuid.uuid4()) for _ in range(len(files) + 2)]
    leased = lease(session, tokens)
    while place.store.get(leased[tokens[0]]) is not None:  # a restored catalog gives its RIDs again
        tokens[0] = str(uuid.uuid4())
        leased |= lease(session, tokens[:1])
    rid, *rids = (leased[token] for token in tokens)
    document = configuration_document(configuration, rid, moment, found.described(), problems)
    files = [configuration_file(document), *files]
    with being_created(place.store.workspace, rid):
        entries = sealed_files(place.store.folder(rid), session.ml_schema, files, rids)
        place.store.register(
            registered(rid, tokens[0], workflow, configuration, document, moment),
            lambda connection: stage(connection, place.store, rid, configuration, entries),
        )
        run = Run(session, place.store, rid)
        with aborting(run):
            return _settled(run, place, configuration, found, workflow)


@contextmanager
def being_created(workspace: Path, rid: str) -> Iterator[None]:
    """Hold the lock that tells a creator who lives from one who died, for the block and until the work begins.

    What is made here waits for its process to begin it. Only a process that ends in order leaves it to another one.
    """
    lock = liveness.take(lock_file(workspace, rid, "create"), f"Execution {rid} is being created", stage=CREATING)
    try:
        yield
    except BaseException:
        lock.drop()  # what was made stays what its creator left in the middle
        raise
    if lock.held:
        lock.say(f"Execution {rid} waits to begin", stage=WAITING)


def _settled(
    run: Run, place: Place, configuration: ExecutionConfiguration, found: inputs.Inputs, workflow: str
) -> Created:
    """Everything after the journal: row, inputs, metadata, downloads."""
    row = {
        "RID": run.rid,
        "Workflow": workflow,
        "Description": configuration.description,
        "Status": str(ExecutionStatus.Created),
    }
    described = identified_metadata(run)
    with run.session.durable_at_end():
        insert(run.session, run.row.table, [row], given={"RID"}, skip_conflicts=True)
        run.row.said = ExecutionStatus.Created
        local = inputs.link(run.session, run.rid, found)
        sent = send_metadata(run, described)
    mark_metadata(run, sent)
    save_rid(run, place, workflow)
    began = monotonic()
    bags = tuple(download_resolved(run.session, place.cache, spec, resolved) for spec, resolved in found.datasets)
    assets = tuple(inputs.download_assets(run, place.cache, found, local))
    if bags or assets:
        run.store.annotate(run.rid, download_duration=monotonic() - began)
    return Created(run, bags, assets)


def registered(
    rid: str,
    token: str,
    workflow: str | None,
    configuration: ExecutionConfiguration,
    document: dict[str, Any],
    moment: datetime,
    mode: str = "online",
) -> Registered:
    at = iso(moment)
    return Registered(
        rid=rid, uuid=token, workflow_rid=workflow, description=configuration.description, config=document, status=ExecutionStatus.Created,
        catalog_status=None, detail=None, error=None, mode=mode, owner=this_process(), created_at=at, last_activity=at, start_time=None,
        stop_time=None, duration=None, download_duration=None, upload_duration=None,
    )  # fmt: skip


def sealed_files(folder: Path, schema: str, files: Sequence[MetadataFile], rids: Sequence[str | None]) -> list[Entry]:
    """Write the files that describe the run, and return them as sealed entries."""
    sealed = folder / "sealed"
    make_folder(sealed)
    entries = []
    for file, rid in zip(files, rids, strict=True):
        path = sealed / file.name
        write_whole(path, file.content, name_durable=False)
        digest = hash_file(path)
        key = f"Execution_Metadata/{rid or RECORDED}/{file.name}"
        entries.append(
            Entry(
                key=key,
                schema=schema,
                table="Execution_Metadata",
                file_name=file.name,
                mode=Mode.RECORD,
                staged=f"sealed/{file.name}",
                asset_types=(str(file.asset_type),),
                description=file.description,
                state=EntryState.SEALED,
                sealed=f"sealed/{file.name}",
                md5=digest.md5,
                sha256=digest.sha256,
                length=digest.length,
                rid=rid,
            )
        )
    fsync_folder(sealed)
    return entries


def stage(
    connection: apsw.Connection,
    store: ExecutionStore,
    rid: str,
    configuration: ExecutionConfiguration,
    entries: Sequence[Entry],
) -> None:
    """Write the files' entries and the parameters, which ``configuration.json`` holds, in the transaction that registers the execution."""
    staged = Staged(store, rid)
    for entry in entries:
        staged.write(connection, entry)
    staged.logged.hold_parameters(connection, plain(configuration.parameters), "configuration.json")


def upload_metadata(run: Run) -> None:
    """Upload the files that describe the run, and mark them."""
    described = identified_metadata(run)
    with run.session.durable_at_end():
        sent = send_metadata(run, described)
    mark_metadata(run, sent)


def identified_metadata(run: Run) -> list[Entry]:
    """Return the files that describe the run, with RIDs that are durable in the catalog before the store names them.

    RIDs that the store has are durable there; that the catalog has an equal file already is found again after a power cut.
    """
    sealed = [entry for entry in run.staged.entries(EntryState.SEALED) if entry.mode is Mode.RECORD]
    entries = identify(run.session, sealed)
    if any(entry.rid != before.rid for entry, before in zip(entries, sealed, strict=True)):
        entries = run.staged.save(entries, durable=any(before.rid is None for before in sealed))
    return entries


def send_metadata(run: Run, entries: Sequence[Entry]) -> list[Entry]:
    """Upload the files that describe the run; return their entries as they are now."""
    load_objects(run, entries, None)
    loaded = load_assets(run, groups(run, entries))
    for group in loaded:
        load_links(run, group)
    return [entry for group in loaded for entry in group.entries]


def mark_metadata(run: Run, done: Sequence[Entry]) -> None:
    """Mark the files that describe the run as being in the catalog, durably; they need no copy here any more."""
    with run.staged.writing() as connection:
        run.staged.mark_committed(connection, done, 0)
        connection.execute(
            "UPDATE executions SET catalog_status = coalesce(catalog_status, ?) WHERE rid = ?",
            (ExecutionStatus.Created.value, run.rid),
        )
    for entry in done:
        (run.folder / (entry.sealed or "")).unlink(missing_ok=True)


@contextmanager
def aborting(run: Run) -> Iterator[None]:
    """Leave the row, Aborted, with the reason, when the block does not end well, Ctrl-C included."""
    try:
        yield
    except BaseException as error:
        _aborted(run, error)
        raise


def _aborted(run: Run, reason: BaseException) -> None:
    """If that fails as well, the reason says so."""
    text = TracebackException(type(reason), reason, None)  # has a text also where str() of it fails
    try:
        run.happen(Event.ABORT, f"creation failed: {str(text) or type(reason).__name__}")
    except (DerivaMLException, OSError, apsw.Error) as second:
        reason.add_note(f"The execution could not be marked as aborted: {second}")


def save_rid(run: Run, place: Place, workflow: str | None) -> None:
    """Tell a launcher which execution this is, where it asked for that."""
    target = os.environ.get(SAVE_RID_VARIABLE)
    if not target:
        return
    content = {
        "hostname": run.session.host,
        "catalog_id": run.session.catalog_id,
        "workflow_rid": workflow,
        "execution_rid": run.rid,
        "home": str(run.store.workspace.parents[1]),
        "mode": str(ConnectionMode.offline if run.session.offline else ConnectionMode.online),
        "hydra_runtime_output_dir": str(place.hydra_dir) if place.hydra_dir else None,
    }
    write_whole(Path(target).absolute(), json.dumps(content).encode())


def dry_run(session: Catalog, place: Place, configuration: ExecutionConfiguration, found: inputs.Inputs) -> Created:
    """Return a dry run: inputs are brought here and the user's code runs; the catalog and the workspace's store take no record."""
    store = ExecutionStore(place.store.workspace / "dry-runs" / uuid.uuid4().hex)
    moment = now()
    document = configuration_document(configuration, DRY_RUN_RID, moment, found.described(), [])
    store.register(
        registered(DRY_RUN_RID, uuid.uuid4().hex, None, configuration, document, moment, mode="dry"),
        lambda connection: stage(connection, store, DRY_RUN_RID, configuration, []),
    )
    run = Run(session, store, DRY_RUN_RID, dry=True)
    bags = tuple(download_resolved(session, place.cache, spec, resolved) for spec, resolved in found.datasets)
    if session.offline:
        return Created(run, bags, tuple(bring_kept(run, place.cache, found)))
    local = {path: DRY_RUN_RID for path, _ in found.files}
    return Created(run, bags, tuple(inputs.download_assets(run, place.cache, found, local)))
