"""Executions as records, also while the catalog is not asked: what this workspace knows of them stands for their rows then."""

from __future__ import annotations

from collections.abc import Iterable

from deriva_ml.catalog.session import Catalog
from deriva_ml.errors import DerivaMLOfflineError
from deriva_ml.execution.catalog_row import catalog_values
from deriva_ml.execution.configuration import stored_workflow
from deriva_ml.execution.record import ExecutionRecord, lookup_record, records
from deriva_ml.execution.store import ExecutionStore, Registered
from deriva_ml.rid import is_local


def lookup(session: Catalog, store: ExecutionStore, rid: str) -> ExecutionRecord:
    """Return an execution: the catalog's row, live; offline, and while the catalog does not know it, as this workspace has it.

    Raises:
        DerivaMLNotFoundError: there is none.
        DerivaMLOfflineError: the session is offline, and this workspace does not know it.
    """
    name = store.current_name(rid)
    if session.offline or is_local(name):
        return _here(session, store, name)
    return lookup_record(session, name)


def known(session: Catalog, store: ExecutionStore, rids: Iterable[str]) -> list[ExecutionRecord]:
    """Return executions in the order of ``rids``, each as :func:`lookup` does; those that do not exist are left out.

    Raises:
        DerivaMLOfflineError: the session is offline, and this workspace does not know one of them.
    """
    listing = list(rids)
    asked = [] if session.offline else records(session, [rid for rid in listing if not is_local(rid)])
    there = {record.execution_rid: record for record in asked}
    here = {rid: _here(session, store, rid) for rid in listing if session.offline or is_local(rid)}
    return [record for rid in listing if (record := there.get(rid) or here.get(rid)) is not None]


def _here(session: Catalog, store: ExecutionStore, rid: str) -> ExecutionRecord:
    found = store.get(rid)
    if found is None:
        raise DerivaMLOfflineError(
            f"This workspace knows nothing of execution {rid} but its name, and {session.host} is not asked: "
            "open it online (without mode=offline)."
        )
    return ExecutionRecord(session, _row(session, found), stored_workflow(dict(found.config)))


def _row(session: Catalog, found: Registered) -> dict[str, object]:
    return {
        "RID": found.rid,
        "Workflow": found.workflow_rid,
        "Description": found.description,
        "RCT": found.created_at,
        "RMT": found.last_activity,
        **catalog_values(session, found),
        "Status_Detail": found.detail,
    }
