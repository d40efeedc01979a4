"""What the catalog could not be told when it happened, told at the next opening: one request finds it, however many runs there are."""

from __future__ import annotations

import logging
from collections.abc import Callable

from deriva_ml.catalog.rows import select
from deriva_ml.catalog.session import Catalog
from deriva_ml.errors import (
    OUT_OF_REACH,
    DerivaMLBusyError,
    DerivaMLCatalogError,
    DerivaMLStateInconsistency,
    InvalidTransitionError,
)
from deriva_ml.execution.run import Run
from deriva_ml.execution.states import ExecutionStatus
from deriva_ml.execution.store import ExecutionStore, Registered
from deriva_ml.names import TableName
from deriva_ml.rid import is_local

log = logging.getLogger(__name__)

S = ExecutionStatus
_LAGS = "status NOT IN ('Created', 'Running') AND catalog_status IS NOT status AND mode != 'dry'"


def catch_up(session: Catalog, store: ExecutionStore, reconcile: Callable[[Run], None]) -> None:
    """Let ``reconcile`` settle each ended run of which the catalog says something else; what it refuses is logged, and asked again."""
    behind = [found for found in store.select(_LAGS) if not is_local(found.rid)]
    if not behind:
        return
    table = TableName(session.ml_schema, "Execution")
    try:
        rows = select(session, table, {"RID": [found.rid for found in behind]}, columns=["RID", "Status"])
    except (*OUT_OF_REACH, DerivaMLCatalogError) as error:
        log.info("The catalog cannot be asked what it says of the runs of this workspace: %s", error)
        return
    said = {row["RID"]: S(row["Status"] or S.Created) for row in rows}
    store.heard({found.rid: said[found.rid] for found in behind if said.get(found.rid) is found.status})
    for found in behind:
        if found.rid in said and said[found.rid] is not found.status:
            _settle(session, store, found, reconcile)


def _settle(session: Catalog, store: ExecutionStore, found: Registered, reconcile: Callable[[Run], None]) -> None:
    run = Run(session, store, found.rid)
    try:
        run.refuse_others()  # whoever commits it tells the catalog
        reconcile(run)
    except DerivaMLBusyError:
        return
    except (*OUT_OF_REACH, DerivaMLCatalogError, DerivaMLStateInconsistency, InvalidTransitionError) as error:
        log.warning("The catalog does not know that execution %s is %s: %s", found.rid, found.status, error)
