"""The import path that guides use for :mod:`deriva_ml.enums`."""

from deriva_ml.enums import (
    AssetRole,
    BuiltinTypes,
    ConnectionMode,
    ExecAssetType,
    ExecMetadataType,
    MLAsset,
    MLTable,
    MLVocab,
    UploadState,
)

__all__ = [
    "AssetRole",
    "BuiltinTypes",
    "ConnectionMode",
    "ExecAssetType",
    "ExecMetadataType",
    "MLAsset",
    "MLTable",
    "MLVocab",
    "UploadState",
]
