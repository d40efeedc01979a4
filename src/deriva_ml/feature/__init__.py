"""Features: values that executions give to rows."""

from __future__ import annotations

import importlib
from typing import Any

_PLACES = {
    "Feature": "deriva_ml.feature.feature",
    "FeatureRecord": "deriva_ml.feature.record",
}

__all__ = sorted(_PLACES)


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'deriva_ml.feature' has no attribute {name!r}")
    return getattr(importlib.import_module(_PLACES[name]), name)
