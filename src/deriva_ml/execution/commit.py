"""Bringing what a run has staged into the catalog: seal, identify, bag, load, verify.

Each step is journalled and can be repeated: however often a commit is interrupted, in this process or another, the
catalog ends as after one that was not.
"""

from __future__ import annotations

import logging
import shlex
from collections.abc import Sequence
from types import TracebackType

import apsw

from deriva_ml.bag.write import write_bag
from deriva_ml.clock import monotonic
from deriva_ml.environment.host import likely_cause
from deriva_ml.errors import (
    OUT_OF_REACH,
    DerivaMLBusyError,
    DerivaMLCatalogError,
    DerivaMLException,
    DerivaMLOfflineError,
    DerivaMLUploadError,
)
from deriva_ml.execution import contradictions, liveness, nesting, restored, waiting_inputs
from deriva_ml.execution.identify import identify
from deriva_ml.execution.load import load_assets, load_features, load_links, load_objects, verify
from deriva_ml.execution.manifest import Entry, EntryState, Mode
from deriva_ml.execution.plan import AssetGroup, bag_model, bag_payloads, bag_tables, groups
from deriva_ml.execution.progress import RECORDING, SEALING, UPLOADING, Telling
from deriva_ml.execution.provenance import record_gaps
from deriva_ml.execution.report import UploadCallback, UploadItem, UploadReport
from deriva_ml.execution.rewritten import take_again
from deriva_ml.execution.run import Run
from deriva_ml.execution.seal import check, seal, to_seal
from deriva_ml.execution.states import Event, ExecutionStatus
from deriva_ml.execution.store import UPLOAD_FAILED
from deriva_ml.execution.tidy import tidy
from deriva_ml.execution.twins import settle_twins
from deriva_ml.names import TableName
from deriva_ml.settings import find_home

log = logging.getLogger(__name__)

S = ExecutionStatus

TOLD = 5
"""How many contradictions the state's detail names; the report names all."""


def commit(run: Run, *, clean: bool, progress: UploadCallback | None = None) -> UploadReport:
    """Commit what ``run`` has staged; a commit inside the block first stops the run.

    Raises:
        InvalidTransitionError: the execution never ran, or was aborted.
        DerivaMLUploadError: a file is missing, a value is not complete, or the catalog did not take something; nothing
            staged is lost, and another call goes on where this one stopped.
        DerivaMLBusyError: another process commits this execution, or still runs it.
        DerivaMLOfflineError: the session is offline.
    """
    if run.dry:
        return UploadReport(execution_rids=[run.rid])
    if run.session.offline:
        raise DerivaMLOfflineError(
            f"Execution {run.rid} cannot be committed offline; what it has staged waits here. When its catalog can be reached: "
            f"`deriva-ml upload --execution {run.rid}`. For a machine that reaches it: `exe.seal()`."
        )
    with liveness.holding(run.lock_file("commit"), f"Execution {run.rid} cannot be committed"):
        end_run(run)
        notes = take_again(run)
        if run.registered.status is S.Uploaded and not run.staged.has_pending():
            run.row.status()  # which says so where the catalog has lost the run
            return UploadReport(execution_rids=[run.rid], notes=_not_taken(run))
        notes += check(run)
        run.staging.sync_written(run.staged.entries(EntryState.PENDING), once=True)  # before the state that promises it
        _begin(run)
        with Telling(run.rid, progress) as telling, _says_how_to_go_on(run):
            report = _upload(run, notes, clean, telling)
        report.notes += [*notes, *_not_taken(run)]
        return report


def _not_taken(run: Run) -> list[str]:
    """Return what the catalog did not take of the links of a run that waited here, as sentences."""
    return [*waiting_inputs.refused(run.store, run.rid), *nesting.refused(run.store, run.rid), *restored.lost(run)]


def _goes_on(run: Run) -> str:
    """Return what to do after a commit that did not end, with the command that does it."""
    home = run.store.workspace.parent.parent
    words = ["deriva-ml-upload", "--execution", run.rid]
    words += [] if run.session.port.links_files else ["--host", run.session.host]
    words += (
        [] if run.session.port.links_files and run.session.catalog_id == "1" else ["--catalog", run.session.catalog_id]
    )
    words += [] if home == find_home() else ["--working-dir", str(home)]
    return f"Nothing staged is lost: `commit_output_assets()` (or `{shlex.join(words)}`) goes on where this stopped."


class _says_how_to_go_on:
    """Adds to whatever ends a commit from outside (Ctrl-C, an error of a callback) what to do next."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None and not isinstance(error, DerivaMLException):
            error.add_note(f"The commit of execution {self._run.rid} was interrupted. {_goes_on(self._run)}")


def end_run(run: Run) -> None:
    """Stop a run that this process has; recover one whose process is gone; leave one alone that another process has."""
    if run.registered.status is not S.Running:
        return
    lock = liveness.held_here(run.lock_file("run"))
    if lock is not None:
        run.happen(Event.FAIL if lock.owed else Event.FINISH, lock.owed)
        return
    try:
        run.happen(Event.RECOVER, likely_cause(run.registered.owner))
    except DerivaMLBusyError as error:
        raise DerivaMLBusyError(f"Execution {run.rid} cannot be committed here: {error}") from error


def _begin(run: Run) -> None:
    if run.registered.status is S.Pending_Upload:  # an earlier commit did not end
        run.row.status()  # which says so where the catalog has lost the run meanwhile
        return
    try:
        run.happen(Event.COMMIT)
    except (*OUT_OF_REACH, DerivaMLCatalogError) as error:
        _failed(run, error)
        raise _unfinished(run, error) from error


def _upload(run: Run, notes: Sequence[str], clean: bool, telling: Telling) -> UploadReport:
    began = monotonic()
    newest = run.staged.newest_feature()  # read before the files are sealed: what a value refers to is sealed as well
    try:
        telling.expect(SEALING, *to_seal(run))
        seal(run, telling)
        return _send(run, notes, newest, began, clean, telling)
    except (DerivaMLException, OSError, apsw.Error) as error:
        _failed(run, error)
        if isinstance(error, DerivaMLUploadError):
            error.add_note(_goes_on(run))
            raise
        raise _unfinished(run, error) from error


def _unfinished(run: Run, error: BaseException) -> DerivaMLUploadError:
    return DerivaMLUploadError(f"The commit of execution {run.rid} did not finish: {error}\n{_goes_on(run)}")


def _failed(run: Run, error: BaseException) -> None:
    try:
        run.happen(Event.FAIL, f"{UPLOAD_FAILED}{error}")
    except (DerivaMLException, OSError, apsw.Error) as second:
        error.add_note(f"The failure could not be recorded either: {second}")


def _send(run: Run, notes: Sequence[str], newest: int, began: float, clean: bool, telling: Telling) -> UploadReport:
    entries = _identified(run, run.staged.entries(EntryState.SEALED))
    settle_twins(run, newest)
    if entries or run.staged.feature_tables(newest):
        run.staging.write_manifest()
        _write_bag(run, groups(run, entries), newest)
    telling.expect(UPLOADING, *_to_send(entries))
    load_objects(run, entries, telling)
    report = UploadReport(execution_rids=[run.rid])
    with run.session.durable_at_end():  # in the order of the steps, and before the store calls them done
        done, features, otherwise = _load(run, entries, newest, report, telling)
        report.notes += otherwise
        detail = _how_it_ended(
            run, [*notes, *restored.lost(run), *otherwise[:TOLD], *(["…"] if otherwise[TOLD:] else [])]
        )
        seconds = run.completed_in_catalog(detail, began)
    _finish(run, done, detail, newest, seconds)
    _tell(report, done, features)
    tidy(run, report, clean)
    return report


def _to_send(entries: Sequence[Entry]) -> tuple[int, int]:
    """Return how many different files there are, and their bytes."""
    sizes = {entry.url: entry.length or 0 for entry in entries}
    return len(sizes), sum(sizes.values())


def _load(
    run: Run, entries: Sequence[Entry], newest: int, report: UploadReport, telling: Telling
) -> tuple[list[Entry], dict[TableName, int], list[str]]:
    """Write the rows, and read them back.

    Returns the assets with the RIDs that they have, how many feature values there are, and what the catalog has otherwise.
    """
    loaded = load_assets(run, groups(run, entries))
    for group in loaded:
        lost = load_links(run, group)
        report.notes += [
            f"{rid} is an input of this execution, and this catalog keeps one role for each: it is not recorded as an output"
            for rid in lost
        ]
    telling.expect(RECORDING, 0, sum(run.staged.feature_tables(newest).values()))
    features, otherwise = load_features(run, newest, telling.recorded)
    otherwise = [*(said for group in loaded for said in contradictions.of_assets(run, group)), *otherwise]
    verify(run, loaded, features, newest)
    report.notes += record_gaps(run)
    return [entry for group in loaded for entry in group.entries], features, otherwise


def _identified(run: Run, entries: Sequence[Entry]) -> list[Entry]:
    """Give every entry its RID and write it down before it is used."""
    found = identify(run.session, entries)
    changed = [entry for entry, before in zip(found, entries, strict=True) if entry != before]
    if changed:
        run.staged.save(changed)
    return found


def _write_bag(run: Run, assets: Sequence[AssetGroup], newest: int) -> None:
    tables = list(bag_tables(run, assets, newest))
    info = {
        "External-Identifier": run.rid,
        "External-Description": f"What execution {run.rid} commits to catalog {run.session.catalog_id} of {run.session.host}",
    }
    write_bag(
        run.folder / "commit" / "bag",
        tables=tables,
        payloads=bag_payloads(run, assets),
        schema_document=bag_model(run, [(table.schema, table.table) for table in tables]),
        info=info,
        durable=False,
    )
    run.store.note_on_the_way(run.rid, "bag written", assets=sum(len(group.assets) for group in assets))


def _how_it_ended(run: Run, notes: Sequence[str]) -> str | None:
    """Return what the state's detail says of a run that is in the catalog: how it ended when not well, and what was left out."""
    end = run.store.unhappy_end(run.rid)
    return "; ".join([*([end] if end else []), *notes]) or None


def _finish(run: Run, done: Sequence[Entry], detail: str | None, newest: int, seconds: float) -> None:
    """Mark what is in the catalog, and the state, in one transaction; the store comes last."""

    def mark(connection: apsw.Connection) -> None:
        run.staged.mark_committed(connection, done, newest)

    run.complete(detail, seconds, mark)
    if run.staged.has_pending():
        log.info("Execution %s staged more while it was committed; the next commit takes it.", run.rid)


def _tell(report: UploadReport, done: Sequence[Entry], features: dict[TableName, int]) -> None:
    for entry in done:
        report.count(entry.schema, entry.table, uploaded=1)
        state = "reused" if entry.reused else "uploaded"
        report.items.append(
            UploadItem(
                report.execution_rids[0],
                entry.table,
                entry.file_name,
                state,
                entry.rid,
                entry.url,
                entry.length,
                entry.schema,
            )
        )
        if entry.reused:
            report.notes.append(f"{entry.label} was in the catalog already, as {entry.rid}")
    for table, count in features.items():
        report.count(table.schema, table.name, uploaded=count)
        report.items.append(
            UploadItem(report.execution_rids[0], table.name, "", "uploaded", schema=table.schema, count=count)
        )


def committed_outputs(run: Run) -> list[Entry]:
    """Return the assets that commits of this run brought into the catalog; not those about the run's own set-up."""
    return [entry for entry in run.staged.entries(EntryState.UPLOADED) if entry.mode is not Mode.RECORD]
