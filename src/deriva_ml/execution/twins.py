"""Feature values about one asset that go under two names: two files whose name and bytes are the same, or a file and its RID."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import groupby

from deriva_ml.errors import DerivaMLUploadError
from deriva_ml.execution.contradictions import write_down
from deriva_ml.execution.features import STAGED, row_of
from deriva_ml.execution.manifest import Entry
from deriva_ml.execution.report import listed
from deriva_ml.execution.run import Run
from deriva_ml.execution.staged import StagedFeature

Place = tuple[str, str, str]
"""Schema and table of a feature, and what a value is about, files replaced by the RIDs of their assets."""


def settle_twins(run: Run, up_to: int) -> None:
    """Keep one of the values, up to an id, that say the same of one asset; the files have their RIDs.

    Of two that say different things, the one that an earlier commit has brought stays, and the commit tells of the other.

    Raises:
        DerivaMLUploadError: two values that wait say different things of one asset; all are named, and nothing is given up.
    """
    first: dict[Place, StagedFeature] = {}
    repeated: list[StagedFeature] = []
    problems: list[str] = []
    features = run.staged.features_about_files(up_to)
    entries = _entries(run, features)
    had = {_place(each, entries) for each in features if any(entries[n].reused for n in each.assets.values())}
    first |= {_plainly(each): each for each in run.staged.features_at(had) if each.id <= up_to}
    for each in features:
        other = first.setdefault(_place(each, entries), each)
        if other is each:
            continue
        if row_of(each, run.rid, entries) == row_of(other, run.rid, entries):
            repeated.append(each)
        else:
            problems.append(_told(each, other, entries))
    if problems:
        raise DerivaMLUploadError(f"Execution {run.rid} cannot be committed:\n{listed(problems)}")
    late = list(_late(run, {place: first[place] for place in had}, up_to))
    if repeated or late:
        with run.staged.writing() as connection:
            run.staged.drop_features(connection, [*repeated, *late])
            for _, values in groupby(late, lambda each: (each.schema, each.table)):
                write_down(connection, run.store, run.rid, list(values))


def _late(run: Run, waiting: dict[Place, StagedFeature], up_to: int) -> Iterator[StagedFeature]:
    """Yield the values that wait, and whose asset has one from an earlier commit of this run, under another name.

    ``waiting`` are those about files that the catalog had already.
    """
    committed = run.staged.features_about_files(up_to, uploaded=True)
    entries = _entries(run, committed)
    about = {_place(each, entries) for each in committed}
    yield from (each for each in run.staged.features_at(about) if each.id <= up_to)
    about |= {_plainly(each) for each in run.staged.features_at(waiting, uploaded=True)}
    yield from (each for place, each in waiting.items() if place in about and place != _plainly(each))


def _entries(run: Run, features: list[StagedFeature]) -> dict[int, Entry]:
    return run.staged.by_id(number for each in features for number in each.assets.values())


def _plainly(feature: StagedFeature) -> Place:
    return feature.schema, feature.table, feature.identity


def _place(feature: StagedFeature, entries: dict[int, Entry]) -> Place:
    rids = {f"{STAGED}{entries[number].key}": entries[number].rid for number in feature.assets.values()}
    return feature.schema, feature.table, json.dumps([rids.get(each, each) for each in json.loads(feature.identity)])


def _told(each: StagedFeature, other: StagedFeature, entries: dict[int, Entry]) -> str:
    files = [entries[number].staged for one in (other, each) for number in list(one.assets.values())[-1:]]
    if len(files) == 1:
        named = f"{files[0]} is {json.loads(other.identity)[0]}, which the catalog has, and has"
        advice = "Take one of them back with `exe.discard_features`, then commit again."
    else:
        named = f"{' and '.join(files)} are one asset, as their names and bytes are the same, and have"
        advice = "Give up one of the files with `exe.discard_asset(path)`, then commit again."
    return f"{named} two values of feature {each.feature_name!r}: one execution gives a target one value. {advice}"
