"""Do the rows exist that staged feature values name: asked in bulk, before a commit sends anything."""

from __future__ import annotations

from collections.abc import Iterator

from deriva_ml.catalog.model import ForeignKeyModel
from deriva_ml.catalog.rows import count, select
from deriva_ml.execution.features import STAGED
from deriva_ml.execution.run import Run
from deriva_ml.execution.staged_values import first_targets, named_in, targets_naming
from deriva_ml.names import TableName

KNOWN = 10_000
"""How many values of a column are remembered, so that terms are not asked for again and again."""
SHOWN = 10


def dangling(run: Run) -> Iterator[str]:
    """Yield a sentence for each column of staged feature values that names rows which the catalog does not have."""
    newest = run.staged.newest_feature()
    for schema, name in run.staged.feature_tables(newest):
        table = run.session.model().table(TableName(schema, name))
        if table is None:
            target, feature, targets = first_targets(run.staged, TableName(schema, name))
            yield (
                f"{schema}:{name}: values of feature {feature!r} are staged, and the catalog has no such feature any more "
                f"(make it again, or `exe.discard_features({target!r}, {feature!r}, {targets!r})`)"
            )
            continue
        for key in table.domain_references:
            if len(key.columns) == 1 and key.column != "Execution" and (lost := _lost(run, key, newest)):
                yield _sentence(run, key, lost, newest)


def _lost(run: Run, key: ForeignKeyModel, newest: int) -> list[str]:
    """Return the values of a column for which there is no row."""
    (target,), known, lost = key.target_columns, set[str](), dict[str, None]()
    for part in named_in(run.staged, key.table, key.column, newest):
        asked = [value for value in part if value not in known and not value.startswith(STAGED)]
        if asked and count(run.session, key.target, {target: asked}) != len(asked):
            there = {row[target] for row in select(run.session, key.target, {target: asked}, columns=[target])}
            lost |= dict.fromkeys(value for value in asked if value not in there)
        known = known.union(asked) if len(known) + len(asked) <= KNOWN else set(asked)
    return list(lost)


def _sentence(run: Run, key: ForeignKeyModel, lost: list[str], newest: int) -> str:
    table, feature, targets = targets_naming(run.staged, key.table, key.column, lost[:SHOWN], newest)
    rows = f"row{'s' if len(lost) > 1 else ''} of {key.target.name}"
    return (
        f"values of feature {feature!r} name {len(lost)} {rows} that the catalog does not have: {', '.join(lost[:SHOWN])}"
        f"{' …' if len(lost) > SHOWN else ''} (put back what is missing, or `exe.discard_features({table!r}, {feature!r}, {targets!r})`)"
    )
