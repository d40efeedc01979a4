"""``deriva-ml status``: the newest executions of a catalog."""

from __future__ import annotations

from itertools import islice

import click

from deriva_ml.cli.options import catalog_options, emit, json_option, open_catalog


@click.command("status")
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="How many executions.")
@catalog_options
@json_option
def command(limit: int, home: str | None, host: str | None, catalog: str | None, as_json: bool) -> None:
    """List the newest executions: RID, status, description, and the last message of each."""
    ml = open_catalog(home, host, catalog)
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
