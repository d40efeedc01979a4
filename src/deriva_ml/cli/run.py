"""``deriva-ml-run`` and ``deriva-ml run``: run a model function with its configurations, recorded."""

from __future__ import annotations

import os
import sys

import click

from deriva_ml.cli.main import run


def _complete(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """Complete an override; bash hands over what stands before and behind its ``=`` as words of their own."""
    from deriva_ml.errors import DerivaMLException
    from deriva_ml.launch.command import completions

    start = _begun([str(word) for word in context.params.get("overrides") or ()], incomplete)
    try:
        found = completions(context.params.get("config_dir"), start + incomplete)
    except DerivaMLException:  # where there is no project, there is nothing to offer
        return []
    return [text.removeprefix(start) for text in found]


def _begun(before: list[str], incomplete: str) -> str:
    """Return the ``key=`` that the words before the cursor end with, when the shell took it apart."""
    if len(before) > 1 and before[-1] == "=":
        return f"{before[-2]}="
    alone = before[-1:] if not incomplete and before[-2:-1] != ["="] else []
    return f"{alone[0]}=" if alone and "=" not in alone[0] else ""


@click.command("run", context_settings={"ignore_unknown_options": True, "help_option_names": ["-h", "--help"]})
@click.option("--host", metavar="HOST", help="A Deriva server (deriva_ml.hostname=).")
@click.option("--catalog", metavar="ID", help="Catalog id (deriva_ml.catalog_id=).")
@click.option("--config-dir", "-c", metavar="DIR", help="Folder of configurations. [default: configs, src/configs]")
@click.option(
    "--config-name", default="deriva_model", show_default=True, metavar="NAME", help="The root configuration."
)
@click.option("--list-configs", is_flag=True, help="List groups and their entries: the menu of overrides.")
@click.option("--multirun", "-m", is_flag=True, help="Run every combination of the values that are listed.")
@click.option("--continue", "continued", metavar="RID", help="Go on with a sweep; RID is that of its parent.")
@click.option(
    "--metric",
    "metrics",
    multiple=True,
    metavar="NAME",
    help="A metric for a sweep's table (repeatable); NAME:max or NAME:min marks the best job.",
)
@click.option("--allow-dirty", is_flag=True, help="Do not warn of uncommitted changes.")
@click.option("--json", "as_json", is_flag=True, help="With --list-configs: print JSON for programs.")
@click.argument("overrides", nargs=-1, type=click.UNPROCESSED, shell_complete=_complete)
def command(
    host: str | None,
    catalog: str | None,
    config_dir: str | None,
    config_name: str,
    list_configs: bool,
    multirun: bool,
    continued: str | None,
    metrics: tuple[str, ...],
    allow_dirty: bool,
    as_json: bool,
    overrides: tuple[str, ...],
) -> None:
    """Run a model function with its configurations, recorded.

    OVERRIDES are Hydra's: group=entry, group.key=value, +experiment=NAME, +multirun=NAME, dry_run=true|validate. Every
    other flag goes to Hydra: --cfg job shows the configuration, --hydra-help the rest.
    """
    from deriva_ml.launch.command import RunRequest, go_on, launch, list_menu

    if allow_dirty:
        os.environ["DERIVA_ML_ALLOW_DIRTY"] = "true"
    if list_configs:
        click.echo(list_menu(config_dir, as_json))
        return
    request = RunRequest(overrides, config_dir, config_name, multirun, host, catalog, metrics)
    sys.exit(0 if (launch(request) if continued is None else go_on(continued, request)) else 1)


def main() -> None:
    """Run ``deriva-ml-run``."""
    run(command, "deriva-ml-run")


if __name__ == "__main__":
    main()
