"""Feature values about two staged files that turn out to be one asset, as name and bytes are the same."""

from __future__ import annotations

import json

from deriva_ml.errors import DerivaMLUploadError
from deriva_ml.execution.features import STAGED, row_of
from deriva_ml.execution.manifest import Entry
from deriva_ml.execution.report import listed
from deriva_ml.execution.run import Run
from deriva_ml.execution.staged import StagedFeature


def settle_twins(run: Run, up_to: int) -> None:
    """Keep one of the values, up to an id, that say the same of one asset; the files have their RIDs.

    Raises:
        DerivaMLUploadError: two files are one asset and have different values; all such files are named, and nothing is given up.
    """
    first: dict[tuple[str, str, str], StagedFeature] = {}
    repeated: list[StagedFeature] = []
    problems: list[str] = []
    features = run.staged.features_about_files(up_to)
    entries = run.staged.by_id(number for each in features for number in each.assets.values())
    for each in features:
        other = first.setdefault((each.schema, each.table, _identity(each, entries)), each)
        if other is each:
            continue
        if row_of(each, run.rid, entries) == row_of(other, run.rid, entries):
            repeated.append(each)
        else:
            problems.append(_told(each, other, entries))
    if problems:
        raise DerivaMLUploadError(f"Execution {run.rid} cannot be committed:\n{listed(problems)}")
    if repeated:
        run.staged.drop_features(repeated)


def _identity(feature: StagedFeature, entries: dict[int, Entry]) -> str:
    """Return what a value is about, its file replaced by the RID of the asset."""
    rids = {f"{STAGED}{entries[number].key}": entries[number].rid for number in feature.assets.values()}
    return json.dumps([rids.get(each, each) for each in json.loads(feature.identity)])


def _told(each: StagedFeature, other: StagedFeature, entries: dict[int, Entry]) -> str:
    files = " and ".join(entries[number].staged for one in (other, each) for number in list(one.assets.values())[-1:])
    return (
        f"{files} are one asset, as their names and bytes are the same, and have two values of feature {each.feature_name!r}: "
        "one execution gives a target one value. Give up one of the files with `exe.discard_asset(path)`, then commit again."
    )
