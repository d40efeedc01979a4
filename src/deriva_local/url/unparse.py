"""An address back into its one canonical text.

Floor 1, pure. For every canonical target ``unparse(parse(target)) == target``, and for every address that the parser
can produce ``parse(unparse(address)) == address``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from deriva_local.url.ast import (
    Address,
    AggregateItem,
    AliasAddress,
    AllOf,
    And,
    AnyOf,
    BinItem,
    CatalogAddress,
    CatalogPart,
    CatalogResource,
    CatalogsAddress,
    ColumnItem,
    ColumnRef,
    ColumnResource,
    ContextStep,
    DataResource,
    EntityRidResource,
    Facet,
    Filter,
    FilterStep,
    ForeignKeyResource,
    HistoryResource,
    Item,
    JoinStep,
    KeyResource,
    LinkStep,
    Not,
    Or,
    Paging,
    Predicate,
    RowStateItem,
    SchemaResource,
    ServiceAddress,
    Step,
    TableRef,
    TableResource,
    TableStep,
    TextFacetResource,
)
from deriva_local.url.lex import encode


def unparse(address: Address) -> str:
    """Return the canonical raw target of an address.

    Example:
        >>> unparse(CatalogAddress("1", None, EntityRidResource("1-ABC")))
        '/ermrest/catalog/1/entity_rid/1-ABC'
    """
    match address:
        case ServiceAddress():
            return "/ermrest"
        case CatalogsAddress():
            return "/ermrest/catalog"
        case AliasAddress(id):
            return "/ermrest/alias" if id is None else f"/ermrest/alias/{encode(id)}"
        case CatalogAddress():
            return _catalog(address)


def _catalog(address: CatalogAddress) -> str:
    snapshot = "" if address.snapshot is None else "@" + encode(address.snapshot)
    part = "".join("/" + segment for segment in _part(address.part))
    return f"/ermrest/catalog/{encode(address.id)}{snapshot}{part}{_options(address.options)}"


def _options(options: Mapping[str, tuple[str, ...]]) -> str:
    if not options:
        return ""
    return "?" + "&".join(encode(key) + ("=" + _names(values) if values else "") for key, values in options.items())


def _part(part: CatalogPart) -> list[str]:
    """Return the encoded segments of what is asked of a catalog."""
    match part:
        case DataResource():
            return [part.api, *_data(part)]
        case CatalogResource(facet):
            return _facet(facet)
        case EntityRidResource(rid):
            return ["entity_rid", encode(rid)]
        case TextFacetResource(pattern):
            return ["textfacet", encode(pattern)]
        case HistoryResource():
            return _history(part)
        case SchemaResource(name, facet):
            return ["schema", *([] if name is None else [encode(name), *_facet(facet)])]
        case _:
            return ["schema", encode(part.schema), "table", *_table_part(part)]


# --------------------------------------------------------------------------------------------------- model resources


def _table_part(part: TableResource | ColumnResource | KeyResource | ForeignKeyResource) -> list[str]:
    if part.table is None:
        return []
    table = encode(part.table)
    match part:
        case TableResource(_, _, facet):
            return [table, *_facet(facet)]
        case ColumnResource(_, _, column, facet):
            return [table, "column", *([] if column is None else [encode(column), *_facet(facet)])]
        case KeyResource(_, _, columns, facet):
            return [table, "key", *([] if columns is None else [_names(columns), *_facet(facet)])]
        case ForeignKeyResource():
            return [table, "foreignkey", *_foreign_key(part)]


def _foreign_key(part: ForeignKeyResource) -> list[str]:
    segments = []
    if part.columns is not None:
        segments.append(_names(part.columns))
    if part.full:
        segments.append("reference")
    if part.referenced is not None:
        segments.append(_table(part.referenced))
    if part.referenced_columns is not None:
        segments.append(_names(part.referenced_columns))
    return segments + _facet(part.facet)


def _history(part: HistoryResource) -> list[str]:
    segments = ["history", f"{encode(part.start or '')},{encode(part.until or '')}"]
    if part.config is not None:
        segments.append(part.config)
        segments += [] if part.target is None else [encode(part.target)]
    if part.attribute is not None:
        segments += ["attribute", encode(part.attribute)]
        if part.filter_column is not None:
            segments.append(f"{encode(part.filter_column)}={encode(part.filter_value or '')}")
    return segments


def _facet(facet: Facet | None) -> list[str]:
    if facet is None:
        return []
    return [facet.kind] if facet.key is None else [facet.kind, encode(facet.key)]


def _names(names: Iterable[str]) -> str:
    return ",".join(map(encode, names))


# ----------------------------------------------------------------------------------------------------- data resources


def _data(resource: DataResource) -> list[str]:
    segments = list(map(_step, resource.path.steps))
    lists = [",".join(map(_item, items)) for items in (resource.groups, resource.items) if items]
    if lists:
        segments.append(";".join(lists))
    segments[-1] += _paging(resource.paging)
    return segments


def _step(step: Step) -> str:
    match step:
        case TableStep(table, alias):
            return _named(alias) + _table(table)
        case LinkStep(columns, alias):
            return _named(alias) + _columns(columns)
        case JoinStep(left, right, outer, alias):
            return f"{_named(alias)}{'' if outer == 'inner' else outer}{_columns(left)}={_columns(right)}"
        case FilterStep(filter):
            return _filter(filter)
        case ContextStep(alias):
            return "$" + encode(alias)


def _named(alias: str | None) -> str:
    return "" if alias is None else encode(alias) + ":="


def _table(table: TableRef) -> str:
    return encode(table.table) if table.schema is None else f"{encode(table.schema)}:{encode(table.table)}"


def _column(column: ColumnRef) -> str:
    return ":".join(map(encode, column.parts))


def _columns(columns: Iterable[ColumnRef]) -> str:
    return f"({','.join(map(_column, columns))})"


def _filter(filter: Filter) -> str:
    match filter:
        case Predicate(column, "="):
            return f"{_column(column)}={_value(filter.value)}"
        case Predicate(column, operator):
            return f"{_column(column)}::{operator}::{_value(filter.value)}"
        case Not(part):
            return "!" + _filter_in(part, Predicate)
        case And(parts):
            return "&".join(_filter_in(part, Predicate, Not) for part in parts)
        case Or(parts):
            return ";".join(_filter_in(part, Predicate, Not, And) for part in parts)


def _filter_in(filter: Filter, *bare: type) -> str:
    """Return a part of a filter, in parentheses unless it is of a kind that binds more tightly."""
    return _filter(filter) if isinstance(filter, bare) else f"({_filter(filter)})"


def _value(value: str | AnyOf | AllOf | None) -> str:
    match value:
        case None:
            return ""
        case str():
            return encode(value)
        case AnyOf(values):
            return f"any({_names(values)})"
        case AllOf(values):
            return f"all({_names(values)})"


def _item(item: Item) -> str:
    out = _named(item.out)
    match item:
        case ColumnItem(column):
            return out + _column(column)
        case AggregateItem(function, column):
            return f"{out}{function}({_column(column)})"
        case BinItem(column, nbins, low, high):
            return f"{out}bin({_column(column)};{encode(nbins)};{encode(low)};{encode(high)})"
        case RowStateItem(function, alias):
            return f"{out}{function}({'' if alias is None else encode(alias) + ':'}RID)"


def _paging(paging: Paging) -> str:
    if not paging.sort:
        return ""
    keys = ",".join(encode(key.name) + ("::desc::" if key.descending else "") for key in paging.sort)
    return f"@sort({keys}){_page('before', paging.before)}{_page('after', paging.after)}"


def _page(word: str, values: tuple[str | None, ...] | None) -> str:
    if values is None:
        return ""
    return f"@{word}({','.join('::null::' if value is None else encode(value) for value in values)})"
