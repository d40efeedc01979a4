"""Dynamic access bindings: whether what a document says of them makes sense in the model.

Floor 1, pure. Bindings are stored and shown; a binding whose projection no longer leads anywhere is pruned.

A projection is a column name, or a list that ends in one and before it joins (``{"outbound": [schema, constraint]}``
or ``inbound``, with ``alias`` and ``context``) and filters (``{"filter": column, …}``, ``and``, ``or``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeAlias, TypeVar

from deriva_local.model import edit
from deriva_local.model.elements import Column, Document, ForeignKey, Model, Table
from deriva_local.wire.errors import Refusal, bad_request, conflict

TABLE_TYPES = frozenset({"owner", "update", "delete", "select"})
FOREIGN_KEY_TYPES = frozenset({"owner", "insert", "update"})
OPERATORS = frozenset(
    {"=", "::lt::", "::leq::", "::gt::", "::geq::", "::regexp::", "::ciregexp::", "::ts::", "::null::"}
)

Instances: TypeAlias = dict[str | None, Table]
Bound = TypeVar("Bound", Table, Column, ForeignKey)


def check_bindings(model: Model, table: Table) -> None:
    """Let the bindings of a table, its columns and its foreign keys pass.

    Raises:
        Refusal: 400 for a wrong shape or type of binding, 409 for a column or constraint that is not there.
    """
    for name, binding in table.acl_bindings.items():
        check_binding(model, table, TABLE_TYPES, name, binding)
    for column in table.columns:
        for name, binding in column.acl_bindings.items():
            check_binding(model, table, TABLE_TYPES, name, binding)
    for foreign_key in table.foreign_keys:
        for name, binding in foreign_key.acl_bindings.items():
            check_foreign_key_binding(model, foreign_key, name, binding)


def check_foreign_key_binding(model: Model, foreign_key: ForeignKey, name: str, binding: Any) -> None:
    """Let one binding of a foreign key pass; its projection starts at the referenced table.

    Raises:
        Refusal: as :func:`check_bindings`.
    """
    check_binding(model, model.table_by_rid[foreign_key.referenced_table], FOREIGN_KEY_TYPES, name, binding)


def check_binding(model: Model, start: Table, types: frozenset[str], name: str, binding: Any) -> None:
    """Let one binding pass; False stands for "not the inherited one".

    Raises:
        Refusal: as :func:`check_bindings`.
    """
    if binding is False:
        return
    if not isinstance(binding, dict):
        raise bad_request(f"The binding '{name}' must be an object or false.")
    given = binding.get("types")
    if not isinstance(given, list) or not given or not all(each in types for each in given):
        raise bad_request(f"The 'types' of binding '{name}' must be a list out of {', '.join(sorted(types))}.")
    if binding.get("projection_type") not in (None, "acl", "nonnull"):
        raise bad_request(f"The 'projection_type' of binding '{name}' must be acl or nonnull.")
    scope = binding.get("scope_acl", ["*"])
    if not isinstance(scope, list) or not all(isinstance(role, str) for role in scope):
        raise bad_request(f"The 'scope_acl' of binding '{name}' must be a list of text.")
    if "projection" not in binding:
        raise bad_request(f"The binding '{name}' has no 'projection'.")
    _check_projection(model, start, binding["projection"])


def _check_projection(model: Model, start: Table, projection: Any) -> None:
    steps = projection if isinstance(projection, list) else [projection]
    if not steps or not isinstance(steps[-1], str):
        raise bad_request("A projection must be a column name, or a list that ends in one.")
    context = start
    instances: Instances = {"base": start, None: start}
    for step in steps[:-1]:
        if not isinstance(step, dict):
            raise bad_request("What comes before the column name of a projection must be an object.")
        if "inbound" in step or "outbound" in step:
            context = _join(model, context, instances, step)
        else:
            _check_filter(context, instances, step)
    _check_column(context, steps[-1])


def _join(model: Model, context: Table, instances: Instances, step: Mapping[str, Any]) -> Table:
    left = context if step.get("context") is None else instances.get(step["context"])
    if left is None:
        raise conflict(f"The projection has no alias '{step['context']}'.")
    direction = "outbound" if "outbound" in step else "inbound"
    foreign_key = _constraint(model, step[direction])
    near, far = foreign_key.table, foreign_key.referenced_table
    if direction == "inbound":
        near, far = far, near
    if near != left.rid:
        raise conflict(f"Foreign key '{foreign_key.name}' does not lead {direction} from table '{left.name}'.")
    alias = step.get("alias")
    if alias is not None and (not isinstance(alias, str) or alias in instances):
        raise bad_request("An alias of a projection must be text that no other alias has.")
    if alias is not None:
        instances[alias] = model.table_by_rid[far]
    return model.table_by_rid[far]


def _constraint(model: Model, pair: Any) -> ForeignKey:
    if not isinstance(pair, list) or len(pair) != 2 or not all(isinstance(each, str) for each in pair):
        raise bad_request("A join of a projection must name a pair [schema, constraint].")
    schema = model.schemas.get(pair[0])
    for table in schema.tables.values() if schema else ():
        for foreign_key in table.foreign_keys:
            if foreign_key.name == pair[1]:
                return foreign_key
    raise conflict(f"There is no foreign key [{pair[0]}, {pair[1]}].")


def _check_filter(context: Table, instances: Instances, step: Mapping[str, Any]) -> None:
    for word in ("and", "or"):
        if word in step:
            if not isinstance(step[word], list) or not all(isinstance(part, dict) for part in step[word]):
                raise bad_request(f"'{word}' of a projection must be a list of filters.")
            for part in step[word]:
                _check_filter(context, instances, part)
            return
    if "filter" not in step:
        raise bad_request("A step of a projection must be a join, a filter, 'and' or 'or'.")
    if step.get("operator", "=") not in OPERATORS:
        raise bad_request(f"A projection has no operator '{step['operator']}'.")
    column = step["filter"]
    if isinstance(column, list) and len(column) == 2 and isinstance(column[0], str):
        if column[0] not in instances:
            raise conflict(f"The projection has no alias '{column[0]}'.")
        context, column = instances[column[0]], column[1]
    _check_column(context, column)


def _check_column(table: Table, name: Any) -> None:
    if not isinstance(name, str):
        raise bad_request("A projection must name its columns by text.")
    if name not in table.by_name:
        raise conflict(f"The projection needs column '{name}', which table '{table.name}' does not have.")


# -------------------------------------------------------------------------------------------------------------- prune


def pruned(model: Model) -> Model:
    """Return the model without the bindings that lead nowhere any more."""
    for table in tuple(model.tables()):
        kept = _pruned_table(model, table)
        if kept is not table:
            model = edit.put_table(model, kept)
    return model


def _pruned_table(model: Model, table: Table) -> Table:
    def of_table(name: str, binding: Any) -> None:
        check_binding(model, table, TABLE_TYPES, name, binding)

    kept = _pruned(table, of_table)
    for column in table.columns:
        if (left := _pruned(column, of_table)) is not column:
            kept = edit.put_column(kept, left)
    for foreign_key in table.foreign_keys:

        def of_link(name: str, binding: Any, link: ForeignKey = foreign_key) -> None:
            check_foreign_key_binding(model, link, name, binding)

        if (link := _pruned(foreign_key, of_link)) is not foreign_key:
            kept = edit.put_foreign_key(kept, link)
    return kept


def _pruned(element: Bound, check: Callable[[str, Any], None]) -> Bound:
    kept: Document = {name: each for name, each in element.acl_bindings.items() if _passes(check, name, each)}
    return element if len(kept) == len(element.acl_bindings) else replace(element, acl_bindings=kept)


def _passes(check: Callable[[str, Any], None], name: str, binding: Any) -> bool:
    try:
        check(name, binding)
    except Refusal:
        return False
    return True
