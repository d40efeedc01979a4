"""``deriva-ml status``: the newest executions of a catalog."""

from __future__ import annotations

from dataclasses import asdict
from itertools import islice
from typing import TYPE_CHECKING

import click

from deriva_ml.cli.options import catalog_options, emit, json_option, mode_option, open_catalog
from deriva_ml.enums import ConnectionMode
from deriva_ml.rid import is_local

if TYPE_CHECKING:
    from deriva_ml.execution.find import ExecutionSnapshot
    from deriva_ml.execution.record import ExecutionRecord
    from deriva_ml.execution.stale import Stale


@click.command("status")
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="How many executions.")
@click.option("--stale", is_flag=True, help="Only those that wait for somebody: dead, uncommitted, or out of sight.")
@catalog_options
@mode_option("offline: what this workspace knows, without asking the catalog.")
@json_option
def command(
    limit: int, stale: bool, home: str | None, host: str | None, catalog: str | None, mode: str, as_json: bool
) -> None:
    """List the newest executions: RID, status, description, and the last message of each.

    Those that were begun offline and of which the catalog does not know yet come first, under their local names.
    """
    ml = open_catalog(home, host, catalog, mode)
    if stale:
        waiting = ml.find_stale_executions()
        emit([asdict(one) for one in waiting] if as_json else _advice(waiting), as_json)
        return
    offline = mode == ConnectionMode.offline
    rows = [_local(run) for run in ml.list_executions() if offline or is_local(run.rid)]
    rows += [] if offline else [_row(run) for run in islice(ml.find_executions(sort=True), limit)]
    rows = rows[:limit]
    emit(rows if as_json else _lines(rows), as_json)


def _row(run: ExecutionRecord) -> dict[str, str]:
    return {
        "rid": run.execution_rid,
        "status": str(run.status),
        "description": run.description or "",
        "detail": run.status_detail or "",
    }


def _local(run: ExecutionSnapshot) -> dict[str, str]:
    told = ["the catalog does not know it yet"] if is_local(run.rid) else []
    detail = "; ".join([*told, *([run.error] if run.error else [])])
    return {"rid": run.rid, "status": str(run.status), "description": run.description, "detail": detail}


def _lines(rows: list[dict[str, str]]) -> str:
    if not rows:
        return "No execution yet. `deriva-ml demo` records three."
    width = max(len(row["rid"]) for row in rows)
    return "\n".join(
        f"{row['rid']:{width}}  {row['status']:14}  {row['description']}{'  · ' + row['detail'] if row['detail'] else ''}"
        for row in rows
    )


def _advice(waiting: list[Stale]) -> str:
    if not waiting:
        return "No execution waits for anybody."
    return "\n".join(f"{one.rid}  {one.status}  since {one.since}: {one.why}. {one.advice}" for one in waiting)
