"""Every address that the parser can produce, as hypothesis strategies."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from deriva_local.url import ast

NAMES = st.sampled_from(
    ["T", "a", "any", "left", "*", "RID", "cnt", "null", "sort", "reference", "é ü", "a/b", "1-X", "%(:=)"]
)
VALUES = st.just("") | NAMES
TABLES = st.builds(ast.TableRef, NAMES, st.none() | NAMES)
ALIASES = st.none() | NAMES
COLUMNS = st.builds(ast.ColumnRef, st.lists(NAMES, min_size=1, max_size=3).map(tuple))
LISTS = st.lists(VALUES, min_size=1, max_size=3).map(tuple)
RIGHT_SIDES = VALUES | st.builds(ast.AnyOf, LISTS) | st.builds(ast.AllOf, LISTS)
COMPARISONS: Any = st.sampled_from([name for name in ast.OPERATORS if name != "null"])
PREDICATES = st.builds(ast.Predicate, COLUMNS, COMPARISONS, RIGHT_SIDES) | st.builds(
    ast.Predicate, COLUMNS, st.just("null"), st.none()
)


def _tuples(items: st.SearchStrategy[Any], least: int = 1, most: int = 3) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(items, min_size=least, max_size=most).map(tuple)


FILTERS: st.SearchStrategy[ast.Filter] = st.recursive(
    PREDICATES,
    lambda inner: (
        st.builds(ast.Not, inner) | st.builds(ast.And, _tuples(inner, 2)) | st.builds(ast.Or, _tuples(inner, 2))
    ),
    max_leaves=6,
)


@st.composite
def _joins(draw: st.DrawFn) -> ast.JoinStep:
    size = draw(st.integers(1, 2))
    sides = _tuples(COLUMNS, size, size)
    return ast.JoinStep(
        draw(sides), draw(sides), draw(st.sampled_from(["inner", "left", "right", "full"])), draw(ALIASES)
    )


STEPS = st.one_of(
    st.builds(ast.TableStep, TABLES, ALIASES),
    st.builds(ast.LinkStep, _tuples(COLUMNS), ALIASES),
    _joins(),
    st.builds(ast.FilterStep, FILTERS),
    st.builds(ast.ContextStep, NAMES),
)
PATHS = st.builds(
    lambda first, rest: ast.Path((first, *rest)), st.builds(ast.TableStep, TABLES, ALIASES), _tuples(STEPS, 0)
)
ATTRIBUTES = st.builds(ast.ColumnItem, COLUMNS, ALIASES) | st.builds(ast.BinItem, COLUMNS, NAMES, NAMES, NAMES, ALIASES)
ITEMS = st.one_of(
    ATTRIBUTES,
    st.builds(
        ast.AggregateItem,
        st.sampled_from(["min", "max", "avg", "sum", "cnt", "cnt_d", "array", "array_d"]),
        COLUMNS,
        ALIASES,
    ),
    st.builds(ast.RowStateItem, st.sampled_from(["trs", "tcrs"]), ALIASES, ALIASES),
)


@st.composite
def _pagings(draw: st.DrawFn) -> ast.Paging:
    sort = draw(_tuples(st.builds(ast.SortKey, NAMES, st.booleans()), 0))
    pages = st.none() | _tuples(st.none() | VALUES, len(sort), len(sort)) if sort else st.none()
    return ast.Paging(sort, draw(pages), draw(pages))


PAGINGS = _pagings()
NOTHING: st.SearchStrategy[tuple[Any, ...]] = st.just(())
DATA = st.one_of(
    st.builds(ast.DataResource, st.just("entity"), PATHS, NOTHING, NOTHING, PAGINGS),
    st.builds(ast.DataResource, st.just("attribute"), PATHS, NOTHING, _tuples(ATTRIBUTES), PAGINGS),
    st.builds(ast.DataResource, st.just("attributegroup"), PATHS, _tuples(ATTRIBUTES), _tuples(ITEMS, 0), PAGINGS),
    st.builds(ast.DataResource, st.just("aggregate"), PATHS, NOTHING, _tuples(ITEMS), PAGINGS),
)


def _facets(*kinds: str) -> st.SearchStrategy[ast.Facet | None]:
    keyed: Any = st.sampled_from([kind for kind in kinds if kind != "comment"])
    some = st.builds(ast.Facet, keyed, ALIASES)
    return st.none() | some | st.just(ast.Facet("comment")) if "comment" in kinds else st.none() | some


OF_TABLE = _facets("acl", "annotation", "comment", "acl_binding")
NAME_LISTS = _tuples(NAMES)
MODEL = st.one_of(
    st.builds(ast.CatalogResource, _facets("acl", "annotation")),
    st.builds(ast.SchemaResource),
    st.builds(ast.SchemaResource, NAMES, _facets("acl", "annotation", "comment")),
    st.builds(ast.TableResource, NAMES),
    st.builds(ast.TableResource, NAMES, NAMES, OF_TABLE),
    st.builds(ast.ColumnResource, NAMES, NAMES),
    st.builds(ast.ColumnResource, NAMES, NAMES, NAMES, OF_TABLE),
    st.builds(ast.KeyResource, NAMES, NAMES),
    st.builds(ast.KeyResource, NAMES, NAMES, NAME_LISTS, _facets("annotation", "comment")),
    st.builds(ast.ForeignKeyResource, NAMES, NAMES, st.none() | NAME_LISTS),
    st.builds(ast.ForeignKeyResource, NAMES, NAMES, NAME_LISTS, st.just(True), st.none() | TABLES),
    st.builds(ast.ForeignKeyResource, NAMES, NAMES, NAME_LISTS, st.just(True), TABLES, NAME_LISTS, OF_TABLE),
    st.builds(ast.EntityRidResource, NAMES),
    st.builds(ast.TextFacetResource, NAMES),
    st.builds(ast.HistoryResource, ALIASES, ALIASES),
    st.builds(ast.HistoryResource, ALIASES, ALIASES, st.sampled_from(["acl", "acl_binding", "annotation"]), ALIASES),
    st.builds(ast.HistoryResource, ALIASES, ALIASES, attribute=NAMES),
    st.builds(ast.HistoryResource, ALIASES, ALIASES, attribute=NAMES, filter_column=NAMES, filter_value=NAMES),
)
OPTIONS = st.dictionaries(NAMES, st.lists(NAMES, max_size=2, unique=True).map(tuple), max_size=2)
CATALOG_ADDRESSES = st.builds(ast.CatalogAddress, NAMES, ALIASES, DATA | MODEL, OPTIONS)
ADDRESSES: st.SearchStrategy[ast.Address] = st.one_of(
    CATALOG_ADDRESSES,
    st.just(ast.ServiceAddress()),
    st.just(ast.CatalogsAddress()),
    st.builds(ast.AliasAddress, ALIASES),
)
