"""``DatasetBag``: a dataset at a version, on disk: read-only, without a catalog."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

from deriva_ml.bag.read import Bag
from deriva_ml.catalog.model import CatalogModel
from deriva_ml.dataset.history import entry_of
from deriva_ml.dataset.members import dataset_column, member_column
from deriva_ml.dataset.resolve import ResolvedSpec
from deriva_ml.dataset.spec import DatasetSpec
from deriva_ml.dataset.versions import DatasetHistory, DatasetVersion, current
from deriva_ml.errors import DerivaMLDatasetNotFound, DerivaMLFeatureNotFound, DerivaMLReadOnlyError
from deriva_ml.lazy import cached_property
from deriva_ml.names import ML_SCHEMA, TableName
from deriva_ml.rid import check_rid


class DatasetBag:
    """The bag in the folder ``path``, seen from one of its datasets.

    It has the fields of a :class:`DatasetSpec` (``rid``, ``version``, ``materialize`` …), so it can stand where a spec
    is asked for.

    Example::

        bag = ml.download_dataset_bag(DatasetSpec(rid="1-ABC", version="1.0.0"))
        for row in bag.list_dataset_members()["Image"]:
            print(bag.path / "data" / "assets" / "Image" / row["RID"] / row["Filename"])
    """

    def __init__(
        self,
        path: Path,
        *,
        spec: DatasetSpec | None = None,
        resolved: ResolvedSpec | None = None,
        rid: str | None = None,
    ) -> None:
        self.path = Path(path)
        self._bag = Bag(self.path)
        self.dataset_rid = check_rid(rid or (spec.rid if spec else self._bag.info.get("Dataset-RID", "")))
        self.resolved = resolved
        self._spec = spec or DatasetSpec(rid=self.dataset_rid)

    def __repr__(self) -> str:
        return f"DatasetBag({self.dataset_rid!r}, version={str(self.version)!r}, path={str(self.path)!r})"

    def __fspath__(self) -> str:
        return str(self.path)

    # ------------------------------------------------------------------------------------- the fields of a dataset spec

    @property
    def rid(self) -> str:
        """The dataset's RID."""
        return self.dataset_rid

    @property
    def version(self) -> DatasetVersion:
        """The version that the bag holds."""
        if self.resolved is not None and self.resolved.rid == self.dataset_rid:
            return self.resolved.version
        return self.current_version

    @property
    def materialize(self) -> bool:
        """Whether the bag holds the files, not only where to get them."""
        return not (self.path / "fetch.txt").is_file()

    @property
    def exclude_tables(self) -> list[str] | None:
        """The tables that were left out."""
        return self._spec.exclude_tables

    @property
    def timeout(self) -> tuple[float, float] | None:
        """As in the spec that the bag was asked with."""
        return self._spec.timeout

    @property
    def fetch_concurrency(self) -> int:
        """As in the spec that the bag was asked with."""
        return self._spec.fetch_concurrency

    @property
    def reachability_concurrency(self) -> int:
        """As in the spec that the bag was asked with."""
        return self._spec.reachability_concurrency

    # ---------------------------------------------------------------------------------------------------------- facts

    @property
    def description(self) -> str:
        """What the dataset is, in the words of who made it."""
        return str(self._row["Description"] or "")

    @property
    def dataset_types(self) -> list[str]:
        """The terms of Dataset_Type that applied, sorted."""
        rows = self._values(TableName(self._ml_schema, "Dataset_Dataset_Type"))
        return sorted(row["Dataset_Type"] for row in rows if row["Dataset"] == self.dataset_rid)

    @property
    def current_version(self) -> DatasetVersion:
        """The newest version that the bag knows of the dataset."""
        pointer = self._row["Version"]
        entries = self.dataset_history()
        return (
            next((entry.dataset_version for entry in entries if entry.version_rid == pointer), None)
            or current(entries).dataset_version
        )

    def dataset_history(self) -> list[DatasetHistory]:
        """Return the dataset's versions up to this one, oldest first."""
        rows = self._values(TableName(self._ml_schema, "Dataset_Version"))
        entries = [entry_of(row) for row in rows if row["Dataset"] == self.dataset_rid]
        return sorted(entries, key=lambda entry: entry.dataset_version)

    def list_executions(self) -> list[str]:
        """Return the RIDs of the executions that had used the dataset as input by then."""
        rows = self._values(TableName(self._ml_schema, "Dataset_Execution"))
        return [row["Execution"] for row in rows if row["Dataset"] == self.dataset_rid]

    # --------------------------------------------------------------------------------------------------------- tables

    def list_tables(self) -> list[str]:
        """Return the names of the tables in the bag, sorted; with their schema where two have one name."""
        names = [table for _, table in self._bag.tables()]
        return sorted(table if names.count(table) == 1 else f"{schema}:{table}" for schema, table in self._bag.tables())

    def get_table_as_dict(self, table: str) -> Iterator[dict[str, Any]]:
        """Yield the rows of a table: of this dataset, those nested in it, and whatever came with them.

        Raises:
            DerivaMLTableNotFound: the bag has no such table.
        """
        yield from self._values(self.model.find_table(table).name)

    @cached_property
    def model(self) -> CatalogModel:
        """The model of the tables in the bag."""
        return CatalogModel(self._bag.schema, self._ml_schema)

    def feature_values(self, table: str, feature_name: str) -> Iterator[dict[str, Any]]:
        """Yield the values of a feature of ``table`` in the bag, as rows.

        Raises:
            DerivaMLFeatureNotFound: the bag has no such feature.
        """
        target = self.model.find_table(table).name
        for found in self.model.tables():
            if found.name.name == f"Execution_{target.name}_{feature_name}":
                yield from self._values(found.name)
                return
        raise DerivaMLFeatureNotFound(target.name, feature_name)

    # -------------------------------------------------------------------------------------------------------- members

    def list_dataset_members(self, recurse: bool = False, limit: int | None = None) -> dict[str, list[dict[str, Any]]]:
        """Return element table → rows; with ``recurse`` those of nested datasets as well."""
        datasets = {self.dataset_rid, *(self.list_dataset_children_rids(recurse=True) if recurse else ())}
        found: dict[str, list[dict[str, Any]]] = {}
        for element, link in self.model.element_types().items():
            near, far = dataset_column(link), member_column(link, element)
            rids = {row[far] for row in self._values(link.name) if row[near] in datasets}
            rows = [row for row in self._values(element) if row["RID"] in rids] if rids else []
            found[element.name] = rows[:limit]
        return found

    def list_members(self, table: str) -> list[str]:
        """Return the RIDs of the members that are rows of ``table``."""
        return [row["RID"] for row in self.list_dataset_members().get(self.model.find_table(table).name.name, [])]

    def list_dataset_children_rids(self, recurse: bool = False) -> list[str]:
        """Return the RIDs of the datasets nested in this one; with ``recurse`` of all below it."""
        tree: dict[str, list[str]] = {}
        for row in self._values(TableName(self._ml_schema, "Dataset_Dataset")):
            tree.setdefault(row["Dataset"], []).append(row["Nested_Dataset"])
        found = dict.fromkeys(tree.get(self.dataset_rid, ()))
        waiting = list(found) if recurse else []
        while waiting:
            new = [rid for rid in tree.get(waiting.pop(), ()) if rid not in found and rid != self.dataset_rid]
            found |= dict.fromkeys(new)
            waiting += new
        return list(found)

    def list_dataset_children(self, recurse: bool = False) -> list[DatasetBag]:
        """Return the datasets nested in this one, read from the same bag; with ``recurse`` all below it."""
        return [self._nested(rid) for rid in self.list_dataset_children_rids(recurse)]

    def list_dataset_parents(self) -> list[DatasetBag]:
        """Return the datasets of the bag that this one is nested in."""
        rows = self._values(TableName(self._ml_schema, "Dataset_Dataset"))
        return [self._nested(row["Dataset"]) for row in rows if row["Nested_Dataset"] == self.dataset_rid]

    # ------------------------------------------------------------------------------------------------------ no writing

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        """Refuse: a bag is what a version was.

        Raises:
            DerivaMLReadOnlyError: always.
        """
        raise DerivaMLReadOnlyError(
            f"This is the bag of dataset {self.dataset_rid} at version {self.version}, which cannot be changed: "
            f"change the dataset, `ml.lookup_dataset({self.dataset_rid!r})`."
        )

    add_dataset_members = delete_dataset_members = add_dataset_type = add_dataset_types = _refuse
    release = mark_dev = increment_dataset_version = _refuse

    # -------------------------------------------------------------------------------------------------------- private

    def _nested(self, rid: str) -> DatasetBag:
        return DatasetBag(self.path, spec=self._spec.model_copy(update={"rid": rid, "version": None}), rid=rid)

    @cached_property
    def _row(self) -> dict[str, Any]:
        for row in self._values(TableName(self._ml_schema, "Dataset")):
            if row["RID"] == self.dataset_rid:
                return row
        raise DerivaMLDatasetNotFound(self.dataset_rid, f"The bag {self.path} has no dataset {self.dataset_rid}.")

    @cached_property
    def _ml_schema(self) -> str:
        schemas = [schema for schema, table in self._bag.tables() if table == "Dataset_Version"]
        return schemas[0] if schemas else ML_SCHEMA

    def _values(self, table: TableName) -> Iterator[dict[str, Any]]:
        """Yield the rows of a table, none where it was left out of the bag."""
        if (table.schema, table.name) in self._bag.tables():
            yield from self._bag.values(table.schema, table.name)
