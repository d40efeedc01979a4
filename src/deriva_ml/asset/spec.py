"""Which assets and local files an execution takes as inputs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from deriva_ml.errors import DerivaMLValidationError
from deriva_ml.rid import RID


class AssetSpec(BaseModel):
    """An asset of the catalog as the input of an execution.

    ``cache=True`` keeps its bytes by checksum in the workspace, so that later executions need not download them again.

    Example:
        >>> AssetSpec(rid="2-GHI").cache
        False
    """

    model_config = ConfigDict(extra="forbid")

    rid: RID
    cache: bool = False


class LocalFile(BaseModel):
    """A file or folder of this machine as the input of an execution: recorded by name, length and checksum."""

    model_config = ConfigDict(extra="forbid")

    path: Path
    cache: bool = False


def read_asset(value: Any) -> AssetSpec | LocalFile:
    """Return the input that a value means: a mapping with ``path`` is a local file, a text is a RID, never a path.

    Raises:
        DerivaMLValidationError: it means neither.

    Example:
        >>> read_asset("2-GHI").rid, read_asset({"path": "/data/x.csv"}).path.name
        ('2-GHI', 'x.csv')
    """
    if isinstance(value, AssetSpec | LocalFile):
        return value
    if isinstance(value, str):
        return AssetSpec(rid=value)
    if isinstance(value, dict):
        facts = {name: each for name, each in value.items() if name != "asset_role"}
        return LocalFile(**facts) if "path" in facts else AssetSpec(**facts)
    rid = getattr(value, "rid", None) or getattr(value, "asset_rid", None)
    if isinstance(rid, str):
        return AssetSpec(rid=rid, cache=bool(getattr(value, "cache", False)))
    raise DerivaMLValidationError(f"{value!r} names no asset: give a RID, an AssetSpec or a LocalFile.")
