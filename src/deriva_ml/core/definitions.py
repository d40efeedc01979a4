"""The import path that guides use for :mod:`deriva_ml.definitions` and the words that go with it."""

from deriva_ml.definitions import (
    ColumnDefinition,
    DerivaAssetColumns,
    DerivaSystemColumns,
    ForeignKeyDefinition,
    KeyDefinition,
    TableDefinition,
)
from deriva_ml.enums import BuiltinTypes, ExecAssetType, ExecMetadataType, MLAsset, MLTable, MLVocab, UploadState
from deriva_ml.names import DRY_RUN_RID, ML_SCHEMA
from deriva_ml.rid import RID

__all__ = [
    "BuiltinTypes",
    "ColumnDefinition",
    "DRY_RUN_RID",
    "DerivaAssetColumns",
    "DerivaSystemColumns",
    "ExecAssetType",
    "ExecMetadataType",
    "ForeignKeyDefinition",
    "KeyDefinition",
    "MLAsset",
    "MLTable",
    "MLVocab",
    "ML_SCHEMA",
    "RID",
    "TableDefinition",
    "UploadState",
]
