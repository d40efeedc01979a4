"""Which of several values for one row counts: the newest, the first, one execution's, the majority's.

A selector takes the records of one row and returns one of them, or None to leave the row out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from deriva_ml.errors import DerivaMLValidationError

if TYPE_CHECKING:
    from deriva_ml.feature.record import FeatureRecord

    Selector: TypeAlias = Callable[[list[FeatureRecord]], FeatureRecord | None]


class KnowsWorkflows(Protocol):
    """Whoever can say which executions ran a workflow (``DerivaML`` can)."""

    def list_workflow_executions(self, workflow: str) -> list[str]: ...


def select_newest(records: Sequence[FeatureRecord]) -> FeatureRecord:
    """Return the record that was written last."""
    return max(records, key=lambda record: record.RCT or "")


select_latest = select_newest


def select_first(records: Sequence[FeatureRecord]) -> FeatureRecord:
    """Return the record that was written first."""
    return min(records, key=lambda record: record.RCT or "")


def select_by_execution(execution_rid: str) -> Selector:
    """Return a selector of what one execution wrote: its newest record, None for rows that it did not write about."""
    return _among({execution_rid})


def select_by_workflow(workflow: str, *, container: KnowsWorkflows) -> Selector:
    """Return a selector of what the executions of a workflow (its RID, or a workflow type) wrote."""
    return _among(set(container.list_workflow_executions(workflow)))


def _among(executions: set[str]) -> Selector:
    def select(records: list[FeatureRecord]) -> FeatureRecord | None:
        own = [record for record in records if record.Execution in executions]
        return select_newest(own) if own else None

    return select


def select_majority_vote(column: str | None = None) -> Selector:
    """Return a selector of the value that most records have in ``column``; of a tie, the newest.

    Raises (when it selects):
        DerivaMLValidationError: no column is named, and the feature has not exactly one that names a term.
    """

    def select(records: list[FeatureRecord]) -> FeatureRecord:
        chosen = column or _only_term(records[0])
        votes = Counter(getattr(record, chosen) for record in records)
        most = max(votes.values())
        return select_newest([record for record in records if votes[getattr(record, chosen)] == most])

    return select


def _only_term(record: FeatureRecord) -> str:
    columns = sorted(record.term_columns())
    if len(columns) != 1:
        raise DerivaMLValidationError(
            f"Say which column votes: select_majority_vote(column). There are: {', '.join(columns) or 'no terms'}."
        )
    return columns[0]


def reduce_records(
    records: Iterable[FeatureRecord], key: Callable[[FeatureRecord], Any], selector: Selector
) -> Iterator[FeatureRecord]:
    """Yield what ``selector`` chooses of each group of records with the same ``key``, in order of first appearance."""
    groups: dict[Any, list[FeatureRecord]] = {}
    for record in records:
        groups.setdefault(key(record), []).append(record)
    for group in groups.values():
        chosen = selector(group)
        if chosen is not None:
            yield chosen
