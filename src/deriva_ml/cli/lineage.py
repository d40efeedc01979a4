"""``deriva-ml lineage``: walk from a result back to the raw data."""

from __future__ import annotations

import click

from deriva_ml.cli.options import catalog_options, json_option, open_catalog


@click.command("lineage")
@click.argument("rid")
@click.option("--depth", type=click.IntRange(min=0), help="So many generations behind the producer. Default: all.")
@click.option(
    "--max-executions", type=click.IntRange(min=1), default=500, show_default=True, help="Stop after so many."
)
@catalog_options
@json_option
def command(
    rid: str,
    depth: int | None,
    max_executions: int,
    home: str | None,
    host: str | None,
    catalog: str | None,
    as_json: bool,
) -> None:
    """Show how RID came to exist: the executions behind a dataset, a file, a feature value or an execution."""
    found = open_catalog(home, host, catalog).lookup_lineage(rid, depth=depth, max_executions=max_executions)
    click.echo(found.to_json() if as_json else str(found))
