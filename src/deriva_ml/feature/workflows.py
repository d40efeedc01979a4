"""Which executions ran a workflow, for choosing among the values of a feature."""

from __future__ import annotations

from typing import Any

from deriva_ml.catalog.rows import fetch, select
from deriva_ml.catalog.session import Catalog
from deriva_ml.catalog.terms import find_term
from deriva_ml.catalog.whoami import rid_of
from deriva_ml.enums import MLVocab
from deriva_ml.errors import DerivaMLInvalidTerm, DerivaMLNotFoundError
from deriva_ml.names import TableName, encode


def list_workflow_executions(catalog: Catalog, workflow: Any) -> list[str]:
    """Return the RIDs of the executions of a workflow (a RID, or a Workflow), or of all workflows of a type.

    Raises:
        DerivaMLNotFoundError: there is neither such a workflow nor such a type.
    """
    name = rid_of(workflow)
    schema = catalog.ml_schema
    if select(catalog, TableName(schema, "Workflow"), {"RID": name}, columns=["RID"]):
        rows = select(catalog, TableName(schema, "Execution"), {"Workflow": name}, columns=["RID"], sort=["RCT"])
        return [row["RID"] for row in rows]
    try:
        kind = find_term(catalog, TableName(schema, MLVocab.workflow_type), name).name
    except DerivaMLInvalidTerm as error:
        raise DerivaMLNotFoundError(f"{name!r} is neither the RID of a workflow nor a workflow type.") from error
    link = TableName(schema, "Workflow_Workflow_Type").path
    execution = TableName(schema, "Execution").path
    rows = fetch(catalog, f"/entity/{link}/Workflow_Type={encode(kind)}/(Workflow)=({execution}:Workflow)@sort(RCT)")
    return [row["RID"] for row in rows]
