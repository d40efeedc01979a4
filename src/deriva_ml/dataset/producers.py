"""The files about the executions that produced a dataset and its members: configuration, environment, metrics.

They are read as they are now, not as they were at the dataset's snapshot: a run often reports its metrics after it has
released the dataset, and they say how the data came about, not what it is.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from deriva_ml.catalog.rows import Row, select
from deriva_ml.catalog.session import Catalog
from deriva_ml.dataset.scope import Scope
from deriva_ml.names import TableName
from deriva_ml.schema.tables import UNKNOWN_EXECUTION

UNFINISHED = frozenset({"Created", "Running", "Stopped", "Pending_Upload"})


@dataclass(frozen=True, slots=True)
class Metadata:
    """The metadata rows to add to a bag, by table, and whether all producers have finished, so that no more will come."""

    rows: dict[TableName, list[Row]]
    finished: bool


def producers_of(scope: Scope, version_executions: Collection[str]) -> list[str]:
    """Return the RIDs of the executions that made the versions, and those that made the members that are files."""
    found = dict.fromkeys(version_executions)
    for table, rows in scope.rows.items():
        if (
            "Asset_Role" in scope.model.find_table(table).columns
            and "Execution" in scope.model.find_table(table).columns
        ):
            found |= dict.fromkeys(row["Execution"] for row in rows.values() if row["Asset_Role"] == "Output")
    return list(found)


def read_metadata(session: Catalog, executions: Collection[str]) -> Metadata:
    """Return the metadata files of ``executions`` with their types and links: four requests at most."""
    table, link, kind, runs = (
        TableName(session.ml_schema, name)
        for name in ("Execution_Metadata", "Execution_Metadata_Execution", "Execution_Metadata_Asset_Type", "Execution")
    )
    known = select(session, runs, {"RID": list(executions)})
    named = [row["RID"] for row in known if row["Description"] != UNKNOWN_EXECUTION["Description"]]
    links = select(session, link, {"Execution": named, "Asset_Role": "Output"})
    files = {row["Execution_Metadata"] for row in links}
    rows = {
        link: links,
        table: select(session, table, {"RID": files}),
        kind: select(session, kind, {"Execution_Metadata": files}),
        runs: [row for row in known if row["RID"] in set(named)],
    }
    return Metadata(rows, finished=not any(row["Status"] in UNFINISHED for row in known))
