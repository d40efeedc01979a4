"""Staging feature values: records are checked all at once, then written all or none."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from deriva_ml.catalog.session import Catalog
from deriva_ml.catalog.terms import find_term
from deriva_ml.errors import DerivaMLInvalidTerm, DerivaMLTableNotFound, DerivaMLValidationError
from deriva_ml.execution.manifest import Entry
from deriva_ml.execution.report import listed
from deriva_ml.execution.staged import StagedFeature
from deriva_ml.feature.feature import Feature
from deriva_ml.feature.record import FeatureRecord
from deriva_ml.rid import is_rid

FindEntry = Callable[[str | os.PathLike[str]], Entry | None]


def staged_features(session: Catalog, rid: str, records: Iterable[Any], find_entry: FindEntry) -> list[StagedFeature]:
    """Return the values that ``records`` hold, checked: one feature, terms that exist, assets that are staged or have a RID.

    Raises:
        DerivaMLValidationError: every problem of every record is named.
        DerivaMLTableNotFound: the feature's table is not in this catalog.
    """
    listing = list(records)
    if not listing:
        return []
    feature = _one_feature(listing)
    if session.model().table(feature.feature_table.name) is None:
        session.refresh()
        if session.model().table(feature.feature_table.name) is None:
            raise DerivaMLTableNotFound(str(feature.feature_table.name))
    problems: list[str] = []
    terms: dict[tuple[str, Any], str | None] = {}
    keys = (feature.target_column, *feature.qualifier_columns)
    staged = [_staged(session, rid, feature, keys, record, find_entry, terms, problems) for record in listing]
    problems += _repeated(staged)
    if problems:
        raise DerivaMLValidationError(
            f"{len(problems)} problem{'s' if len(problems) > 1 else ''} with values of feature {feature.feature_name!r}; nothing was staged:\n{listed(problems)}"
        )
    return staged


def _one_feature(records: Sequence[Any]) -> Feature:
    strangers = [record for record in records if not isinstance(record, FeatureRecord)]
    if strangers:
        raise DerivaMLValidationError(
            f"Feature values are records of the feature's class (`ml.feature_record_class(table, name)`), not {type(strangers[0]).__name__}."
        )
    features = {str(type(record).feature.feature_table.name): type(record).feature for record in records}
    if len(features) > 1:
        raise DerivaMLValidationError(
            f"One call takes values of one feature; these are of {', '.join(sorted(features))}: call once for each."
        )
    feature: Feature = next(iter(features.values()))
    return feature


def _staged(
    session: Catalog,
    rid: str,
    feature: Feature,
    keys: tuple[str, ...],
    record: FeatureRecord,
    find_entry: FindEntry,
    terms: dict[tuple[str, Any], str | None],
    problems: list[str],
) -> StagedFeature:
    target = str(getattr(record, feature.target_column))
    values: dict[str, Any] = {"Feature_Name": record.Feature_Name or feature.feature_name}
    assets: dict[str, int] = {}
    if record.Execution not in (None, rid):
        problems.append(f"{target}: the record names execution {record.Execution}, but is added to {rid}")
    for column in (*keys, *feature.value_columns):
        values[column] = getattr(record, column)
    for column, table in feature.term_columns.items():
        given = getattr(record, column)
        key = (column, given)
        values[column] = terms[key] if key in terms else _term(session, table, key, terms, problems, target)
    for column in feature.asset_columns:
        given = getattr(record, column)
        if given is not None:
            _asset(column, given, find_entry, values, assets, problems, f"{target}.{column}")
    for column in keys:
        if not is_rid(values[column]):
            problems.append(f"{target}: {column} is {values[column]!r}, which is not a RID")
    identity = json.dumps([values[column] for column in keys])
    name = feature.feature_table.name
    return StagedFeature(
        name.schema, name.name, feature.feature_name, feature.target_table.name.name, identity, values, assets
    )


def _term(
    session: Catalog,
    table: Any,
    key: tuple[str, Any],
    terms: dict[tuple[str, Any], str | None],
    problems: list[str],
    target: str,
) -> str | None:
    """Look up the proper name of a term of a column, and remember it."""
    column, given = key
    terms[key] = None
    try:
        terms[key] = find_term(session, table, str(given)).name if given is not None else None
    except DerivaMLInvalidTerm as error:
        problems.append(f"{target}.{column}: {error}")
    return terms[key]


def _asset(
    column: str,
    given: Any,
    find_entry: FindEntry,
    values: dict[str, Any],
    assets: dict[str, int],
    problems: list[str],
    where: str,
) -> None:
    entry = find_entry(given)
    if entry is not None:
        assets[column] = entry.id
    elif not isinstance(given, Path) and is_rid(given):
        values[column] = given
    else:
        problems.append(
            f"{where}: {os.fspath(given)!r} is neither a file that this execution has registered (`exe.asset_file_path`) nor a RID"
        )


def _repeated(staged: Sequence[StagedFeature]) -> list[str]:
    counts: dict[str, int] = {}
    for each in staged:
        counts[each.identity] = counts.get(each.identity, 0) + 1
    return [
        f"{_spoken(identity)} has {count} values; one execution gives a target one value"
        for identity, count in counts.items()
        if count > 1
    ]


def _spoken(identity: str) -> str:
    return ", ".join(str(part) for part in json.loads(identity))


def row_of(feature: StagedFeature, rid: str, entries: Mapping[int, Entry]) -> dict[str, Any]:
    """Return the catalog's row of a staged value, its files replaced by the RIDs that their assets have now."""
    return {
        "Execution": rid,
        **feature.record,
        **{column: entries[number].rid for column, number in feature.assets.items()},
    }
