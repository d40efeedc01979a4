"""Queries ready to run, kept by the address that they came from: a repeated request is neither bound nor compiled again."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from deriva_local.acl.view import View
from deriva_local.query.bind import bind
from deriva_local.query.fragment import Late, Parameter
from deriva_local.query.plan import Output
from deriva_local.query.sql import Shape, compile_plan
from deriva_local.url import ast
from deriva_local.wire.types import SQLiteValue

_KEPT = 512


@dataclass(frozen=True, slots=True)
class Prepared:
    """A statement with its parameters; those that are late are filled in by :meth:`bindings`."""

    view: View
    sql: str
    params: tuple[Parameter, ...]
    outputs: tuple[Output, ...]
    past: bool

    def bindings(self, moment: int | None) -> Iterable[SQLiteValue]:
        """Return the parameters of a run that reads ``moment``."""
        if not self.past:
            return self.params  # type: ignore[return-value]
        return [moment if isinstance(param, Late) else param for param in self.params]


_prepared: dict[tuple[Any, ...], Prepared] = {}


def prepare(target: str, part: ast.DataResource, view: View, limit: int | None, past: bool, shape: Shape) -> Prepared:
    """Return the query of an address; ``target`` is the address as it was written, with ``limit`` in it.

    Raises:
        Refusal: as :func:`~deriva_local.query.bind.bind`.
    """
    key = (target, past, shape, view.onlooker.roles)
    found = _prepared.get(key)
    if found is not None and found.view is view:
        return found
    plan = bind(part, view, limit)
    statement = compile_plan(plan, past, shape)
    made = Prepared(view, statement.text, statement.params, plan.outputs, past)
    if len(_prepared) >= _KEPT:
        _prepared.clear()
    _prepared[key] = made
    return made
