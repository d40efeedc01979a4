"""``deriva-ml status``: the newest executions of a catalog."""

from __future__ import annotations

from dataclasses import asdict
from itertools import islice
from typing import TYPE_CHECKING

import click

from deriva_ml.cli.options import catalog_options, emit, json_option, open_catalog

if TYPE_CHECKING:
    from deriva_ml.execution.stale import Stale


@click.command("status")
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="How many executions.")
@click.option("--stale", is_flag=True, help="Only those that wait for somebody: dead, uncommitted, or out of sight.")
@catalog_options
@json_option
def command(limit: int, stale: bool, home: str | None, host: str | None, catalog: str | None, as_json: bool) -> None:
    """List the newest executions: RID, status, description, and the last message of each."""
    ml = open_catalog(home, host, catalog)
    if stale:
        waiting = ml.find_stale_executions()
        emit([asdict(one) for one in waiting] if as_json else _advice(waiting), as_json)
        return
    rows = [
        {
            "rid": run.execution_rid,
            "status": str(run.status),
            "description": run.description or "",
            "detail": run.status_detail or "",
        }
        for run in islice(ml.find_executions(sort=True), limit)
    ]
    emit(rows if as_json else _lines(rows), as_json)


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
