"""Dynamic access bindings: whether what a document says of them makes sense in the model.

Floor 1, pure. A binding whose projection no longer leads anywhere is pruned.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

from deriva_local.acl.projections import decisive_column
from deriva_local.model import edit
from deriva_local.model.elements import Column, Document, ForeignKey, Model, Table
from deriva_local.wire.errors import Refusal, bad_request

TABLE_TYPES = frozenset({"owner", "update", "delete", "select"})
FOREIGN_KEY_TYPES = frozenset({"owner", "insert", "update"})
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
    check_shape(types, name, binding)
    if binding is False:
        return
    column = decisive_column(model, start, binding["projection"])
    storage = column.type.storage
    if binding.get("projection_type") == "acl" and (storage.base or storage).name != "text":
        raise bad_request(f"The binding '{name}' needs roles, and column '{column.name}' holds no text.")


def check_shape(types: frozenset[str], name: str, binding: Any) -> None:
    """Let one binding pass that is well formed, wherever its projection leads.

    Raises:
        Refusal: 400 for a wrong shape or type of binding.
    """
    if binding is False:
        return
    if not isinstance(binding, dict):
        raise bad_request(f"The binding '{name}' must be an object or false.")
    given = binding.get("types")
    if not isinstance(given, list) or not given or not all(isinstance(each, str) and each in types for each in given):
        raise bad_request(f"The 'types' of binding '{name}' must be a list out of {', '.join(sorted(types))}.")
    if binding.get("projection_type") not in (None, "acl", "nonnull"):
        raise bad_request(f"The 'projection_type' of binding '{name}' must be acl or nonnull.")
    scope = binding.get("scope_acl", ["*"])
    if not isinstance(scope, list) or not all(isinstance(role, str) for role in scope):
        raise bad_request(f"The 'scope_acl' of binding '{name}' must be a list of text.")
    if "projection" not in binding:
        raise bad_request(f"The binding '{name}' has no 'projection'.")


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
