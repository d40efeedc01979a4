"""The deriva-ml schema as data: its tables, the terms of its vocabularies, and the rows that stand for the unknown.

A law: values only.
"""

from __future__ import annotations

from typing import Any

from deriva_ml.definitions import ColumnDefinition, ForeignKeyDefinition, KeyDefinition, TableDefinition
from deriva_ml.enums import BuiltinTypes as Type
from deriva_ml.enums import MLVocab
from deriva_ml.names import TableName
from deriva_ml.schema.kinds import asset, asset_links, association, end, reference, vocabulary

METADATA_PATTERN = "/hatrac/metadata/{{MD5}}.{{Filename}}"

TERMS: dict[str, dict[str, str]] = {
    MLVocab.execution_status: {
        "Created": "The execution is recorded; no work has started.",
        "Running": "Work is in progress.",
        "Stopped": "Work ended without an error.",
        "Failed": "Work, or the upload of its results, ended with an error; the detail says which.",
        "Pending_Upload": "Results are being uploaded, or wait for it.",
        "Uploaded": "All results are in the catalog.",
        "Aborted": "Given up before it was complete.",
    },
    MLVocab.asset_role: {
        "Input": "The execution read the file.",
        "Output": "The execution wrote the file.",
    },
    MLVocab.asset_type: {
        "Execution_Config": "What was installed: the lock file of the project.",
        "Runtime_Env": "The environment in which an execution ran.",
        "Hydra_Config": "Configuration composed by Hydra.",
        "Deriva_Config": "The configuration of an execution: its inputs, parameters and workflow.",
        "Metrics_File": "Numbers that a run reported as it went.",
        "Execution_Metadata": "A file about an execution.",
        "Execution_Asset": "A file of an execution.",
        "File": "A file outside the object store.",
        "Input_File": "A file that an execution read.",
        "Output_File": "A file that an execution wrote.",
        "Model_File": "A trained model.",
        "Notebook_Output": "An executed notebook.",
    },
    MLVocab.dataset_type: {
        "Complete": "Everything that there is.",
        "File": "A dataset of files.",
        "Directory": "A dataset that mirrors a folder.",
        "Training": "For training.",
        "Testing": "For testing.",
        "Validation": "For validation.",
        "Split": "Divided into parts.",
        "Split_Partition": "A part of a divided dataset.",
        "Subsample": "A sample of another dataset.",
        "Labeled": "Its members carry labels.",
        "Unlabeled": "Its members carry no labels.",
    },
    MLVocab.workflow_type: {
        "Training": "Trains a model.",
        "Testing": "Tests a model.",
        "Prediction": "Applies a model.",
        "Feature_Creation": "Computes features.",
        "Visualization": "Draws pictures.",
        "Analysis": "Analyses data.",
        "Analysis Notebook": "Analyses data in a notebook.",
        "Ingest": "Brings data into the catalog.",
        "Data_Cleaning": "Repairs or removes data.",
        "Dataset_Management": "Builds and changes datasets.",
        "Dataset_Split": "Divides a dataset into parts.",
    },
    MLVocab.feature_name: {},
}

UNKNOWN_WORKFLOW: dict[str, Any] = {
    "Name": "Unknown Provenance",
    "Description": "Stands for the unknown origin of what was made outside any recorded execution.",
    "URL": "tag:deriva-ml,unknown-provenance:workflow",
    "Checksum": "0" * 40,
}
UNKNOWN_CODE = {"URL": "tag:deriva-ml,unknown-provenance:workflow-url", "Checksum": "unknown-provenance"}
"""What stands in the row of a workflow in the place of what is not known of its code: the catalog says so, instead of saying
nothing. Not what the sentinel workflow has, which is looked up by its address.
"""
UNKNOWN_FILE: dict[str, Any] = {
    "URL": "tag:deriva-ml,unknown-provenance:file",
    "Filename": "unknown-provenance",
    "Description": "Stands for the unknown inputs of an execution that declared none.",
    "Length": 0,
    "MD5": "0" * 32,
}
UNKNOWN_EXECUTION: dict[str, Any] = {
    "Description": "deriva-ml unknown-provenance sentinel execution",
    "Status": "Aborted",
    "Status_Detail": "it never ran: it stands for whatever made what has no recorded producer",
}


def ml_tables(ml_schema: str) -> list[TableDefinition]:
    """Return every table of the schema; they refer to each other, so all are made in one request."""
    return [*_vocabularies(), *_core(ml_schema), *_assets(ml_schema), *_links(ml_schema)]


def schema_document(ml_schema: str) -> dict[str, Any]:
    """Return the whole schema as the catalog's model spells it."""
    return {
        "schema_name": ml_schema,
        "comment": "Executions, their workflows, datasets and files: which code, data and settings made what.",
        "annotations": {},
        "tables": {table.name: table.document(ml_schema) for table in ml_tables(ml_schema)},
    }


def domain_document(name: str) -> dict[str, Any]:
    """Return an empty schema for the users' own tables."""
    return {"schema_name": name, "comment": "The tables of this project.", "annotations": {}, "tables": {}}


def _vocabularies() -> list[TableDefinition]:
    meanings = {
        MLVocab.execution_status: "The states of an execution.",
        MLVocab.asset_role: "The directions in which a file passes an execution.",
        MLVocab.asset_type: "Kinds of files.",
        MLVocab.dataset_type: "Kinds of datasets.",
        MLVocab.workflow_type: "Kinds of workflows.",
        MLVocab.feature_name: "Names of features.",
    }
    return [vocabulary(name, "deriva-ml", meaning) for name, meaning in meanings.items()]


def _core(ml_schema: str) -> list[TableDefinition]:
    return [
        _workflow(),
        _execution(ml_schema),
        _dataset(ml_schema),
        _dataset_version(ml_schema),
        _directory_dataset(ml_schema),
    ]


def _workflow() -> TableDefinition:
    return TableDefinition(
        "Workflow",
        [
            ColumnDefinition("Name", Type.text, comment="What the workflow is called."),
            ColumnDefinition("Description", Type.markdown),
            ColumnDefinition("URL", Type.ermrest_uri, comment="The source code at the commit that ran."),
            ColumnDefinition("Checksum", Type.text, comment="The git blob checksum of the source code."),
            ColumnDefinition("Version", Type.text, comment="The version of the project."),
        ],
        comment="Code that executions run.",
    )


def _execution(ml_schema: str) -> TableDefinition:
    return TableDefinition(
        "Execution",
        [
            ColumnDefinition("Workflow", Type.text, comment="The code that ran."),
            ColumnDefinition("Description", Type.markdown),
            ColumnDefinition("Execution_Duration", Type.text, comment="How long the work took (ISO 8601)."),
            ColumnDefinition("Download_Duration", Type.text, comment="How long fetching the inputs took (ISO 8601)."),
            ColumnDefinition("Upload_Duration", Type.text, comment="How long sending the outputs took (ISO 8601)."),
            ColumnDefinition("Status", Type.text, comment="The state, as last reported."),
            ColumnDefinition("Status_Detail", Type.text, comment="The last message or error."),
            ColumnDefinition("Start_Time", Type.timestamptz, comment="When the work began."),
            ColumnDefinition("Stop_Time", Type.timestamptz, comment="When the work ended."),
        ],
        fkey_defs=[
            reference("Workflow", TableName(ml_schema, "Workflow")),
            reference("Status", TableName(ml_schema, "Execution_Status"), "Name"),
        ],
        comment="Runs of workflows.",
    )


def _dataset(ml_schema: str) -> TableDefinition:
    return TableDefinition(
        "Dataset",
        [
            ColumnDefinition("Description", Type.markdown),
            ColumnDefinition(
                "Deleted",
                Type.boolean,
                default=False,
                comment="Whether users have deleted the dataset; its history stays.",
            ),
            ColumnDefinition("Version", Type.text, comment="The current version."),
        ],
        fkey_defs=[end("Version", TableName(ml_schema, "Dataset_Version"))],
        comment="Versioned collections of rows and files.",
    )


def _dataset_version(ml_schema: str) -> TableDefinition:
    return TableDefinition(
        "Dataset_Version",
        [
            ColumnDefinition("Version", Type.text, default="0.1.0", comment="The version's label."),
            ColumnDefinition("Description", Type.markdown, comment="What changed."),
            ColumnDefinition("Dataset", Type.text),
            ColumnDefinition("Execution", Type.text, comment="The execution that made this version."),
            ColumnDefinition("Minid", Type.text, comment="A permanent identifier of the version's bag."),
            ColumnDefinition("Minid_Spec_Hash", Type.text, comment="What the identified bag was made from."),
            ColumnDefinition("Snapshot", Type.text, comment="The state of the catalog that the version names."),
        ],
        [KeyDefinition(["Dataset", "Version"])],
        [
            reference("Dataset", TableName(ml_schema, "Dataset")),
            reference("Execution", TableName(ml_schema, "Execution")),
        ],
        comment="The versions of datasets.",
    )


def _directory_dataset(ml_schema: str) -> TableDefinition:
    return TableDefinition(
        "Directory_Dataset",
        [
            ColumnDefinition("Dataset", Type.text, False),
            ColumnDefinition("Path", Type.text, comment="The folder that the dataset mirrors."),
        ],
        [KeyDefinition(["Dataset"])],
        [end("Dataset", TableName(ml_schema, "Dataset"))],
        comment="The folders that datasets of files mirror.",
    )


def _assets(ml_schema: str) -> list[TableDefinition]:
    tables = [
        asset("Execution_Metadata", comment="Files about executions.", pattern=METADATA_PATTERN),
        asset("Execution_Asset", comment="Files of executions.", pattern=METADATA_PATTERN),
        asset("File", comment="Files outside the object store.", pattern=""),
    ]
    return [*tables, *(link for table in tables for link in asset_links(TableName(ml_schema, table.name), ml_schema))]


def _links(ml_schema: str) -> list[TableDefinition]:
    def to(column: str, table: str | None = None, target: str = "RID") -> ForeignKeyDefinition:
        return end(column, TableName(ml_schema, table or column), target)

    version = ColumnDefinition("Dataset_Version", Type.text, comment="The version that was read.")
    sequence = ColumnDefinition("Sequence", Type.int4, comment="The place among the parent's children.")
    return [
        association(
            "Workflow_Workflow_Type",
            [to("Workflow"), to("Workflow_Type", None, "Name")],
            comment="The kinds of each workflow.",
        ),
        association(
            "Dataset_Dataset_Type",
            [to("Dataset"), to("Dataset_Type", None, "Name")],
            comment="The kinds of each dataset.",
        ),
        association(
            "Dataset_Dataset",
            [to("Dataset"), to("Nested_Dataset", "Dataset")],
            comment="The datasets that are members of datasets.",
        ),
        association(
            "Dataset_Execution",
            [to("Dataset"), to("Execution")],
            columns=[version],
            references=[reference("Dataset_Version", TableName(ml_schema, "Dataset_Version"))],
            comment="The datasets that executions read.",
        ),
        association(
            "Execution_Execution",
            [to("Execution"), to("Nested_Execution", "Execution")],
            columns=[sequence],
            comment="The executions that executions called.",
        ),
        association("Dataset_File", [to("Dataset"), to("File")], comment="The files that are members of datasets."),
    ]
