"""The deriva-ml schema; :func:`create_ml_catalog` makes a catalog with it on a server."""

from __future__ import annotations

import importlib
from typing import Any

__all__ = ["create_ml_catalog", "create_ml_schema"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'deriva_ml.schema' has no attribute {name!r}")
    return getattr(importlib.import_module("deriva_ml.schema.catalogs"), name)
