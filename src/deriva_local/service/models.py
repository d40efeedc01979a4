"""Everything of ``/ermrest`` that is not rows: which room answers which address."""

from __future__ import annotations

from deriva_local.service import catalogs, elements, facets, history
from deriva_local.service.answers import Visit, allow, meet
from deriva_local.service.messages import Request, Response
from deriva_local.store.registry import Store
from deriva_local.url.ast import (
    Address,
    AliasAddress,
    CatalogResource,
    CatalogsAddress,
    ColumnResource,
    EntityRidResource,
    ForeignKeyResource,
    HistoryResource,
    KeyResource,
    SchemaResource,
    ServiceAddress,
    TableResource,
    TextFacetResource,
)
from deriva_local.wire.errors import not_found


def handle(store: Store, address: Address, request: Request) -> Response:
    """Answer a request to the service, to catalogs and aliases, and to the model and history of a catalog.

    Raises:
        Refusal: whatever stands against it, with its status.
    """
    if isinstance(address, ServiceAddress):
        return catalogs.service(request)
    if isinstance(address, CatalogsAddress):
        return catalogs.create(store, request)
    if isinstance(address, AliasAddress):
        return catalogs.aliases(store, request) if address.id is None else catalogs.alias(store, address.id, request)
    entry = store.entry(address.id)
    database = store.database(entry)
    meet(database, request)
    return _in_catalog(store, Visit(database, entry, address, request))


def _in_catalog(store: Store, visit: Visit) -> Response:
    part = visit.address.part
    facet = getattr(part, "facet", None)
    if facet is not None:
        return facets.handle(visit, facet)
    if isinstance(part, CatalogResource):
        return catalogs.catalog(store, visit)
    if isinstance(part, EntityRidResource):
        return history.entity_rid(visit, part)
    if isinstance(part, HistoryResource):
        return history.history(visit, part)
    if isinstance(part, TextFacetResource):
        allow(visit.request, "GET")
        with visit.reading() as session:
            return visit.answer(session, 200, [])
    return _element(visit)


def _element(visit: Visit) -> Response:
    part = visit.address.part
    if isinstance(part, SchemaResource):
        return elements.whole_model(visit) if part.name is None else elements.schema(visit, part)
    if isinstance(part, TableResource):
        return elements.tables(visit, part) if part.table is None else elements.table(visit, part)
    if isinstance(part, ColumnResource):
        return elements.columns(visit, part) if part.column is None else elements.column(visit, part)
    if isinstance(part, KeyResource):
        return elements.keys(visit, part) if part.columns is None else elements.key(visit, part)
    if isinstance(part, ForeignKeyResource):
        return elements.foreign_keys(visit, part) if part.columns is None else elements.foreign_key(visit, part)
    raise not_found("This catalog has no such resource.")
