"""Features: values that executions give to rows, made, looked up and read."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from deriva_ml.catalog.model import FeatureModel, TableModel
from deriva_ml.catalog.rows import conditions, count, pages
from deriva_ml.catalog.session import Catalog
from deriva_ml.definitions import ColumnDefinition, ForeignKeyDefinition
from deriva_ml.enums import MLVocab
from deriva_ml.errors import (
    DerivaMLConflictError,
    DerivaMLFeatureNotFound,
    DerivaMLMaterializeLimitExceeded,
    DerivaMLTableTypeError,
    DerivaMLValidationError,
)
from deriva_ml.feature.record import FeatureRecord, make_record_class, read_record
from deriva_ml.feature.selectors import reduce_records
from deriva_ml.lazy import cached_property
from deriva_ml.names import TableName, check_name
from deriva_ml.schema import kinds
from deriva_ml.tables import ColumnLike, create_table, delete_table, find_like, read_column, reference_to
from deriva_ml.vocabulary import add_term

if TYPE_CHECKING:
    from deriva_ml.feature.selectors import Selector


@dataclass(frozen=True)
class Feature:
    """A feature of the rows of a table.

    ``term_columns``, ``asset_columns`` and ``qualifier_columns`` map a column to the table that it names rows of;
    ``value_columns`` are the plain ones.
    """

    feature_table: TableModel
    target_table: TableModel
    target_column: str
    feature_name: str
    term_columns: Mapping[str, TableName]
    asset_columns: Mapping[str, TableName]
    value_columns: tuple[str, ...]
    qualifier_columns: Mapping[str, TableName]

    @property
    def feature_columns(self) -> tuple[str, ...]:
        """Return the columns that carry the value."""
        return (*self.term_columns, *self.asset_columns, *self.value_columns)

    def feature_record_class(self) -> type[FeatureRecord]:
        """Return the class of this feature's records."""
        return self._record_class

    @cached_property
    def _record_class(self) -> type[FeatureRecord]:
        return make_record_class(self)

    def __repr__(self) -> str:
        return (
            f"Feature({self.target_table.name.name}: {self.feature_name!r}, columns {', '.join(self.feature_columns)})"
        )


def _read(catalog: Catalog, model: FeatureModel) -> Feature:
    return Feature(
        feature_table=model.table,
        target_table=catalog.model().find_table(model.target),
        target_column=model.target_column,
        feature_name=model.name,
        term_columns=model.term_columns,
        asset_columns=model.asset_columns,
        value_columns=tuple(column.name for column in model.value_columns),
        qualifier_columns=model.qualifier_columns,
    )


def create_feature(
    catalog: Catalog,
    target_table: Any,
    feature_name: str,
    terms: Iterable[Any] = (),
    assets: Iterable[Any] = (),
    metadata: Iterable[Any] = (),
    optional: Collection[str] = (),
    comment: str = "",
) -> type[FeatureRecord]:
    """Make a feature of ``target_table`` and return the class of its records.

    A value is made of a term of each vocabulary in ``terms``, an asset of each table in ``assets``, and the columns
    of ``metadata`` (definitions; the name of a table gives a reference to it). Those in ``optional`` may be absent.

    Raises:
        DerivaMLConflictError: the feature exists.
        DerivaMLTableNotFound, DerivaMLTableTypeError: a table does not exist, or is not of the kind that it should be.
        DerivaMLValidationError: the value has no column, or one that does not exist is optional.
    """
    target = find_like(catalog, target_table).name
    check_name(feature_name, "name of a feature")
    if any(feature.name == feature_name for feature in catalog.refresh().features(target)):
        raise DerivaMLConflictError(
            409, f"{target.name} has a feature {feature_name!r} already.", hint="`ml.lookup_feature` returns it."
        )
    columns, references = _columns(catalog, terms, assets, metadata)
    columns = _optional(feature_name, columns, optional)
    add_term(
        catalog,
        TableName(catalog.ml_schema, MLVocab.feature_name),
        feature_name,
        comment or f"A feature of {target.name}.",
    )
    table = kinds.feature(
        feature_name, target, catalog.ml_schema, columns=columns, references=references, comment=comment or None
    )
    create_table(catalog, table, _place(catalog, target))
    return lookup_feature(catalog, target, feature_name).feature_record_class()


def _place(catalog: Catalog, target: TableName) -> str:
    """Return the schema of a new feature's table: its target's, or the users' own for deriva-ml's tables."""
    return target.schema if target.schema != catalog.ml_schema else catalog.default_schema


def _columns(
    catalog: Catalog, terms: Iterable[Any], assets: Iterable[Any], metadata: Iterable[Any]
) -> tuple[list[ColumnDefinition], list[ForeignKeyDefinition]]:
    columns: list[ColumnDefinition] = []
    references: list[ForeignKeyDefinition] = []
    for table, kind in [*((term, "vocabulary") for term in terms), *((asset, "asset table") for asset in assets)]:
        found = find_like(catalog, table)
        if not (found.is_vocabulary if kind == "vocabulary" else found.is_asset):
            raise DerivaMLTableTypeError(kind, found.name.name)
        column, key = reference_to(catalog, found, nullok=False)
        columns.append(column)
        references.append(key)
    for item in metadata:
        if _is_column(item):
            columns.append(read_column(item))
        else:
            column, key = reference_to(catalog, item, nullok=False)
            columns.append(column)
            references.append(key)
    return columns, references


def _is_column(item: ColumnLike | Any) -> bool:
    return isinstance(item, ColumnDefinition | Mapping)


def _optional(feature_name: str, columns: list[ColumnDefinition], optional: Collection[str]) -> list[ColumnDefinition]:
    names = {column.name for column in columns}
    if not columns:
        raise DerivaMLValidationError(f"The feature {feature_name!r} has no value: give terms, assets or metadata.")
    if unknown := sorted(set(optional) - names):
        raise DerivaMLValidationError(
            f"The feature {feature_name!r} has no column {', '.join(unknown)} to be optional. It has: {', '.join(sorted(names))}."
        )
    return [replace(column, nullok=column.nullok if column.name not in optional else True) for column in columns]


def lookup_feature(catalog: Catalog, table: Any, feature_name: str) -> Feature:
    """Return the feature ``feature_name`` of ``table``.

    Raises:
        DerivaMLTableNotFound: there is no such table.
        DerivaMLFeatureNotFound: it has no such feature; the message lists those that it has.
    """
    target = find_like(catalog, table).name
    known = catalog.model().features(target)
    if all(feature.name != feature_name for feature in known):
        known = catalog.refresh().features(target)
    for feature in known:
        if feature.name == feature_name:
            return _read(catalog, feature)
    listing = ", ".join(sorted(feature.name for feature in known)) or "none"
    raise DerivaMLFeatureNotFound(
        target.name, feature_name, f"Table {target.name!r} has no feature {feature_name!r}. It has: {listing}."
    )


def find_features(catalog: Catalog, table: Any = None) -> list[Feature]:
    """Return the features of ``table``, or of all tables."""
    target = None if table is None else find_like(catalog, table).name
    return [_read(catalog, feature) for feature in catalog.refresh().features(target)]


def delete_feature(catalog: Catalog, table: Any, feature_name: str) -> bool:
    """Drop a feature with all its values; return False when there is none."""
    target = find_like(catalog, table).name
    found = [feature for feature in catalog.refresh().features(target) if feature.name == feature_name]
    for feature in found:
        delete_table(catalog, feature.table.name)
    return bool(found)


def feature_values(
    catalog: Catalog,
    table: Any,
    feature_name: str,
    selector: Selector | None = None,
    materialize_limit: int | None = None,
    execution_rids: Collection[str] | None = None,
) -> Iterator[FeatureRecord]:
    """Yield the values of a feature, a page of rows per request.

    ``selector`` chooses one of several values for the same row (``FeatureRecord.select_newest`` and its like);
    ``execution_rids`` keeps what these executions wrote.

    Raises:
        DerivaMLFeatureNotFound: there is no such feature.
        DerivaMLMaterializeLimitExceeded: there are more rows than ``materialize_limit``; none was read.
    """
    feature = lookup_feature(catalog, table, feature_name)
    where = {} if execution_rids is None else {"Execution": list(execution_rids)}
    name = feature.feature_table.name
    if materialize_limit is not None and (rows := count(catalog, name, where)) > materialize_limit:
        raise DerivaMLMaterializeLimitExceeded(rows, materialize_limit)
    record_class = feature.feature_record_class()
    records = (
        read_record(record_class, row)
        for part in conditions(where)
        for row in pages(catalog, f"/entity/{name.path}{part}")
    )
    if selector is None:
        return records
    grouping = (feature.target_column, *feature.qualifier_columns)
    return reduce_records(records, lambda record: tuple(getattr(record, column) for column in grouping), selector)
