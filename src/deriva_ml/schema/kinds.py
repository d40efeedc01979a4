"""The kinds of tables that deriva-ml makes: vocabularies, asset tables with their links, associations.

A law: values in, definitions out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from deriva_ml.definitions import ColumnDefinition, ForeignKeyDefinition, KeyDefinition, TableDefinition
from deriva_ml.enums import BuiltinTypes as Type
from deriva_ml.names import TableName, encode

ASSET_TAG = "tag:isrd.isi.edu,2017:asset"
TABLE_DISPLAY = "tag:isrd.isi.edu,2016:table-display"


def vocabulary(name: str, prefix: str, comment: str = "") -> TableDefinition:
    """Return a table of terms, whose ids begin with ``prefix``."""
    return TableDefinition(
        name,
        [
            ColumnDefinition("ID", Type.ermrest_curie, False, f"{prefix}:{{RID}}", "The term's short id."),
            ColumnDefinition("URI", Type.ermrest_uri, False, "/id/{RID}", "The term's address."),
            ColumnDefinition("Name", Type.text, False, None, "What the term is called."),
            ColumnDefinition("Description", Type.markdown, False, None, "What the term means."),
            ColumnDefinition("Synonyms", "text[]", True, None, "Other names of the term."),
        ],
        [KeyDefinition(["ID"]), KeyDefinition(["URI"]), KeyDefinition(["Name"])],
        comment=comment or f"Terms: {name}.",
        annotations={TABLE_DISPLAY: {"row_name": {"row_markdown_pattern": "{{{Name}}}"}}},
    )


def association(
    name: str,
    ends: Sequence[ForeignKeyDefinition],
    *,
    columns: Sequence[ColumnDefinition] = (),
    references: Sequence[ForeignKeyDefinition] = (),
    key: Sequence[str] | None = None,
    comment: str | None = None,
) -> TableDefinition:
    """Return a table that joins the rows of ``ends``: their columns are not null and together unique."""
    end_columns = [column for end in ends for column in end.colnames]
    unique = list(key) if key is not None else end_columns
    return TableDefinition(
        name,
        [*(ColumnDefinition(column, Type.text, False) for column in end_columns), *columns],
        [KeyDefinition(unique)],
        [*ends, *references],
        comment=comment,
    )


def end(column: str, target: TableName, target_column: str = "RID") -> ForeignKeyDefinition:
    """Return one end of an association: it goes when the row at that end goes."""
    return ForeignKeyDefinition(
        [column], target.schema, target.name, [target_column], on_update="CASCADE", on_delete="CASCADE"
    )


def reference(column: str, target: TableName, target_column: str = "RID") -> ForeignKeyDefinition:
    """Return a reference that keeps the row it points at from being deleted."""
    return ForeignKeyDefinition([column], target.schema, target.name, [target_column])


def asset(
    name: str,
    columns: Iterable[ColumnDefinition] = (),
    references: Iterable[ForeignKeyDefinition] = (),
    comment: str | None = None,
    *,
    pattern: str | None = None,
) -> TableDefinition:
    """Return a table of files; their bytes are named ``pattern``, by default ``/hatrac/<table>/<MD5>.<file name>``."""
    template = pattern if pattern is not None else f"/hatrac/{encode(name)}/{{{{MD5}}}}.{{{{Filename}}}}"
    asset_annotation = {
        "url_pattern": template,
        "filename_column": "Filename",
        "byte_count_column": "Length",
        "md5": "MD5",
    }
    return TableDefinition(
        name,
        [
            ColumnDefinition(
                "URL",
                Type.text,
                False,
                None,
                "Where the bytes are.",
                {ASSET_TAG: {key: value for key, value in asset_annotation.items() if value}},
            ),
            ColumnDefinition("Filename", Type.text, True, None, "What the file was called."),
            ColumnDefinition("Description", Type.markdown, True, None, "What the file holds."),
            ColumnDefinition("Length", Type.int8, False, None, "How many bytes."),
            ColumnDefinition("MD5", Type.text, False, None, "The MD5 checksum of the bytes, in hexadecimal."),
            *columns,
        ],
        [KeyDefinition(["URL"])],
        references,
        comment=comment,
        annotations={TABLE_DISPLAY: {"row_name": {"row_markdown_pattern": "{{{Filename}}}"}}},
    )


def asset_links(table: TableName, ml_schema: str) -> list[TableDefinition]:
    """Return the two tables that give assets their types, and their role in the executions that read or wrote them."""
    itself = end(table.name, table)
    asset_type = end("Asset_Type", TableName(ml_schema, "Asset_Type"), "Name")
    execution = end("Execution", TableName(ml_schema, "Execution"))
    role = end("Asset_Role", TableName(ml_schema, "Asset_Role"), "Name")
    return [
        association(
            f"{table.name}_Asset_Type", [itself, asset_type], comment=f"What kind of file each {table.name} is."
        ),
        association(
            f"{table.name}_Execution",
            [itself, execution, role],
            comment=f"Which executions read or wrote each {table.name}.",
        ),
    ]


def feature(
    name: str,
    target: TableName,
    ml_schema: str,
    *,
    columns: Sequence[ColumnDefinition],
    references: Sequence[ForeignKeyDefinition],
    comment: str | None = None,
) -> TableDefinition:
    """Return the table of a feature's values: which execution gave which value to which row of ``target``."""
    execution = end("Execution", TableName(ml_schema, "Execution"))
    itself = end(target.name, target)
    feature_name = end("Feature_Name", TableName(ml_schema, "Feature_Name"), "Name")
    ends = [execution, itself, feature_name]
    named = [
        ColumnDefinition("Execution", Type.text, False),
        ColumnDefinition(target.name, Type.text, False),
        ColumnDefinition("Feature_Name", Type.text, False, name),
    ]
    return TableDefinition(
        f"Execution_{target.name}_{name}",
        [*named, *columns],
        [KeyDefinition(["Execution", target.name, "Feature_Name"])],
        [*ends, *references],
        comment=comment,
    )
