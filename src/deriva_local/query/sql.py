"""Turns a plan into one SELECT statement with its parameters.

Floor 1, pure. Every value of a user, names of outputs included, is a parameter; the text holds only physical names,
keywords and numbers of our own.

One level suffices for plain rows; groups are formed in an inner SELECT, then paged, sorted and written around it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from typing import Literal, TypeAlias

from deriva_local.model.elements import Type
from deriva_local.query.conditions import physical
from deriva_local.query.fragment import Sql, all_of, joined
from deriva_local.query.guards import compile_rights
from deriva_local.query.paging import SortTerm, ahead, behind, order_by
from deriva_local.query.plan import Binned, Example, Expression, Output, Plan, Ref, RowRights, Selection, Whole
from deriva_local.query.single import is_single
from deriva_local.query.source import source_of, table_as
from deriva_local.query.tables import alive
from deriva_local.query.values import collation, element_collation, element_form, json_form

Shape: TypeAlias = Literal["json", "values"]
"""One column with the JSON text of each row, or one column with the stored value of each output."""

_CHUNK = 490
"""How many fields one call of concat() takes: SQLite's functions have at most 1,000 arguments."""


def compile_plan(plan: Plan, past: bool, shape: Shape) -> Sql:
    """Return the statement that reads what ``plan`` says, now or (``past``) at the moment given late."""
    plain = plan.grouping == "none" or (plan.grouping == "rows" and not past and is_single(plan.selection))
    source, where, values = _rows(plan, past) if plain else _groups(plan, past)
    terms = _sort_terms(plan, values)
    if plan.after is not None:
        where.append(behind(terms, plan.after))
    if plan.before is not None:
        where.append(ahead(terms, plan.before))
    shown = [record_of(_fields(plan.outputs), values)] if shape == "json" else values
    if plan.before is not None and plan.after is None:
        return _last_rows(plan, shown, source, where, terms)
    return _select(joined(", ", shown), source, where, order_by(terms), plan.limit)


def compile_rids(selection: Selection) -> Sql:
    """Return the statement that reads the RIDs of the context table's live rows, each once."""
    source, where = source_of(selection, past=False)
    if len(selection.instances) == 1:
        return _select(Sql("RID"), source, where)
    rid = f"T{selection.context}.RID"
    there = Sql(f"{rid} IS NOT NULL")  # an outer join may leave the context without a row
    return _select(Sql(f"DISTINCT {rid}"), source, [*where, there])


def _select(shown: Sql, source: Sql, where: Sequence[Sql], ordered: Sql | None = None, limit: int | None = None) -> Sql:
    parts = [Sql("SELECT"), shown, Sql("FROM"), source]
    if where:
        parts += [Sql("WHERE"), all_of(where)]
    if ordered is not None and ordered.text:
        parts += [Sql("ORDER BY"), ordered]
    if limit is not None:
        parts.append(Sql("LIMIT ?", (limit,)))
    return joined(" ", parts)


def _last_rows(plan: Plan, shown: Sequence[Sql], source: Sql, where: Sequence[Sql], terms: Sequence[SortTerm]) -> Sql:
    """Return the last rows before a page key: read backwards, then turned round."""
    named = [value.within(f"{{0}} AS v{position}") for position, value in enumerate(shown)]
    named += [term.expression.within(f"{{0}} AS k{position}") for position, term in enumerate(terms)]
    backwards = _select(joined(", ", named), source, where, order_by(terms, reverse=True), plan.limit)
    forwards = [
        SortTerm(Sql(f"k{position}{collation(plan.outputs[index].type)}"), term.descending, term.nullable)
        for position, (term, (index, _)) in enumerate(zip(terms, plan.sort, strict=True))
    ]
    columns = ", ".join(f"v{position}" for position in range(len(shown)))
    return _select(Sql(columns), backwards.within("({0})"), [], order_by(forwards))


# ---------------------------------------------------------------------------------------------------------- sources


def _rows(plan: Plan, past: bool) -> tuple[Sql, list[Sql], list[Sql]]:
    """Return source, predicates and output values of plain rows of one table."""
    source, where = source_of(plan.selection, past)
    return source, where, [_value(plan.selection, output, past) for output in plan.outputs]


def _groups(plan: Plan, past: bool) -> tuple[Sql, list[Sql], list[Sql]]:
    """Return source, predicates and output values where a result row stands for several rows of the join."""
    if plan.grouping == "rows" and _only_filtered(plan):
        return _semijoin(plan, past)
    source, where, values = _rows(plan, past)
    named = [value.within(f"{{0}} AS o{position}") for position, value in enumerate(values)]
    inner = [_select(joined(", ", named), source, where)]
    if plan.grouping == "rows":
        inner.append(Sql(f"GROUP BY T{plan.selection.context}.RID"))
    elif plan.grouping == "groups":
        keys = [f"o{position}{collation(output.type)}" for position, output in enumerate(plan.outputs[: plan.keys])]
        inner.append(Sql("GROUP BY " + ", ".join(keys)))
    outputs = [Sql(f"G.o{position}") for position in range(len(values))]
    return joined(" ", inner).within("({0}) AS G"), [], outputs


def _only_filtered(plan: Plan) -> bool:
    """Tell whether the other instances merely filter: all joins are inner and nothing of theirs is put out."""
    inner = all(each.outer == "inner" for each in plan.selection.instances)
    return inner and all(_place(output.expression) == plan.selection.context for output in plan.outputs)


def _place(expression: Expression) -> int | None:
    """Return the table instance of a plain or binned column."""
    if isinstance(expression, Binned):
        return expression.ref.instance
    return expression.instance if isinstance(expression, Ref) else None


def _semijoin(plan: Plan, past: bool) -> tuple[Sql, list[Sql], list[Sql]]:
    """Return rows of the context table whose RIDs the join yields: sorted and paged like a single table."""
    alias = f"T{plan.selection.context}"
    chosen = _select(Sql(f"{alias}.RID"), *source_of(plan.selection, past)).within(f"{alias}.RID IN ({{0}})")
    context = plan.selection.instances[plan.selection.context]
    source = table_as(plan.selection.context, context, past)
    return source, [alive(alias, past), chosen], [_value(plan.selection, output, past) for output in plan.outputs]


# ---------------------------------------------------------------------------------------------------------- outputs


def record_of(fields: Sequence[tuple[str, Type]], values: Sequence[Sql]) -> Sql:
    """Return the expression of the JSON text of a row, given names and types of its fields."""
    parts: list[Sql] = []
    opening = "{"
    for (name, type), value in zip(fields, values, strict=True):
        text, params = value.within("?, " + json_form(type))
        parts.append(Sql(text, (opening + _label(name), *params)))
        opening = ","
    parts.append(Sql("'}'"))
    chunks = [parts[start : start + _CHUNK] for start in range(0, len(parts), _CHUNK)]
    return joined(" || ", [joined(", ", chunk).within("concat({0})") for chunk in chunks])


def _fields(outputs: Sequence[Output]) -> list[tuple[str, Type]]:
    return [(output.name, output.type) for output in outputs]


@lru_cache(maxsize=4096)
def _label(name: str) -> str:
    return json.dumps(name, ensure_ascii=False) + ":"


def _sort_terms(plan: Plan, values: Sequence[Sql]) -> list[SortTerm]:
    inner = all(each.outer == "inner" for each in plan.selection.instances)
    terms = []
    for position, descending in plan.sort:
        output = plan.outputs[position]
        filled = inner and isinstance(output.expression, Ref) and _is_filled(plan.selection, output.expression)
        terms.append(SortTerm(values[position].within("{0}" + collation(output.type)), descending, not filled))
    return terms


def _is_filled(selection: Selection, ref: Ref) -> bool:
    """Tell whether a column has a value in every row that is seen."""
    screen = selection.instances[ref.instance].screen
    return not ref.column.nullok and not (screen and any(column is ref.column for column, _ in screen.columns))


def _value(selection: Selection, output: Output, past: bool) -> Sql:
    """Return the stored value of an output."""
    expression = output.expression
    if isinstance(expression, Ref):
        return Sql(physical(expression))
    if isinstance(expression, Example):
        return Sql(f"min({physical(expression.ref)})")
    if isinstance(expression, Binned):
        kind = expression.ref.column.type.storage.name
        bounds = (expression.count, expression.low, expression.high)
        return Sql(f"bucket('{kind}', {physical(expression.ref)}, ?, ?, ?)", bounds)
    if isinstance(expression, RowRights):
        return compile_rights(expression, past).within("min({0})")
    if isinstance(expression.operand, Ref):
        return Sql(_of_column(expression.function, expression.operand, output))
    return _of_rows(selection, expression.function, expression.operand, past)


def _of_column(function: str, ref: Ref, output: Output) -> str:
    """Return an aggregate of a column."""
    column, type = physical(ref), ref.column.type
    ordered, distinct = column + collation(type), "DISTINCT " if function.endswith("_d") else ""
    if function in ("cnt", "cnt_d"):
        return f"count({distinct + ordered if distinct else column})"
    if function in ("array", "array_d"):
        form = element_form(type) if output.type.kind == "array" else json_form(type)
        same = element_collation(type) if distinct else ""
        return f"'[' || group_concat({distinct}{form.replace('{0}', column)}{same}) || ']'"
    if function in ("min", "max"):
        return f"{function}({ordered})"
    return _sum(function, column, type.storage.name)


def _of_rows(selection: Selection, function: str, whole: Whole | None, past: bool) -> Sql:
    """Return an aggregate of whole rows: of one instance, or (None) of the join."""
    if whole is None:
        return Sql("count(*)")
    place, distinct = whole.instance, "DISTINCT " if function.endswith("_d") else ""
    if function in ("cnt", "cnt_d"):
        return Sql(f"count({distinct}T{place}.RID)")
    outputs = [Output(column.name, column.type, Ref(place, column)) for column in whole.columns]
    record = record_of(_fields(outputs), [_value(selection, output, past) for output in outputs])
    shown = record.within(f"CASE WHEN T{place}.RID IS NULL THEN 'null' ELSE {{0}} END")
    return shown.within(f"'[' || group_concat({distinct}{{0}}) || ']'")


def _sum(function: str, column: str, type_name: str) -> str:
    """Return the SQL of sum or avg; a NaN among floats, or both infinities, make it NaN."""
    if type_name in ("float4", "float8"):
        return (
            f"CASE WHEN max(typeof({column})) = 'text' OR (min({column}) = -9e999 AND max({column}) = 9e999)"
            f" THEN 'NaN' ELSE {function}({column}) END"
        )
    return f"exact_sum({column})" if function == "sum" and type_name in ("int8", "serial8") else f"{function}({column})"
