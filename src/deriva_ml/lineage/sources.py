"""Who produced what runs read: the executions behind dataset versions, their member files, and single files.

Everything is asked for in bulk: the number of requests depends on the model and on how many snapshots are concerned,
not on how many datasets, files or executions there are.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from deriva_ml.catalog.model import TableModel
from deriva_ml.catalog.rows import Row, conditions, fetch, select
from deriva_ml.catalog.session import Catalog
from deriva_ml.clock import from_iso
from deriva_ml.dataset.history import entry_of, versions_table
from deriva_ml.dataset.members import dataset_column, dataset_table, descendants, member_column
from deriva_ml.dataset.versions import DatasetHistory, current, producing
from deriva_ml.errors import DerivaMLCatalogError, DerivaMLConflictError, DerivaMLNoAssociationException
from deriva_ml.lazy import cached_property
from deriva_ml.names import TableName, encode
from deriva_ml.schema.tables import UNKNOWN_EXECUTION

Pairs: TypeAlias = dict[str, list[str]]
SNAPSHOT_GONE = frozenset({404, 409, 410})
"""What a catalog answers when it no longer has a snapshot."""


def in_order(rids: Iterable[str]) -> list[str]:
    """Return RIDs, each once, in an order that does not change from call to call."""
    return sorted(dict.fromkeys(rids), key=lambda rid: (len(rid), rid))


@dataclass(frozen=True, slots=True)
class Version:
    """A version of a dataset, with the moments at which its row was made and last written."""

    entry: DatasetHistory
    made: datetime
    written: datetime


class Sources:
    """Producers, as ``session`` records them; what was asked once is not asked again."""

    def __init__(self, session: Catalog) -> None:
        self.session = session
        self.unresolved: list[str] = []
        """One sentence for each thing that could not be found out."""
        self._versions: dict[str, list[Version]] = {}
        self._runs: dict[TableName, TableModel | None] = {}
        self._datasets: dict[tuple[str, str | None], list[str]] = {}

    @cached_property
    def unknown(self) -> frozenset[str]:
        """The executions that stand for an unknown producer: they are never one."""
        marker = {"Description": UNKNOWN_EXECUTION["Description"]}
        runs = select(self.session, TableName(self.session.ml_schema, "Execution"), marker, columns=["RID"])
        return frozenset(row["RID"] for row in runs)

    # -------------------------------------------------------------------------------------------------------- versions

    def versions(self, datasets: Collection[str]) -> dict[str, list[Version]]:
        """Return the versions of each dataset as they are recorded now."""
        asked = [rid for rid in datasets if rid not in self._versions]
        if asked:
            self._versions |= {rid: [] for rid in asked}
            for row in select(self.session, versions_table(self.session), {"Dataset": asked}):
                version = Version(entry_of(row), from_iso(row["RCT"]), from_iso(row["RMT"]))
                self._versions[row["Dataset"]].append(version)
        return {rid: self._versions[rid] for rid in datasets}

    def version(self, dataset: str, version_rid: str | None) -> Version | None:
        """Return the version that a run consumed; where that is not recorded, the greatest release."""
        versions = self._versions[dataset]
        named = next((one for one in versions if one.entry.version_rid == version_rid), None)
        if named is not None:
            return named
        entry = producing([one.entry for one in versions])
        return next((one for one in versions if one.entry is entry), None)

    # -------------------------------------------------------------------------------------------------------- datasets

    def of_dataset(self, dataset: str) -> list[str]:
        """Return the producers of a dataset as it is now: of its newest version, of the greatest release if that has none."""
        entries = [one.entry for one in self.versions([dataset])[dataset]]
        newest = max(entries, key=lambda entry: entry.dataset_version, default=None)
        one = (dataset, newest.version_rid if newest else None)
        makers = [
            newest.execution_rid if newest else None,
            released.execution_rid if (released := producing(entries)) else None,
        ]
        known = next((maker for maker in makers if maker and maker not in self.unknown), None)
        return list(dict.fromkeys([*([known] if known else []), *self.of_datasets([one])[one]]))

    def of_datasets(self, consumed: Collection[tuple[str, str | None]]) -> dict[tuple[str, str | None], list[str]]:
        """Return the producers of dataset versions: who made the version, then who made its member files at its snapshot."""
        asked = [one for one in dict.fromkeys(consumed) if one not in self._datasets]
        if asked:
            self.versions([dataset for dataset, _ in asked])
            found = {one: self.version(*one) for one in asked}
            behind = self._behind_members(found)
            for one, version in found.items():
                maker = [version.entry.execution_rid] if version and version.entry.execution_rid else []
                runs = dict.fromkeys([*maker, *behind.get(one, ())])
                self._datasets[one] = [run for run in runs if run not in self.unknown]
        return {one: self._datasets[one] for one in consumed}

    def _behind_members(
        self, found: Mapping[tuple[str, str | None], Version | None]
    ) -> dict[tuple[str, str | None], list[str]]:
        """Read the members as they are now where they have not changed since the version, else at its snapshot."""
        tree = descendants(self.session, {dataset for dataset, _ in found})
        self.versions(list(tree))
        moments: dict[str | None, list[tuple[str, str | None]]] = {}
        for one, version in found.items():
            fresh = version is None or version.entry.snapshot is None or self._unchanged(one[0], version, tree)
            moments.setdefault(None if fresh or version is None else version.entry.snapshot, []).append(one)
        behind: dict[tuple[str, str | None], list[str]] = {}
        for snapshot, group in moments.items():
            producers = self._producers_at(snapshot, in_order(dataset for dataset, _ in group))
            behind |= {one: producers[one[0]] for one in group}
        return behind

    def _unchanged(self, dataset: str, version: Version, tree: Pairs) -> bool:
        """Return whether the members are surely those of the version: a change makes a newer version, here or below."""
        if current([one.entry for one in self._versions[dataset]]) != version.entry:
            return False
        below = _below(dataset, tree) - {dataset}
        return all(one.written <= version.made for child in below for one in self._versions.get(child, ()))

    def _producers_at(self, snapshot: str | None, datasets: list[str]) -> Pairs:
        session = self.session if snapshot is None else self.session.at(snapshot)
        try:
            tree = descendants(session, datasets)
            everything = in_order(rid for rid in tree)
            behind = self._makers_below(session, [rid for rid in everything if rid not in datasets])
            for element, link in self.session.model().element_types().items():
                if element != dataset_table(session) and self.session.model().find_table(element).is_asset:
                    _merge(behind, self._makers_of_members(session, element, link, everything))
        except DerivaMLCatalogError as error:
            if snapshot is None or error.status not in SNAPSHOT_GONE:
                raise
            self.unresolved.append(f"The members of {', '.join(datasets)} at snapshot {snapshot}: {error}")
            return {dataset: [] for dataset in datasets}
        return {
            dataset: in_order(run for rid in _below(dataset, tree) for run in behind.get(rid, ()))
            for dataset in datasets
        }

    def _makers_below(self, session: Catalog, nested: list[str]) -> Pairs:
        """Return the producer of each nested dataset's version at the moment of ``session``."""
        found: Pairs = {rid: [] for rid in nested}
        histories: dict[str, list[DatasetHistory]] = {}
        for row in select(session, versions_table(session), {"Dataset": nested}) if nested else ():
            histories.setdefault(row["Dataset"], []).append(entry_of(row))
        for rid, entries in histories.items():
            entry = producing(entries)
            if entry is not None and entry.execution_rid:
                found[rid].append(entry.execution_rid)
        return found

    def _makers_of_members(self, session: Catalog, element: TableName, link: TableModel, datasets: list[str]) -> Pairs:
        """Return dataset → the executions that wrote its member files of one table: grouped by the catalog."""
        runs = self.runs_of(element)
        if runs is None:
            return {}
        near, far = encode(dataset_column(link)), encode(member_column(link, element))
        end = encode(runs.references_to(element)[0].column)
        found: Pairs = {}
        for part in conditions({dataset_column(link): datasets}):
            address = (
                f"/attributegroup/M:={link.name.path}{part}/R:=({far})=({runs.name.path}:{end})"
                f"/Asset_Role=Output/dataset:=M:{near},execution:=R:Execution"
            )
            for row in self._there(session, runs.name, link.name, address):
                found.setdefault(row["dataset"], []).append(row["execution"])
        return found

    def _there(self, session: Catalog, one: TableName, other: TableName, address: str) -> list[Row]:
        """Return the rows at ``address``; none at a snapshot from before the tables were made."""
        try:
            return fetch(session, address)
        except DerivaMLConflictError:
            if session.snapshot is None or (session.model().table(one) and session.model().table(other)):
                raise
            return []

    # ---------------------------------------------------------------------------------------------------------- files

    def runs_of(self, table: TableName) -> TableModel | None:
        """Return the table that links an asset table to executions, None where the catalog has no such links."""
        if table not in self._runs:
            try:
                self._runs[table] = self.session.model().asset_execution(table)
            except DerivaMLNoAssociationException:
                self._runs[table] = None
        return self._runs[table]

    def of_assets(self, table: TableName, rids: Collection[str]) -> Pairs:
        """Return the executions that wrote each file of an asset table; several where equal bytes were written again."""
        runs = self.runs_of(table)
        if runs is None:
            return {rid: [] for rid in rids}
        column = runs.references_to(table)[0].column
        found: Pairs = {rid: [] for rid in rids}
        rows = select(
            self.session, runs.name, {column: rids, "Asset_Role": "Output"}, columns=["RID", "RCT", column, "Execution"]
        )
        for row in sorted(rows, key=lambda row: (row["RCT"], len(row["RID"]), row["RID"])):
            if row["Execution"] not in self.unknown and row["Execution"] not in found[row[column]]:
                found[row[column]].append(row["Execution"])
        return found


def _below(dataset: str, tree: Pairs) -> set[str]:
    """Return ``dataset`` and everything nested below it."""
    found, waiting = {dataset}, [dataset]
    while waiting:
        new = [child for child in tree.get(waiting.pop(), ()) if child not in found]
        found.update(new)
        waiting += new
    return found


def _merge(into: Pairs, more: Pairs) -> None:
    for rid, runs in more.items():
        into.setdefault(rid, []).extend(runs)
