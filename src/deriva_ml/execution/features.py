"""Staging feature values: records are checked all at once, then written all or none."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from deriva_ml.catalog.session import Catalog
from deriva_ml.catalog.terms import find_term
from deriva_ml.errors import (
    DerivaMLFeatureNotFound,
    DerivaMLInvalidTerm,
    DerivaMLTableNotFound,
    DerivaMLValidationError,
)
from deriva_ml.execution import liveness
from deriva_ml.execution.fitting import misfit, unstorable
from deriva_ml.execution.logged import as_text
from deriva_ml.execution.manifest import Entry
from deriva_ml.execution.report import listed
from deriva_ml.execution.run import Run
from deriva_ml.execution.staged import FeatureValues, StagedFeature
from deriva_ml.execution.staged_values import tables_of, take_back
from deriva_ml.feature.feature import Feature, lookup_feature
from deriva_ml.feature.record import FeatureRecord
from deriva_ml.names import TableName
from deriva_ml.rid import is_rid

NARROW = ("float4", "date", "timestamp", "timestamptz")
"""Types of columns that hold less than the fields of a record take."""
STAGED = "staged "
"""Marks the key of a staged file that stands where its RID will be."""
FindEntry = Callable[[str | os.PathLike[str]], Entry | None]


def stage_features(run: Run, records: Iterable[Any], find: FindEntry) -> int:
    """Check and stage values of one feature; return how many. A value is as durable as the staged files that it names.

    ``find`` says which registered file a path names.

    Raises:
        DerivaMLValidationError: every problem of every record is named.
        DerivaMLTableNotFound: the feature's table is not in this catalog.
    """
    values, files = _checked(run.session, run.rid, records, find)
    if values is None:
        return 0
    run.staging.sync_written(run.staged.by_id(files).values())
    return run.staged.add_features(values)


def discard_features(run: Run, target_table: Any, feature_name: str, targets: Iterable[Any]) -> int:
    """Take back values that wait for a commit; return how many.

    Raises:
        DerivaMLFeatureNotFound, DerivaMLTableNotFound: the catalog has no such feature, and no value of one waits.
        DerivaMLValidationError: a target has no value that waits; nothing was taken back.
        DerivaMLBusyError: a commit is going on.
    """
    table = _table_of(run, target_table, feature_name)
    listing = [targets] if isinstance(targets, str | os.PathLike) else list(targets)
    wanted = [target if is_rid(target) else _staged_name(run, target) for target in listing]
    with liveness.holding(run.lock_file("commit"), f"Values of execution {run.rid} cannot be taken back"):
        return take_back(run.staged, table, feature_name, wanted)


def _table_of(run: Run, target_table: Any, feature_name: str) -> TableName:
    """Return the table of a feature; of one that the catalog does not have any more, that which the staged values name."""
    try:
        return lookup_feature(run.session, target_table, feature_name).feature_table.name
    except (DerivaMLFeatureNotFound, DerivaMLTableNotFound):
        schema, _, target = str(getattr(target_table, "name", target_table)).rpartition(":")
        found = [table for table in tables_of(run.staged, target, feature_name) if schema in ("", table.schema)]
        if not found:
            raise
        if len(found) > 1:
            raise DerivaMLValidationError(
                f"Values of feature {feature_name!r} wait in {' and '.join(map(str, found))}: say the schema of {target!r}, as in "
                f"{f'{found[0].schema}:{target}'!r}."
            ) from None
        return found[0]


def _staged_name(run: Run, target: Any) -> str:
    entry = run.staging.find(target)
    if entry is None:
        raise DerivaMLValidationError(
            f"{str(target)!r} is neither a RID nor a file that this execution has registered."
        )
    return f"{STAGED}{entry.key}"


def _checked(
    session: Catalog, rid: str, records: Iterable[Any], find_entry: FindEntry
) -> tuple[FeatureValues | None, set[int]]:
    """Return the values that ``records`` hold, checked, and the ids of the staged files that they name; None for none.

    They are of one feature; their terms exist; their assets are staged, or RIDs.
    """
    listing = list(records)
    if not listing:
        return None, set()
    feature = _one_feature(listing)
    if session.model().table(feature.feature_table.name) is None:
        session.refresh()
        if session.model().table(feature.feature_table.name) is None:
            raise DerivaMLTableNotFound(str(feature.feature_table.name))
    checking = _Checking(session, rid, feature, find_entry)
    rows = [checking.row(record) for record in listing]
    problems = [*checking.problems, *_repeated(rows)]
    if problems:
        raise DerivaMLValidationError(
            f"{len(problems)} problem{'s' if len(problems) > 1 else ''} with values of feature {feature.feature_name!r}; nothing was staged:\n{listed(problems)}"
        )
    name = feature.feature_table.name
    values = FeatureValues(name.schema, name.name, feature.feature_name, feature.target_table.name.name, rows)
    return values, checking.named


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


class _Checking:
    """Checks records of one feature, and remembers what they share: terms, problems, the files that they name."""

    def __init__(self, session: Catalog, rid: str, feature: Feature, find_entry: FindEntry) -> None:
        self._session = session
        self._rid = rid
        self._find_entry = find_entry
        self._name = feature.feature_name
        self._of_assets = feature.target_table.is_asset
        self._keys = (feature.target_column, *feature.qualifier_columns)
        self._columns = (*self._keys, *feature.value_columns)
        self._terms = tuple(feature.term_columns.items())
        self._assets = tuple(feature.asset_columns)
        kinds = {name: feature.feature_table.columns[name].type for name in feature.value_columns}
        self._narrow = tuple((name, kind) for name, kind in kinds.items() if kind.removesuffix("[]") in NARROW)
        self._known: dict[tuple[str, Any], str | None] = {}
        self.problems: list[str] = []
        self.named: set[int] = set()

    def row(self, record: FeatureRecord) -> tuple[str, str, str]:
        """Return a record as the store keeps it: identity, values, staged files."""
        given = record.__dict__  # a hundred thousand of them are read: attributes would cost half of the time
        target = given[self._keys[0]]
        values: dict[str, Any] = {"Feature_Name": given["Feature_Name"] or self._name}
        if given["Execution"] not in (None, self._rid):
            self.problems.append(
                f"{target}: the record names execution {given['Execution']}, but is added to {self._rid}"
            )
        for column in self._columns:
            values[column] = given[column]
        for column, kind in self._narrow:
            if wrong := misfit(kind, given[column]):
                self.problems.append(f"{target}.{column}: {wrong}")
        for column, table in self._terms:
            key = (column, given[column])
            values[column] = self._known[key] if key in self._known else self._term(table, key, target)
        assets = self._assets_of(given, values, f"{target}") if self._assets else {}
        if not is_rid(target):
            target = self._staged_target(target, values, assets)
        for column in self._keys[1:]:
            if not is_rid(values[column]):
                self.problems.append(f"{target}: {column} is {values[column]!r}, which is not a RID")
        plain_key = len(self._keys) == 1 and not assets
        identity = f'["{target}"]' if plain_key else json.dumps([values[column] for column in self._keys])
        text = as_text(values)
        if ("\\u0000" in text or "\\ud" in text) and (wrong := unstorable(values)):
            self.problems.append(f"{target}: {wrong}")
        return identity, text, as_text(assets) if assets else "{}"

    def _staged_target(self, target: Any, values: dict[str, Any], assets: dict[str, int]) -> str:
        """Let the file that a value is about stand for the asset that it will be."""
        column = self._keys[0]
        entry = self._find_entry(target) if self._of_assets else None
        if entry is None:
            staged = ", nor a file that this execution has registered" if self._of_assets else ""
            self.problems.append(f"{target}: {column} is {str(target)!r}, which is not a RID{staged}")
            return str(target)
        assets[column] = entry.id
        self.named.add(entry.id)
        values[column] = f"{STAGED}{entry.key}"
        return f"{STAGED}{entry.key}"

    def _term(self, table: TableName, key: tuple[str, Any], target: str) -> str | None:
        """Look up the proper name of a term of a column, and remember it."""
        column, given = key
        self._known[key] = None
        try:
            self._known[key] = find_term(self._session, table, str(given)).name if given is not None else None
        except DerivaMLInvalidTerm as error:
            self.problems.append(f"{target}.{column}: {error}")
        return self._known[key]

    def _assets_of(self, given: Mapping[str, Any], values: dict[str, Any], target: str) -> dict[str, int]:
        """Return the staged files that a record names, by column; RIDs of assets become values."""
        assets: dict[str, int] = {}
        for column in self._assets:
            named = given[column]
            entry = self._find_entry(named) if named is not None else None
            if entry is not None:
                assets[column] = entry.id
            elif named is not None and not isinstance(named, Path) and is_rid(named):
                values[column] = named
            elif named is not None:
                self.problems.append(
                    f"{target}.{column}: {os.fspath(named)!r} is neither a file that this execution has registered (`exe.asset_file_path`) nor a RID"
                )
        self.named.update(assets.values())
        return assets


def _repeated(rows: Sequence[tuple[str, str, str]]) -> list[str]:
    if len({identity for identity, *_ in rows}) == len(rows):
        return []
    return [
        f"{_spoken(identity)} has {count} values; one execution gives a target one value"
        for identity, count in Counter(identity for identity, *_ in rows).items()
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
