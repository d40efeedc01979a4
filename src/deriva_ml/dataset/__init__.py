"""Datasets: versioned collections of rows and files. The names load on first use."""

from __future__ import annotations

import importlib
from typing import Any

_PLACE_OF = {
    "Dataset": "deriva_ml.dataset.dataset",
    "DatasetBag": "deriva_ml.dataset.bag",
    "DatasetHistory": "deriva_ml.dataset.versions",
    "DatasetSpec": "deriva_ml.dataset.spec",
    "DatasetSpecConfig": "deriva_ml.launch.specs",
    "DatasetVersion": "deriva_ml.dataset.versions",
    "VersionPart": "deriva_ml.dataset.versions",
}

__all__ = sorted(_PLACE_OF)


def __getattr__(name: str) -> Any:
    if name not in _PLACE_OF:
        raise AttributeError(f"module 'deriva_ml.dataset' has no attribute {name!r}")
    return getattr(importlib.import_module(_PLACE_OF[name]), name)
