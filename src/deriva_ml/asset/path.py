"""The path of an asset's file: a real path that also knows which asset it is."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path, PosixPath
from typing import Any, Protocol

from deriva_ml.errors import DerivaMLValidationError


class AssetKeeper(Protocol):
    """Where a staged asset's facts are kept: what is assigned to the path is written there."""

    def keep_metadata(self, key: str, metadata: Mapping[str, Any]) -> dict[str, Any]:
        """Replace the whole metadata of the asset ``key``; return it as kept."""
        ...

    def keep_types(self, key: str, types: Iterable[str]) -> list[str]:
        """Replace the types of the asset ``key``; return them as kept."""
        ...

    def rid_of(self, key: str) -> str | None:
        """Return the RID of the asset ``key``, once it has one."""
        ...


class AssetFilePath(PosixPath):
    """A path to an asset's file, as ``exe.asset_file_path`` and ``exe.download_asset`` return it.

    It can be used wherever a path can; paths made from it (``parent``, ``/``, ``resolve()``) are plain ones.

    Example:
        >>> path = AssetFilePath("/tmp/scan.png", asset_table="Image")
        >>> path.asset_table, path.file_name, type(path.parent).__name__
        ('Image', 'scan.png', 'PosixPath')
    """

    def __new__(cls, *segments: Any, **_facts: Any) -> AssetFilePath:
        """Make the path; on Python 3.11 a path is parsed here, later ones parse in ``__init__``."""
        if sys.version_info >= (3, 12):
            return object.__new__(cls)
        return PosixPath._from_parts.__func__(cls, segments)  # type: ignore[attr-defined,no-any-return,unused-ignore]

    def __init__(
        self,
        *segments: Any,
        asset_table: str = "",
        file_name: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        asset_types: Iterable[str] = (),
        asset_rid: str | None = None,
        description: str = "",
        keeper: AssetKeeper | None = None,
        key: str = "",
    ) -> None:
        if sys.version_info >= (3, 12):
            super().__init__(*segments)
        self.asset_table = asset_table
        self.file_name = file_name if file_name is not None else self.name
        self.description = description
        self.asset_types = list(asset_types)
        self._metadata = dict(metadata or {})
        self._rid = asset_rid
        self._keeper = keeper
        self._key = key

    if sys.version_info >= (3, 12):

        def with_segments(self, *segments: Any) -> Path:  # type: ignore[override,unused-ignore]
            """Return a derived path: a plain one."""
            return Path(*segments)

    else:

        @classmethod
        def _from_parts(cls, args: Any) -> Any:
            return PosixPath._from_parts(args)  # type: ignore[attr-defined,unused-ignore]

        @classmethod
        def _from_parsed_parts(cls, drv: Any, root: Any, parts: Any) -> Any:
            return PosixPath._from_parsed_parts(drv, root, parts)  # type: ignore[attr-defined,unused-ignore]

    def __reduce__(self) -> Any:
        """Travel to other processes as a plain path."""
        return Path, (str(self),)

    @property
    def asset_name(self) -> str:
        """The asset table's name, under its older name."""
        return self.asset_table

    @property
    def asset_rid(self) -> str | None:
        """The asset's RID; None until a commit has given it one."""
        if self._rid is None and self._keeper is not None:
            self._rid = self._keeper.rid_of(self._key)
        return self._rid

    @property
    def asset_metadata(self) -> dict[str, Any]:
        """The values of the asset table's own columns."""
        return dict(self._metadata)

    @property
    def metadata(self) -> dict[str, Any]:
        """The values of the asset table's own columns. Assigning replaces all of them, and is durable when it returns.

        Raises (on assigning):
            DerivaMLValidationError: a column is unknown, or the asset is in the catalog already.
        """
        return dict(self._metadata)

    @metadata.setter
    def metadata(self, values: Any) -> None:
        self._metadata = self._staged().keep_metadata(self._key, as_mapping(values))

    def set_asset_types(self, types: Iterable[str] | str) -> None:
        """Replace the asset's types.

        Raises:
            DerivaMLInvalidTerm: a type is no term of ``Asset_Type``.
            DerivaMLValidationError: the asset is in the catalog already.
        """
        self.asset_types = self._staged().keep_types(self._key, [types] if isinstance(types, str) else types)

    def _staged(self) -> AssetKeeper:
        if self._keeper is None:
            raise DerivaMLValidationError(
                f"{self} is not staged for a commit: change the asset itself, with `ml.lookup_asset(rid)`."
            )
        return self._keeper


def as_mapping(values: Any) -> dict[str, Any]:
    """Return metadata given as a mapping or as a record (a pydantic model: the fields that were set)."""
    if values is None:
        return {}
    if isinstance(values, Mapping):
        return dict(values)
    dump = getattr(values, "model_dump", None)
    if dump is None:
        raise DerivaMLValidationError(
            f"Metadata is a mapping of column to value, or a record of the asset table, not {type(values).__name__}."
        )
    return {name: value for name, value in dump(exclude_unset=True).items() if value is not None}
