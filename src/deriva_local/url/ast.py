"""What an ERMrest address says: frozen values between the parser and the rooms that act.

Floor 0: values only. The parser builds these from text, :mod:`deriva_local.url.unparse` turns them back, and
:mod:`deriva_local.query.bind` gives them meaning with a model. Nothing here knows what exists.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

# ---------------------------------------------------------------------------------------------- names and values


@dataclass(frozen=True, slots=True)
class TableRef:
    """``T`` or ``S:T``."""

    table: str
    schema: str | None = None


@dataclass(frozen=True, slots=True)
class ColumnRef:
    """One to three names: ``c``, ``alias:c``, ``table:c`` or ``schema:table:c``; ``*`` is a legal last name."""

    parts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """``any(v, …)``: the predicate holds for at least one value."""

    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AllOf:
    """``all(v, …)``: the predicate holds for every value."""

    values: tuple[str, ...]


Operator: TypeAlias = Literal["=", "lt", "leq", "gt", "geq", "regexp", "ciregexp", "ts", "null"]
OPERATORS = ("=", "lt", "leq", "gt", "geq", "regexp", "ciregexp", "ts", "null")


@dataclass(frozen=True, slots=True)
class Predicate:
    """``column op value``. ``value`` is None exactly when the operator is ``null``; ``""`` is a value."""

    column: ColumnRef
    operator: Operator
    value: str | AnyOf | AllOf | None


@dataclass(frozen=True, slots=True)
class Not:
    part: Filter


@dataclass(frozen=True, slots=True)
class And:
    """Two or more parts joined by ``&``."""

    parts: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """Two or more parts joined by ``;``."""

    parts: tuple[Filter, ...]


Filter: TypeAlias = Predicate | Not | And | Or

# ------------------------------------------------------------------------------------------------------- path steps


@dataclass(frozen=True, slots=True)
class TableStep:
    """``[alias:=] tref``: join the context to this table over every foreign key between them."""

    table: TableRef
    alias: str | None = None


@dataclass(frozen=True, slots=True)
class LinkStep:
    """``[alias:=] (cols)``: join over the one key or foreign-key endpoint that these columns are."""

    columns: tuple[ColumnRef, ...]
    alias: str | None = None


@dataclass(frozen=True, slots=True)
class JoinStep:
    """``[alias:=] [left|right|full] (cols)=(cols)``: a free equi-join, inner by default."""

    left: tuple[ColumnRef, ...]
    right: tuple[ColumnRef, ...]
    outer: Literal["inner", "left", "right", "full"] = "inner"
    alias: str | None = None


@dataclass(frozen=True, slots=True)
class FilterStep:
    """Keep the rows for which the filter holds."""

    filter: Filter


@dataclass(frozen=True, slots=True)
class ContextStep:
    """``$alias``: make that earlier instance the context again."""

    alias: str


Step: TypeAlias = TableStep | LinkStep | JoinStep | FilterStep | ContextStep


@dataclass(frozen=True, slots=True)
class Path:
    """A chain of steps; the first is a :class:`TableStep`."""

    steps: tuple[Step, ...]


# ------------------------------------------------------------------------------------------------------ projections


@dataclass(frozen=True, slots=True)
class ColumnItem:
    """``[out:=] column``. A last part of ``*`` expands to every visible column."""

    column: ColumnRef
    out: str | None = None


@dataclass(frozen=True, slots=True)
class AggregateItem:
    """``out:=f(column)`` with f of min, max, avg, sum, cnt, cnt_d, array, array_d."""

    function: str
    column: ColumnRef
    out: str | None = None


@dataclass(frozen=True, slots=True)
class BinItem:
    """``out:=bin(column;nbins;low;high)``; the three numbers are kept as text."""

    column: ColumnRef
    nbins: str
    low: str
    high: str
    out: str | None = None


@dataclass(frozen=True, slots=True)
class RowStateItem:
    """``out:=trs(RID)`` or ``out:=tcrs(alias:RID)``: rights of the caller on that row."""

    function: Literal["trs", "tcrs"]
    alias: str | None = None
    out: str | None = None


Item: TypeAlias = ColumnItem | AggregateItem | BinItem | RowStateItem


@dataclass(frozen=True, slots=True)
class SortKey:
    name: str
    descending: bool = False


@dataclass(frozen=True, slots=True)
class Paging:
    """``@sort(…)@before(…)@after(…)``. A page key holds text, or None for ``::null::``."""

    sort: tuple[SortKey, ...] = ()
    before: tuple[str | None, ...] | None = None
    after: tuple[str | None, ...] | None = None


@dataclass(frozen=True, slots=True)
class DataResource:
    """``entity``, ``attribute``, ``attributegroup`` or ``aggregate`` with its path, projection and paging.

    ``items`` is the list of attribute (or the targets after ``;`` of attributegroup, or the list of aggregate);
    ``groups`` is the list before ``;`` of attributegroup. Both are empty for entity.
    """

    api: Literal["entity", "attribute", "attributegroup", "aggregate"]
    path: Path
    groups: tuple[Item, ...] = ()
    items: tuple[Item, ...] = ()
    paging: Paging = field(default_factory=Paging)


# --------------------------------------------------------------------------------------------------- model resources


@dataclass(frozen=True, slots=True)
class Facet:
    """A sub-resource of a model element: annotation, acl, acl_binding or comment, with its key where one is given.

    ``key`` is None for the whole collection.
    """

    kind: Literal["annotation", "acl", "acl_binding", "comment"]
    key: str | None = None


@dataclass(frozen=True, slots=True)
class CatalogResource:
    """``/ermrest/catalog/id[@snap]`` itself, or one facet of it."""

    facet: Facet | None = None


@dataclass(frozen=True, slots=True)
class SchemaResource:
    """``schema`` (name None: the whole model), ``schema/S``, or a facet of S."""

    name: str | None = None
    facet: Facet | None = None


@dataclass(frozen=True, slots=True)
class TableResource:
    """``schema/S/table`` (table None: the collection), ``schema/S/table/T``, or a facet of T."""

    schema: str
    table: str | None = None
    facet: Facet | None = None


@dataclass(frozen=True, slots=True)
class ColumnResource:
    """``…/column`` (column None), ``…/column/C``, or a facet of C."""

    schema: str
    table: str
    column: str | None = None
    facet: Facet | None = None


@dataclass(frozen=True, slots=True)
class KeyResource:
    """``…/key`` (columns None), ``…/key/c1,c2``, or a facet of that key."""

    schema: str
    table: str
    columns: tuple[str, ...] | None = None
    facet: Facet | None = None


@dataclass(frozen=True, slots=True)
class ForeignKeyResource:
    """``…/foreignkey[/cols[/reference[/tref[/cols[/facet]]]]]``, as far as it was given.

    ``full`` tells ``…/foreignkey/cols`` (False) from ``…/foreignkey/cols/reference`` (True).
    """

    schema: str
    table: str
    columns: tuple[str, ...] | None = None
    full: bool = False
    referenced: TableRef | None = None
    referenced_columns: tuple[str, ...] | None = None
    facet: Facet | None = None


@dataclass(frozen=True, slots=True)
class EntityRidResource:
    """``entity_rid/RID``."""

    rid: str


@dataclass(frozen=True, slots=True)
class TextFacetResource:
    """``textfacet/pattern``."""

    pattern: str


@dataclass(frozen=True, slots=True)
class HistoryResource:
    """``history/from,until[/…]``. ``config`` is acl, acl_binding or annotation; ``attribute`` is a column RID."""

    start: str | None
    until: str | None
    config: Literal["acl", "acl_binding", "annotation"] | None = None
    target: str | None = None
    attribute: str | None = None
    filter_column: str | None = None
    filter_value: str | None = None


CatalogPart: TypeAlias = (
    CatalogResource
    | SchemaResource
    | TableResource
    | ColumnResource
    | KeyResource
    | ForeignKeyResource
    | EntityRidResource
    | TextFacetResource
    | HistoryResource
    | DataResource
)

# ------------------------------------------------------------------------------------------------------ whole address


@dataclass(frozen=True, slots=True)
class ServiceAddress:
    """``/ermrest``."""


@dataclass(frozen=True, slots=True)
class CatalogsAddress:
    """``/ermrest/catalog``."""


@dataclass(frozen=True, slots=True)
class AliasAddress:
    """``/ermrest/alias[/id]``."""

    id: str | None = None


@dataclass(frozen=True, slots=True)
class CatalogAddress:
    """``/ermrest/catalog/id[@snap]/…``: a catalog, a moment, and what is asked of it.

    ``options`` maps each query key to its values in order: repeats and comma lists merged, ``None`` for a bare key
    is the empty tuple.
    """

    id: str
    snapshot: str | None
    part: CatalogPart
    options: dict[str, tuple[str, ...]] = field(default_factory=dict)


Address: TypeAlias = ServiceAddress | CatalogsAddress | AliasAddress | CatalogAddress
