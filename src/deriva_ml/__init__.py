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
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from deriva_ml.asset.asset import Asset
    from deriva_ml.asset.path import AssetFilePath
    from deriva_ml.asset.spec import (
        AssetSpec,
        LocalFile,
    )
    from deriva_ml.dataset.bag import DatasetBag
    from deriva_ml.dataset.dataset import Dataset
    from deriva_ml.dataset.spec import DatasetSpec
    from deriva_ml.dataset.versions import (
        DatasetVersion,
        VersionPart,
    )
    from deriva_ml.definitions import (
        ColumnDefinition,
        DerivaAssetColumns,
        DerivaSystemColumns,
        ForeignKeyDefinition,
        KeyDefinition,
        TableDefinition,
    )
    from deriva_ml.enums import (
        BuiltinTypes,
        ConnectionMode,
        ExecAssetType,
        ExecMetadataType,
        MLAsset,
        MLTable,
        MLVocab,
        UploadState,
    )
    from deriva_ml.errors import (
        DerivaMLAmbiguousAssociationException,
        DerivaMLAuthenticationError,
        DerivaMLBusyError,
        DerivaMLCatalogError,
        DerivaMLConfigurationError,
        DerivaMLConflictError,
        DerivaMLCycleError,
        DerivaMLDataError,
        DerivaMLDatasetNotFound,
        DerivaMLDirtyWorkflowError,
        DerivaMLException,
        DerivaMLExecutionError,
        DerivaMLExecutionGone,
        DerivaMLFeatureNotFound,
        DerivaMLIntegrityError,
        DerivaMLInvalidTerm,
        DerivaMLMaterializeLimitExceeded,
        DerivaMLNoAssociationException,
        DerivaMLNotFoundError,
        DerivaMLOfflineError,
        DerivaMLReadOnlyError,
        DerivaMLRidsNotFound,
        DerivaMLSchemaError,
        DerivaMLSchemaPinned,
        DerivaMLServerError,
        DerivaMLStateInconsistency,
        DerivaMLTableNotFound,
        DerivaMLTableTypeError,
        DerivaMLUploadError,
        DerivaMLValidationError,
        DerivaMLWorkflowError,
        InvalidTransitionError,
    )
    from deriva_ml.execution.configuration import ExecutionConfiguration
    from deriva_ml.execution.execution import Execution
    from deriva_ml.execution.report import (
        UploadCallback,
        UploadProgress,
        UploadReport,
    )
    from deriva_ml.execution.states import ExecutionStatus
    from deriva_ml.feature.feature import Feature
    from deriva_ml.feature.record import FeatureRecord
    from deriva_ml.launch.connection import DerivaMLConfig as DerivaMLConfig
    from deriva_ml.launch.specs import (
        AssetSpecConfig,
        DatasetSpecConfig,
    )
    from deriva_ml.lineage.models import LineageResult
    from deriva_ml.ml import DerivaML
    from deriva_ml.rid import RID
    from deriva_ml.workflow.workflow import Workflow

_PLACES = {
    "deriva_ml.asset.asset": "Asset",
    "deriva_ml.asset.path": "AssetFilePath",
    "deriva_ml.asset.spec": "AssetSpec LocalFile",
    "deriva_ml.dataset.bag": "DatasetBag",
    "deriva_ml.dataset.dataset": "Dataset",
    "deriva_ml.dataset.spec": "DatasetSpec",
    "deriva_ml.dataset.versions": "DatasetVersion VersionPart",
    "deriva_ml.definitions": """
        ColumnDefinition DerivaAssetColumns DerivaSystemColumns
        ForeignKeyDefinition KeyDefinition TableDefinition
    """,
    "deriva_ml.enums": """
        BuiltinTypes ConnectionMode ExecAssetType ExecMetadataType
        MLAsset MLTable MLVocab
        UploadState
    """,
    "deriva_ml.errors": """
        DerivaMLAmbiguousAssociationException DerivaMLAuthenticationError DerivaMLBusyError
        DerivaMLCatalogError DerivaMLConfigurationError DerivaMLConflictError
        DerivaMLCycleError DerivaMLDataError DerivaMLDatasetNotFound
        DerivaMLDirtyWorkflowError DerivaMLException DerivaMLExecutionError DerivaMLExecutionGone
        DerivaMLFeatureNotFound DerivaMLIntegrityError DerivaMLInvalidTerm
        DerivaMLMaterializeLimitExceeded DerivaMLNoAssociationException DerivaMLNotFoundError
        DerivaMLOfflineError DerivaMLReadOnlyError DerivaMLRidsNotFound
        DerivaMLSchemaError DerivaMLSchemaPinned DerivaMLServerError DerivaMLStateInconsistency
        DerivaMLTableNotFound DerivaMLTableTypeError DerivaMLUploadError
        DerivaMLValidationError DerivaMLWorkflowError InvalidTransitionError
    """,
    "deriva_ml.execution.configuration": "ExecutionConfiguration",
    "deriva_ml.execution.execution": "Execution",
    "deriva_ml.execution.report": "UploadCallback UploadProgress UploadReport",
    "deriva_ml.execution.states": "ExecutionStatus",
    "deriva_ml.feature.feature": "Feature",
    "deriva_ml.feature.record": "FeatureRecord",
    "deriva_ml.launch.connection": "DerivaMLConfig",
    "deriva_ml.launch.specs": "AssetSpecConfig DatasetSpecConfig",
    "deriva_ml.lineage.models": "LineageResult",
    "deriva_ml.ml": "DerivaML",
    "deriva_ml.rid": "RID",
    "deriva_ml.workflow.workflow": "Workflow",
}
_PLACE_OF = {name: module for module, names in _PLACES.items() for name in names.split()}

__all__ = [
    "Asset",
    "AssetFilePath",
    "AssetSpec",
    "AssetSpecConfig",
    "BuiltinTypes",
    "ColumnDefinition",
    "ConnectionMode",
    "Dataset",
    "DatasetBag",
    "DatasetSpec",
    "DatasetSpecConfig",
    "DatasetVersion",
    "DerivaAssetColumns",
    "DerivaML",
    "DerivaMLAmbiguousAssociationException",
    "DerivaMLAuthenticationError",
    "DerivaMLBusyError",
    "DerivaMLCatalogError",
    "DerivaMLConfig",
    "DerivaMLConfigurationError",
    "DerivaMLConflictError",
    "DerivaMLCycleError",
    "DerivaMLDataError",
    "DerivaMLDatasetNotFound",
    "DerivaMLDirtyWorkflowError",
    "DerivaMLException",
    "DerivaMLExecutionError",
    "DerivaMLExecutionGone",
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
    "DerivaMLSchemaPinned",
    "DerivaMLServerError",
    "DerivaMLStateInconsistency",
    "DerivaMLTableNotFound",
    "DerivaMLTableTypeError",
    "DerivaMLUploadError",
    "DerivaMLValidationError",
    "DerivaMLWorkflowError",
    "DerivaSystemColumns",
    "ExecAssetType",
    "ExecMetadataType",
    "Execution",
    "ExecutionConfiguration",
    "ExecutionStatus",
    "Feature",
    "FeatureRecord",
    "ForeignKeyDefinition",
    "InvalidTransitionError",
    "KeyDefinition",
    "LineageResult",
    "LocalFile",
    "MLAsset",
    "MLTable",
    "MLVocab",
    "RID",
    "TableDefinition",
    "UploadCallback",
    "UploadProgress",
    "UploadReport",
    "UploadState",
    "VersionPart",
    "Workflow",
    "__version__",
]

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
