"""The words that deriva-ml's tables and files are called by.

A law: values only.
"""

from __future__ import annotations

from enum import Enum, IntEnum, StrEnum


class BuiltinTypes(Enum):
    """The types that a column may have, by their names in the catalog."""

    text = "text"
    markdown = "markdown"
    longtext = "longtext"
    boolean = "boolean"
    int2 = "int2"
    int4 = "int4"
    int8 = "int8"
    float4 = "float4"
    float8 = "float8"
    date = "date"
    timestamp = "timestamp"
    timestamptz = "timestamptz"
    json = "json"
    jsonb = "jsonb"
    serial2 = "serial2"
    serial4 = "serial4"
    serial8 = "serial8"
    color_rgb_hex = "color_rgb_hex"
    ermrest_curie = "ermrest_curie"
    ermrest_uri = "ermrest_uri"
    ermrest_rid = "ermrest_rid"
    ermrest_rct = "ermrest_rct"
    ermrest_rmt = "ermrest_rmt"
    ermrest_rcb = "ermrest_rcb"
    ermrest_rmb = "ermrest_rmb"


class MLVocab(StrEnum):
    """The vocabularies of the ML schema."""

    dataset_type = "Dataset_Type"
    workflow_type = "Workflow_Type"
    asset_type = "Asset_Type"
    asset_role = "Asset_Role"
    execution_status = "Execution_Status"
    feature_name = "Feature_Name"


class MLAsset(StrEnum):
    """The asset tables that every execution can write to."""

    execution_metadata = "Execution_Metadata"
    execution_asset = "Execution_Asset"


class MLTable(StrEnum):
    """The tables of the ML schema."""

    dataset = "Dataset"
    workflow = "Workflow"
    file = "File"
    asset = "Asset"
    execution = "Execution"
    execution_execution = "Execution_Execution"
    dataset_version = "Dataset_Version"
    execution_metadata = "Execution_Metadata"
    execution_asset = "Execution_Asset"


class ExecMetadataType(StrEnum):
    """What a file about an execution holds."""

    execution_config = "Execution_Config"
    runtime_env = "Runtime_Env"
    hydra_config = "Hydra_Config"
    deriva_config = "Deriva_Config"
    metrics_file = "Metrics_File"


class ExecAssetType(StrEnum):
    """What a file that an execution read or wrote is."""

    input_file = "Input_File"
    output_file = "Output_File"
    notebook_output = "Notebook_Output"
    model_file = "Model_File"


class AssetRole(StrEnum):
    """The direction in which an asset passed an execution."""

    input = "Input"
    output = "Output"


class UploadState(IntEnum):
    """How far the upload of a file came."""

    success = 0
    failed = 1
    pending = 2
    running = 3
    paused = 4
    aborted = 5
    cancelled = 6
    timeout = 7


class ConnectionMode(StrEnum):
    """Whether a session talks to its server."""

    online = "online"
    offline = "offline"
