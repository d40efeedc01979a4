"""deriva-ml: which code, which data and which settings made this result.

Every public name loads on first use, so that ``import deriva_ml`` costs next to nothing.

Example::

    from deriva_ml import DerivaML

    ml = DerivaML()
    workflow = ml.create_workflow("Train", "Training", "fit a small model")
    with ml.create_execution(workflow=workflow, description="first run") as exe:
        exe.asset_file_path("Execution_Asset", "result.txt").write_text("42")
    exe.commit_output_assets()
"""

from __future__ import annotations

import importlib
import sys
from typing import Any

_PLACES = {
    "deriva_ml.ml": ("DerivaML",),
    "deriva_ml.errors": (
        "DerivaMLAmbiguousAssociationException",
        "DerivaMLAuthenticationError",
        "DerivaMLBusyError",
        "DerivaMLCatalogError",
        "DerivaMLConfigurationError",
        "DerivaMLConflictError",
        "DerivaMLCycleError",
        "DerivaMLDataError",
        "DerivaMLDatasetNotFound",
        "DerivaMLDirtyWorkflowError",
        "DerivaMLException",
        "DerivaMLExecutionError",
        "DerivaMLFeatureNotFound",
        "DerivaMLIntegrityError",
        "DerivaMLInvalidTerm",
        "DerivaMLMaterializeLimitExceeded",
        "DerivaMLNoAssociationException",
        "DerivaMLNotFoundError",
        "DerivaMLOfflineError",
        "DerivaMLReadOnlyError",
        "DerivaMLRidsNotFound",
        "DerivaMLSchemaError",
        "DerivaMLServerError",
        "DerivaMLStateInconsistency",
        "DerivaMLTableNotFound",
        "DerivaMLTableTypeError",
        "DerivaMLUploadError",
        "DerivaMLValidationError",
        "DerivaMLWorkflowError",
        "InvalidTransitionError",
    ),
    "deriva_ml.enums": (
        "BuiltinTypes",
        "ConnectionMode",
        "ExecAssetType",
        "ExecMetadataType",
        "MLAsset",
        "MLTable",
        "MLVocab",
        "UploadState",
    ),
    "deriva_ml.definitions": (
        "ColumnDefinition",
        "DerivaAssetColumns",
        "DerivaSystemColumns",
        "ForeignKeyDefinition",
        "KeyDefinition",
        "TableDefinition",
    ),
    "deriva_ml.rid": ("RID",),
    "deriva_ml.asset.asset": ("Asset",),
    "deriva_ml.asset.path": ("AssetFilePath",),
    "deriva_ml.feature.record": ("FeatureRecord",),
    "deriva_ml.execution.configuration": ("AssetSpec", "ExecutionConfiguration"),
    "deriva_ml.execution.execution": ("Execution",),
    "deriva_ml.execution.report": ("UploadCallback", "UploadProgress", "UploadReport"),
    "deriva_ml.workflow.workflow": ("Workflow",),
    "deriva_ml.dataset.dataset": ("Dataset",),
    "deriva_ml.dataset.spec": ("DatasetSpec",),
}
_PLACE_OF = {name: module for module, names in _PLACES.items() for name in names}

__all__ = ["__version__", *sorted(_PLACE_OF)]  # names, all of them texts

if sys.platform == "win32":
    raise ImportError("deriva-ml needs the locks and links of Linux or macOS; on Windows, run it in WSL2.")


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return _version()
    if name not in _PLACE_OF:
        raise AttributeError(f"module 'deriva_ml' has no attribute {name!r}")
    value = getattr(importlib.import_module(_PLACE_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _version() -> str:
    from importlib.metadata import version

    return version("deriva-ml")
