"""Inputs as configurations: what Hydra can store and override, and instantiates as DatasetSpec, AssetSpec, LocalFile."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from hydra_zen import builds, hydrated_dataclass

from deriva_ml.asset.spec import AssetSpec, LocalFile
from deriva_ml.dataset.spec import DatasetSpec


@hydrated_dataclass(DatasetSpec)
class DatasetSpecConfig:
    """A dataset version; the configuration of :class:`~deriva_ml.dataset.spec.DatasetSpec`."""

    rid: str
    version: Any = None
    materialize: bool = True
    description: str = ""
    exclude_tables: list[str] | None = None
    timeout: Any = None
    fetch_concurrency: int = 8


@hydrated_dataclass(AssetSpec)
class AssetSpecConfig:
    """An asset; the configuration of :class:`~deriva_ml.asset.spec.AssetSpec`."""

    rid: str
    cache: bool = False


@hydrated_dataclass(LocalFile)
class LocalFileConfig:
    """A file or folder of this machine; the configuration of :class:`~deriva_ml.asset.spec.LocalFile`."""

    path: str
    cache: bool = False


class DescribedList(list[Any]):
    """A list that says what it is a list of."""

    def __init__(self, items: Iterable[Any] = (), description: str = "") -> None:
        super().__init__(items)
        self.description = description


def with_description(items: Iterable[Any], description: str) -> Any:
    """Return the configuration of a list that carries a description.

    Example::

        store(with_description(["1-ABC", "1-DEF"], "two pretrained models"), group="assets", name="pretrained")
    """
    return builds(DescribedList, items=list(items), description=description)
