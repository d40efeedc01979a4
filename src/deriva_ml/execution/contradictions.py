"""What the catalog has otherwise than a run says it, under the same key: found when it is sent, reported, and left as it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import apsw

from deriva_ml.catalog.model import ColumnModel, TableModel
from deriva_ml.catalog.rows import Row, select
from deriva_ml.execution.features import row_of
from deriva_ml.execution.plan import AssetGroup
from deriva_ml.execution.run import Run
from deriva_ml.execution.staged import StagedFeature
from deriva_ml.execution.store import ExecutionStore
from deriva_ml.names import TableName

NOT_TAKEN = "values not taken"
"""The step of the journal that holds feature values which are not sent, as the run has others under their keys."""

_TEXTS = frozenset({"text", "longtext", "markdown", "ermrest_rid", "ermrest_uri", "ermrest_curie"})
_NUMBERS = frozenset({"int2", "int4", "int8", "float4", "float8"})


def differs(kind: str, said: Any, there: Any) -> bool:
    """Return whether a column of type ``kind`` holds another value than the one that was said; where nobody can say, it does not.

    Other types (moments, JSON) come back in spellings of the server's own.

    Example:
        >>> differs("int4", 1, 1.0), differs("text", "Mild", "Severe"), differs("text", None, "x"), differs("date", "1", "2")
        (False, True, False, False)
    """
    if said is None:
        return False
    if there is None:
        return True
    if kind in _TEXTS:
        return str(said) != str(there)
    if kind == "boolean":
        return isinstance(said, bool) and said is not there
    if kind not in _NUMBERS:
        return False
    ours, theirs = float(said), float(there)
    return ours != theirs and not (ours != ours and theirs != theirs) and kind != "float4"


def of_assets(run: Run, group: AssetGroup) -> Iterator[str]:
    """Yield what the rows of assets that the catalog had already say otherwise than the run does."""
    reused = {
        rid: entry for rid, entry in group.assets.items() if entry.reused and (entry.metadata or entry.description)
    }
    if not reused:
        return
    described = [column for column in group.table.columns.values() if column.name == "Description"]
    columns = [*described, *group.table.payload_columns]
    wanted = ["RID", *(column.name for column in columns)]
    for row in select(run.session, group.table.name, {"RID": list(reused)}, columns=wanted):
        entry = reused[row["RID"]]
        for name, said, there in _different(columns, {"Description": entry.description or None, **entry.metadata}, row):
            yield f"{entry.label} was in the catalog already, as {row['RID']}, where {name} is {there!r}: that stays, and {said!r} is not recorded"


def of_values(run: Run, table: TableModel, sent: Sequence[Row]) -> Iterator[str]:
    """Yield which values of a feature the catalog has otherwise, as values of this very execution."""
    feature = run.session.model().feature_of(table)
    if feature is None or not sent:
        return
    keys = [feature.target_column, *feature.qualifier_columns]
    columns = [column for column in table.columns.values() if column.name not in keys]
    where = {"Execution": run.rid, feature.target_column: [row[feature.target_column] for row in sent]}
    there = {tuple(row[key] for key in keys): row for row in select(run.session, table.name, where)}
    for row in sent:
        known = there.get(tuple(row.get(key) for key in keys), {})
        for name, said, other in _different(columns, row, known) if known else ():
            yield (
                f"the value of {feature.name} for {row[feature.target_column]}: the catalog has {name} {other!r} for this execution, "
                f"which stays, and {said!r} is not recorded"
            )


def may_differ(table: TableModel, said: StagedFeature, there: StagedFeature) -> bool:
    """Return whether two staged values under one key may not be the same in the catalog."""
    return said.assets != there.assets or any(_different(list(table.columns.values()), said.record, there.record))


def write_down(connection: apsw.Connection, store: ExecutionStore, rid: str, values: Sequence[StagedFeature]) -> None:
    """Write down values of one feature that are not sent, inside a transaction.

    One run, sealed twice or committed twice, may say two things under one key. The workspace keeps what it took or staged
    first; the other is compared with the catalog once all is there.
    """
    if values:
        detail = {"table": [values[0].schema, values[0].table], "values": [asdict(each) for each in values]}
        store.take_waiting(connection, rid, NOT_TAKEN, [detail])


def of_values_not_taken(run: Run) -> Iterator[str]:
    """Yield which feature values that were not sent the catalog has otherwise."""
    for step, detail in run.store.journal(run.rid):
        table = run.session.model().table(TableName(*detail["table"])) if step == NOT_TAKEN else None
        if table is not None:
            values = [StagedFeature(**each) for each in detail["values"]]
            entries = run.staged.by_id(number for each in values for number in each.assets.values())
            yield from of_values(run, table, [row_of(each, run.rid, entries) for each in values])


def _different(columns: Sequence[ColumnModel], said: Any, there: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    for column in columns:
        if differs(column.type, said.get(column.name), there.get(column.name)):
            yield column.name, said[column.name], there.get(column.name)
