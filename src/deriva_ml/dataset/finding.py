"""Datasets found, looked up and deleted; however many there are, a listing costs three requests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from deriva_ml.catalog.rows import select, update
from deriva_ml.catalog.session import Catalog
from deriva_ml.dataset.dataset import Dataset, Facts, read_types
from deriva_ml.dataset.history import read_histories
from deriva_ml.dataset.members import ancestors, dataset_table, descendants
from deriva_ml.dataset.resolve import find_rows
from deriva_ml.dataset.spec import DatasetSpec, read_spec
from deriva_ml.errors import DerivaMLValidationError


def find_datasets(
    session: Catalog, cache: Path | None, *, deleted: bool = False, sort: bool | None = None
) -> Iterator[Dataset]:
    """Yield the datasets, deleted ones only if asked; ``sort=True`` puts the newest first."""
    order = ["RCT::desc::", "RID::desc::"] if sort else []
    rows = [row for row in select(session, dataset_table(session), sort=order) if deleted or not row["Deleted"]]
    if not rows:
        return
    types, histories = read_types(session, None), read_histories(session, None)
    for row in rows:
        facts = Facts(
            description=row["Description"] or "",
            types=tuple(types.get(row["RID"], ())),
            history=tuple(histories.get(row["RID"], ())),
            deleted=bool(row["Deleted"]),
        )
        yield Dataset(session, row["RID"], cache=cache, facts=facts)


def lookup_dataset(session: Catalog, cache: Path | None, dataset: Any, *, deleted: bool = False) -> Dataset:
    """Return the dataset that a RID or a spec names.

    Raises:
        DerivaMLDatasetNotFound: there is none, or it was deleted.
    """
    rid = dataset.rid if isinstance(dataset, DatasetSpec | Dataset) else read_spec(dataset).rid
    find_rows(session, [rid], deleted=deleted)
    return Dataset(session, rid, cache=cache)


def delete_dataset(session: Catalog, dataset: Any, *, recurse: bool = False) -> None:
    """Mark a dataset as deleted; with ``recurse`` every dataset below it that is nested in nothing else. Its history stays.

    Raises:
        DerivaMLDatasetNotFound: there is none, or it was deleted before.
        DerivaMLValidationError: it is nested in a dataset that stays.
    """
    rid = lookup_dataset(session, None, dataset).dataset_rid
    parents = _living(session, ancestors(session, [rid], recurse=False)[rid])
    if parents:
        raise DerivaMLValidationError(
            f"Dataset {rid} is nested in {', '.join(sorted(parents))}: take it out there first."
        )
    doomed = [rid, *(_only_below(session, rid) if recurse else ())]
    rows = [{"RID": each, "Deleted": True} for each in doomed]
    update(session, dataset_table(session), rows, targets=["Deleted"])


def _only_below(session: Catalog, rid: str) -> list[str]:
    """Return the datasets below ``rid`` all of whose living parents go with it."""
    tree = descendants(session, [rid])
    below = [child for child in tree if child != rid]
    above = ancestors(session, below, recurse=False) if below else {}
    living = _living(session, {parent for parents in above.values() for parent in parents})
    going = {rid, *below}
    while kept := {child for child in going - {rid} if set(above[child]) & living - going}:
        going -= kept
    return [child for child in below if child in going]


def _living(session: Catalog, rids: Any) -> set[str]:
    """Return those of ``rids`` that are not deleted."""
    rows = select(session, dataset_table(session), {"RID": list(rids)}, columns=["RID", "Deleted"]) if rids else []
    return {row["RID"] for row in rows if not row["Deleted"]}
