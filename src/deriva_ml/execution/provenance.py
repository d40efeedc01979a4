"""What a complete provenance asks of an execution, clause by clause, told to the catalog and recorded however it ends.

An end state that tells the truth and a reason with every failure are enforced where states change; every output is linked
with its role, or the commit fails; a workflow says what is not known of its code. Here: inputs that were declared, or the
sentinel File that stands for what is not known; and in the journal, at every end, which of the clauses are fulfilled. A violation is
written down and told, and never stands in the way.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import apsw

from deriva_ml.catalog.rows import delete, insert, select
from deriva_ml.catalog.session import Catalog
from deriva_ml.enums import AssetRole
from deriva_ml.errors import DerivaMLCatalogError, DerivaMLException, DerivaMLNoAssociationException
from deriva_ml.execution.pending import pending_of
from deriva_ml.execution.states import Event, ExecutionStatus
from deriva_ml.names import TableName
from deriva_ml.schema.install import unknown_file
from deriva_ml.workflow.workflow import known

if TYPE_CHECKING:
    from deriva_ml.execution.run import Run

log = logging.getLogger(__name__)

S, E = ExecutionStatus, Event

NO_REASON = "no reason was given"
STEP = "provenance"
"""What the journal calls the record of the clauses."""
DECLARED = "declared"
SENTINEL = "unknown: the sentinel stands for them"
LATER = "unknown: the catalog is told when it is reached"
NEVER_BEGUN = "none: the work never began"
COMMITTED = "committed"


@dataclass(slots=True)
class Told:
    """What the catalog says of an execution that has ended: its inputs, and what is missing."""

    inputs: str
    gaps: list[str] = field(default_factory=list)


# ----------------------------------------------------------------------------------------------------------------- ends


def tell_end(run: Run, event: Event, was: ExecutionStatus) -> Told:
    """Tell the catalog of the inputs of an execution that ends without a commit: stopped, failed, aborted, marked, or found dead.

    What the catalog cannot be asked or told is recorded as that.
    """
    told = Told(DECLARED if declares_input(run) else NEVER_BEGUN if was is S.Created else LATER)
    if told.inputs == LATER and _is_linked(run):
        told.inputs = SENTINEL
    if _away(run):
        return told
    try:
        if told.inputs == LATER:
            link_sentinel(run.session, run.rid)
            told.inputs = SENTINEL
        if event is not E.RECOVER:
            told.gaps = _workflow_gaps(run)
    except (DerivaMLException, OSError, apsw.Error) as error:
        told.gaps = [f"the catalog could not be asked or told: {error}"]
    return told


def record_end(run: Run, end: str, state: ExecutionStatus, told: Told) -> None:
    """Record in the journal how complete the provenance is; what is said to be in the catalog is durable there by now."""
    waiting = pending_of(run.staged)
    outputs = f"{waiting.total_pending_files} files and {waiting.total_pending_rows} values wait for a commit"
    note = _clauses(end, state, told, outputs if waiting.has_pending else "none waits")
    run.store.note_end(run.rid, STEP, note, run.row.said if run.row.told else None)


def record_gaps(run: Run) -> list[str]:
    """Record a committed execution: which clauses it fulfils; return what is missing, as sentences.

    Raises:
        DerivaMLException: the catalog did not take the sentinel.
    """
    told = Told(DECLARED, _workflow_gaps(run))
    if not declares_input(run):
        told.inputs = SENTINEL
        if not _is_linked(run):
            link_sentinel(run.session, run.rid)
    note = _clauses(COMMITTED, S.Uploaded, told, "each with its role")
    run.store.note_on_the_way(run.rid, STEP, **note)  # the end of the commit follows
    return told.gaps


def settle_inputs(run: Run) -> None:
    """Let the catalog say of a run that ended while it could not be told that its inputs are unknown, if nobody declared any."""
    found, began = run.registered, any(event == E.START for event, *_ in run.store.history(run.rid))
    if found.status in (S.Created, S.Running) or not began or declares_input(run) or _is_linked(run):
        return
    if _takes_sentinel(run.session, run.rid):
        record_end(run, "told", found.status, Told(SENTINEL))


def _away(run: Run) -> bool:
    """Return whether the catalog is not to be asked, or does not know yet that the run is where it is."""
    return run.session.offline or run.registered.catalog_status is None or not run.row.told


def _clauses(end: str, state: ExecutionStatus, told: Told, outputs: str) -> dict[str, Any]:
    return {"end": end, "state": str(state), "inputs": told.inputs, "outputs": outputs, "missing": told.gaps}


def recorded(run: Run) -> list[dict[str, Any]]:
    """Return what was recorded of the clauses at each end of the execution, oldest first."""
    return [detail for step, detail in run.store.journal(run.rid) if step == STEP]


# --------------------------------------------------------------------------------------------------------------- inputs


def declares_input(run: Run) -> bool:
    """Return whether the execution declared an input, from the beginning or later."""
    config = run.registered.config
    if config.get("datasets") or config.get("assets") or run.staged.downloads():
        return True
    return any(step == "input" for step, _ in run.store.journal(run.rid))


def input_declared(run: Run) -> None:
    """Take the sentinel back from a run that has ended, and of which an input is declared only now."""
    if not any(each["inputs"] == SENTINEL for each in recorded(run)[-1:]):
        return
    links, row = _sentinel_link(run.session, run.rid)
    try:
        delete(run.session, links, row)
    except DerivaMLCatalogError as error:  # not everybody may delete: then it says that there may be more inputs
        log.info("Execution %s keeps the sentinel among its inputs: %s", run.rid, error)
        return
    record_end(run, "input", run.registered.status, Told(DECLARED))


def _is_linked(run: Run) -> bool:
    """Return whether the sentinel is in the catalog durably: a commit is certain of that only at its end."""
    ends = [each for each in recorded(run) if each["end"] != COMMITTED]
    return bool(ends) and ends[-1]["inputs"] == SENTINEL


def link_sentinel(session: Catalog, rid: str) -> None:
    """Let whoever follows the data see that its origin is unknown; once more changes nothing."""
    links, row = _sentinel_link(session, rid)
    insert(session, links, [row], skip_conflicts=True)


def _sentinel_link(session: Catalog, rid: str) -> tuple[TableName, dict[str, str]]:
    file = TableName(session.ml_schema, "File")
    links = session.model().asset_execution(file)
    if "unknown_file" not in session.remembered:
        session.remembered["unknown_file"] = unknown_file(session)
    column = links.references_to(file)[0].column
    sentinel: str = session.remembered["unknown_file"]
    return links.name, {column: sentinel, "Execution": rid, "Asset_Role": str(AssetRole.input)}


def settle_record(session: Catalog, rid: str, was: ExecutionStatus, became: ExecutionStatus) -> None:
    """Let the catalog say that the inputs are unknown of an execution that somebody ends there, whom no workspace asks."""
    if became not in (S.Created, S.Running) and was not in (S.Created, became):
        _takes_sentinel(session, rid, unless_it_has_inputs=True)


def _takes_sentinel(session: Catalog, rid: str, *, unless_it_has_inputs: bool = False) -> bool:
    """Link the sentinel, and return whether the catalog took it: a refusal is told, and stands in nobody's way."""
    try:
        if not (unless_it_has_inputs and _has_input(session, rid)):
            link_sentinel(session, rid)
    except DerivaMLException as error:
        log.warning("The catalog could not be told that the inputs of execution %s are unknown: %s", rid, error)
        return False
    return True


def _has_input(session: Catalog, rid: str) -> bool:
    model = session.model()
    if select(session, TableName(session.ml_schema, "Dataset_Execution"), {"Execution": rid}, columns=["RID"], limit=1):
        return True
    where = {"Execution": rid, "Asset_Role": str(AssetRole.input)}
    for table in model.asset_tables():
        try:
            links = model.asset_execution(table.name)
        except DerivaMLNoAssociationException:  # a table that somebody made without: no execution reads it
            continue
        if select(session, links.name, where, columns=["RID"], limit=1):
            return True
    return False


# ------------------------------------------------------------------------------------------------------------- workflow


def _workflow_gaps(run: Run) -> list[str]:
    """Say what is not known of the code; asked once for each workflow."""
    rid = run.registered.workflow_rid
    if rid is None:
        return ["the execution has no workflow: which code made its outputs is not known"]
    remembered: dict[str, list[str]] = run.session.remembered.setdefault("workflow gaps", {})
    if rid not in remembered:
        table = TableName(run.session.ml_schema, "Workflow")
        rows = select(run.session, table, {"RID": rid}, columns=["RID", "URL", "Checksum"])
        code = known(rows[0]) if rows else {"URL": None, "Checksum": None}
        lacking = " and no ".join(name for name, value in code.items() if value is None)
        remembered[rid] = [f"workflow {rid} has no {lacking}: its code may not be found again"] if lacking else []
    return remembered[rid]
