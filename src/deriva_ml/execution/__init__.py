"""Executions: one run of one's code, recorded. The names load on first use."""

from __future__ import annotations

import importlib
from typing import Any

_PLACE_OF = {
    "AssetSpec": "deriva_ml.asset.spec",
    "AssetSpecConfig": "deriva_ml.launch.specs",
    "AssetSummary": "deriva_ml.lineage.models",
    "BaseConfig": "deriva_ml.launch.configs",
    "DatasetSpecConfig": "deriva_ml.launch.specs",
    "DatasetSummary": "deriva_ml.lineage.models",
    "DerivaBaseConfig": "deriva_ml.launch.configs",
    "DerivaMLConfig": "deriva_ml.launch.connection",
    "DerivaMLModel": "deriva_ml.launch.run",
    "DescribedList": "deriva_ml.launch.specs",
    "Execution": "deriva_ml.execution.execution",
    "ExecutionConfiguration": "deriva_ml.execution.configuration",
    "ExecutionStatus": "deriva_ml.execution.states",
    "ExecutionSummary": "deriva_ml.lineage.models",
    "LineageNode": "deriva_ml.lineage.models",
    "LineageResult": "deriva_ml.lineage.models",
    "LocalFile": "deriva_ml.asset.spec",
    "LocalFileConfig": "deriva_ml.launch.specs",
    "MultirunSpec": "deriva_ml.launch.multiruns",
    "RootDescriptor": "deriva_ml.lineage.models",
    "UploadProgress": "deriva_ml.execution.report",
    "UploadReport": "deriva_ml.execution.report",
    "Workflow": "deriva_ml.workflow.workflow",
    "WorkflowSummary": "deriva_ml.lineage.models",
    "base_defaults": "deriva_ml.launch.configs",
    "create_model_config": "deriva_ml.launch.configs",
    "get_all_multirun_configs": "deriva_ml.launch.multiruns",
    "get_multirun_config": "deriva_ml.launch.multiruns",
    "get_notebook_configuration": "deriva_ml.launch.notebook",
    "list_multirun_configs": "deriva_ml.launch.multiruns",
    "load_configs": "deriva_ml.launch.registration",
    "multirun_config": "deriva_ml.launch.multiruns",
    "notebook_config": "deriva_ml.launch.configs",
    "reset_multirun_state": "deriva_ml.launch.composed",
    "run_model": "deriva_ml.launch.run",
    "run_notebook": "deriva_ml.launch.notebook",
    "with_description": "deriva_ml.launch.specs",
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
