"""Workflows in the catalog: one row per checksum, found again however often the same code runs."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from deriva_ml.catalog.leases import lease
from deriva_ml.catalog.rows import Row, insert, select, update
from deriva_ml.catalog.session import Catalog
from deriva_ml.errors import DerivaMLCatalogError, DerivaMLNotFoundError
from deriva_ml.names import TableName
from deriva_ml.rid import check_rid
from deriva_ml.schema.tables import UNKNOWN_CODE as UNKNOWN
from deriva_ml.workflow.workflow import Workflow, check_types, from_row, known, table

log = logging.getLogger(__name__)

_CODE = ("URL", "Checksum", "Version")
NEWEST_FIRST = ("RCT::desc::", "RID::desc::")


def add_workflow(session: Catalog, workflow: Workflow, leased: str | None = None) -> str:
    """Return the RID of the workflow's row: the one with its checksum, or a new one. Without a checksum it is always new.

    A new row without a checksum gets the RID ``leased`` if given: asked again with the same one, there is still one row. What is not
    known of the code is said to be unknown in the row, until somebody records the same code and knows it.

    Raises:
        DerivaMLInvalidTerm: a type is no term of ``Workflow_Type``.
        DerivaMLNotFoundError: the workflow names a row that is not there.
    """
    if workflow.workflow_rid:
        found = _row_of(session, workflow.workflow_rid)
        _complete(session, found, workflow)
        return str(found["RID"])
    alike = _with_checksum(session, workflow.checksum)
    if alike:
        _complete(session, alike[0], workflow)
    rid = str(alike[0]["RID"]) if alike else _insert(session, workflow, leased)
    workflow.bind(session, rid)
    return rid


def _with_checksum(session: Catalog, checksum: str | None) -> list[Row]:
    columns = ["RID", "RCT", *_CODE]
    return (
        select(session, table(session), {"Checksum": checksum}, columns=columns, sort=("RCT", "RID"))
        if checksum
        else []
    )


def _complete(session: Catalog, row: Row, workflow: Workflow) -> None:
    """Write into the row what it does not know of the same code and this workflow does; what nobody knows is said to be unknown.

    A catalog that refuses that keeps what it has: it stands in nobody's way.
    """
    told, there = {"URL": workflow.url, "Checksum": workflow.checksum}, known(row)
    if any(value and there[column] not in (None, value) for column, value in told.items()):
        return  # the row keeps the address that it got first; and facts of two codes are never mixed
    new = {column: value for column, value in told.items() if value and there[column] is None}
    if "URL" in new and workflow.version and not row["Version"]:
        new["Version"] = workflow.version
    new |= {column: UNKNOWN[column] for column in told if not row[column] and column not in new}
    if not new:
        return
    try:
        update(session, table(session), [{"RID": row["RID"], **new}], targets=list(new))
    except DerivaMLCatalogError as error:
        log.info("Workflow %s stays without %s: %s", row["RID"], " and ".join(new), error)
    session.remembered.pop("workflow gaps", None)


def _insert(session: Catalog, workflow: Workflow, leased: str | None) -> str:
    check_types(session, workflow.workflow_type)
    row = {
        "Name": workflow.name,
        "Description": workflow.description,
        "URL": workflow.url or UNKNOWN["URL"],
        "Checksum": workflow.checksum or UNKNOWN["Checksum"],
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
    return _read(session, [_row_of(session, rid)])[0]


def _row_of(session: Catalog, rid: str) -> Row:
    found = select(session, table(session), {"RID": check_rid(rid)})
    if not found:
        raise DerivaMLNotFoundError(f"No workflow has the RID {rid}. `ml.find_workflows()` lists the workflows.")
    return found[0]


def lookup_by_url(session: Catalog, url_or_checksum: str) -> Workflow:
    """Return the workflow with this URL or checksum, the oldest when there are several.

    Raises:
        DerivaMLNotFoundError: there is none.
    """
    for column in ("Checksum", "URL") if url_or_checksum not in UNKNOWN.values() else ():
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
