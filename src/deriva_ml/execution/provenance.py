"""What a complete provenance asks of an execution, clause by clause, recorded however it ends.

An end state that tells the truth and a reason with every failure are enforced where states change; every output is linked
with its role, or the commit fails. Here: inputs that were declared, or the sentinel File that stands for what is not
known; a workflow whose code can be found again; and in the journal, at every end, which of the clauses are fulfilled. A
violation is written down and told, and never stands in the way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import apsw

from deriva_ml.catalog.rows import insert, select
from deriva_ml.enums import AssetRole
from deriva_ml.errors import DerivaMLException
from deriva_ml.execution.pending import pending_of
from deriva_ml.execution.states import Event, ExecutionStatus
from deriva_ml.names import TableName
from deriva_ml.schema.install import unknown_file

if TYPE_CHECKING:
    from deriva_ml.execution.run import Run

S, E = ExecutionStatus, Event

NO_REASON = "no reason was given"
STEP = "provenance"
"""What the journal calls the record of the clauses."""


def record_gaps(run: Run) -> list[str]:
    """Record a committed execution: which clauses it fulfils; return what is missing, as sentences.

    Raises:
        DerivaMLException: the catalog did not take the sentinel.
    """
    gaps = _workflow_gaps(run)
    declared = declares_input(run)
    if not declared:
        _link_sentinel(run)
    inputs = "declared" if declared else "unknown: the sentinel stands for them"
    note = _clauses("committed", S.Uploaded, inputs, "each with its role", gaps)
    run.store.note_on_the_way(run.rid, STEP, **note)  # the end of the commit follows
    return gaps


def record_end(run: Run, event: Event, was: ExecutionStatus, became: ExecutionStatus) -> None:
    """Record an execution that ends without a commit: stopped, failed, aborted, marked, or found dead.

    Where no commit may ever come, the sentinel is linked now. What the catalog cannot be asked or told is recorded as that.
    """
    gaps: list[str] = []
    inputs = "declared"
    try:
        if not declares_input(run):
            inputs = _unknown_inputs(run, event, was)
        if event is not E.RECOVER and not _away(run):
            gaps = _workflow_gaps(run)
    except (DerivaMLException, OSError, apsw.Error) as error:
        inputs = inputs if inputs == "declared" else "unknown"
        gaps = [f"the catalog could not be asked or told: {error}"]
    waiting = pending_of(run.staged)
    outputs = f"{waiting.total_pending_files} files and {waiting.total_pending_rows} values wait for a commit"
    note = _clauses(str(event), became, inputs, outputs if waiting.has_pending else "none waits", gaps)
    run.store.note_end(run.rid, STEP, note, run.row.said if run.row.told else None)


def declares_input(run: Run) -> bool:
    """Return whether the execution declared an input, from the beginning or later."""
    config = run.registered.config
    if config.get("datasets") or config.get("assets") or run.staged.downloads():
        return True
    return any(step == "input" for step, _ in run.store.journal(run.rid))


def _unknown_inputs(run: Run, event: Event, was: ExecutionStatus) -> str:
    """Link the sentinel where no commit may ever come; return what is to be said of the inputs."""
    if event in (E.FAIL, E.ABORT) and was is not S.Created and not _away(run):
        _link_sentinel(run)
        return "unknown: the sentinel stands for them"
    return "none: the work never began" if was is S.Created else "unknown: a commit links the sentinel"


def _away(run: Run) -> bool:
    """Return whether the catalog is not to be asked, or does not know yet that the run is where it is."""
    return run.session.offline or run.registered.catalog_status is None or not run.row.told


def _link_sentinel(run: Run) -> None:
    """Whoever follows the data sees that its origin is unknown."""
    model = run.session.model()
    file = TableName(run.session.ml_schema, "File")
    links = model.asset_execution(file)
    remembered = run.session.remembered
    if "unknown_file" not in remembered:
        remembered["unknown_file"] = unknown_file(run.session)
    column = links.references_to(file)[0].column
    row = {column: remembered["unknown_file"], "Execution": run.rid, "Asset_Role": str(AssetRole.input)}
    insert(run.session, links.name, [row], skip_conflicts=True)


def _clauses(end: str, state: ExecutionStatus, inputs: str, outputs: str, gaps: list[str]) -> dict[str, Any]:
    return {"end": end, "state": str(state), "inputs": inputs, "outputs": outputs, "missing": gaps}


def recorded(run: Run) -> list[dict[str, Any]]:
    """Return what was recorded of the clauses at each end of the execution, oldest first."""
    return [detail for step, detail in run.store.journal(run.rid) if step == STEP]


def _workflow_gaps(run: Run) -> list[str]:
    """Say what is not known of the code; asked once for each workflow."""
    rid = run.registered.workflow_rid
    if rid is None:
        return ["the execution has no workflow: which code made its outputs is not known"]
    known: dict[str, list[str]] = run.session.remembered.setdefault("workflow gaps", {})
    if rid not in known:
        table = TableName(run.session.ml_schema, "Workflow")
        rows = select(run.session, table, {"RID": rid}, columns=["RID", "URL", "Checksum"])
        lacking = [name for name in ("URL", "Checksum") if not (rows and rows[0][name])]
        known[rid] = (
            [f"workflow {rid} has no {' and no '.join(lacking)}: its code may not be found again"] if lacking else []
        )
    return known[rid]
