"""``deriva-ml show``: say what a RID is."""

from __future__ import annotations

import click

from deriva_ml.cli.options import catalog_options, emit, json_option, open_catalog
from deriva_ml.lineage.describe import describe


@click.command("show")
@click.argument("rid")
@catalog_options
@json_option
def command(rid: str, home: str | None, host: str | None, catalog: str | None, as_json: bool) -> None:
    """Say what RID is: an execution, a dataset, a file, a feature value, a workflow, a term or any other row.

    With its facts, the rows around it, and the commands that tell more.
    """
    found = describe(open_catalog(home, host, catalog).session, rid)
    emit(found.model_dump(mode="json") if as_json else found, as_json)
