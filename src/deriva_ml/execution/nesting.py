"""Executions that ran others, and the datasets that executions read: links in the catalog, followed a level per request."""

from __future__ import annotations

from typing import Any

from deriva_ml.catalog.rows import insert, select
from deriva_ml.catalog.session import Catalog
from deriva_ml.dataset.dataset import Dataset
from deriva_ml.errors import DerivaMLValidationError
from deriva_ml.names import TableName
from deriva_ml.rid import check_rid


def rid_of(execution: Any) -> str:
    """Return the RID of an execution given as one, as its record, or as its RID.

    Raises:
        DerivaMLValidationError: it is none of these.
    """
    rid = execution if isinstance(execution, str) else getattr(execution, "execution_rid", None)
    if not isinstance(rid, str):
        raise DerivaMLValidationError(f"{execution!r} is not an execution: give the execution or its RID.")
    return check_rid(rid)


def nest(session: Catalog, parent: str, child: str, sequence: int | None = None) -> None:
    """Record that ``parent`` ran ``child``; recording it again changes nothing.

    Raises:
        DerivaMLValidationError: the child contains the parent.
    """
    if parent == child or parent in children(session, child, recurse=True):
        raise DerivaMLValidationError(f"Execution {child} contains {parent}, so it cannot be nested in it.")
    row = {"Execution": parent, "Nested_Execution": child, "Sequence": sequence}
    insert(session, TableName(session.ml_schema, "Execution_Execution"), [row], skip_conflicts=True)


def children(session: Catalog, rid: str, recurse: bool = False) -> list[str]:
    """Return the executions that ``rid`` ran, in their order; with ``recurse`` all below it."""
    return _follow(session, rid, "Execution", "Nested_Execution", recurse)


def parents(session: Catalog, rid: str, recurse: bool = False) -> list[str]:
    """Return the executions that ran ``rid``; with ``recurse`` all above it."""
    return _follow(session, rid, "Nested_Execution", "Execution", recurse)


def _follow(session: Catalog, rid: str, here: str, there: str, recurse: bool) -> list[str]:
    table = TableName(session.ml_schema, "Execution_Execution")
    found: dict[str, None] = {}
    generation = [rid]
    while generation:
        rows = select(session, table, {here: generation}, columns=[there, "Sequence", "RCT"], sort=("Sequence", "RCT"))
        generation = [
            other for other in dict.fromkeys(row[there] for row in rows) if other not in found and other != rid
        ]
        found |= dict.fromkeys(generation)
        if not recurse:
            break
    return list(found)


def input_datasets(session: Catalog, rid: str) -> list[Dataset]:
    """Return the datasets that the execution ``rid`` read."""
    rows = select(session, TableName(session.ml_schema, "Dataset_Execution"), {"Execution": rid}, columns=["Dataset"])
    return [Dataset(session, dataset) for dataset in dict.fromkeys(row["Dataset"] for row in rows)]
