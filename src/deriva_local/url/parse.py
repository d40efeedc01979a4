"""The raw target of a request into an address.

Floor 1, pure. The grammar splits at ``/`` first, because a slash inside a name or a value is always escaped; each
segment is then read on its own. Keywords are known in any case, and stay legal as names.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from deriva_local.url.ast import (
    Address,
    AliasAddress,
    CatalogAddress,
    CatalogPart,
    CatalogResource,
    CatalogsAddress,
    ServiceAddress,
)
from deriva_local.url.cursor import Cursor
from deriva_local.url.data import parse_data
from deriva_local.url.lex import check
from deriva_local.url.resources import (
    one_name,
    parse_catalog_facet,
    parse_entity_rid,
    parse_history,
    parse_schema,
    parse_text_facet,
)
from deriva_local.wire.errors import bad_request, not_found

_PARTS: Mapping[str, Callable[[Sequence[str]], CatalogPart]] = {
    "entity": lambda segments: parse_data("entity", segments),
    "attribute": lambda segments: parse_data("attribute", segments),
    "attributegroup": lambda segments: parse_data("attributegroup", segments),
    "aggregate": lambda segments: parse_data("aggregate", segments),
    "schema": parse_schema,
    "entity_rid": parse_entity_rid,
    "textfacet": parse_text_facet,
    "history": parse_history,
}


def parse(target: str) -> Address:
    """Return the address that a raw, still percent-encoded target with its query string spells.

    Raises:
        Refusal: 400 where the target breaks the grammar, 404 where it names no resource of this service.

    Example:
        >>> parse("/ermrest/catalog/1/entity/isa:dataset/RID=1-ABC").part.api
        'entity'
    """
    check(target)
    path, _, query = target.partition("?")
    segments = path.split("/")
    if len(segments) < 2 or segments[0] or segments[1] != "ermrest":
        raise not_found(f"There is nothing at '{path}'.")
    word = segments[2].lower() if len(segments) > 2 else ""
    if word == "catalog":
        return _catalog(segments[3:], query)
    if word == "alias":
        return _alias(segments[3:])
    if word or len(segments) > 3:
        raise not_found(f"There is no '{segments[2]}' below /ermrest; there are catalog and alias.")
    return ServiceAddress()


def _catalog(segments: Sequence[str], query: str) -> Address:
    if not segments or segments == [""]:
        return CatalogsAddress()
    identity, snapshot = _catalog_id(segments[0])
    return CatalogAddress(identity, snapshot, _part(segments[1:]), _options(query) if query else {})


def _alias(segments: Sequence[str]) -> AliasAddress:
    if not segments or segments == [""]:
        return AliasAddress()
    if len(segments) > 1:
        raise bad_request("Nothing can follow the id of an alias.")
    return AliasAddress(one_name(segments[0]))


def _catalog_id(segment: str) -> tuple[str, str | None]:
    cursor = Cursor(segment)
    identity = cursor.name()
    snapshot = cursor.name() if cursor.take("@") else None
    cursor.end()
    return identity, snapshot


def _part(segments: Sequence[str]) -> CatalogPart:
    if not segments or (len(segments) == 1 and not segments[0]):
        return CatalogResource()
    word = segments[0].lower()
    read = _PARTS.get(word)
    if read is not None:
        return read(segments[1:])
    if word in ("acl", "annotation"):
        return parse_catalog_facet(segments)
    raise not_found(f"There is no '{segments[0]}' below a catalog; there are {', '.join(_PARTS)}, acl and annotation.")


def _options(query: str) -> dict[str, tuple[str, ...]]:
    cursor = Cursor(query)
    found: dict[str, dict[str, None]] = {}
    while True:
        values = found.setdefault(cursor.name(), {})
        if cursor.take("=") and cursor.text:
            values.update(dict.fromkeys(cursor.listed(cursor.name)))
        if not cursor.take("&") and not cursor.take(";"):
            break
    cursor.end()
    return {key: tuple(values) for key, values in found.items()}
