"""``DatasetSpec``: which dataset, at which version, and how to bring it here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, field_serializer, field_validator

from deriva_ml.dataset.versions import DatasetVersion
from deriva_ml.errors import DerivaMLValidationError
from deriva_ml.rid import RID, check_rid


class DatasetSpec(BaseModel):
    """A dataset as the input of an execution.

    ``version`` is a label, a list of three numbers, a mapping or a ``DatasetVersion``; without it the dataset's
    current version is used, which changes as members are added. ``materialize=False`` brings the tables and leaves
    the files where they are.

    Example:
        >>> str(DatasetSpec(rid="1-ABC", version="2.1.0").version)
        '2.1.0'
    """

    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True, validate_assignment=True)

    if TYPE_CHECKING:  # the validators below take more than the fields hold

        def __init__(self, *, rid: str, version: Any = None, **options: Any) -> None: ...

    rid: RID
    version: DatasetVersion | None = None
    materialize: bool = True
    description: str = ""
    exclude_tables: list[str] | None = None
    timeout: tuple[float, float] | None = None
    fetch_concurrency: int = Field(default=8, ge=1)
    reachability_concurrency: int = Field(default=8, ge=1)

    @field_validator("version", mode="before")
    @classmethod
    def _read_version(cls, value: Any) -> DatasetVersion | None:
        if value is None:
            return None
        try:
            return DatasetVersion.parse(value)
        except DerivaMLValidationError as error:  # pydantic collects ValueErrors, with the field's name
            raise ValueError(str(error)) from error

    @field_validator("exclude_tables", mode="before")
    @classmethod
    def _read_tables(cls, value: Any) -> Any:
        return sorted(value) if isinstance(value, set | frozenset | tuple) else value

    @field_serializer("version")
    def _write_version(self, version: DatasetVersion | None) -> str | None:
        return None if version is None else str(version)

    @classmethod
    def from_shorthand(cls, text: str) -> DatasetSpec:
        """Read ``RID`` or ``RID@version``.

        Raises:
            DerivaMLValidationError: it is neither.

        Example:
            >>> DatasetSpec.from_shorthand("1-ABC@2.1.0").rid
            '1-ABC'
        """
        rid, at, version = text.strip().partition("@")
        return cls(rid=check_rid(rid), version=DatasetVersion.parse(version) if at else None)


def read_spec(value: Any) -> DatasetSpec:
    """Return the spec that a spec, a ``RID@version``, a mapping, or anything with ``rid`` and ``version`` means.

    Raises:
        DerivaMLValidationError: none of these.
    """
    if isinstance(value, DatasetSpec):
        return value
    if isinstance(value, str):
        return DatasetSpec.from_shorthand(value)
    if isinstance(value, dict):
        return DatasetSpec(**value)
    if isinstance(getattr(value, "rid", None), str):
        return DatasetSpec(rid=value.rid, version=getattr(value, "version", None))
    raise DerivaMLValidationError(f"{value!r} names no dataset: give a DatasetSpec or a text like 1-ABC@2.1.0.")
