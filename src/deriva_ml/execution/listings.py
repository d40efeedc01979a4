"""What an execution hands out in lists: its input datasets, also by RID, and its committed assets, also by table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, overload

from deriva_ml.asset.path import AssetFilePath
from deriva_ml.dataset.bag import DatasetBag


class InputDatasets(Sequence[DatasetBag]):
    """The downloaded datasets of an execution, by position or by RID."""

    def __init__(self, bags: Iterable[DatasetBag]) -> None:
        self._bags = tuple(bags)

    @overload
    def __getitem__(self, which: int | str) -> DatasetBag: ...
    @overload
    def __getitem__(self, which: slice) -> Sequence[DatasetBag]: ...
    def __getitem__(self, which: int | str | slice) -> DatasetBag | Sequence[DatasetBag]:
        if not isinstance(which, str):
            return self._bags[which]
        found = next((bag for bag in self._bags if bag.rid == which), None)
        if found is None:
            raise KeyError(
                f"{which} is not among the inputs: {', '.join(bag.rid for bag in self._bags) or 'there are none'}."
            )
        return found

    def __len__(self) -> int:
        return len(self._bags)

    def __repr__(self) -> str:
        return f"InputDatasets({list(self._bags)!r})"


class UploadedAssets(list[AssetFilePath]):
    """The committed assets of an execution in order; ``assets["Model"]`` gives those of one table."""

    def __getitem__(self, which: Any) -> Any:
        return (
            [asset for asset in self if asset.asset_table == which]
            if isinstance(which, str)
            else super().__getitem__(which)
        )
