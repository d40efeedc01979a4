"""Assets: files that the catalog knows."""

from __future__ import annotations

import importlib
from typing import Any

_PLACES = {
    "Asset": "deriva_ml.asset.asset",
    "AssetFilePath": "deriva_ml.asset.path",
    "AssetRecord": "deriva_ml.asset.asset",
    "AssetSpec": "deriva_ml.asset.spec",
    "AssetSpecConfig": "deriva_ml.launch.specs",
    "LocalFile": "deriva_ml.asset.spec",
    "LocalFileConfig": "deriva_ml.launch.specs",
}

__all__ = sorted(_PLACES)


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'deriva_ml.asset' has no attribute {name!r}")
    return getattr(importlib.import_module(_PLACES[name]), name)
