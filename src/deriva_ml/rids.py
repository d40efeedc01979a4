"""Which table a RID belongs to, for one RID or for many at once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from deriva_ml.catalog.leases import LEASES
from deriva_ml.catalog.model import TableModel
from deriva_ml.catalog.rows import select
from deriva_ml.catalog.session import Catalog
from deriva_ml.errors import DerivaMLCatalogError, DerivaMLRidsNotFound
from deriva_ml.names import TableName
from deriva_ml.rid import check_rid, split_snapshot


@dataclass(frozen=True, slots=True)
class RidResult:
    """Where a RID's row is."""

    rid: str
    table: TableName

    @property
    def table_name(self) -> str:
        return self.table.name

    @property
    def schema_name(self) -> str:
        return self.table.schema


def resolve_rid(catalog: Catalog, rid: str) -> RidResult:
    """Return the table of the row ``rid``; ``RID@snapshot`` is looked up at the snapshot. One request.

    Raises:
        DerivaMLValidationError: ``rid`` does not look like a RID.
        DerivaMLRidsNotFound: no row has it, or the row was deleted.
    """
    row, snapshot = split_snapshot(rid)
    found = _resolve(catalog.at(snapshot) if snapshot else catalog, row)
    if isinstance(found, str):
        raise DerivaMLRidsNotFound([rid], found)
    return found


def resolve_rids(
    catalog: Catalog, rids: Iterable[str], candidate_tables: Iterable[str | TableName] | None = None
) -> dict[str, RidResult]:
    """Return the table of each row of ``rids``: a few requests for each table that they come from.

    Raises:
        DerivaMLValidationError: something does not look like a RID.
        DerivaMLRidsNotFound: some rows do not exist; ``missing_rids`` names them all.
    """
    missing = dict.fromkeys(check_rid(rid) for rid in rids)
    found: dict[str, RidResult] = {}
    for candidate in candidate_tables or ():
        _take(catalog, catalog.model().find_table(candidate).name, missing, found)
    while missing:
        probed = _resolve(catalog, next(iter(missing)))
        if isinstance(probed, str):  # a RID that nobody has: look in every table once, not for every RID
            _search(catalog, missing, found)
            break
        _take(catalog, probed.table, missing, found)
        missing.pop(probed.rid, None)
    if missing:
        raise DerivaMLRidsNotFound(missing)
    return found


def find_row_table(catalog: Catalog, rid: str) -> TableModel:
    """Return the table of the row ``rid``; raises as :func:`resolve_rid` does."""
    return catalog.model().find_table(resolve_rid(catalog, rid).table)


def _resolve(catalog: Catalog, rid: str) -> RidResult | str:
    """Return where the row is, or a sentence that says why there is none."""
    try:
        document = catalog.get(f"/entity_rid/{rid}")
    except DerivaMLCatalogError as error:
        if error.status not in {400, 404, 409}:
            raise
        return str(DerivaMLRidsNotFound([rid]))
    if document.get("deleted_at"):
        return f"The row {rid} of {document['table_name']} was deleted at {document['deleted_at']}."
    found = RidResult(rid, TableName(document["schema_name"], document["table_name"]))
    return _claimed(catalog, rid) if found.table == LEASES else found


def _claimed(catalog: Catalog, rid: str) -> RidResult | str:
    """Return the row that took its RID from a lease: servers differ in which of the two they name."""
    found: dict[str, RidResult] = {}
    _search(catalog, {rid: None}, found)
    return found.get(rid) or f"The RID {rid} is reserved; no row has it yet."


def _take(catalog: Catalog, table: TableName, missing: dict[str, None], found: dict[str, RidResult]) -> None:
    """Move the RIDs that ``table`` has from ``missing`` to ``found``."""
    for row in select(catalog, table, {"RID": list(missing)}, columns=["RID"]):
        found[row["RID"]] = RidResult(row["RID"], table)
        missing.pop(row["RID"], None)


def _search(catalog: Catalog, missing: dict[str, None], found: dict[str, RidResult]) -> None:
    for table in catalog.model().tables():
        if not missing:
            return
        _take(catalog, table.name, missing, found)
