"""The deriva-ml schema put into a catalog: everything or nothing, once, however many try at the same time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from deriva_ml.catalog.identity import PROVENANCE_TAG, uuid_from, uuid_of
from deriva_ml.catalog.rows import insert, select
from deriva_ml.catalog.session import Catalog
from deriva_ml.errors import DerivaMLConflictError
from deriva_ml.names import TableName, encode
from deriva_ml.schema.tables import (
    TERMS,
    UNKNOWN_EXECUTION,
    UNKNOWN_FILE,
    UNKNOWN_WORKFLOW,
    domain_document,
    schema_document,
)

SCHEMA_VERSION = 1
DOMAIN_SCHEMA = "domain"
"""What the users' schema of a new catalog is called when nobody says otherwise."""


def is_complete(document: Mapping[str, Any]) -> bool:
    """Return whether a catalog, by what it says of itself, has a deriva-ml schema with all that belongs into it.

    The annotation that says so is written last.
    """
    return PROVENANCE_TAG in (document.get("annotations") or {})


def install(catalog: Catalog, domain_schema: str = DOMAIN_SCHEMA) -> None:
    """Make the deriva-ml schema, its terms and sentinels, and an empty domain schema, where they are missing.

    Repeating it, after a crash or beside another process, changes nothing that is there already.

    Raises:
        DerivaMLCatalogError and its kinds: the catalog refused.
    """
    wanted = {catalog.ml_schema: schema_document(catalog.ml_schema), domain_schema: domain_document(domain_schema)}
    missing = [document for name, document in wanted.items() if name not in catalog.refresh().schemas]
    if missing:
        _create(catalog, missing)
    seed(catalog)
    note = {"creation_method": "deriva-ml", "schema_version": SCHEMA_VERSION, "uuid": _uuid(catalog)}
    catalog.request("PUT", f"/annotation/{encode(PROVENANCE_TAG)}", json=note)


def _uuid(catalog: Catalog) -> str:
    """Return which catalog it is: what it says itself, else what its first row of ours makes of it."""
    first = {"RID": unknown_execution(catalog)}
    (row,) = select(catalog, TableName(catalog.ml_schema, "Execution"), first, columns=["RID", "RCT"])
    return uuid_of(catalog.document()) or uuid_from(row)


def _create(catalog: Catalog, schemas: list[dict[str, Any]]) -> None:
    try:
        catalog.request("POST", "/schema", json=schemas)
    except DerivaMLConflictError:
        names = {document["schema_name"] for document in schemas}
        if not names <= set(catalog.refresh().schemas):  # not just somebody else who was faster
            raise
    catalog.refresh()


def seed(catalog: Catalog) -> None:
    """Insert the terms and the sentinels that are missing."""
    for vocabulary, terms in TERMS.items():
        rows = [{"Name": name, "Description": description, "Synonyms": []} for name, description in terms.items()]
        if rows:
            insert(catalog, TableName(catalog.ml_schema, vocabulary), rows, skip_conflicts=True)
    unknown_execution(catalog)
    unknown_file(catalog)


def unknown_execution(catalog: Catalog) -> str:
    """Return the RID of the execution that stands for an unknown producer; made where it is missing."""
    workflow = _row(catalog, "Workflow", {"URL": UNKNOWN_WORKFLOW["URL"]}, UNKNOWN_WORKFLOW)
    marker = {"Description": UNKNOWN_EXECUTION["Description"]}
    return _row(catalog, "Execution", marker, {**UNKNOWN_EXECUTION, "Workflow": workflow})


def unknown_file(catalog: Catalog) -> str:
    """Return the RID of the file that stands for inputs that nobody declared; made where it is missing."""
    return _row(catalog, "File", {"URL": UNKNOWN_FILE["URL"]}, UNKNOWN_FILE)


def _row(catalog: Catalog, table: str, marker: Mapping[str, Any], row: Mapping[str, Any]) -> str:
    """Return the RID of the row that has ``marker``, inserted if it is missing."""
    name = TableName(catalog.ml_schema, table)
    found = select(catalog, name, marker, columns=["RID"], sort=["RID"], limit=1) or insert(catalog, name, [row])
    return str(found[0]["RID"])
