"""What the catalog could not be told when it happened, told at the next opening: one request finds it, however many runs there are."""

from __future__ import annotations

import logging
from collections.abc import Callable

from deriva_ml.catalog.rows import select
from deriva_ml.catalog.session import Catalog
from deriva_ml.errors import OUT_OF_REACH, DerivaMLCatalogError, DerivaMLStateInconsistency, InvalidTransitionError
from deriva_ml.execution.run import Run
from deriva_ml.execution.states import ExecutionStatus
from deriva_ml.execution.store import ExecutionStore, Registered
from deriva_ml.names import TableName

log = logging.getLogger(__name__)

S = ExecutionStatus


def catch_up(session: Catalog, store: ExecutionStore, reconcile: Callable[[Run], None]) -> None:
    """Let ``reconcile`` settle each ended run of which the catalog says something else; what it refuses is logged, and asked again."""
    untold = store.untold()
    if not untold:
        return
    table = TableName(session.ml_schema, "Execution")
    try:
        rows = select(session, table, {"RID": list(untold)}, columns=["RID", "Status"])
    except (*OUT_OF_REACH, DerivaMLCatalogError) as error:
        log.info("The catalog cannot be asked what it says of the runs of this workspace: %s", error)
        return
    said = {row["RID"]: S(row["Status"] or S.Created) for row in rows}
    agreed = [(rid, state) for rid, state in said.items() if state is untold[rid].status]
    if agreed:
        store.tell(agreed)
    for rid, state in said.items():
        if state is not untold[rid].status:
            _settle(session, store, untold[rid], reconcile)


def _settle(session: Catalog, store: ExecutionStore, found: Registered, reconcile: Callable[[Run], None]) -> None:
    run = Run(session, store, found.rid)
    try:
        reconcile(run)
        now = run.registered
        if run.row.said is now.status:
            store.tell([(found.rid, now.status)])
        if now.status is not found.status:
            log.warning("Execution %s was %s here and is %s now: %s.", found.rid, found.status, now.status, now.detail)
    except (*OUT_OF_REACH, DerivaMLCatalogError, DerivaMLStateInconsistency, InvalidTransitionError) as error:
        log.warning("The catalog does not know that execution %s is %s: %s", found.rid, found.status, error)
