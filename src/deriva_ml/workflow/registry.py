"""Workflows in the catalog: one row per checksum, found again however often the same code runs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from deriva_ml.catalog.leases import lease
from deriva_ml.catalog.rows import Row, insert, select
from deriva_ml.catalog.session import Catalog
from deriva_ml.errors import DerivaMLNotFoundError
from deriva_ml.names import TableName
from deriva_ml.rid import check_rid
from deriva_ml.workflow.workflow import Workflow, check_types, from_row, table

NEWEST_FIRST = ("RCT::desc::", "RID::desc::")


def add_workflow(session: Catalog, workflow: Workflow, leased: str | None = None) -> str:
    """Return the RID of the workflow's row: the one with its checksum, or a new one. Without a checksum it is always new.

    A new row without a checksum gets the RID ``leased`` if given: asked again with the same one, there is still one row.

    Raises:
        DerivaMLInvalidTerm: a type is no term of ``Workflow_Type``.
        DerivaMLNotFoundError: the workflow names a row that is not there.
    """
    if workflow.workflow_rid:
        return lookup(session, workflow.workflow_rid).workflow_rid or ""
    known = _with_checksum(session, workflow.checksum)
    rid = known[0]["RID"] if known else _insert(session, workflow, leased)
    workflow.bind(session, rid)
    return rid


def _with_checksum(session: Catalog, checksum: str | None) -> list[Row]:
    return (
        select(session, table(session), {"Checksum": checksum}, columns=["RID", "RCT"], sort=("RCT", "RID"))
        if checksum
        else []
    )


def _insert(session: Catalog, workflow: Workflow, leased: str | None) -> str:
    check_types(session, workflow.workflow_type)
    row = {
        "Name": workflow.name,
        "Description": workflow.description,
        "URL": workflow.url,
        "Checksum": workflow.checksum,
        "Version": workflow.version,
    }
    rid = _leased_for(session, workflow.checksum) if workflow.checksum else leased
    if rid is None:
        rid = str(insert(session, table(session), [row])[0]["RID"])
    else:
        insert(session, table(session), [{"RID": rid, **row}], given={"RID"}, skip_conflicts=True)
    links = [{"Workflow": rid, "Workflow_Type": name} for name in dict.fromkeys(workflow.workflow_type)]
    if links:
        insert(session, TableName(session.ml_schema, "Workflow_Workflow_Type"), links, skip_conflicts=True)
    return rid


def _leased_for(session: Catalog, checksum: str) -> str:
    """Return the RID for the row of a checksum: whoever records the same code at the same moment gets the same one.

    Looking first and inserting then would leave room for a second row, in which both see nothing.
    """
    token = f"workflow:{checksum}"
    return lease(session, [token])[token]


def lookup(session: Catalog, rid: str) -> Workflow:
    """Return the workflow with this RID.

    Raises:
        DerivaMLNotFoundError: there is none.
    """
    found = _read(session, select(session, table(session), {"RID": check_rid(rid)}))
    if not found:
        raise DerivaMLNotFoundError(f"No workflow has the RID {rid}. `ml.find_workflows()` lists the workflows.")
    return found[0]


def lookup_by_url(session: Catalog, url_or_checksum: str) -> Workflow:
    """Return the workflow with this URL or checksum, the oldest when there are several.

    Raises:
        DerivaMLNotFoundError: there is none.
    """
    for column in ("Checksum", "URL"):
        rows = select(session, table(session), {column: url_or_checksum}, sort=("RCT", "RID"), limit=1)
        if rows:
            return _read(session, rows)[0]
    raise DerivaMLNotFoundError(
        f"No workflow has the URL or checksum {url_or_checksum!r}. `ml.find_workflows()` lists the workflows."
    )


def find(session: Catalog, sort: bool | None = None) -> list[Workflow]:
    """Return every workflow; with ``sort`` the newest first."""
    return _read(session, select(session, table(session), sort=NEWEST_FIRST if sort else ()))


def _read(session: Catalog, rows: list[Row]) -> list[Workflow]:
    types = types_of(session, [row["RID"] for row in rows])
    return [from_row(session, row, types.get(row["RID"], ())) for row in rows]


def types_of(session: Catalog, rids: Iterable[str]) -> dict[str, list[str]]:
    """Return the types of workflows, by RID."""
    links = TableName(session.ml_schema, "Workflow_Workflow_Type")
    found: defaultdict[str, list[str]] = defaultdict(list)
    listed: list[Any] = list(rids)
    for row in select(session, links, {"Workflow": listed}, columns=["Workflow", "Workflow_Type"]) if listed else ():
        found[row["Workflow"]].append(row["Workflow_Type"])
    return {rid: sorted(names) for rid, names in found.items()}
