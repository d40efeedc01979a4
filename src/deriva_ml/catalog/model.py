"""What the catalog's tables are: a read-only view of its model document, with the questions that deriva-ml asks.

A law: values in, values out. The one exception is said where it is: a name that is not known is looked up once more
through ``look_again``, because another process may just have made the table.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from deriva_ml.errors import (
    DerivaMLAmbiguousAssociationException,
    DerivaMLDataError,
    DerivaMLNoAssociationException,
    DerivaMLTableNotFound,
    DerivaMLTableTypeError,
)
from deriva_ml.lazy import cached_property
from deriva_ml.names import ML_SCHEMA, SYSTEM_COLUMNS, TableName

ASSET_TAG = "tag:isrd.isi.edu,2017:asset"
NOT_DOMAIN = frozenset({"public", "www", "WWW"})
VOCABULARY_COLUMNS = frozenset({"ID", "URI", "Name", "Description", "Synonyms"})
ASSET_COLUMNS = frozenset({"URL", "Filename", "Length", "MD5"})


@dataclass(frozen=True, slots=True)
class ColumnModel:
    """One column: its type by name (``text``, ``int4``, ``text[]``), and what its document says."""

    name: str
    type: str
    nullok: bool
    default: Any = None
    comment: str | None = None

    @property
    def is_system(self) -> bool:
        return self.name in SYSTEM_COLUMNS


@dataclass(frozen=True, slots=True)
class ForeignKeyModel:
    """A reference from ``columns`` of ``table`` to ``target_columns`` of ``target``, pairwise."""

    table: TableName
    columns: tuple[str, ...]
    target: TableName
    target_columns: tuple[str, ...]
    name: str = ""
    on_delete: str = "NO ACTION"

    @property
    def column(self) -> str:
        """Return the column of a simple reference."""
        return self.columns[0]


@dataclass(frozen=True)
class TableModel:
    """One table of the model."""

    name: TableName
    columns: Mapping[str, ColumnModel]
    keys: tuple[tuple[str, ...], ...]
    foreign_keys: tuple[ForeignKeyModel, ...]
    annotations: Mapping[str, Any] = field(default_factory=dict)
    comment: str | None = None

    @property
    def is_vocabulary(self) -> bool:
        """Whether its rows are terms."""
        return self.columns.keys() >= VOCABULARY_COLUMNS

    @property
    def is_asset(self) -> bool:
        """Whether its rows describe files."""
        return self.columns.keys() >= ASSET_COLUMNS

    @cached_property
    def domain_references(self) -> tuple[ForeignKeyModel, ...]:
        """Return the foreign keys but those of the system columns."""
        return tuple(key for key in self.foreign_keys if not set(key.columns) & set(SYSTEM_COLUMNS))

    def reference(self, column: str) -> ForeignKeyModel | None:
        """Return the simple foreign key of ``column``, if it has one."""
        return next((key for key in self.domain_references if key.columns == (column,)), None)

    def references_to(self, target: TableName) -> tuple[ForeignKeyModel, ...]:
        """Return the foreign keys from this table to ``target``."""
        return tuple(key for key in self.domain_references if key.target == target)

    def is_association(self, least: int = 2, most: int | None = 2) -> bool:
        """Whether the table does nothing but join ``least`` to ``most`` rows: a key covers that many foreign keys."""
        arity = len(self.association_references)
        return arity >= least and (most is None or arity <= most)

    @cached_property
    def association_references(self) -> tuple[ForeignKeyModel, ...]:
        """Return the not-null foreign keys that together make up a key, and so make the table an association."""
        simple = {
            key.columns: key
            for key in self.domain_references
            if all(not self.columns[name].nullok for name in key.columns)
        }
        best: tuple[ForeignKeyModel, ...] = ()
        for key in self.keys:
            covered = tuple(reference for columns, reference in simple.items() if set(columns) <= set(key))
            if {name for reference in covered for name in reference.columns} == set(key) and len(covered) > len(best):
                best = covered
        return best if len(best) >= 2 else ()

    @cached_property
    def payload_columns(self) -> tuple[ColumnModel, ...]:
        """Return the columns that users gave the table: not system, and in asset tables not the columns of all assets."""
        own = (*SYSTEM_COLUMNS, *ASSET_COLUMNS, "Description") if self.is_asset else SYSTEM_COLUMNS
        return tuple(column for column in self.columns.values() if column.name not in own)


@dataclass(frozen=True)
class FeatureModel:
    """An association table that is a feature of ``target``: ``name``, and the roles of its columns."""

    table: TableModel
    target: TableName
    target_column: str
    name: str
    term_columns: Mapping[str, TableName]
    asset_columns: Mapping[str, TableName]
    value_columns: tuple[ColumnModel, ...]
    qualifier_columns: Mapping[str, TableName]


class CatalogModel:
    """The whole model, found by name.

    ``look_again`` returns a fresh model; without it an unknown name is an error at once.
    """

    def __init__(
        self,
        document: Mapping[str, Any],
        ml_schema: str = ML_SCHEMA,
        look_again: Callable[[], CatalogModel] | None = None,
    ) -> None:
        self.document = document
        self.ml_schema = ml_schema
        self._look_again = look_again
        self._tables: dict[TableName, TableModel] = {}

    @property
    def schemas(self) -> tuple[str, ...]:
        return tuple(self.document["schemas"])

    def domain_schemas(self) -> tuple[str, ...]:
        """Return the schemas of the users' own tables."""
        return tuple(
            sorted(
                name
                for name in self.schemas
                if name != self.ml_schema and name not in NOT_DOMAIN and not name.startswith("_")
            )
        )

    def tables(self) -> Iterator[TableModel]:
        """Yield every table of the ML schema and the domain schemas."""
        for schema in (self.ml_schema, *self.domain_schemas()):
            for name in self.document["schemas"].get(schema, {}).get("tables", {}):
                yield self._table(TableName(schema, name))

    def table(self, name: TableName) -> TableModel | None:
        """Return the table called exactly so, if there is one."""
        return (
            self._table(name) if name.name in self.document["schemas"].get(name.schema, {}).get("tables", {}) else None
        )

    def _table(self, name: TableName) -> TableModel:
        if name not in self._tables:
            self._tables[name] = _read_table(self.document["schemas"][name.schema]["tables"][name.name])
        return self._tables[name]

    # -------------------------------------------------------------------------------------------------------- finding

    def find_table(self, name: str | TableName) -> TableModel:
        """Return the table called ``name``: bare, or ``schema:name``; domain schemas come before the ML schema.

        Raises:
            DerivaMLTableNotFound: there is none; the message lists names like it.
            DerivaMLDataError: several domain schemas have a table of this name.
        """
        found = self._find(name)
        if found is None and self._look_again is not None:
            fresh = self._look_again()
            found = fresh._find(name)
            if found is None:
                raise fresh._unknown(str(name))
        if found is None:
            raise self._unknown(str(name))
        return found

    def _find(self, name: str | TableName) -> TableModel | None:
        if isinstance(name, TableName):
            return self.table(name)
        text = str(name)
        for schema in self.schemas:
            if text.startswith(f"{schema}:") and (exact := self.table(TableName(schema, text[len(schema) + 1 :]))):
                return exact
        places = [schema for schema in self.domain_schemas() if self.table(TableName(schema, text))]
        if len(places) > 1:
            raise DerivaMLDataError(
                f"Several schemas have a table {text!r}: say which, as {' or '.join(f'{place}:{text}' for place in places)}."
            )
        return self.table(TableName(places[0] if places else self.ml_schema, text))

    def _unknown(self, name: str) -> DerivaMLTableNotFound:
        known = [table.name.name for table in self.tables()]
        near = difflib.get_close_matches(name.rpartition(":")[2], known, 5, 0.5)
        if near:
            hint = " or ".join(repr(one) for one in near)
            return DerivaMLTableNotFound(name, f"No table is named {name!r}. Did you mean {hint}?")
        return DerivaMLTableNotFound(name, known=[one for one in known if not self._is_link(one)])

    def _is_link(self, name: str) -> bool:
        return any(table.name.name == name and table.is_association(most=None) for table in self.tables())

    def find_vocabulary(self, name: str | TableName) -> TableModel:
        """Return the vocabulary called ``name``.

        Raises:
            DerivaMLTableNotFound: there is no such table.
            DerivaMLTableTypeError: the table is no vocabulary.
        """
        table = self.find_table(name)
        if not table.is_vocabulary:
            raise DerivaMLTableTypeError(
                "vocabulary", table.name.name, self._others(table, "vocabulary", self.vocabularies())
            )
        return table

    def find_asset_table(self, name: str | TableName) -> TableModel:
        """Return the asset table called ``name``; raises as :meth:`find_vocabulary` does."""
        table = self.find_table(name)
        if not table.is_asset:
            raise DerivaMLTableTypeError(
                "asset table", table.name.name, self._others(table, "asset table", self.asset_tables())
            )
        return table

    @staticmethod
    def _others(table: TableModel, kind: str, others: list[TableModel]) -> str:
        listing = ", ".join(sorted(other.name.name for other in others))
        article = "an" if kind[0] in "aeiou" else "a"
        return f"Table {table.name.name!r} is not {article} {kind}. There are: {listing}."

    # ---------------------------------------------------------------------------------------------------- kinds of tables

    def vocabularies(self) -> list[TableModel]:
        """Return every vocabulary."""
        return [table for table in self.tables() if table.is_vocabulary]

    def asset_tables(self) -> list[TableModel]:
        """Return every asset table."""
        return [table for table in self.tables() if table.is_asset]

    def ml_table(self, name: str) -> TableModel:
        """Return the table ``name`` of the ML schema."""
        return self.find_table(TableName(self.ml_schema, name))

    def referencing(self, target: TableName) -> list[ForeignKeyModel]:
        """Return every foreign key, of any table, that points at ``target``."""
        return [key for table in self.tables() for key in table.domain_references if key.target == target]

    def associations(self, first: str | TableName, second: str | TableName) -> list[TableModel]:
        """Return every table that does nothing but join a row of ``first`` and a row of ``second``."""
        one, two = self.find_table(first).name, self.find_table(second).name
        return [table for table in self.tables() if _joins(table, one, two)]

    def association(self, first: str | TableName, second: str | TableName) -> TableModel:
        """Return the one association of two tables.

        Raises:
            DerivaMLNoAssociationException: there is none.
            DerivaMLAmbiguousAssociationException: there are several.
        """
        found = self.associations(first, second)
        if not found and self._look_again is not None:
            found = self._look_again().associations(first, second)
        if not found:
            raise DerivaMLNoAssociationException(str(first), str(second))
        if len(found) > 1:
            raise DerivaMLAmbiguousAssociationException(str(first), str(second), len(found))
        return found[0]

    def asset_execution(self, asset: TableName) -> TableModel:
        """Return the table that links the assets of ``asset`` to executions, with their role.

        Raises:
            DerivaMLNoAssociationException: there is none.
        """
        execution = TableName(self.ml_schema, "Execution")
        for table in self.tables():
            if (
                "Asset_Role" in table.columns
                and table.references_to(asset)
                and table.references_to(execution)
                and "Feature_Name" not in table.columns
            ):
                return table
        raise DerivaMLNoAssociationException(asset.name, "Execution")

    def asset_type_link(self, asset: TableName) -> TableModel:
        """Return the table that links the assets of ``asset`` to their types; raises as :meth:`association` does."""
        return self.association(asset, TableName(self.ml_schema, "Asset_Type"))

    def element_types(self) -> dict[TableName, TableModel]:
        """Return the tables whose rows may be members of a dataset, each with the association that says so."""
        dataset = TableName(self.ml_schema, "Dataset")
        found: dict[TableName, TableModel] = {}
        for table in self.tables():
            ends = table.association_references
            if len(ends) != 2 or not table.name.name.startswith("Dataset_"):
                continue
            others = [key.target for key in ends if key.target != dataset]
            if len(others) == 1 and others[0].name not in {"Execution", "Dataset_Type", "Dataset_Version"}:
                found[others[0]] = table
            if not others and table.name.name == "Dataset_Dataset":
                found[dataset] = table
        return found

    # -------------------------------------------------------------------------------------------------------- features

    def features(self, target: str | TableName | None = None) -> list[FeatureModel]:
        """Return the features of ``target``, or of every table."""
        wanted = None if target is None else self.find_table(target).name
        found = [feature for table in self.tables() if (feature := self._feature(table)) is not None]
        return [feature for feature in found if wanted is None or feature.target == wanted]

    def feature_of(self, table: TableModel) -> FeatureModel | None:
        """Return the feature that ``table`` holds the values of, if it does."""
        return self._feature(table)

    def _feature(self, table: TableModel) -> FeatureModel | None:
        """A feature is an association of three or more with Feature_Name, Execution and the target."""
        if not {"Feature_Name", "Execution"} <= table.columns.keys():
            return None
        ends = {key.column: key for key in table.association_references if len(key.columns) == 1}
        rest = [key for column, key in ends.items() if column not in {"Feature_Name", "Execution"}]
        target = next(
            (key for key in rest if table.name.name.startswith(f"Execution_{key.target.name}_")),
            rest[0] if rest else None,
        )
        if len(ends) < 3 or target is None:
            return None
        simple = {key.column: key.target for key in table.domain_references if len(key.columns) == 1}
        qualifiers = {key.column: key.target for key in rest if key is not target}
        values = {
            column: to
            for column, to in simple.items()
            if column not in {"Feature_Name", "Execution", target.column, *qualifiers}
        }
        fixed = {"Feature_Name", "Execution", target.column, *simple, *SYSTEM_COLUMNS}
        return FeatureModel(
            table=table,
            target=target.target,
            target_column=target.column,
            name=str(
                table.columns["Feature_Name"].default
                or table.name.name.removeprefix(f"Execution_{target.target.name}_")
            ),
            term_columns={column: to for column, to in values.items() if self.find_table(to).is_vocabulary},
            asset_columns={column: to for column, to in values.items() if self.find_table(to).is_asset},
            value_columns=tuple(column for column in table.columns.values() if column.name not in fixed),
            qualifier_columns=qualifiers,
        )


def _joins(table: TableModel, one: TableName, two: TableName) -> bool:
    ends = [key.target for key in table.association_references]
    return len(ends) == 2 and sorted(ends) == sorted((one, two))


def _read_table(document: Mapping[str, Any]) -> TableModel:
    columns = [_read_column(column) for column in document["column_definitions"]]
    name = TableName(document["schema_name"], document["table_name"])
    return TableModel(
        name=name,
        columns={column.name: column for column in columns},
        keys=tuple(tuple(key["unique_columns"]) for key in document.get("keys", ())),
        foreign_keys=tuple(_read_foreign_key(name, key) for key in document.get("foreign_keys", ())),
        annotations=document.get("annotations") or {},
        comment=document.get("comment"),
    )


def _read_column(document: Mapping[str, Any]) -> ColumnModel:
    return ColumnModel(
        document["name"],
        document["type"]["typename"],
        document.get("nullok", True),
        document.get("default"),
        document.get("comment"),
    )


def _read_foreign_key(table: TableName, document: Mapping[str, Any]) -> ForeignKeyModel:
    ends = document["referenced_columns"]
    names = document.get("names") or [["", ""]]
    return ForeignKeyModel(
        table=table,
        columns=tuple(column["column_name"] for column in document["foreign_key_columns"]),
        target=TableName(ends[0]["schema_name"], ends[0]["table_name"]),
        target_columns=tuple(column["column_name"] for column in ends),
        name=names[0][1],
        on_delete=document.get("on_delete") or "NO ACTION",
    )
