"""What a RID is: its kind, its facts, and the rows that one would look at next. A few requests, whatever it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from pydantic import BaseModel, ConfigDict

from deriva_ml.catalog.model import TableModel
from deriva_ml.catalog.rows import Row, count, fetch, select
from deriva_ml.catalog.session import Catalog
from deriva_ml.dataset.dataset import read_types
from deriva_ml.dataset.history import read_history
from deriva_ml.dataset.members import dataset_column, nesting_table
from deriva_ml.lineage.sources import Sources
from deriva_ml.lineage.tree import plain
from deriva_ml.names import SYSTEM_COLUMNS, TableName, encode
from deriva_ml.rid import split_snapshot
from deriva_ml.rids import find_row_table

NEWEST = 20
SHOWN = 10


class Related(BaseModel):
    """Another row, and what it has to do with the one asked about."""

    model_config = ConfigDict(extra="forbid")

    relation: str
    rid: str
    kind: str
    text: str = ""


class Description(BaseModel):
    """A row: what it is, its facts, the rows around it, and the commands that tell more."""

    model_config = ConfigDict(extra="forbid")

    rid: str
    kind: str
    table: str
    facts: dict[str, Any]
    related: list[Related] = []
    commands: list[str] = []

    def __str__(self) -> str:
        """Return the description as lines of text."""
        return "\n".join(_lines(self))


def describe(session: Catalog, rid: str) -> Description:
    """Return what the row ``rid`` is.

    Raises:
        DerivaMLRidsNotFound: no row has this RID.
        DerivaMLValidationError: it does not look like a RID.
    """
    own, snapshot = split_snapshot(rid)
    session = session.at(snapshot) if snapshot else session
    table = find_row_table(session, own)
    (row,) = select(session, table.name, {"RID": own})
    special = _SPECIAL.get(table.name.name) if table.name.schema == session.ml_schema else None
    return (special or _by_shape(session, table))(session, table, row)


def _by_shape(session: Catalog, table: TableModel) -> Callable[[Catalog, TableModel, Row], Description]:
    if table.is_asset:
        return _asset
    if table.is_vocabulary:
        return _term
    return _feature_value if session.model().feature_of(table) is not None else _plain_row


# ---------------------------------------------------------------------------------------------------- one kind, one way


def _execution(session: Catalog, table: TableModel, row: Row) -> Description:
    datasets = TableName(session.ml_schema, "Dataset_Execution")
    versions = TableName(session.ml_schema, "Dataset_Version")
    read = select(session, datasets, {"Execution": row["RID"]}, sort=["RID"])
    made = select(session, versions, {"Execution": row["RID"]}, sort=["RID"])
    inputs, outputs = _files(session, row["RID"])
    labels = _labels(session, [link.get("Dataset_Version") for link in read])
    related = [
        *_one(session, "workflow", "Workflow", row["Workflow"], "Name"),
        *(
            Related(
                relation="reads", rid=link["Dataset"], kind="Dataset", text=labels.get(link.get("Dataset_Version"), "")
            )
            for link in read
        ),
        *inputs,
        *(Related(relation="makes", rid=one["Dataset"], kind="Dataset", text=one["Version"]) for one in made),
        *outputs,
    ]
    return _description("Execution", table, row, related, ["lineage"])


def _labels(session: Catalog, rids: list[str | None]) -> dict[str | None, str]:
    known = [rid for rid in rids if rid]
    rows = select(session, TableName(session.ml_schema, "Dataset_Version"), {"RID": known}) if known else []
    return {row["RID"]: str(row["Version"]) for row in rows}


def _files(session: Catalog, execution: str) -> tuple[list[Related], list[Related]]:
    """Return the files that an execution read, and those that it wrote: one request for each asset table."""
    sources = Sources(session)
    found: dict[str, list[Related]] = {"Input": [], "Output": []}
    for table in sorted(session.model().asset_tables(), key=lambda one: one.name):
        runs = sources.runs_of(table.name)
        if runs is None:
            continue
        column = encode(runs.references_to(table.name)[0].column)
        links = f"L:={runs.name.path}/Execution={encode(execution)}/A:=({column})=({table.name.path}:RID)/$L"
        rows = fetch(session, f"/attribute/{links}/role:=L:Asset_Role,rid:=A:RID,name:=A:Filename@sort(rid)")
        for row in rows:
            relation = "reads" if row["role"] == "Input" else "writes"
            related = Related(relation=relation, rid=row["rid"], kind=table.name.name, text=row["name"] or "")
            found.setdefault(row["role"], []).append(related)
    return found["Input"], found["Output"]


def _dataset(session: Catalog, table: TableModel, row: Row) -> Description:
    history = read_history(session, row["RID"])
    facts = {
        "types": read_types(session, [row["RID"]])[row["RID"]],
        "version": str(history[-1].dataset_version) if history else None,
        "versions": [str(entry.dataset_version) for entry in history],
        "members": {
            element.name: number
            for element, link in session.model().element_types().items()
            if (number := count(session, link.name, {dataset_column(link): row["RID"]}))
        },
    }
    makers = dict.fromkeys(entry.execution_rid for entry in history if entry.execution_rid)
    users = select(session, TableName(session.ml_schema, "Dataset_Execution"), {"Dataset": row["RID"]}, sort=["RID"])
    holders = select(session, nesting_table(session), {"Nested_Dataset": row["RID"]})
    related = [
        *(Related(relation="made by", rid=rid, kind="Execution") for rid in makers),
        *(Related(relation="read by", rid=link["Execution"], kind="Execution") for link in users),
        *(Related(relation="nested in", rid=link["Dataset"], kind="Dataset") for link in holders),
    ]
    return _description(
        "Dataset",
        table,
        row,
        related,
        ["lineage", "get"],
        facts,
        hide={"Version"} if row["Deleted"] else {"Version", "Deleted"},
    )


def _asset(session: Catalog, table: TableModel, row: Row) -> Description:
    runs = Sources(session).runs_of(table.name)
    links: list[Row] = []
    if runs is not None:
        column = runs.references_to(table.name)[0].column
        links = select(session, runs.name, {column: row["RID"]}, sort=["RCT", "RID"])
    relations = {"Output": "written by", "Input": "read by"}
    related = [
        Related(relation=relations.get(str(link["Asset_Role"]), "linked to"), rid=link["Execution"], kind="Execution")
        for link in links
    ]
    types = select(session, session.model().asset_type_link(table.name).name, {table.name.name: row["RID"]})
    facts = {"types": sorted(link["Asset_Type"] for link in types)}
    return _description("Asset", table, row, related, ["lineage", "get"], facts)


def _feature_value(session: Catalog, table: TableModel, row: Row) -> Description:
    feature = session.model().feature_of(table)
    if feature is None:
        return _plain_row(session, table, row)
    related = [
        Related(relation="value of", rid=row[feature.target_column], kind=feature.target.name),
        Related(relation="given by", rid=row["Execution"], kind="Execution"),
    ]
    return _description("Feature value", table, row, related, ["lineage"], {"feature": feature.name})


def _workflow(session: Catalog, table: TableModel, row: Row) -> Description:
    kinds = select(session, TableName(session.ml_schema, "Workflow_Workflow_Type"), {"Workflow": row["RID"]})
    runs = select(
        session,
        TableName(session.ml_schema, "Execution"),
        {"Workflow": row["RID"]},
        columns=["RID", "RCT", "Description"],
        sort=["RCT::desc::", "RID::desc::"],
        limit=NEWEST,
    )
    related = [
        Related(relation="run by", rid=run["RID"], kind="Execution", text=run["Description"] or "") for run in runs
    ]
    return _description("Workflow", table, row, related, [], {"types": sorted(kind["Workflow_Type"] for kind in kinds)})


def _term(session: Catalog, table: TableModel, row: Row) -> Description:
    return _description("Term", table, row, [], [])


def _plain_row(session: Catalog, table: TableModel, row: Row) -> Description:
    related = [
        Related(relation=key.column, rid=row[key.column], kind=key.target.name)
        for key in table.domain_references
        if key.target_columns == ("RID",) and row[key.column]
    ]
    return _description("Row", table, row, related, [], hide={one.relation for one in related})


_SPECIAL: dict[str, Callable[[Catalog, TableModel, Row], Description]] = {
    "Execution": _execution,
    "Dataset": _dataset,
    "Workflow": _workflow,
}


# --------------------------------------------------------------------------------------------------------------- shared


def _one(session: Catalog, relation: str, table: str, rid: str | None, column: str) -> Iterator[Related]:
    if rid:
        for row in select(session, TableName(session.ml_schema, table), {"RID": rid}):
            yield Related(relation=relation, rid=rid, kind=table, text=row[column] or "")


def _description(
    kind: str,
    table: TableModel,
    row: Row,
    related: list[Related],
    verbs: list[str],
    more: dict[str, Any] | None = None,
    hide: set[str] | None = None,
) -> Description:
    shown = {"RID", "RMT", "RCB", "RMB", *(hide or ())} | {one.kind for one in related if one.relation == "workflow"}
    own = {name: row[name] for name in table.columns if name not in shown and row.get(name) is not None}
    created = {"created": own.pop("RCT", None)}
    facts = {**{name: value for name, value in own.items() if name not in SYSTEM_COLUMNS}, **(more or {}), **created}
    commands = [f"deriva-ml {verb} {row['RID']}" for verb in verbs]
    return Description(
        rid=row["RID"], kind=kind, table=str(table.name), facts=facts, related=related, commands=commands
    )


def _lines(found: Description) -> Iterator[str]:
    yield f"{found.kind} {found.rid}  ({found.table})"
    width = max((len(name) for name in found.facts), default=0)
    for name, value in found.facts.items():
        if value not in (None, "", [], {}):
            yield f"  {name:<{width}}  {_text(value)}"
    for relation in dict.fromkeys(one.relation for one in found.related):
        yield f"  {relation}:"
        same = [one for one in found.related if one.relation == relation]
        for kind in dict.fromkeys(one.kind for one in same):
            group = [one for one in same if one.kind == kind]
            yield from (f"    {kind} {one.rid}  {plain(one.text)}".rstrip() for one in group[:SHOWN])
            if len(group) > SHOWN:
                yield f"    … and {len(group) - SHOWN} more {kind} (--json lists all)"
    yield from (f"  more: {command}" for command in found.commands)


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{count} {plain(str(name))}" for name, count in value.items())
    return plain(", ".join(map(str, value)) if isinstance(value, list) else str(value))
