"""What the store says is in the catalog, asked of the embedded catalog: executions, their states, committed assets.

A row that somebody has deleted is no damage. A row that was never there is: the catalog is older than the workspace, or the
store calls done what is not.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from deriva_ml.catalog.embedded import snapshot_of
from deriva_ml.catalog.leases import LEASES
from deriva_ml.catalog.rows import Row, select
from deriva_ml.catalog.session import Catalog
from deriva_ml.check.entries import Folder
from deriva_ml.check.findings import Finding, fatal, repairable
from deriva_ml.clock import from_iso
from deriva_ml.errors import DerivaMLCatalogError
from deriva_ml.execution.manifest import Entry, EntryState
from deriva_ml.execution.reconcile import Verdict, verdict
from deriva_ml.execution.states import ExecutionStatus
from deriva_ml.execution.store import ExecutionStore, Registered
from deriva_ml.names import TableName
from deriva_ml.rid import is_local

S = ExecutionStatus
_OLDER = "restore the newer catalog (`deriva-ml serve restore`), or bring what it lacks from the execution's folder"


def execution_problems(session: Catalog, store: ExecutionStore, quiet: Sequence[Registered]) -> Iterator[Finding]:
    """Yield the executions at rest of which the catalog knows nothing, or says what nobody can settle."""
    known = [found for found in quiet if found.catalog_status is not None and not is_local(found.rid)]
    columns = ["RID", "Status"]
    table = TableName(session.ml_schema, "Execution")
    there = {row["RID"]: row for row in select(session, table, {"RID": [one.rid for one in known]}, columns=columns)}
    absent = [found for found in known if found.rid not in there]
    leased = {row["RID"] for row in select(session, LEASES, {"RID": [found.rid for found in absent]}, columns=["RID"])}
    for found in absent:
        if found.rid not in leased and not found.uuid.startswith("rebuilt-"):
            lost = "the catalog knows nothing of it, not even that its RID was given out: the catalog is older than the workspace"
            yield fatal("catalog-older", f"execution {found.rid}", lost, _OLDER)
    for found in known:
        if found.rid in there:
            yield from _contradiction(store, found, there[found.rid])


def _contradiction(store: ExecutionStore, found: Registered, row: Row) -> Iterator[Finding]:
    there = S(row["Status"] or S.Created)
    passed = {S(step) for event in store.history(found.rid) for step in event[1:3]} | {S.Created}
    if verdict(found.status, there, passed) is Verdict.CONTRADICT:
        text = f"it is {found.status} in this workspace and {there} in the catalog, and no step leads from one to the other"
        yield repairable(
            "contradiction", f"execution {found.rid}", text, f"`deriva-ml mark {found.rid} STATE --reason …`"
        )


def asset_problems(session: Catalog, folders: Iterable[Folder]) -> Iterator[Finding]:
    """Yield the assets that the store calls committed, and that the catalog never had, or has with other bytes."""
    by_table: defaultdict[TableName, list[tuple[Folder, Entry]]] = defaultdict(list)
    for folder in folders:
        for entry in folder.entries:
            if entry.state is EntryState.UPLOADED and entry.rid:
                by_table[TableName(entry.schema, entry.table)].append((folder, entry))
    for table, claimed in by_table.items():
        yield from _claims(session, table, claimed)


def _claims(session: Catalog, table: TableName, claimed: Sequence[tuple[Folder, Entry]]) -> Iterator[Finding]:
    if table.name not in session.model().document["schemas"].get(table.schema, {}).get("tables", {}):
        return  # somebody has removed the table, with all that was in it
    wanted = {"RID": [entry.rid for _, entry in claimed]}
    there = {row["RID"]: row["MD5"] for row in select(session, table, wanted, columns=["RID", "MD5"])}
    for folder, entry in claimed:
        if entry.rid not in there:
            if _never_was(session, table, entry):
                lost = f"{entry.label}: the store calls it committed as {entry.rid}, and the catalog never had that"
                yield fatal("not-committed", folder, lost, _OLDER)
        elif there[entry.rid] and entry.md5 and there[entry.rid] != entry.md5:
            other = (
                f"{entry.label}: {entry.rid} has the MD5 {there[entry.rid]} in the catalog, {entry.md5} in the store"
            )
            yield fatal("committed-other", folder, other, f"compare the bytes: `deriva-ml get {entry.rid}`")


def _never_was(session: Catalog, table: TableName, entry: Entry) -> bool:
    """Return whether the row was not even there at the moment at which the store says that it was committed."""
    if not entry.uploaded_at:
        return True
    then = session.at(snapshot_of(from_iso(entry.uploaded_at)))
    try:
        return not select(then, table, {"RID": entry.rid}, columns=["RID"])
    except DerivaMLCatalogError:  # there was no such table, or no catalog, at that moment
        return True
