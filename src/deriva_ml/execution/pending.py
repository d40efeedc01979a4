"""What executions have staged and not yet committed, counted."""

from __future__ import annotations

from collections import Counter

from deriva_ml.execution.manifest import EntryState
from deriva_ml.execution.report import PendingAssetCount, PendingRowCount, PendingSummary, WorkspacePendingSummary
from deriva_ml.execution.staged import Staged
from deriva_ml.execution.store import ExecutionStore


def pending_of(staged: Staged) -> PendingSummary:
    """Return what one execution has to commit."""
    files = Counter(entry.table for entry in staged.entries(EntryState.PENDING, EntryState.SEALED))
    rows = staged.feature_tables(staged.newest_feature())
    logged = [
        f"{len(listing)} logged {kind}"
        for kind, listing in (
            ("parameters", staged.logged.parameters(pending=True)),
            ("metrics", staged.logged.metrics(pending=True)),
        )
        if listing
    ]
    return PendingSummary(
        staged.rid,
        tuple(PendingRowCount(table, count) for (_, table), count in rows.items()),
        tuple(PendingAssetCount(table, count) for table, count in sorted(files.items())),
        tuple(logged),
    )


def pending_in(store: ExecutionStore) -> WorkspacePendingSummary:
    """Return what the executions of a workspace have to commit."""
    summaries = (pending_of(Staged(store, found.rid)) for found in store.select("status != 'Aborted'"))
    return WorkspacePendingSummary(tuple(summary for summary in summaries if summary.has_pending))
