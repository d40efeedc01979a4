"""Assets in the catalog: files with their facts, listed and found in bulk."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ConfigDict, create_model

from deriva_ml.catalog.model import ColumnModel, TableModel
from deriva_ml.catalog.rows import Row, fetch, select
from deriva_ml.catalog.session import Catalog
from deriva_ml.catalog.terms import find_term
from deriva_ml.enums import MLVocab
from deriva_ml.errors import DerivaMLNoAssociationException, DerivaMLTableTypeError
from deriva_ml.feature.record import python_type
from deriva_ml.names import TableName, encode
from deriva_ml.rids import resolve_rid


@dataclass(frozen=True)
class Asset:
    """One file of an asset table. ``metadata`` holds the columns that this table has beside those of all assets."""

    asset_rid: str
    asset_table: str
    filename: str
    url: str
    length: int
    md5: str
    description: str = ""
    asset_types: tuple[str, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)
    created: str = ""

    @property
    def rid(self) -> str:
        return self.asset_rid

    @property
    def file_name(self) -> str:
        return self.filename


class AssetRecord(BaseModel):
    """The metadata of one asset; :func:`asset_record_class` makes the class for each asset table."""

    model_config = ConfigDict(extra="forbid")


def list_assets(catalog: Catalog, table: str | TableName, sort: bool | None = None) -> list[Asset]:
    """Return every asset of ``table``, newest first with ``sort=True``. Two requests.

    Raises:
        DerivaMLTableNotFound, DerivaMLTableTypeError: it is no asset table.
    """
    model = catalog.model().find_asset_table(table)
    return read_assets(catalog, model, select(catalog, model.name, sort=_order(sort)))


def lookup_asset(catalog: Catalog, rid: str) -> Asset:
    """Return the asset ``rid``.

    Raises:
        DerivaMLRidsNotFound: no row has this RID.
        DerivaMLTableTypeError: the row is no asset.
    """
    model = catalog.model().find_table(resolve_rid(catalog, rid).table)
    if not model.is_asset:
        raise DerivaMLTableTypeError(
            "asset table", model.name.name, f"{rid} is a row of {model.name.name}, which is not an asset table."
        )
    return read_assets(catalog, model, select(catalog, model.name, {"RID": rid}))[0]


def lookup_assets(catalog: Catalog, table: str | TableName, rids: Iterable[str]) -> dict[str, Asset]:
    """Return those of ``rids`` that are assets of ``table``, by RID, in bulk."""
    model = catalog.model().find_asset_table(table)
    found = read_assets(catalog, model, select(catalog, model.name, {"RID": list(rids)}))
    return {asset.asset_rid: asset for asset in found}


def find_assets(
    catalog: Catalog, table: str | TableName | None = None, asset_type: str | None = None, sort: bool | None = None
) -> list[Asset]:
    """Return the assets of ``table``, or of all asset tables, that have ``asset_type``. Two requests for each table.

    Raises:
        DerivaMLInvalidTerm: there is no such type.
    """
    model = catalog.model()
    tables = model.asset_tables() if table is None else [model.find_asset_table(table)]
    kind = (
        None
        if asset_type is None
        else find_term(catalog, TableName(catalog.ml_schema, MLVocab.asset_type), asset_type).name
    )
    found = [asset for one in tables for asset in _of_type(catalog, one, kind, sort)]
    return sorted(found, key=lambda asset: asset.created, reverse=True) if sort else found


def _of_type(catalog: Catalog, table: TableModel, kind: str | None, sort: bool | None) -> list[Asset]:
    if kind is None:
        return list_assets(catalog, table.name, sort)
    link = catalog.model().asset_type_link(table.name)
    column = link.references_to(table.name)[0].column
    step = f"({encode(column)})=({table.name.path}:RID)"
    rows = fetch(catalog, f"/entity/{link.name.path}/Asset_Type={encode(kind)}/{step}")
    return read_assets(catalog, table, rows)


def list_asset_tables(catalog: Catalog) -> list[TableModel]:
    """Return every asset table, as the catalog is now."""
    return catalog.refresh().asset_tables()


def asset_record_class(catalog: Catalog, table: str | TableName) -> type[AssetRecord]:
    """Return a pydantic class whose fields are the columns that users gave the asset table."""
    model = catalog.model().find_asset_table(table)
    fields: dict[str, Any] = {column.name: _field(column) for column in model.payload_columns}
    return create_model(f"{model.name.name}Asset", __base__=AssetRecord, **fields)


def _field(column: ColumnModel) -> tuple[Any, Any]:
    kind = python_type(column)
    if column.nullok or column.default is not None:
        return (kind | None if kind is not Any else kind, column.default)
    return (kind, ...)


def read_assets(catalog: Catalog, table: TableModel, rows: list[Row]) -> list[Asset]:
    """Return the assets that ``rows`` of ``table`` describe, with their types: one more request for them all."""
    types = asset_types(catalog, table.name, [row["RID"] for row in rows])
    return [
        Asset(
            asset_rid=row["RID"],
            asset_table=table.name.name,
            filename=row["Filename"] or "",
            url=row["URL"],
            length=row["Length"],
            md5=row["MD5"],
            description=row.get("Description") or "",
            asset_types=types.get(row["RID"], ()),
            metadata={column.name: row[column.name] for column in table.payload_columns},
            created=row["RCT"],
        )
        for row in rows
    ]


def asset_types(catalog: Catalog, table: TableName, rids: list[str]) -> dict[str, tuple[str, ...]]:
    """Return the types of the assets ``rids`` of ``table``."""
    try:
        link = catalog.model().asset_type_link(table)
    except DerivaMLNoAssociationException:  # a table that somebody made without: its assets have no types
        return {}
    column = link.references_to(table)[0].column
    where = {column: rids} if len(rids) <= MANY else {}
    found: dict[str, tuple[str, ...]] = {}
    for row in select(catalog, link.name, where, columns=[column, "Asset_Type"], sort=["Asset_Type"]):
        found[row[column]] = (*found.get(row[column], ()), row["Asset_Type"])
    return found


MANY = 2_000
"""Above this number of assets, reading the types of the whole table takes fewer requests."""


def _order(sort: bool | None) -> tuple[str, ...]:
    return ("RCT::desc::", "RID::desc::") if sort else ()
