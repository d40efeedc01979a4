"""Find an element of the model by name, and refuse with the right status when it is not there.

Floor 1, pure. What the address names last is missing with 404; what only leads there, with 409.
"""

from __future__ import annotations

from collections.abc import Iterable

from deriva_local.model.elements import Column, ForeignKey, Key, Model, Schema, Table
from deriva_local.wire.errors import Refusal


def schema(model: Model, name: str, missing: int = 409) -> Schema:
    """Return the schema called ``name``.

    Raises:
        Refusal: with the status ``missing`` if there is none.
    """
    found = model.schemas.get(name)
    if found is None:
        raise Refusal(missing, f"Schema '{name}' does not exist.")
    return found


def table(model: Model, schema_name: str, name: str, missing: int = 409) -> Table:
    """Return a table; a missing schema is 409 whatever ``missing`` says."""
    found = schema(model, schema_name).tables.get(name)
    if found is None:
        raise Refusal(missing, f"Table '{schema_name}:{name}' does not exist.")
    return found


def column(of: Table, name: str, missing: int = 409) -> Column:
    found = of.by_name.get(name)
    if found is None:
        raise Refusal(missing, f"Table '{of.name}' has no column '{name}'.")
    return found


def columns(of: Table, names: Iterable[str], missing: int = 409) -> tuple[str, ...]:
    """Return the RIDs of columns by their names."""
    return tuple(column(of, name, missing).rid for name in names)


def key(of: Table, names: Iterable[str], missing: int = 404) -> Key:
    """Return the key on exactly these columns, in whatever order."""
    wanted = set(columns(of, names))
    for found in of.keys:
        if set(found.columns) == wanted:
            return found
    raise Refusal(missing, f"Table '{of.name}' has no key on ({', '.join(names)}).")


def foreign_keys(of: Table, names: Iterable[str], to: Table | None = None) -> tuple[ForeignKey, ...]:
    """Return the foreign keys from exactly these columns, all of them or those to one table."""
    wanted = set(columns(of, names))
    return tuple(
        found
        for found in of.foreign_keys
        if set(found.columns) == wanted and (to is None or found.referenced_table == to.rid)
    )


def mapping(foreign_key: ForeignKey) -> tuple[str, frozenset[tuple[str, str]]]:
    """Return what makes a foreign key this one: the table it points at, and which column goes to which."""
    return foreign_key.referenced_table, frozenset(
        zip(foreign_key.columns, foreign_key.referenced_columns, strict=True)
    )


def key_names(of: Schema) -> set[str]:
    """Return the names that keys of a schema have: each is the name of an index, of which a schema has one."""
    return {key.name for each in of.tables.values() for key in each.keys}


def constraint_names(of: Table) -> set[str]:
    """Return the names of the keys and foreign keys of a table."""
    return {key.name for key in of.keys} | {link.name for link in of.foreign_keys}
