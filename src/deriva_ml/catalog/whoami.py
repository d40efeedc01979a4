"""Who the server takes us for, and how a row is cited."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from deriva_ml.catalog.port import Request
from deriva_ml.catalog.rows import Row, select
from deriva_ml.catalog.session import Catalog
from deriva_ml.errors import DerivaMLAuthenticationError, DerivaMLCatalogError, DerivaMLValidationError
from deriva_ml.names import DRY_RUN_RID, TableName
from deriva_ml.rid import split_snapshot


def whoami(catalog: Catalog) -> dict[str, Any] | None:
    """Return what the server says of its client (``id``, ``display_name``, …), None when nobody is logged in."""
    try:
        response = catalog.send(Request("GET", "/authn/session", {"accept": "application/json"}))
    except DerivaMLAuthenticationError:
        return None
    except DerivaMLCatalogError as error:
        if error.status != 404:
            raise
        return None
    return cast(dict[str, Any], catalog.read(response)["client"])


def user_list(catalog: Catalog) -> list[Row]:
    """Return the clients that the catalog has seen: ``ID`` and ``Full_Name`` or ``Display_Name``."""
    rows = select(catalog, TableName("public", "ERMrest_Client"), columns=["ID", "Full_Name", "Display_Name"])
    return [{"ID": row["ID"], "Full_Name": row["Full_Name"] or row["Display_Name"]} for row in rows]


def rid_of(entity: Any) -> str:
    """Return the RID that ``entity`` means: a RID, a row, or an object that has one.

    Raises:
        DerivaMLValidationError: it has none.
    """
    if isinstance(entity, str):
        return entity
    if isinstance(entity, Mapping) and "RID" in entity:
        return str(entity["RID"])
    for name in ("asset_rid", "dataset_rid", "execution_rid", "workflow_rid", "rid"):
        if isinstance(found := getattr(entity, name, None), str):
            return found
    raise DerivaMLValidationError(f"{entity!r} has no RID to cite.")


def cite(catalog: Catalog, entity: Any, folder: Path | None, current: bool = False) -> str:
    """Return an address that names the row for good: at the present snapshot, or with ``current`` whatever it becomes.

    ``folder`` is where an embedded catalog is: nobody else can follow its addresses, and they say so.
    """
    rid, snapshot = split_snapshot(rid_of(entity))
    if rid == DRY_RUN_RID:
        return f"dry run: nothing was recorded ({DRY_RUN_RID})"
    moment = snapshot or ("" if current else catalog.snapshot or catalog.latest_snapshot())
    name = f"{catalog.catalog_id}/{rid}" + (f"@{moment}" if moment else "")
    return f"{folder.as_uri()}#{name}" if folder is not None else f"https://{catalog.host}/id/{name}"
