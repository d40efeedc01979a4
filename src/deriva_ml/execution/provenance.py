"""What a complete provenance asks of an execution, clause by clause, and which of it a finished one does not give.

Enforced elsewhere: it ends in a state that tells the truth, a failure has a reason, every output is linked with its role
(a commit that cannot verify that fails), and who declares no input gets the sentinel. What is left is told here: a
violation is written down and told, and never stands in the way.
"""

from __future__ import annotations

from deriva_ml.catalog.rows import select
from deriva_ml.execution.run import Run
from deriva_ml.names import TableName


def record_gaps(run: Run, declared_input: bool) -> list[str]:
    """Write into the journal which clauses the execution fulfils; return what is missing, as sentences."""
    gaps = _workflow_gaps(run)
    inputs = "declared" if declared_input else "unknown: the sentinel stands for them"
    run.store.note(run.rid, "provenance", inputs=inputs, outputs="each with its role", missing=gaps)
    return gaps


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
