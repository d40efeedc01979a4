"""``Dataset``: a versioned collection of rows and files, live in the catalog."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deriva_ml.catalog.rows import Row, count, delete, insert, select, update
from deriva_ml.catalog.session import Catalog
from deriva_ml.dataset import history, members
from deriva_ml.dataset.bag import DatasetBag
from deriva_ml.dataset.download import download_into
from deriva_ml.dataset.resolve import find_rows
from deriva_ml.dataset.spec import DatasetSpec
from deriva_ml.dataset.versions import DatasetHistory, DatasetVersion, VersionPart, choose, current
from deriva_ml.errors import DerivaMLInvalidTerm, DerivaMLReadOnlyError, DerivaMLValidationError
from deriva_ml.names import TableName

FIRST_VERSION = DatasetVersion(0, 1, 0)


@dataclass(frozen=True, slots=True)
class Facts:
    """What a listing has read of a dataset already."""

    description: str
    types: tuple[str, ...]
    history: tuple[DatasetHistory, ...]
    deleted: bool = False


class Dataset:
    """A dataset of the catalog. Its properties ask the catalog; one that a listing returned answers from the listing until it is changed.

    Changes made through a dataset that an execution created are recorded as that execution's.
    """

    def __init__(
        self,
        session: Catalog,
        dataset_rid: str,
        *,
        execution_rid: str | None = None,
        cache: Path | None = None,
        facts: Facts | None = None,
    ) -> None:
        self.session = session
        self.dataset_rid = dataset_rid
        self.execution_rid = execution_rid
        self._cache = cache
        self._facts = facts

    @property
    def rid(self) -> str:
        """The dataset's RID."""
        return self.dataset_rid

    def __repr__(self) -> str:
        return f"Dataset({self.dataset_rid!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Dataset) and other.dataset_rid == self.dataset_rid

    def __hash__(self) -> int:
        return hash(self.dataset_rid)

    # ---------------------------------------------------------------------------------------------------------- facts

    @property
    def description(self) -> str:
        """What the dataset is, in the words of who made it."""
        if self._facts is not None:
            return self._facts.description
        return str(find_rows(self.session, [self.dataset_rid], deleted=True)[self.dataset_rid]["Description"] or "")

    @description.setter
    def description(self, text: str) -> None:
        row = {"RID": self.dataset_rid, "Description": text}
        self._writes()
        update(self.session, members.dataset_table(self.session), [row], targets=["Description"])

    @property
    def dataset_types(self) -> list[str]:
        """The terms of the vocabulary Dataset_Type that apply, sorted."""
        if self._facts is not None:
            return list(self._facts.types)
        return read_types(self.session, [self.dataset_rid])[self.dataset_rid]

    def add_dataset_types(self, dataset_types: str | Iterable[str]) -> None:
        """Add terms of the vocabulary Dataset_Type; a change of the dataset.

        Raises:
            DerivaMLInvalidTerm: the vocabulary has no such term.
        """
        terms = check_types(self.session, [dataset_types] if isinstance(dataset_types, str) else dataset_types)
        self._writes()
        rows = [{"Dataset": self.dataset_rid, "Dataset_Type": term} for term in terms]
        text = f"types: {', '.join(terms)}"
        announced = self._announce(lambda: self._count_types(terms) < len(terms), text, None)
        added = len(insert(self.session, _types_table(self.session), rows, skip_conflicts=True))
        self._changed(added, announced, text, None)

    add_dataset_type = add_dataset_types

    def remove_dataset_type(self, dataset_type: str) -> None:
        """Take a term of the vocabulary Dataset_Type away; a change of the dataset if it applied.

        Raises:
            DerivaMLInvalidTerm: the vocabulary has no such term.
        """
        (term,) = check_types(self.session, [dataset_type])
        self._writes()
        announced = self._announce(lambda: self._count_types([term]) > 0, f"no longer {term}", None)
        removed = delete(self.session, _types_table(self.session), {"Dataset": self.dataset_rid, "Dataset_Type": term})
        self._changed(removed, announced, f"no longer {term}", None)

    def _count_types(self, terms: list[str]) -> int:
        return count(self.session, _types_table(self.session), {"Dataset": self.dataset_rid, "Dataset_Type": terms})

    def list_executions(self) -> list[str]:
        """Return the RIDs of the executions that used the dataset as input, oldest first."""
        table = TableName(self.session.ml_schema, "Dataset_Execution")
        rows = select(self.session, table, {"Dataset": self.dataset_rid}, sort=["RCT", "RID"])
        return [row["Execution"] for row in rows]

    # ------------------------------------------------------------------------------------------------------- versions

    @property
    def current_version(self) -> DatasetVersion:
        """The newest version, which may be a development version."""
        return current(self.dataset_history()).dataset_version

    def dataset_history(self) -> list[DatasetHistory]:
        """Return every version, oldest first: label, producer, description, snapshot."""
        if self._facts is not None:
            return list(self._facts.history)
        return history.read_history(self.session, self.dataset_rid)

    def release(self, bump: VersionPart | str, description: str | None = None, execution: Any = None) -> DatasetVersion:
        """Turn what has changed since the last release into a version: raise ``bump``, name the present state.

        ``execution`` (an execution or its RID) becomes the version's producer; without it the producer stays who made
        the changes.

        Raises:
            DerivaMLValidationError: nothing has changed since the last release.

        Example::

            dataset.release("minor", "forty more scans", execution=exe)
        """
        self._writes()
        producer = execution_rid_of(execution) or self.execution_rid
        return history.release(self.session, self.dataset_rid, bump, description, producer)

    def mark_dev(self, description: str, execution: Any = None) -> None:
        """Record a change that was made to the members' rows elsewhere, so that it can be released."""
        self._writes()
        producer = execution_rid_of(execution) or self.execution_rid
        history.mark_dev(self.session, self.dataset_rid, description, producer)

    def is_dirty(self) -> bool:
        """Return whether there are changes of members or types that no release has yet."""
        return self.current_version.is_dev

    def increment_dataset_version(
        self, component: VersionPart | str, description: str | None = None, execution_rid: str | None = None
    ) -> DatasetVersion:
        """Release under the older name: as :meth:`release`, and an unchanged dataset is released as well."""
        if not self.is_dirty():
            self.mark_dev(description or "released without a change", execution_rid)
        return self.release(component, description, execution_rid)

    # -------------------------------------------------------------------------------------------------------- members

    def add_dataset_members(
        self,
        members_to_add: members.Members,
        validate: bool = True,
        description: str = "",
        execution_rid: Any = None,
    ) -> None:
        """Add members: a list of RIDs, or table → RIDs. Rows that are members already stay; the dataset has changed if others are added.

        Raises:
            DerivaMLTableTypeError: rows of the table cannot be members; ``ml.add_dataset_element_type`` allows it.
            DerivaMLRidsNotFound: some RIDs name no row of the table.
            DerivaMLCycleError: the dataset would come to contain itself.

        Example::

            dataset.add_dataset_members({"Image": ["1-ABC", "1-DEF"]})
        """
        self._writes()
        rows = members.chosen(self.session, self.dataset_rid, members_to_add, validate=validate)
        text = description or "members added"
        announced = self._announce(
            lambda: members.has_others(self.session, self.dataset_rid, rows), text, execution_rid
        )
        added = members.add_members(self.session, self.dataset_rid, rows)
        self._changed(added, announced, description or f"{added} members added", execution_rid)

    def delete_dataset_members(
        self, members_to_remove: members.Members, description: str = "", execution_rid: Any = None
    ) -> None:
        """Take members out: a list of RIDs, or table → RIDs. Released versions keep them."""
        self._writes()
        rows = members.by_table(self.session, members_to_remove, validate=False)
        text = description or "members removed"
        announced = self._announce(lambda: members.has_any(self.session, self.dataset_rid, rows), text, execution_rid)
        removed = members.delete_members(self.session, self.dataset_rid, rows)
        self._changed(removed, announced, description or f"{removed} members removed", execution_rid)

    def list_dataset_members(
        self, recurse: bool = False, limit: int | None = None, *, version: Any = None
    ) -> dict[str, list[Row]]:
        """Return element table → rows; with ``recurse`` those of nested datasets as well; at ``version`` if given.

        Raises:
            DerivaMLNotFoundError: there is no such version.
        """
        session = self._at(version)
        rids = [self.dataset_rid, *(members.all_below(session, self.dataset_rid) if recurse else ())]
        return members.list_members(session, rids, limit=limit)

    def list_members(self, table: str, *, version: Any = None) -> list[str]:
        """Return the RIDs of the members that are rows of ``table``."""
        element = self.session.model().find_table(table).name.name
        return [row["RID"] for row in self.list_dataset_members(version=version).get(element, [])]

    # ----------------------------------------------------------------------------------------------------------- tree

    def list_dataset_children(self, recurse: bool = False, *, version: Any = None) -> list[Dataset]:
        """Return the datasets nested in this one; with ``recurse`` all below it."""
        return [self._beside(rid) for rid in self.list_dataset_children_rids(recurse, version=version)]

    def list_dataset_children_rids(self, recurse: bool = False, *, version: Any = None) -> list[str]:
        """Return the RIDs of the datasets nested in this one; with ``recurse`` of all below it."""
        session = self._at(version)
        if recurse:
            return members.all_below(session, self.dataset_rid)
        return members.descendants(session, [self.dataset_rid], recurse=False)[self.dataset_rid]

    def list_dataset_parents(self, recurse: bool = False, *, version: Any = None) -> list[Dataset]:
        """Return the datasets that this one is nested in; with ``recurse`` all above it."""
        tree = members.ancestors(self._at(version), [self.dataset_rid], recurse=recurse)
        above = dict.fromkeys(rid for rids in tree.values() for rid in rids if rid != self.dataset_rid)
        return [self._beside(rid) for rid in above]

    # ------------------------------------------------------------------------------------------------------------ bag

    def download_dataset_bag(
        self,
        version: Any = None,
        materialize: bool = True,
        exclude_tables: Collection[str] | None = None,
        fetch_concurrency: int = 8,
    ) -> DatasetBag:
        """Bring a version here as a checked bag; a released one comes from the cache when it was here before.

        Raises:
            DerivaMLNotFoundError: there is no such version.
            DerivaMLIntegrityError: a file is not what its checksum says.
        """
        spec = DatasetSpec(
            rid=self.dataset_rid,
            version=version,
            materialize=materialize,
            exclude_tables=sorted(exclude_tables) if exclude_tables else None,
            fetch_concurrency=fetch_concurrency,
        )
        return download_into(self.session, self._place(), spec)

    # -------------------------------------------------------------------------------------------------------- private

    def _place(self) -> Path:
        if self._cache is None:
            raise DerivaMLValidationError(
                f"{self!r} has no workspace to put bags in: use `ml.download_dataset_bag(spec)`."
            )
        return self._cache

    def _at(self, version: Any) -> Catalog:
        if version is None:
            return self.session
        entry = choose(self.dataset_history(), DatasetVersion.parse(version))
        return self.session if entry.snapshot is None else self.session.at(entry.snapshot)

    def _beside(self, rid: str) -> Dataset:
        return Dataset(self.session, rid, cache=self._cache)

    def _writes(self) -> None:
        """Forget what a listing said: it is about to become wrong. A snapshot cannot be changed."""
        if self.session.snapshot is not None:
            raise DerivaMLReadOnlyError("A snapshot of the catalog cannot be changed: use the live catalog.")
        self._facts = None

    def _announce(self, changes: Callable[[], bool], description: str, execution: Any) -> DatasetHistory | None:
        """Say before a change that it comes; see :func:`deriva_ml.dataset.history.announce`."""
        producer = execution_rid_of(execution) or self.execution_rid
        return history.announce(self.session, self.dataset_rid, changes, description, producer)

    def _changed(self, number: int, announced: DatasetHistory | None, description: str, execution: Any) -> None:
        """Say after a change that it has come."""
        if number:
            producer = execution_rid_of(execution) or self.execution_rid
            history.changed(self.session, self.dataset_rid, announced, description, producer)


def create_dataset(
    session: Catalog,
    execution_rid: str | None,
    dataset_types: str | Sequence[str] | None = None,
    version: Any = None,
    description: str = "",
    *,
    cache: Path | None = None,
) -> Dataset:
    """Create an empty dataset whose producer is an execution; its first version is 0.1.0 unless ``version`` says otherwise.

    Raises:
        DerivaMLInvalidTerm: a type is not a term of the vocabulary Dataset_Type.
        DerivaMLValidationError: ``version`` is not one, or is a development version.
    """
    first = FIRST_VERSION if version is None else DatasetVersion.parse(version)
    if first.is_dev:
        raise DerivaMLValidationError(f"A dataset begins with a release like 0.1.0, not with {first}.")
    types = check_types(session, [dataset_types] if isinstance(dataset_types, str) else dataset_types or ())
    row = insert(session, members.dataset_table(session), [{"Description": description, "Deleted": False}])[0]
    rid = str(row["RID"])
    if types:
        insert(session, _types_table(session), [{"Dataset": rid, "Dataset_Type": term} for term in types])
    history.start(session, rid, first, description or "created", execution_rid)
    return Dataset(session, rid, execution_rid=execution_rid, cache=cache)


def execution_rid_of(execution: Any) -> str | None:
    """Return the RID of an execution given as one, or as its RID."""
    if execution is None or isinstance(execution, str):
        return execution
    rid = getattr(execution, "execution_rid", None)
    if isinstance(rid, str):
        return rid
    raise DerivaMLValidationError(f"{execution!r} is not an execution: give the execution or its RID.")


def check_types(session: Catalog, dataset_types: Iterable[str]) -> list[str]:
    """Return the terms of Dataset_Type that names or synonyms stand for, each once.

    Raises:
        DerivaMLInvalidTerm: the vocabulary has no such term.
    """
    wanted = [str(name) for name in dataset_types]
    if not wanted:
        return []
    terms = select(session, TableName(session.ml_schema, "Dataset_Type"), columns=["Name", "Synonyms"])
    names = {synonym: term["Name"] for term in terms for synonym in term["Synonyms"] or ()}
    names |= {term["Name"]: term["Name"] for term in terms}
    for name in wanted:
        if name not in names:
            raise DerivaMLInvalidTerm("Dataset_Type", name)
    return list(dict.fromkeys(names[name] for name in wanted))


def read_types(session: Catalog, rids: Collection[str] | None) -> dict[str, list[str]]:
    """Return the types of each dataset, sorted; of all datasets when ``rids`` is None."""
    found: dict[str, list[str]] = {rid: [] for rid in rids or ()}
    for row in select(session, _types_table(session), {} if rids is None else {"Dataset": rids}):
        found.setdefault(row["Dataset"], []).append(row["Dataset_Type"])
    return {rid: sorted(types) for rid, types in found.items()}


def _types_table(session: Catalog) -> TableName:
    return TableName(session.ml_schema, "Dataset_Dataset_Type")
