"""Tables made in the users' own schemas: plain ones, vocabularies and asset tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

from deriva_ml.catalog.model import TableModel
from deriva_ml.catalog.session import Catalog
from deriva_ml.definitions import ColumnDefinition, ForeignKeyDefinition, TableDefinition
from deriva_ml.enums import BuiltinTypes, MLVocab
from deriva_ml.errors import DerivaMLConflictError, DerivaMLSchemaError, DerivaMLValidationError
from deriva_ml.names import TableName, check_name, encode
from deriva_ml.schema.kinds import asset, asset_links, reference, vocabulary
from deriva_ml.vocabulary import add_term

ColumnLike: TypeAlias = ColumnDefinition | Mapping[str, Any]


def create_table(catalog: Catalog, table: TableDefinition | Mapping[str, Any], schema: str | None = None) -> TableName:
    """Make a table in ``schema`` (default: the default schema), from a definition or a document of the deriva client.

    Raises:
        DerivaMLConflictError: the table exists, or refers to one that does not.
        DerivaMLSchemaError: there is no such schema.
    """
    place = _schema(catalog, schema)
    document = table.document(place) if isinstance(table, TableDefinition) else {**table, "schema_name": place}
    name = TableName(place, check_name(document.get("table_name", ""), "name of a table"))
    _make(catalog, [name], [document])
    return name


def create_vocabulary(catalog: Catalog, vocab_name: str, comment: str, schema: str | None, prefix: str) -> TableName:
    """Make a vocabulary, whose terms' ids begin with ``prefix``; raises as :func:`create_table` does."""
    return create_table(catalog, vocabulary(vocab_name, prefix, comment), schema)


def create_asset(
    catalog: Catalog,
    asset_name: str,
    column_defs: Iterable[ColumnLike] = (),
    fkey_defs: Iterable[ForeignKeyDefinition] = (),
    referenced_tables: Iterable[Any] = (),
    comment: str = "",
    schema: str | None = None,
) -> TableName:
    """Make an asset table, the tables of its types and executions, and the asset type of the same name.

    ``referenced_tables`` each give the table a column of that name, which refers to a row there.

    Raises:
        DerivaMLConflictError: the table exists.
        DerivaMLTableNotFound: a referenced table does not exist.
    """
    name = TableName(_schema(catalog, schema), check_name(asset_name, "name of a table"))
    joined = [reference_to(catalog, other) for other in referenced_tables]
    columns = [*map(read_column, column_defs), *(column for column, _ in joined)]
    references = [*fkey_defs, *(key for _, key in joined)]
    definition = asset(name.name, columns, references, comment or None)
    add_term(
        catalog,
        TableName(catalog.ml_schema, MLVocab.asset_type),
        asset_name,
        comment or f"A file of the table {asset_name}.",
    )
    tables = [definition, *asset_links(name, catalog.ml_schema)]
    names = [TableName(name.schema, table.name) for table in tables]
    _make(catalog, names, [table.document(name.schema) for table in tables])
    return name


def reference_to(catalog: Catalog, table: Any, nullok: bool = True) -> tuple[ColumnDefinition, ForeignKeyDefinition]:
    """Return a column named after ``table``, and its reference: to the name of a term, or to the RID of a row."""
    target = find_like(catalog, table)
    key = "Name" if target.is_vocabulary else "RID"
    column = ColumnDefinition(target.name.name, BuiltinTypes.text, nullok)
    return column, reference(target.name.name, target.name, key)


def find_like(catalog: Catalog, table: Any) -> TableModel:
    """Return the table that ``table`` means: a name, or a table of the deriva client."""
    if isinstance(table, str | TableName):
        return catalog.model().find_table(table)
    if isinstance(table, TableModel):
        return table
    if not hasattr(table, "schema") or not hasattr(table, "name"):
        raise DerivaMLValidationError(f"{table!r} names no table: give its name.")
    return catalog.model().find_table(TableName(table.schema.name, table.name))


def read_column(column: ColumnLike) -> ColumnDefinition:
    """Return the definition of a column that was given as one, or as the keywords of one."""
    if isinstance(column, ColumnDefinition):
        return column
    given = dict(column)
    kind = given.get("type")
    name = kind.get("typename") if isinstance(kind, Mapping) else kind
    known = {key: given[key] for key in ("nullok", "default", "comment", "annotations") if given.get(key) is not None}
    if "name" not in given or name is None:
        raise DerivaMLValidationError(f"A column needs a name and a type, not {given!r}.")
    return ColumnDefinition(given["name"], name, **known)


def delete_table(catalog: Catalog, name: TableName) -> None:
    """Drop a table with all its rows.

    Raises:
        DerivaMLConflictError: other tables refer to it.
    """
    catalog.request("DELETE", f"/schema/{encode(name.schema)}/table/{encode(name.name)}")
    catalog.refresh()


def _schema(catalog: Catalog, schema: str | None) -> str:
    if schema is None:
        return catalog.default_schema
    if schema not in catalog.model().schemas and schema not in catalog.refresh().schemas:
        raise DerivaMLSchemaError(
            f"The catalog has no schema {schema!r}. There are: {', '.join(catalog.model().schemas)}."
        )
    return schema


def _make(catalog: Catalog, names: list[TableName], documents: list[dict[str, Any]]) -> None:
    """Make all tables or none, in one request."""
    taken = [name for name in names if catalog.refresh().table(name)]
    if taken:
        raise DerivaMLConflictError(
            409, f"There is a table {taken[0]} already.", hint="Choose another name, or use the one that is there."
        )
    if len(documents) == 1:
        catalog.request("POST", f"/schema/{encode(names[0].schema)}/table", json=documents[0])
    else:
        catalog.request("POST", "/schema", json=documents)
    catalog.refresh()
