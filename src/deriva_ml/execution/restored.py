"""A catalog that was restored from a copy older than a commit: what the workspace still has of it is brought again.

The store says Uploaded and the catalog does not have the outputs. Telling it the state alone would be a lie.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import apsw

from deriva_ml.catalog.rows import count, select
from deriva_ml.dataset.resolve import resolve_specs
from deriva_ml.dataset.spec import DatasetSpec
from deriva_ml.enums import AssetRole
from deriva_ml.errors import DerivaMLDataError
from deriva_ml.execution.inputs import described
from deriva_ml.execution.manifest import Entry, EntryState, Mode
from deriva_ml.execution.nested import Nested
from deriva_ml.execution.report import listed
from deriva_ml.execution.rewritten import linked
from deriva_ml.execution.run import Run
from deriva_ml.execution.seal import logged_again
from deriva_ml.execution.states import ExecutionStatus
from deriva_ml.execution.waiting_inputs import WAITING_INPUTS
from deriva_ml.files import make_folder, write_whole
from deriva_ml.names import TableName

log = logging.getLogger(__name__)

STEP = "lost by the catalog"
"""What the journal calls outputs that the catalog does not have any more, and this workspace neither."""


def bring_again(run: Run) -> bool:
    """Let what the catalog lacks of a committed run wait for a commit; say False where it lacks nothing."""
    if not any(_lacks_assets(run)) and not any(_lacks_values(run)):
        return False
    uploaded = [entry for entry in run.staged.entries(EntryState.UPLOADED) if entry.mode is not Mode.RECORD]
    there = linked(run, uploaded)
    missing = [entry for entry in uploaded if entry.key not in there]
    if not missing and not any(_lacks_values(run)):
        return False
    back = [entry for entry in (_with_bytes(run, each) for each in missing) if entry is not None]
    inputs, unread = _inputs(run)
    gone = sorted({*({entry.label for entry in missing} - {entry.label for entry in back}), *unread})

    def stage(connection: apsw.Connection) -> None:
        for entry in back:
            run.staged.write(connection, entry)
        run.store.note_in(connection, run.rid, WAITING_INPUTS, **inputs)
        Nested(run.store).tell_again(connection, run.rid)
        unnamed = run.staged.stage_again(connection, {each.id for each in missing} - {each.id for each in back})
        if gone:
            run.store.note_in(connection, run.rid, STEP, files=gone, values=unnamed)

    why = "the catalog, an older copy, lacks what was committed"
    log.warning("Execution %s: %s. The next commit brings what is still here%s.", run.rid, why, _without(gone))
    run.store.adopt(run.rid, ExecutionStatus.Pending_Upload, why, stage)
    run.row.tell(None, ExecutionStatus.Pending_Upload)
    return True


def _inputs(run: Run) -> tuple[dict[str, list[dict[str, Any]]], list[str]]:
    """Return the inputs that were added while the run went on, to be told again, and those that the catalog does not have any more."""
    added = [detail for step, detail in run.store.journal(run.rid) if step == "input" and detail.get("dataset")]
    datasets, unread = list[dict[str, Any]](), list[str]()
    for each in added:
        try:
            (found,) = resolve_specs(run.session, [DatasetSpec(rid=each["dataset"], version=each["version"])])
        except DerivaMLDataError:
            unread.append(f"the input {each['dataset']}@{each['version']}")
        else:
            datasets.append(described(found))
    assets = [{"rid": rid, "schema": schema, "table": table} for rid, schema, table, _ in run.staged.downloads()]
    unknown = {each["rid"] for each in assets} - _known(run, assets)
    unread += (f"the input {rid}" for rid in sorted(unknown))
    return {"datasets": datasets, "assets": [each for each in assets if each["rid"] not in unknown]}, unread


def _known(run: Run, assets: Sequence[Mapping[str, Any]]) -> set[str]:
    """Return which of these assets the catalog has."""
    tables, model = {(each["schema"], each["table"]) for each in assets}, run.session.model()
    found = set[str]()
    for name in (TableName(*table) for table in tables):
        if model.table(name) is not None:
            wanted = [each["rid"] for each in assets if (each["schema"], each["table"]) == (name.schema, name.name)]
            found |= {row["RID"] for row in select(run.session, name, {"RID": wanted}, columns=["RID"])}
    return found


def lost(run: Run) -> list[str]:
    """Return what is to be said of outputs that the catalog has lost, and that are not here any more."""
    found = [detail for step, detail in run.store.journal(run.rid) if step == STEP]
    files = dict.fromkeys(name for detail in found for name in detail["files"])
    values = sum(detail["values"] for detail in found)
    named = f", with the feature values that name them ({values})" if values else ""
    return [f"lost with a newer copy of the catalog: {', '.join(files)}{named}"] if files else []


def _without(gone: list[str]) -> str:
    return f"; not here any more:\n{listed(gone)}\n" if gone else ""


def _lacks_assets(run: Run) -> Iterator[bool]:
    model = run.session.model()
    for (schema, name), sent in run.staged.committed_assets().items():
        table = TableName(schema, name)
        if model.table(table) is not None:  # one that is gone has taken its assets with it
            where = {"Execution": run.rid, "Asset_Role": str(AssetRole.output)}
            yield count(run.session, model.asset_execution(table).name, where) < sent


def _lacks_values(run: Run) -> Iterator[bool]:
    for (schema, name), sent in run.staged.committed_features().items():
        table = TableName(schema, name)
        yield run.session.model().table(table) is not None and count(run.session, table, {"Execution": run.rid}) < sent


def _with_bytes(run: Run, entry: Entry) -> Entry | None:
    """Return a committed entry as one that is sealed, where its bytes are here, or can be made again; else None.

    Its RID may have been given again since.
    """
    path = run.folder / (entry.sealed or "")
    if not entry.sealed or not path.is_file():
        content = logged_again(run.staged, entry)
        if not entry.sealed or not content:
            return None
        make_folder(path.parent)
        write_whole(path, content)
    return replace(entry, state=EntryState.SEALED, rid=None, url=None, uploaded_at=None, reused=False)
