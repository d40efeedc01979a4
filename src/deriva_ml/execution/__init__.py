"""Executions: one run of one's code, recorded. The names load on first use."""

from __future__ import annotations

import importlib
from typing import Any

_PLACE_OF = {
    "AssetSpec": "deriva_ml.asset.spec",
    "AssetSummary": "deriva_ml.lineage.models",
    "DatasetSummary": "deriva_ml.lineage.models",
    "Execution": "deriva_ml.execution.execution",
    "ExecutionConfiguration": "deriva_ml.execution.configuration",
    "ExecutionStatus": "deriva_ml.execution.states",
    "ExecutionSummary": "deriva_ml.lineage.models",
    "LineageNode": "deriva_ml.lineage.models",
    "LineageResult": "deriva_ml.lineage.models",
    "LocalFile": "deriva_ml.asset.spec",
    "RootDescriptor": "deriva_ml.lineage.models",
    "UploadProgress": "deriva_ml.execution.report",
    "UploadReport": "deriva_ml.execution.report",
    "Workflow": "deriva_ml.workflow.workflow",
    "WorkflowSummary": "deriva_ml.lineage.models",
}

__all__ = sorted(_PLACE_OF)


def __getattr__(name: str) -> Any:
    if name not in _PLACE_OF:
        raise AttributeError(f"module 'deriva_ml.execution' has no attribute {name!r}")
    value = getattr(importlib.import_module(_PLACE_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
