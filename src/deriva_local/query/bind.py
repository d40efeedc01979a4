"""Gives a data address its meaning: the address and a model in, a plan or a refusal out.

Floor 1, pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import inf

from deriva_local.acl.view import View
from deriva_local.model.elements import Type
from deriva_local.query.filters import literal
from deriva_local.query.path import PathBinder
from deriva_local.query.plan import Aggregate, Binned, Example, Expression, Grouping, Output, Plan, Ref
from deriva_local.url import ast
from deriva_local.wire.errors import Refusal, bad_request, conflict
from deriva_local.wire.types import TYPES, SQLiteValue

_WHOLE_NUMBERS = frozenset({"int2", "int4", "int8", "serial2", "serial4", "serial8"})
_NUMBERS = _WHOLE_NUMBERS | {"float4", "float8", "numeric"}
_DAYS_AND_TIMES = frozenset({"date", "timestamp", "timestamptz"})
_UNORDERED = frozenset({"boolean", "json", "jsonb", "uuid"})
_INCOMPARABLE = frozenset({"json", "json[]"})


WIDEST = 2000
"""So many columns, and terms to sort by, SQLite takes in one query."""


def bind(part: ast.DataResource, view: View, limit: int | None = None) -> Plan:
    """Return the plan of what a data address reads.

    Raises:
        Refusal: 401 or 403 for what may not be read, 400 for an address that makes no sense, 409 for one that contradicts the model, 501 for what is not
            offered.
    """
    binder = PathBinder(view)
    selection = binder.follow(part.path)
    outputs, grouping, keys = _outputs(part, binder)
    names = {output.name: position for position, output in enumerate(outputs)}
    if len(names) < len(outputs):
        raise _duplicate(outputs)
    if max(len(outputs), len(part.paging.sort)) > WIDEST:
        raise bad_request(f"A result may have {WIDEST} columns, and as many to sort by, not more.")
    sort = tuple([(_sort_position(part, names, outputs, key), key.descending) for key in part.paging.sort])
    before, after = (
        _page_key(part, page, [outputs[position].type for position, _ in sort])
        for page in (part.paging.before, part.paging.after)
    )
    if before is not None and after is None and limit is None:
        raise bad_request("@before(…) without @after(…) needs a limit: say how many rows (?limit=N).")
    return Plan(selection, outputs, grouping, keys, sort, before, after, limit)


def _outputs(part: ast.DataResource, binder: PathBinder) -> tuple[tuple[Output, ...], Grouping, int]:
    if part.api == "aggregate":
        return tuple(_item(binder, item, "aggregate") for item in part.items), "all", 0
    if part.api == "attributegroup":
        keys = [output for item in part.groups for output in _column_outputs(binder, item, "group key")]
        _check_groupable(keys)
        targets = [output for item in part.items for output in _group_outputs(binder, item)]
        return (*keys, *targets), "groups", len(keys)
    grouping: Grouping = "rows" if len(binder.instances) > 1 else "none"
    if part.api == "entity":
        refs = binder.columns(binder.context)
        return tuple([Output(ref.column.name, ref.column.type, ref) for ref in refs]), grouping, 0
    outputs = tuple([output for item in part.items for output in _column_outputs(binder, item, "attribute")])
    return outputs, grouping, 0


def _column_outputs(binder: PathBinder, item: ast.Item, role: str) -> Iterator[Output]:
    """Yield what one item of a plain list puts out: itself, or all columns behind a ``*``."""
    if not isinstance(item, ast.ColumnItem) or item.column.parts[-1] != "*":
        yield _item(binder, item, role)
        return
    if item.out is not None:
        raise bad_request(f"'*' stands for many columns and cannot be renamed to '{item.out}'.")
    prefix = "".join(f"{part}:" for part in item.column.parts[:-1])
    for ref in binder.columns(binder.instance(item.column)):
        yield Output(prefix + ref.column.name, ref.column.type, ref)


def _group_outputs(binder: PathBinder, item: ast.Item) -> Iterator[Output]:
    for output in _column_outputs(binder, item, "group"):
        if isinstance(output.expression, Ref):
            yield Output(output.name, output.type, Example(output.expression))
        else:
            yield output


def _item(binder: PathBinder, item: ast.Item, role: str) -> Output:
    if isinstance(item, ast.RowStateItem):
        return _row_rights(binder, item, role)
    if isinstance(item, ast.AggregateItem):
        if role not in ("aggregate", "group"):
            raise bad_request(f"{item.function}() cannot be an {role}: it belongs after the ';' of attributegroup.")
        return _aggregate(binder, item)
    if role == "aggregate":
        raise bad_request("The list of aggregate may only hold functions such as n:=cnt(*).")
    if isinstance(item, ast.BinItem):
        return _binned(binder, item)
    ref = binder.column(item.column)
    return Output(item.out or ref.column.name, ref.column.type, ref)


def _row_rights(binder: PathBinder, item: ast.RowStateItem, role: str) -> Output:
    if role != "group":
        raise bad_request(f"{item.function}() belongs after the ';' of attributegroup.")
    place = binder.instance(ast.ColumnRef((item.alias, "*") if item.alias else ("*",)))
    rights = binder.view.row_rights(place, binder.instances[place].table, item.function == "tcrs")
    return Output(item.out or item.function, TYPES["jsonb"], rights)


def _duplicate(outputs: Sequence[Output]) -> Refusal:
    seen: set[str] = set()
    twice = next(output.name for output in outputs if output.name in seen or seen.add(output.name))  # type: ignore[func-returns-value]
    return bad_request(f"The output name '{twice}' occurs twice: give one of the columns another name.")


# ------------------------------------------------------------------------------------------------------- aggregates


def _aggregate(binder: PathBinder, item: ast.AggregateItem) -> Output:
    if item.out is None:
        raise bad_request(f"{item.function}() needs an output name, such as x:={item.function}(…).")
    if item.column.parts[-1] == "*":
        return Output(item.out, *_of_rows(binder, item))
    ref = binder.column(item.column)
    type = _aggregate_type(item.function, ref)
    return Output(item.out, type, Aggregate(item.function, ref))  # type: ignore[arg-type]


def _of_rows(binder: PathBinder, item: ast.AggregateItem) -> tuple[Type, Expression]:
    if item.function == "cnt" and item.column.parts == ("*",):
        return TYPES["int8"], Aggregate("cnt", None)
    if item.function in ("cnt", "cnt_d"):
        return TYPES["int8"], Aggregate(item.function, binder.whole(item.column))  # type: ignore[arg-type]
    if item.function in ("array", "array_d"):
        return TYPES["jsonb"], Aggregate(item.function, binder.whole(item.column))  # type: ignore[arg-type]
    raise bad_request(f"{item.function}(*) makes no sense: name a column.")


def _aggregate_type(function: str, ref: Ref) -> Type:
    """Return the type of the result, after a look at whether the function takes the column."""
    type, storage = ref.column.type, ref.column.type.storage
    if function == "cnt":
        return TYPES["int8"]
    if function in ("cnt_d", "array_d") and storage.name in _INCOMPARABLE:
        raise conflict(f"{function}() cannot tell values of type {storage.name} apart.")
    if function == "cnt_d":
        return TYPES["int8"]
    if function in ("array", "array_d"):
        element = storage.name.replace("serial", "int")
        return TYPES.get(f"{element}[]", TYPES["jsonb"])
    if function in ("min", "max"):
        if storage.name in _UNORDERED or storage.name in _INCOMPARABLE:
            raise conflict(f"{function}() does not take type {storage.name}.")
        return type
    if storage.name not in _NUMBERS:
        raise conflict(f"{function}() takes numbers, not type {storage.name}.")
    if storage.name in _WHOLE_NUMBERS:
        return TYPES["float8"] if function == "avg" else TYPES["numeric"]
    return TYPES["float8"]


def _check_groupable(keys: Sequence[Output]) -> None:
    for key in keys:
        if key.type.storage.name in _INCOMPARABLE:
            raise conflict(f"Column '{key.name}' of type {key.type.name} cannot be a group key.")


def _binned(binder: PathBinder, item: ast.BinItem) -> Output:
    if item.out is None:
        raise bad_request("bin() needs an output name, such as x:=bin(…).")
    ref = binder.column(item.column)
    storage = ref.column.type.storage
    if storage.name not in _NUMBERS | _DAYS_AND_TIMES:
        raise conflict(f"bin() takes numbers, dates and timestamps, not type {storage.name}.")
    if not (item.nbins.isascii() and item.nbins.isdigit() and 0 < int(item.nbins) < 2**31):
        raise bad_request(f"bin() needs a positive number of bins, not '{item.nbins}'.")
    low, high = (_bound(storage, text) for text in (item.low, item.high))
    if low == high or not {low, high}.isdisjoint(("NaN", inf, -inf)):
        raise bad_request("bin() needs two different, finite bounds.")
    return Output(item.out, TYPES["jsonb"], Binned(ref, int(item.nbins), low, high))


def _bound(storage: Type, text: str) -> SQLiteValue:
    """Return a bound of the bins; whole numbers may be cut at fractions."""
    return literal(TYPES["float8"] if storage.name in _WHOLE_NUMBERS else storage, text)


# ----------------------------------------------------------------------------------------------------------- paging


def _sort_position(part: ast.DataResource, names: dict[str, int], outputs: Sequence[Output], key: ast.SortKey) -> int:
    if part.api == "aggregate":
        raise bad_request("The one row of aggregate cannot be sorted.")
    position = names.get(key.name)
    if position is None:
        refuse = conflict if part.api == "entity" else bad_request
        raise refuse(f"'{key.name}' is no column of the result: only those can be sorted by.")
    storage = outputs[position].type.storage
    if storage.name in _INCOMPARABLE:
        raise conflict(f"Column '{key.name}' of type {storage.name} has no order.")
    return position


def _page_key(
    part: ast.DataResource, page: tuple[str | None, ...] | None, types: Sequence[Type]
) -> tuple[SQLiteValue, ...] | None:
    if page is None:
        return None
    if not part.paging.sort:
        raise bad_request("@before(…) and @after(…) need @sort(…).")
    if len(page) != len(types):
        raise bad_request("A page key must have as many values as there are sort keys.")
    return tuple(None if text is None else literal(type, text) for type, text in zip(types, page, strict=True))
