"""``deriva-ml-run-notebook`` and ``deriva-ml run-notebook``: run a notebook, recorded."""

from __future__ import annotations

import atexit
import gc
import importlib
import os
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import zip_longest
from pathlib import Path
from typing import Any

import click

from deriva_ml.cli.main import run

INFO = ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath")
CFG = ("job", "hydra", "all")


class _Command(click.Command):
    """Lets ``--cfg`` and ``--info`` stand before the notebook or an override, which is not their mode then."""

    def parse_args(self, context: click.Context, arguments: list[str]) -> list[str]:
        modes = {"--cfg": "job", "--info": "all"}
        read = [
            f"{text}={modes[text]}" if text in modes and (after.endswith(".ipynb") or "=" in after) else text
            for text, after in zip_longest(arguments, arguments[1:], fillvalue="")
        ]
        return super().parse_args(context, read)


@click.command("run-notebook", cls=_Command, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--host", metavar="HOST", help="A Deriva server (deriva_ml.hostname=).")
@click.option("--catalog", metavar="ID", help="Catalog id (deriva_ml.catalog_id=).")
@click.option("--file", "-f", type=click.Path(path_type=Path), metavar="FILE", help="JSON or YAML file of parameters.")
@click.option(
    "--parameter", "-p", "pairs", nargs=2, multiple=True, metavar="KEY VALUE", help="A parameter; repeatable."
)
@click.option(
    "--kernel", "-k", metavar="NAME", help="The Jupyter kernel. Default: the notebook's, else this environment's."
)
@click.option("--inspect", is_flag=True, help="Show the notebook's parameters and exit.")
@click.option("--list-configs", is_flag=True, help="List groups and their entries: the menu of overrides.")
@click.option(
    "--info", type=click.Choice(INFO), is_flag=False, flag_value="all", help="Show how the configuration comes about."
)
@click.option("--cfg", type=click.Choice(CFG), is_flag=False, flag_value="job", help="Show the composed configuration.")
@click.option("--log-output", is_flag=True, help="Print what the cells print.")
@click.option("--allow-dirty", is_flag=True, help="Do not warn of uncommitted changes.")
@click.argument("notebook", type=click.Path(path_type=Path))
@click.argument("overrides", nargs=-1)
def command(
    notebook: Path,
    overrides: tuple[str, ...],
    inspect: bool,
    list_configs: bool,
    info: str | None,
    cfg: str | None,
    allow_dirty: bool,
    **how: Any,
) -> None:
    """Run a notebook, recorded: the executed notebook, a rendering to read and the log are kept.

    OVERRIDES are Hydra's, for the configuration that `run_notebook` composes in the first cell.
    """
    if allow_dirty:
        os.environ["DERIVA_ML_ALLOW_DIRTY"] = "true"
    if list_configs or info or cfg:
        from deriva_ml.launch.catalog_overrides import catalog_overrides
        from deriva_ml.launch.notebook_look import notebook_menu, show_config

        if list_configs:
            click.echo(notebook_menu(notebook))
        else:
            chosen = [*overrides, *catalog_overrides(how["host"], how["catalog"])]
            show_config(notebook, chosen, ["--info", info] if info else ["--cfg", str(cfg)])
    elif inspect:
        from deriva_ml.launch.kernel import kernel_for, language_of
        from deriva_ml.launch.notebook_cells import parameters_of

        name = kernel_for(notebook, how["kernel"])
        click.echo(parameters_of(notebook.absolute(), name, language_of(name)))
    else:
        _run(notebook, overrides, **how)


def _run(
    notebook: Path,
    overrides: tuple[str, ...],
    host: str | None,
    catalog: str | None,
    file: Path | None,
    pairs: tuple[tuple[str, str], ...],
    kernel: str | None,
    log_output: bool,
) -> None:
    """Run the notebook. What can be done at the same time is: the kernel starts while papermill is loaded and the code is
    looked at, and the rooms that commit are opened while the notebook runs.
    """
    from deriva_ml.errors import DerivaMLConfigurationError, DerivaMLExecutionError
    from deriva_ml.launch.catalog_overrides import catalog_overrides
    from deriva_ml.launch.notebook_parameters import check_names, read_file
    from deriva_ml.launch.notebook_runner import Execute, NotebookRequest, reported, run_recorded
    from deriva_ml.launch.notebook_told import code_of, warning_of

    for text in overrides:
        if "=" not in text and not text.startswith("~"):
            raise DerivaMLConfigurationError(
                f"{text!r} is no override: overrides are written key=value. --list-configs shows the menu."
            )
    given = read_file(file)
    check_names([*given, *(name for name, _ in pairs)])
    chosen = (*overrides, *catalog_overrides(host, catalog))
    request = NotebookRequest(notebook, given, pairs, chosen, kernel, host, catalog, log_output)
    with ThreadPoolExecutor(1) as pool:
        code = pool.submit(code_of, notebook)
        keeping: list[Future[Any]] = []

        def execute() -> Execute:
            """Load papermill, then begin to load what commits; the code is known by then."""
            if warning := warning_of(notebook, code.result()):
                click.echo(f"Warning: {warning}", err=True)
            from deriva_ml.launch import notebook_cells

            keeping.append(pool.submit(importlib.import_module, "deriva_ml.launch.notebook_keeping"))
            return notebook_cells.execute

        outcome = run_recorded(request, code.result, execute, lambda: keeping[0].result().keep)
    try:
        click.echo(reported(outcome, notebook.name))
    except DerivaMLExecutionError as error:
        if outcome.ending.stopped_by is None:
            raise
        click.echo(f"Error: {error}", err=True)
        sys.exit(128 + outcome.ending.stopped_by)


def main() -> None:
    """Run ``deriva-ml-run-notebook``."""
    atexit.register(
        gc.freeze
    )  # the process ends: a last look for garbage among all that is loaded takes a tenth of a second
    run(command, "deriva-ml-run-notebook")


if __name__ == "__main__":
    main()
