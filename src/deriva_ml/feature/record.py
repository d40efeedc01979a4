"""Records of feature values: a pydantic class for each feature, with a field for each column of its table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError, create_model

from deriva_ml.catalog.model import ColumnModel
from deriva_ml.feature import selectors
from deriva_ml.forks import inside

if TYPE_CHECKING:
    from deriva_ml.feature.feature import Feature


def _plain(value: Any) -> Any:
    """Return the Python number that a number of numpy or torch holds."""
    return value.item() if hasattr(value, "item") and not isinstance(value, str | bytes) else value


def _whole(bits: int) -> Any:
    """Return the type of the whole numbers that a column of so many bits can hold."""
    most = 2 ** (bits - 1)
    return Annotated[int, BeforeValidator(_plain), Field(ge=-most, lt=most)]


def _iso(value: Any) -> Any:
    """Return a date or time as the text that stands for it."""
    return value.isoformat() if isinstance(value, date) else value


TYPES: dict[str, Any] = {
    "text": str,
    "int2": _whole(16),
    "int4": _whole(32),
    "int8": _whole(64),
    "float4": Annotated[float, BeforeValidator(_plain)],
    "float8": Annotated[float, BeforeValidator(_plain)],
    "boolean": Annotated[bool, BeforeValidator(_plain)],
    "date": Annotated[str, BeforeValidator(_iso)],
    "timestamp": Annotated[str, BeforeValidator(_iso)],
    "timestamptz": Annotated[str, BeforeValidator(_iso)],
    "json": Any,
    "jsonb": Any,
}
"""What the columns of a feature hold in Python; the types that are not listed are texts."""
_CHECKED = frozenset({"int2", "int4", "int8", "float4", "float8", "boolean"})


class _Choice(Enum):
    ONE = 1


_OF_EVERY_KIND: tuple[Any, ...] = (
    "", Path(), 0, 0.5, True, None, b"", [0], {}, date.min, datetime.min, Decimal(0), UUID(int=0), _Choice.ONE,
)  # fmt: skip
"""What a validator may be given; what it learns of each kind at the first one, it learns before anybody can fork."""


class FeatureRecord(BaseModel):
    """One value of a feature. :meth:`Feature.feature_record_class` makes the class for each feature."""

    model_config = ConfigDict(extra="forbid")

    feature: ClassVar[Feature]

    if TYPE_CHECKING:  # the fields of a record are known when its class is made, not when code is checked

        def __init__(self, **values: Any) -> None: ...

        def __getattr__(self, name: str) -> Any: ...

    Execution: str | None = None
    Feature_Name: str = ""
    RCT: str | None = None

    select_newest: ClassVar[Callable[..., Any]] = staticmethod(selectors.select_newest)
    select_latest: ClassVar[Callable[..., Any]] = staticmethod(selectors.select_newest)
    select_first: ClassVar[Callable[..., Any]] = staticmethod(selectors.select_first)
    select_by_execution: ClassVar[Callable[..., Any]] = staticmethod(selectors.select_by_execution)
    select_majority_vote: ClassVar[Callable[..., Any]] = staticmethod(selectors.select_majority_vote)

    @classmethod
    def feature_columns(cls) -> set[str]:
        """Return the columns that carry the value: terms, assets and plain values."""
        return set(cls.feature.feature_columns)

    @classmethod
    def term_columns(cls) -> set[str]:
        """Return the columns that name a term."""
        return set(cls.feature.term_columns)

    @classmethod
    def asset_columns(cls) -> set[str]:
        """Return the columns that name an asset."""
        return set(cls.feature.asset_columns)

    @classmethod
    def value_columns(cls) -> set[str]:
        """Return the columns that hold plain values."""
        return set(cls.feature.value_columns)

    @property
    def target_rid(self) -> str:
        """The row that the value is about."""
        return str(getattr(self, self.feature.target_column))


def make_record_class(feature: Feature) -> type[FeatureRecord]:
    """Return the record class of ``feature``, named ``<Target>Feature<Name>``; nobody forks while it is made."""
    table = feature.feature_table
    target = str | Path if feature.target_table.is_asset else str  # a file that is staged has no RID yet
    fields: dict[str, Any] = {feature.target_column: (target, ...)}
    for name in (*feature.qualifier_columns, *feature.term_columns):
        fields[name] = _field(table.columns[name], str)
    for name in feature.asset_columns:
        fields[name] = _field(table.columns[name], str | Path)
    for name in feature.value_columns:
        fields[name] = _field(table.columns[name], python_type(table.columns[name]))
    fields["Feature_Name"] = (str, feature.feature_name)
    name = f"{feature.target_table.name.name}Feature{feature.feature_name}"
    with inside():  # pydantic holds locks while it makes a class, and when it meets a kind of value for the first time
        made = create_model(name, __base__=FeatureRecord, **fields)
        made.feature = feature
        for value in _OF_EVERY_KIND:
            _fits(made, dict.fromkeys(fields, value))
    return made


def _fits(kind: type[FeatureRecord] | TypeAdapter[Any], value: Any) -> bool:
    validate = kind.validate_python if isinstance(kind, TypeAdapter) else kind.model_validate
    try:
        validate(value)
    except ValidationError:
        return False
    return True


def python_type(column: ColumnModel) -> Any:
    """Return the type of a column's values in Python."""
    if column.type.endswith("[]"):
        return list[TYPES.get(column.type[:-2], str) | None]  # type: ignore[misc]
    return TYPES.get(column.type, str)


def can_hold(column: ColumnModel, value: Any) -> bool:
    """Return whether a column of numbers or booleans takes a value, also as text; what other types take is for the catalog to say."""
    if value is None or column.type.removesuffix("[]") not in _CHECKED:
        return True
    with inside():
        return _fits(TypeAdapter(python_type(column)), value)


def _field(column: ColumnModel, kind: Any) -> tuple[Any, Any]:
    if column.nullok or column.default is not None:
        return (kind | None if kind is not Any else kind, column.default)
    return (kind, ...)


def read_record(record_class: type[FeatureRecord], row: Mapping[str, Any]) -> FeatureRecord:
    """Return the record that a row of the feature's table holds."""
    return record_class(**{name: row[name] for name in record_class.model_fields if name in row})
