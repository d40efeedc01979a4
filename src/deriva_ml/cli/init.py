"""``deriva-ml init``: make the place where a catalog and its workspace live."""

from __future__ import annotations

from pathlib import Path

import click

from deriva_ml.cli.options import emit, json_option, open_catalog

OWN_NAME = ".deriva-ml"


@click.command("init")
@click.option("--here", is_flag=True, help="In this folder: a catalog of this project's own, ignored by git.")
@click.option("--home", metavar="DIR", help="Somewhere else.")
@json_option
def command(here: bool, home: str | None, as_json: bool) -> None:
    """Create a catalog: the user's own in ~/.deriva-ml, or with --here one that belongs to this project.

    Running it again changes nothing.
    """
    if here and home:
        raise click.UsageError("--here and --home name two places: give one of them.")
    if here:
        home = str(make_project_home(Path.cwd()))
    ml = open_catalog(home)
    facts = {"home": str(ml.working_dir), "catalog": ml.catalog_id, "default_schema": ml.default_schema}
    emit(facts if as_json else f"Catalog {ml.catalog_id} is ready in {ml.working_dir}.", as_json)


def make_project_home(folder: Path) -> Path:
    """Make ``folder/.deriva-ml`` with a ``.gitignore`` of its own that hides all of it from git.

    Example:
        >>> import tempfile
        >>> home = make_project_home(Path(tempfile.mkdtemp()))
        >>> (home / ".gitignore").read_text()
        '*\\n'
    """
    home = folder / OWN_NAME
    home.mkdir(exist_ok=True)
    (home / ".gitignore").write_text("*\n")
    return home
