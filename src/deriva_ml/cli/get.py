"""``deriva-ml get``: download a file or a dataset version."""

from __future__ import annotations

from pathlib import Path

import click

from deriva_ml.cli.options import catalog_options, emit, json_option, open_catalog
from deriva_ml.dataset.get import get


@click.command("get")
@click.argument("rid")
@click.option("--to", "folder", metavar="DIR", default=".", help="The folder to put it in. Default: the current one.")
@catalog_options
@json_option
def command(rid: str, folder: str, home: str | None, host: str | None, catalog: str | None, as_json: bool) -> None:
    """Download the asset RID, or the bag of the dataset RID (RID@1.0.0 for a version), and check its bytes."""
    ml = open_catalog(home, host, catalog)
    brought = get(ml.session, ml.cache_dir, rid, Path(folder))
    emit(brought.document() if as_json else brought.path, as_json)
