"""Where the projection of an access binding leads: from a row over joins and filters to the column that decides.

Floor 1, pure. A projection is a column name, or a list that ends in one and before it joins
(``{"outbound": [schema, constraint]}`` or ``inbound``, with ``alias`` and ``context``) and filters
(``{"filter": column, …}``, ``and``, ``or``). It becomes values of a query plan, so that one compiler serves both.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, get_args

from deriva_local.model.elements import Column, ForeignKey, Model, Table
from deriva_local.query.filters import bind_filter
from deriva_local.query.plan import (
    Compare,
    Condition,
    Conjunction,
    Disjunction,
    Grant,
    Instance,
    IsNull,
    Link,
    Negation,
    Ref,
)
from deriva_local.url import ast
from deriva_local.url.cursor import DEEPEST
from deriva_local.wire.errors import bad_request, conflict

_OPERATORS: dict[str, ast.Operator] = {word if word == "=" else f"::{word}::": word for word in get_args(ast.Operator)}

BASE = 1000
"""The number of the instance that a projection starts from: no path is that long, so no number means two tables."""


def grant(model: Model, start: Table, binding: Mapping[str, Any], roles: frozenset[str]) -> Grant:
    """Return what a row of ``start`` must satisfy for ``binding`` to let somebody with these roles pass.

    Raises:
        Refusal: 400 for a malformed projection, 409 for one that leads through what is not there.
    """
    projection = Projection(model, start)
    decisive = projection.follow(binding["projection"])
    storage = decisive.column.type.storage
    textual = (storage.base or storage).name == "text"
    if (binding.get("projection_type") or ("acl" if textual else "nonnull")) == "acl":
        test: Condition = Compare(decisive, "=", tuple(sorted(roles | {"*"})))
    else:
        test = Negation(IsNull(decisive))
    return Grant(tuple(projection.instances), (*projection.conditions, test))


class Projection:
    """Follows one projection step by step."""

    def __init__(self, model: Model, start: Table) -> None:
        self.model = model
        self.tables = [start]
        self.instances: list[Instance] = []
        self.conditions: list[Condition] = []
        self.aliases = {"base": 0}

    def follow(self, projection: Any) -> Ref:
        """Return the column that a projection ends in.

        Raises:
            Refusal: as :func:`grant`.
        """
        steps = projection if isinstance(projection, list) else [projection]
        if not steps or not isinstance(steps[-1], str):
            raise bad_request("A projection must be a column name, or a list that ends in one.")
        for step in steps[:-1]:
            if not isinstance(step, dict):
                raise bad_request("What comes before the column name of a projection must be an object.")
            if "inbound" in step or "outbound" in step:
                self.join(step)
            else:
                self.conditions.append(self._filter(step))
        return self.column(ast.ColumnRef((steps[-1],)))

    # ------------------------------------------------------------------------------------- names, as filters need them

    def column(self, name: ast.ColumnRef) -> Ref:
        place = self.instance(name)
        table = self.tables[place - BASE]
        if name.parts[-1] not in table.by_name:
            raise conflict(f"The projection needs column '{name.parts[-1]}', which table '{table.name}' does not have.")
        return Ref(place, table.by_name[name.parts[-1]])

    def instance(self, name: ast.ColumnRef) -> int:
        if len(name.parts) == 1:
            return BASE + len(self.tables) - 1
        return BASE + self._place(name.parts[0])

    def place(self, ref: Ref) -> int:
        """Return which of the projection's tables holds a column."""
        return ref.instance - BASE

    def columns(self, instance: int) -> tuple[Ref, ...]:
        return tuple(Ref(instance, column) for column in self.tables[instance - BASE].columns)

    def _place(self, alias: Any) -> int:
        if not isinstance(alias, str) or alias not in self.aliases:
            raise conflict(f"The projection has no alias '{alias}'.")
        return self.aliases[alias]

    # ----------------------------------------------------------------------------------------------------------- steps

    def join(self, step: Mapping[str, Any]) -> None:
        """Take the step of a join."""
        context = step.get("context")
        place = len(self.tables) - 1 if context is None else self._place(context)
        direction = "outbound" if "outbound" in step else "inbound"
        key = self.constraint(step[direction])
        near, far = (key.table, key.columns), (key.referenced_table, key.referenced_columns)
        if direction == "inbound":
            near, far = far, near
        if near[0] != self.tables[place].rid:
            raise conflict(
                f"Foreign key '{key.name}' does not lead {direction} from table '{self.tables[place].name}'."
            )
        alias = step.get("alias")
        if alias is not None and (not isinstance(alias, str) or alias in self.aliases):
            raise bad_request("An alias of a projection must be text that no other alias has.")
        if alias is not None:
            self.aliases[alias] = len(self.tables)
        self._add(place, near[1], self.model.table_by_rid[far[0]], far[1])

    def _add(self, place: int, ours: tuple[str, ...], table: Table, theirs: tuple[str, ...]) -> None:
        new, near = BASE + len(self.tables), self.tables[place].by_rid
        link: Link = tuple(
            (Ref(BASE + place, near[our]), Ref(new, table.by_rid[their]))
            for our, their in zip(ours, theirs, strict=True)
        )
        self.tables.append(table)
        self.instances.append(Instance(table, links=(link,)))

    def constraint(self, pair: Any) -> ForeignKey:
        """Return the foreign key that a pair of schema and constraint names."""
        if not isinstance(pair, list) or len(pair) != 2 or not all(isinstance(each, str) for each in pair):
            raise bad_request("A join of a projection must name a pair [schema, constraint].")
        schema = self.model.schemas.get(pair[0])
        for table in schema.tables.values() if schema else ():
            for foreign_key in table.foreign_keys:
                if foreign_key.name == pair[1]:
                    return foreign_key
        raise conflict(f"There is no foreign key [{pair[0]}, {pair[1]}].")

    def _filter(self, step: Mapping[str, Any], depth: int = 0) -> Condition:
        if depth > DEEPEST:
            raise bad_request(f"Filters may stand in each other {DEEPEST} deep, not deeper.")
        condition = self._positive(step, depth)
        return Negation(condition) if step.get("negate") else condition

    def _positive(self, step: Mapping[str, Any], depth: int) -> Condition:
        for word, combine in (("and", Conjunction), ("or", Disjunction)):
            if word in step:
                if not isinstance(step[word], list) or not all(isinstance(part, dict) for part in step[word]):
                    raise bad_request(f"'{word}' of a projection must be a list of filters.")
                return combine(tuple(self._filter(part, depth + 1) for part in step[word]))
        if "filter" not in step:
            raise bad_request("A step of a projection must be a join, a filter, 'and' or 'or'.")
        return bind_filter(self, _predicate(step))


def _predicate(step: Mapping[str, Any]) -> ast.Predicate:
    column, operator = step["filter"], step.get("operator", "=")
    parts = column if isinstance(column, list) else [column]
    if len(parts) not in (1, 2) or not all(isinstance(part, str) for part in parts):
        raise bad_request("A projection must name its columns by text, or by a pair [alias, column].")
    word = _OPERATORS.get(operator) if isinstance(operator, str) else None
    if word is None:
        raise bad_request(f"A projection has no operator '{operator}'.")
    value = None if word == "null" else _operand(step.get("operand", ""))
    return ast.Predicate(ast.ColumnRef(tuple(parts)), word, value)


def _operand(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    raise bad_request("The operand of a filter must be text, a number, true or false.")


def decisive_column(model: Model, start: Table, projection: Any) -> Column:
    """Return the column that a projection ends in.

    Raises:
        Refusal: as :func:`grant`.
    """
    return Projection(model, start).follow(projection).column
