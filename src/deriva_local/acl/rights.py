"""What somebody may do with an element of the model: yes, no, or None where it depends on the data of each row.

Floor 1, pure. The lists decide first; where they say no, an access binding may still let some rows pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

from deriva_local.acl.static import IMPLIED_BY, Onlooker
from deriva_local.model.elements import Acls, Column, ForeignKey, Model, Schema, Table

Decision: TypeAlias = bool | None
Rights: TypeAlias = dict[str, Decision]

UNWRITABLE = frozenset({"RMT", "RMB"})
"""System columns that nobody writes."""
OWNERS_ONLY = frozenset({"RCT", "RCB"})
"""System columns that only the owner of the catalog may insert."""


def on_catalog(onlooker: Onlooker, model: Model, right: str) -> bool:
    return onlooker.may(right, model.acls)


def on_schema(onlooker: Onlooker, model: Model, schema: Schema, right: str) -> bool:
    return onlooker.may(right, model.acls, schema.acls)


def on_table(onlooker: Onlooker, model: Model, table: Table, right: str) -> Decision:
    """Return the decision on a table; ``delete``, ``update`` and ``select`` may depend on the row."""
    if onlooker.may(right, *_lists(model, table)):
        return True
    return _by_row(onlooker, right, table.acl_bindings)


def on_column(onlooker: Onlooker, model: Model, table: Table, column: Column, right: str) -> Decision:
    """Return the decision on a column, which inherits lists and bindings of its table."""
    if right in ("insert", "update") and column.name in UNWRITABLE:
        return False
    if right == "insert" and column.name in OWNERS_ONLY:
        return onlooker.may("owner", model.acls)
    if onlooker.may(right, *_lists(model, table), column.acls):
        return True
    return _by_row(onlooker, right, column_bindings(table, column))


def on_foreign_key(onlooker: Onlooker, model: Model, link: ForeignKey, right: str) -> Decision:
    """Return whether rows may come to refer through a foreign key: by ``insert`` or by ``update``."""
    if onlooker.may(right, *_lists(model, model.table_by_rid[link.table]), link.acls):
        return True
    return _by_row(onlooker, right, link.acl_bindings)


def column_bindings(table: Table, column: Column) -> Mapping[str, Any]:
    """Return the bindings that count for a column: those of its table, unless it has another of that name."""
    return {**table.acl_bindings, **column.acl_bindings} if column.acl_bindings else table.acl_bindings


def applicable(onlooker: Onlooker, right: str, bindings: Mapping[str, Any]) -> Iterator[str]:
    """Yield the names of the bindings that may give ``right`` to this onlooker, depending on the row."""
    if not onlooker.can(right):
        return
    for name, binding in bindings.items():
        if (
            binding is not False
            and not set(IMPLIED_BY[right]).isdisjoint(binding["types"])
            and not onlooker.roles.isdisjoint(binding.get("scope_acl", ("*",)))
        ):
            yield name


def _by_row(onlooker: Onlooker, right: str, bindings: Mapping[str, Any]) -> Decision:
    return None if bindings and any(applicable(onlooker, right, bindings)) else False


def _lists(model: Model, table: Table) -> tuple[Acls, Acls, Acls]:
    return model.acls, model.schema_by_rid[table.schema].acls, table.acls


# ----------------------------------------------------------------------------------------------- as documents show them


def catalog_rights(onlooker: Onlooker, model: Model) -> Rights:
    return _shown(("owner", "create"), lambda right: on_catalog(onlooker, model, right))


def schema_rights(onlooker: Onlooker, model: Model, schema: Schema) -> Rights:
    return _shown(("owner", "create"), lambda right: on_schema(onlooker, model, schema, right))


def table_rights(onlooker: Onlooker, model: Model, table: Table) -> Rights:
    names = ("owner", "insert", "update", "delete", "select")
    return _shown(names, lambda right: on_table(onlooker, model, table, right))


def column_rights(onlooker: Onlooker, model: Model, table: Table, column: Column) -> Rights:
    names = ("insert", "update", "select", "delete")
    return _shown(names, lambda right: on_column(onlooker, model, table, column, right))


def foreign_key_rights(onlooker: Onlooker, model: Model, link: ForeignKey) -> Rights:
    return _shown(("insert", "update"), lambda right: on_foreign_key(onlooker, model, link, right))


def _shown(names: tuple[str, ...], decide: Callable[[str], Decision]) -> Rights:
    return {name: decide(name) for name in names}
