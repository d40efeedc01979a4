"""An execution that was begun offline gets its place in the catalog: RID, row, inputs, history, the files about it.

The token of its lease was written down when it was begun, so the RID is the same however often this is tried, and by
whomever. Each step can be repeated; the store's ``catalog_status`` is the mark that all were taken.
"""

from __future__ import annotations

import json
import logging
import os
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from deriva_ml.catalog.leases import lease
from deriva_ml.catalog.rows import insert, update_if
from deriva_ml.catalog.session import Catalog
from deriva_ml.errors import DerivaMLStateInconsistency
from deriva_ml.execution import liveness, waiting_inputs
from deriva_ml.execution.create import RECORDED, upload_metadata
from deriva_ml.execution.manifest import Entry, EntryState
from deriva_ml.execution.metadata import configuration_file
from deriva_ml.execution.provenance import settle_inputs
from deriva_ml.execution.report import listed
from deriva_ml.execution.run import Run, lock_file
from deriva_ml.execution.staged import Staged
from deriva_ml.execution.states import ExecutionStatus
from deriva_ml.execution.store import ExecutionStore, Registered
from deriva_ml.files import hash_file, make_folder, write_whole
from deriva_ml.rid import is_local
from deriva_ml.workflow import registry
from deriva_ml.workflow.workflow import Workflow, check_types

log = logging.getLogger(__name__)

S = ExecutionStatus
_LOCKS_LEFT = ("create", "run", "commit")


def waits(store: ExecutionStore, rid: str) -> bool:
    """Return whether the catalog has not, or not wholly, been told of an execution that was begun offline."""
    return store.require(rid).untold


def bring(session: Catalog, store: ExecutionStore, name: str) -> str:
    """Tell the catalog of the execution ``name``, and return its RID; going on where an earlier attempt stopped.

    Raises:
        DerivaMLStateInconsistency: the catalog has changed meanwhile: workflow, inputs or types that are gone; all are
            named, nothing was sent, and nothing is lost.
        DerivaMLBusyError: another process runs it, is about to, or brings it just now.
        DerivaMLException: the catalog did not take something; another call goes on.
    """
    local = name if is_local(name) else store.local_name_of(name) or name
    with liveness.holding(
        lock_file(store.workspace, local, "commit"), f"Execution {name} cannot be brought to the catalog"
    ):
        found = store.require(name)
        if is_local(found.rid):
            _refuse_living(store, name)
            _rename(session, store, found)
            found = store.require(name)
        _move_folder(store, found.rid)
    with liveness.holding(lock_file(store.workspace, found.rid, "commit"), f"Execution {found.rid} cannot be brought"):
        _tell(Run(session, store, found.rid))
    return found.rid


def _refuse_living(store: ExecutionStore, name: str) -> None:
    """Leave alone what another process runs, or is about to; in this process the user knows what is done."""
    for kind in ("run", "create"):
        path = lock_file(store.workspace, name, kind)
        if not liveness.held_here(path):
            liveness.take(path, f"Execution {name} is at work offline").leave()
        elif kind == "run":
            raise DerivaMLStateInconsistency(f"Execution {name} runs in this very process: end it first.")


# ---------------------------------------------------------------------------------------------------------- its identity


def _rename(session: Catalog, store: ExecutionStore, found: Registered) -> None:
    """Lease its RID, make sure of its workflow, then let everything staged go under the RID; in the store all at once."""
    workflow = _workflow(found)
    problems = list(_conflicts(session, workflow, waiting_inputs.of(waiting_inputs.steps(store, found.rid))))
    if problems:
        raise DerivaMLStateInconsistency(
            f"Execution {found.rid} was begun offline, and the catalog has changed meanwhile; nothing was sent, and nothing is lost:\n"
            f"{listed(problems)}\nPut back what is missing and try again, or keep the run as it is: "
            f"`deriva-ml upload --seal --mode offline --execution {found.rid}`."
        )
    tokens = [found.uuid, str(uuid.uuid5(uuid.UUID(found.uuid), "workflow"))]
    leased = lease(session, tokens)
    rid = leased[found.uuid]
    if store.select("rid = ?", [rid]):
        raise DerivaMLStateInconsistency(f"Execution {found.rid} is in this workspace already, as {rid}.")
    workflow_rid = registry.add_workflow(session, workflow, leased[tokens[1]])
    config = {**found.config, "execution_rid": rid, "local_name": found.rid}
    config["workflow"] = {**(config["workflow"] or {}), "workflow_rid": workflow_rid}
    entries = list(_described_anew(store, found.rid, config))
    staged = Staged(store, rid)
    store.rename(
        found.rid,
        rid,
        {"workflow_rid": workflow_rid, "config": json.dumps(config, default=str)},
        lambda connection: [staged.write(connection, entry) for entry in entries],
    )
    log.info("Execution %s is %s in the catalog.", found.rid, rid)


def _workflow(found: Registered) -> Workflow:
    facts = found.config.get("workflow") or {}
    return Workflow(**{name: value for name, value in facts.items() if name in Workflow.model_fields})


def _conflicts(session: Catalog, workflow: Workflow, waiting: dict[str, list[Any]]) -> Iterator[str]:
    """Yield what the run named and the catalog does not have any more."""
    yield from waiting_inputs.problem(_check_workflow, session, workflow)
    yield from waiting_inputs.gone(session, waiting)


def _check_workflow(session: Catalog, workflow: Workflow) -> None:
    if workflow.workflow_rid:
        registry.lookup(session, workflow.workflow_rid)
    else:
        check_types(session, workflow.workflow_type)


def _described_anew(store: ExecutionStore, name: str, config: dict[str, Any]) -> Iterator[Entry]:
    """Write ``configuration.json`` with the RID in it, and yield its entry; written again it is the same."""
    for entry in Staged(store, name).entries(EntryState.SEALED):
        if entry.key == f"Execution_Metadata/{RECORDED}/configuration.json":
            path = store.folder(name) / (entry.sealed or "")
            write_whole(path, configuration_file(config).content)
            digest = hash_file(path)
            yield replace(entry, md5=digest.md5, sha256=digest.sha256, length=digest.length, url=None)


def _move_folder(store: ExecutionStore, rid: str) -> None:
    """Let the folder follow the name; a process that died in between left it behind."""
    local = store.local_name_of(rid)
    if local is None or not store.folder(local).is_dir():
        return
    _merge(store.folder(local), store.folder(rid))
    for kind in _LOCKS_LEFT:
        lock_file(store.workspace, local, kind).unlink(missing_ok=True)


def _merge(old: Path, new: Path) -> None:
    """Move the folder ``old`` to ``new``; where somebody has made that already, what is there stays, and all else joins it."""
    if not new.is_dir():
        old.rename(new)
        return
    for path in old.iterdir():
        target = new / path.name
        if path.is_dir() and not path.is_symlink():
            _merge(path, target)
        elif os.path.lexists(target):
            path.unlink()
        else:
            path.rename(target)
    old.rmdir()


# ---------------------------------------------------------------------------------------------------------------- its row


def _tell(run: Run) -> None:
    found = run.registered
    row = {
        "RID": run.rid,
        "Workflow": found.workflow_rid,
        "Description": found.description,
        "Status": str(S.Created),
    }
    insert(run.session, run.row.table, [row], given={"RID"}, skip_conflicts=True)
    waiting_inputs.tell_inputs(run)
    tell_history(run)
    make_folder(run.folder / "sealed")
    upload_metadata(run)
    settle_inputs(run)
    run.store.annotate(run.rid, catalog_status=run.row.status().value)
    run.staging.write_manifest()


def tell_history(run: Run) -> None:
    """Bring the catalog's row through the states that the run has passed, in their order; each step only from the one before."""
    events = run.store.history(run.rid)
    passed = [S.Created.value, *(became for _, _, became, _, _ in events)]
    actual = run.row.status()
    if actual.value not in passed:  # somebody else drove it on: what to do about that, the table of pairs says
        return
    start = len(passed) - 1 - passed[::-1].index(actual.value)
    for _, was, became, detail, _ in events[start:-1]:
        values = {"Status": became, "Status_Detail": detail}
        if not update_if(run.session, run.row.table, run.rid, {"Status": was}, values):
            return
        actual = S(became)
    run.row.said = actual
    if start < len(events) or not events:
        run.row.tell(None, run.registered.status)
