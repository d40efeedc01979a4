"""From what the user names to what the catalog has: datasets and their versions, in bulk, every problem at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from deriva_ml.catalog.rows import Row, select
from deriva_ml.catalog.session import Catalog
from deriva_ml.dataset.history import read_histories
from deriva_ml.dataset.spec import DatasetSpec
from deriva_ml.dataset.versions import DatasetVersion, choose
from deriva_ml.errors import DerivaMLDatasetNotFound, DerivaMLNotFoundError
from deriva_ml.names import TableName
from deriva_ml.rid import check_rid


@dataclass(frozen=True, slots=True)
class ResolvedSpec:
    """One dataset at one version; ``snapshot`` is None for a development version, which is the live state."""

    rid: str
    version: DatasetVersion
    version_rid: str
    snapshot: str | None


def find_rows(session: Catalog, rids: Sequence[str], *, deleted: bool = False) -> dict[str, Row]:
    """Return the Dataset row of each RID.

    Raises:
        DerivaMLDatasetNotFound: a RID is not a dataset's, or the dataset was deleted.
    """
    wanted = [check_rid(rid) for rid in rids]
    rows = {row["RID"]: row for row in select(session, TableName(session.ml_schema, "Dataset"), {"RID": wanted})}
    missing = [rid for rid in wanted if rid not in rows]
    if missing:
        raise DerivaMLDatasetNotFound(missing[0], _none_of(missing))
    gone = [rid for rid in wanted if rows[rid].get("Deleted")]
    if gone and not deleted:
        raise DerivaMLDatasetNotFound(gone[0], f"Dataset {', '.join(gone)} was deleted; `deleted=True` shows it.")
    return rows


def _none_of(missing: list[str]) -> str | None:
    listing = ", ".join(missing)
    return f"No dataset has the RID {listing}. `ml.find_datasets()` lists the datasets." if len(missing) > 1 else None


def resolve_specs(session: Catalog, specs: Sequence[DatasetSpec]) -> list[ResolvedSpec]:
    """Return what each spec names, in order. Two requests for any number of specs.

    Raises:
        DerivaMLDatasetNotFound: a RID is not a dataset's, or the dataset was deleted.
        DerivaMLNotFoundError: a dataset has no such version; the message names every one and what there is.
    """
    if not specs:
        return []
    rids = list(dict.fromkeys(spec.rid for spec in specs))
    find_rows(session, rids)
    histories = read_histories(session, rids)
    found: list[ResolvedSpec] = []
    problems: list[str] = []
    for spec in specs:
        try:
            entry = choose(histories[spec.rid], spec.version)
        except DerivaMLNotFoundError as error:
            problems.append(str(error))
            continue
        found.append(ResolvedSpec(spec.rid, entry.dataset_version, entry.version_rid, entry.snapshot))
    if problems:
        raise DerivaMLNotFoundError("\n".join(problems))
    return found
