"""Which assets executions read and wrote, and which executions read and wrote an asset."""

from __future__ import annotations

from collections.abc import Iterable

from deriva_ml.asset.asset import Asset, lookup_assets
from deriva_ml.catalog.model import TableModel
from deriva_ml.catalog.rows import Row, select
from deriva_ml.catalog.session import Catalog
from deriva_ml.enums import AssetRole
from deriva_ml.errors import DerivaMLNoAssociationException, DerivaMLValidationError
from deriva_ml.execution.inputs import asset_tables


def check_role(role: str | None) -> str | None:
    """Return the role, if it is one.

    Raises:
        DerivaMLValidationError: it is neither Input nor Output.
    """
    if role is not None and role not in tuple(AssetRole):
        raise DerivaMLValidationError(f"{role!r} is no role of an asset; the roles are {', '.join(AssetRole)}.")
    return None if role is None else str(role)


def assets_of(session: Catalog, rid: str, role: str | None = None) -> list[Asset]:
    """Return the assets that an execution read or wrote: three requests for each asset table that has some, one for the others.

    Raises:
        DerivaMLValidationError: there is no such role.
    """
    wanted = check_role(role)
    found: list[Asset] = []
    for table in session.model().asset_tables():
        linked = _linked(session, table, rid, wanted)
        if linked:
            found += lookup_assets(session, table.name, linked).values()
    return found


def _linked(session: Catalog, table: TableModel, rid: str, role: str | None) -> list[str]:
    try:
        links = session.model().asset_execution(table.name)
    except DerivaMLNoAssociationException:  # a table that somebody made without: no execution reads or writes it
        return []
    column = links.references_to(table.name)[0].column
    where = {"Execution": rid, **({"Asset_Role": role} if role else {})}
    return list(dict.fromkeys(row[column] for row in select(session, links.name, where, columns=[column])))


def links_of_asset(session: Catalog, asset_rid: str, role: str | None = None) -> list[Row]:
    """Return the links of one asset to executions: ``Execution`` and ``Asset_Role`` of each.

    Raises:
        DerivaMLRidsNotFound, DerivaMLTableTypeError: it is not an asset.
    """
    table = asset_tables(session, [asset_rid])[asset_rid]
    links = session.model().asset_execution(table)
    column = links.references_to(table)[0].column
    wanted = check_role(role)
    where = {column: asset_rid, **({"Asset_Role": wanted} if wanted else {})}
    return select(session, links.name, where, columns=["Execution", "Asset_Role"])


def executions_with_assets(session: Catalog, assets: Iterable[str], role: str | None = None) -> list[str]:
    """Return the RIDs of the executions that read or wrote any of the assets."""
    return list(dict.fromkeys(row["Execution"] for asset in assets for row in links_of_asset(session, asset, role)))
