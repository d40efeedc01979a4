"""The catalog's side of the walk: for a whole generation of executions, what each is, what it read, who made that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from deriva_ml.catalog.model import TableModel
from deriva_ml.catalog.rows import Row, select
from deriva_ml.catalog.session import Catalog
from deriva_ml.lineage.models import AssetSummary, DatasetSummary, ExecutionSummary, WorkflowSummary
from deriva_ml.lineage.sources import Sources, in_order
from deriva_ml.names import TableName


class Edges:
    """Called with one generation it returns the parents of each execution; what it learned on the way is kept.

    A generation costs six requests, one or two for each asset table, and a few for each snapshot at which members
    have to be read.
    """

    def __init__(self, session: Catalog) -> None:
        self.session = session
        self.sources = Sources(session)
        self.executions: dict[str, ExecutionSummary] = {}
        self.datasets: dict[str, list[DatasetSummary]] = {}
        self.assets: dict[str, list[AssetSummary]] = {}
        self._workflows: dict[str, WorkflowSummary] = {}
        self._descriptions: dict[str, str | None] = {}

    def __call__(self, generation: Sequence[str]) -> Mapping[str, Sequence[str]]:
        """Return the executions that produced what each execution of ``generation`` consumed."""
        self.summarise(generation)
        for run in generation:  # one that is asked about twice has not read everything twice
            self.datasets[run], self.assets[run] = [], []
        parents: dict[str, list[str]] = {run: [] for run in generation}
        self._read_datasets(generation, parents)
        self._read_assets(generation, parents)
        return parents

    # ----------------------------------------------------------------------------------------------------- executions

    def summarise(self, executions: Sequence[str]) -> None:
        """Read what the executions are; one that the catalog has lost is kept by its RID."""
        new = [run for run in executions if run not in self.executions]
        rows = select(self.session, self._table("Execution"), {"RID": new}) if new else []
        self._read_workflows([row["Workflow"] for row in rows if row["Workflow"]])
        self.executions |= {run: ExecutionSummary(rid=run) for run in new}
        for row in rows:
            self.executions[row["RID"]] = ExecutionSummary(
                rid=row["RID"],
                description=row["Description"],
                workflow=self._workflows.get(row["Workflow"]),
                status=row["Status"],
            )

    def _read_workflows(self, rids: Sequence[str]) -> None:
        new = [rid for rid in dict.fromkeys(rids) if rid not in self._workflows]
        for row in select(self.session, self._table("Workflow"), {"RID": new}, columns=["RID", "Name"]) if new else ():
            self._workflows[row["RID"]] = WorkflowSummary(rid=row["RID"], name=row["Name"])

    # ------------------------------------------------------------------------------------------------------- datasets

    def _read_datasets(self, generation: Sequence[str], parents: dict[str, list[str]]) -> None:
        links = _sorted(select(self.session, self._table("Dataset_Execution"), {"Execution": generation}), "Dataset")
        consumed = {(row["Dataset"], row.get("Dataset_Version")) for row in links}
        if not consumed:
            return
        producers = self.sources.of_datasets(sorted(consumed, key=str))
        self._read_descriptions([row["Dataset"] for row in links])
        for row in links:
            one = (row["Dataset"], row.get("Dataset_Version"))
            parents[row["Execution"]] += producers[one]
            self.datasets[row["Execution"]].append(self._dataset(*one))

    def _read_descriptions(self, datasets: Sequence[str]) -> None:
        new = [rid for rid in dict.fromkeys(datasets) if rid not in self._descriptions]
        columns = ["RID", "Description"]
        for row in select(self.session, self._table("Dataset"), {"RID": new}, columns=columns) if new else ():
            self._descriptions[row["RID"]] = row["Description"]

    def _dataset(self, rid: str, version_rid: str | None) -> DatasetSummary:
        """Return what was consumed; the version is left open where the catalog does not say it."""
        version = self.sources.version(rid, version_rid) if version_rid else None
        label = str(version.entry.dataset_version) if version and version.entry.version_rid == version_rid else None
        return DatasetSummary(rid=rid, description=self._descriptions.get(rid), version=label)

    # --------------------------------------------------------------------------------------------------------- assets

    def _read_assets(self, generation: Sequence[str], parents: dict[str, list[str]]) -> None:
        for table in sorted(self.session.model().asset_tables(), key=lambda table: table.name):
            runs = self.sources.runs_of(table.name)
            if runs is None:  # no execution can have read it
                continue
            column = runs.references_to(table.name)[0].column
            links = select(self.session, runs.name, {"Execution": generation, "Asset_Role": "Input"})
            if links:
                self._read_inputs(table, _sorted(links, column), column, parents)

    def _read_inputs(self, table: TableModel, links: list[Row], column: str, parents: dict[str, list[str]]) -> None:
        rids = list(dict.fromkeys(row[column] for row in links))
        names = {
            row["RID"]: row["Filename"]
            for row in select(self.session, table.name, {"RID": rids}, columns=["RID", "Filename"])
        }
        producers = self.sources.of_assets(table.name, rids)
        for row in links:
            asset = AssetSummary(rid=row[column], filename=names.get(row[column]), asset_table=table.name.name)
            self.assets[row["Execution"]].append(asset)
            parents[row["Execution"]] += producers[row[column]]

    def _table(self, name: str) -> TableName:
        return TableName(self.session.ml_schema, name)


def _sorted(rows: list[Row], column: str) -> list[Row]:
    places = {rid: place for place, rid in enumerate(in_order(row[column] for row in rows))}
    return sorted(rows, key=lambda row: places[row[column]])
