"""Addresses of data: the path, the projection, the order and the page.

Floor 1, pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from deriva_local.url.ast import (
    AggregateItem,
    BinItem,
    ColumnItem,
    ColumnRef,
    ContextStep,
    DataResource,
    FilterStep,
    Item,
    JoinStep,
    LinkStep,
    Paging,
    Path,
    RowStateItem,
    SortKey,
    Step,
    TableRef,
    TableStep,
)
from deriva_local.url.cursor import Cursor
from deriva_local.url.filters import parse_column, parse_filter, parse_filter_from
from deriva_local.wire.errors import bad_request

DataApi = Literal["entity", "attribute", "attributegroup", "aggregate"]
AGGREGATES = frozenset({"min", "max", "avg", "sum", "cnt", "cnt_d", "array", "array_d"})
_OUTER: dict[str, Literal["left", "right", "full"]] = {"left": "left", "right": "right", "full": "full"}
_ROW_STATES: dict[str, Literal["trs", "tcrs"]] = {"trs": "trs", "tcrs": "tcrs"}
_NO_PAGING = Paging()


def parse_data(api: DataApi, segments: Sequence[str]) -> DataResource:
    """Return what a data address asks for; ``segments`` are the raw parts after the api word.

    Raises:
        Refusal: 400, the segments do not follow the grammar.
    """
    *inner, last = segments or [""]
    end = Cursor(last)
    if api == "entity":
        path = _path(inner, end)
        return DataResource(api, path, paging=_paging_to_end(end))
    path = _path(inner, None)
    groups: tuple[Item, ...] = ()
    items = end.listed(lambda: _item(end))
    if api == "attributegroup":
        groups, items = items, end.listed(lambda: _item(end)) if end.take(";") else ()
    _check_places(api, groups, items)
    return DataResource(api, path, groups, items, _paging_to_end(end))


# ----------------------------------------------------------------------------------------------------------- path


def _path(inner: Sequence[str], last: Cursor | None) -> Path:
    """Return the path of the inner segments and, where the path goes on to the end, of the last one."""
    steps = []
    for segment in inner:
        cursor = Cursor(segment)
        steps.append(_step(cursor))
        cursor.end()
    if last is not None:
        steps.append(_step(last))
    if not steps:
        raise bad_request("A data address needs a path that starts with a table.")
    if not isinstance(steps[0], TableStep):
        raise bad_request("A path must start with a table.")
    return Path(tuple(steps))


def _step(cursor: Cursor) -> Step:
    mark = cursor.mark
    if mark == "$":
        cursor.at += 1
        return ContextStep(cursor.name())
    if mark == "!":
        return FilterStep(parse_filter(cursor))
    alias = None
    if cursor.mark_after() == ":=":
        alias = cursor.name()
        cursor.at += 1
    elif mark == "(" and not _is_column_list(cursor):
        return FilterStep(parse_filter(cursor))
    outer = cursor.call(tuple(_OUTER))
    if outer or cursor.take("("):
        return _join(cursor, outer, alias)
    if cursor.take(":"):
        return TableStep(_table(cursor), alias)
    return _table_or_filter(cursor, alias)


def _is_column_list(cursor: Cursor) -> bool:
    """Look ahead: in a parenthesised step, a comma or the end after the first column makes a list of columns."""
    start = cursor.at
    cursor.at += 1
    listed = False
    if cursor.text:
        parse_column(cursor)
        listed = cursor.mark in (",", ")")
    cursor.at = start
    return listed


def _table(cursor: Cursor) -> TableRef:
    first = cursor.name()
    return TableRef(cursor.name(), first) if cursor.take(":") else TableRef(first)


def _table_or_filter(cursor: Cursor, alias: str | None) -> TableStep | FilterStep:
    column = parse_column(cursor)
    if alias is None and cursor.mark in ("=", "::"):
        return FilterStep(parse_filter_from(cursor, column))
    if len(column.parts) == 1:
        return TableStep(TableRef(column.parts[0]), alias)
    if len(column.parts) == 2:
        return TableStep(TableRef(column.parts[1], column.parts[0]), alias)
    raise cursor.refuse("an operator after three names")


def _join(cursor: Cursor, outer: str, alias: str | None) -> LinkStep | JoinStep:
    left = _columns(cursor)
    if cursor.take("="):
        cursor.expect("(")
        right = _columns(cursor)
        if len(left) != len(right):
            raise cursor.refuse("as many columns on the right as on the left")
        return JoinStep(left, right, _OUTER[outer] if outer else "inner", alias)
    if outer:
        raise cursor.refuse(f"'=(' after the columns of a {outer} join")
    return LinkStep(left, alias)


def _columns(cursor: Cursor) -> tuple[ColumnRef, ...]:
    """Read columns up to the closing parenthesis."""
    columns = cursor.listed(lambda: parse_column(cursor))
    cursor.expect(")")
    return columns


# ----------------------------------------------------------------------------------------------------- projection


def _item(cursor: Cursor) -> Item:
    out = None
    if cursor.mark_after() == ":=":
        out = cursor.name()
        cursor.at += 1
    if cursor.mark_after() == "(":
        return _called_item(cursor, out)
    return ColumnItem(parse_column(cursor), out)


def _called_item(cursor: Cursor, out: str | None) -> Item:
    word = cursor.word()
    if word in AGGREGATES:
        cursor.at += 2
        item: Item = AggregateItem(word, parse_column(cursor), out)
    elif word == "bin":
        cursor.at += 2
        item = _bin(cursor, out)
    elif word in _ROW_STATES:
        cursor.at += 2
        item = _row_state(cursor, _ROW_STATES[word], out)
    else:
        raise cursor.refuse("the name of an aggregate")
    cursor.expect(")")
    return item


def _bin(cursor: Cursor, out: str | None) -> BinItem:
    column = parse_column(cursor)
    numbers = []
    for _ in range(3):
        cursor.expect(";")
        numbers.append(cursor.name())
    return BinItem(column, numbers[0], numbers[1], numbers[2], out)


def _row_state(cursor: Cursor, function: Literal["trs", "tcrs"], out: str | None) -> RowStateItem:
    *alias, column = parse_column(cursor).parts
    if column != "RID" or len(alias) > 1:
        raise cursor.refuse("RID or alias:RID")
    return RowStateItem(function, alias[0] if alias else None, out)


def _check_places(api: DataApi, groups: tuple[Item, ...], items: tuple[Item, ...]) -> None:
    """Refuse items where the grammar has no place for them."""
    for item in groups if api == "attributegroup" else items if api == "attribute" else ():
        if not isinstance(item, ColumnItem | BinItem):
            raise bad_request(f"{type(item).__name__} is not possible in this list: it takes columns and bins.")


# --------------------------------------------------------------------------------------------------------- paging


def _paging_to_end(cursor: Cursor) -> Paging:
    if not cursor.mark:
        cursor.end()
        return _NO_PAGING
    paging = _paging(cursor)
    cursor.end()
    return paging


def _paging(cursor: Cursor) -> Paging:
    sort: tuple[SortKey, ...] = ()
    pages: dict[str, tuple[str | None, ...]] = {}
    while cursor.take("@"):
        word = cursor.call(("sort", "before", "after"))
        if not word or word in pages or (sort and word == "sort"):
            raise cursor.refuse("sort(…), then before(…) or after(…), each once")
        if word == "sort" and not pages:
            sort = cursor.listed(lambda: _sort_key(cursor))
        else:
            pages[word] = cursor.listed(lambda: _page_key(cursor))
            _check_page(word, pages[word], sort)
        cursor.expect(")")
    return Paging(sort, pages.get("before"), pages.get("after"))


def _check_page(word: str, page: tuple[str | None, ...], sort: tuple[SortKey, ...]) -> None:
    if not sort:
        raise bad_request(f"@{word}(…) needs @sort(…) before it.")
    if len(page) != len(sort):
        raise bad_request(f"@{word}(…) has {len(page)} values, @sort(…) has {len(sort)} keys: they must match.")


def _sort_key(cursor: Cursor) -> SortKey:
    name = cursor.name()
    if not cursor.take("::"):
        return SortKey(name)
    if cursor.word() != "desc":
        raise cursor.refuse("desc")
    cursor.at += 1
    cursor.expect("::")
    return SortKey(name, descending=True)


def _page_key(cursor: Cursor) -> str | None:
    if not cursor.take("::"):
        return cursor.value()
    if cursor.word() != "null":
        raise cursor.refuse("null")
    cursor.at += 1
    cursor.expect("::")
    return None
