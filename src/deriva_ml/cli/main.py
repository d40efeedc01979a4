"""The command ``deriva-ml``: finds the verb, runs it, and turns every failure into one sentence.

Verbs are loaded when they are used, so that ``deriva-ml --version`` costs no more than click itself.
"""

from __future__ import annotations

import importlib
import logging
import os
import sys
import traceback
import warnings
from difflib import get_close_matches
from typing import Any

import click

_PYTHONS_OWN = warnings.showwarning

COMMANDS: dict[str, tuple[str, str]] = {
    "bump-version": ("deriva_ml.cli.bump_version", "Tag the next version of the project here, and push it."),
    "check": ("deriva_ml.cli.check", "Check that everything is whole that this machine keeps."),
    "demo": ("deriva_ml.cli.demo", "Record three runs on handwritten digits, and trace a result."),
    "get": ("deriva_ml.cli.get", "Download an asset or a dataset version."),
    "init": ("deriva_ml.cli.init", "Make a place for a catalog, of this project with --here."),
    "install-kernel": ("deriva_ml.cli.install_kernel", "Give this environment a Jupyter kernel."),
    "lineage": ("deriva_ml.cli.lineage", "Walk from a result back to the raw data."),
    "mark": ("deriva_ml.cli.mark", "Settle the state of an execution by hand."),
    "resume": ("deriva_ml.cli.resume", "Settle a dead run, and say what it left."),
    "run": ("deriva_ml.cli.run", "Run a model function with its configurations, recorded."),
    "run-notebook": ("deriva_ml.cli.run_notebook", "Run a notebook, recorded."),
    "serve": ("deriva_ml.cli.serve", "Serve the embedded catalog on loopback HTTP or HTTPS."),
    "show": ("deriva_ml.cli.show", "Say what a RID is."),
    "status": ("deriva_ml.cli.status", "List the newest executions."),
    "upload": ("deriva_ml.cli.upload", "Commit what earlier runs left staged."),
}


class Verbs(click.Group):
    """A group whose commands are modules: listed from the table, imported when called."""

    def list_commands(self, context: click.Context) -> list[str]:
        return sorted(COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(COMMANDS[name][0]).command
        return command

    def resolve_command(
        self, context: click.Context, arguments: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = arguments[0]
        if name not in COMMANDS and not name.startswith("-") and not context.resilient_parsing:
            near = get_close_matches(name, COMMANDS, n=2)
            hint = f" Did you mean {' or '.join(near)}?" if near else ""
            context.fail(f"No such command {name!r}.{hint}")
        return super().resolve_command(context, arguments)

    def format_help(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """Write a line for each command, so that all of them fit a screen."""
        formatter.write("Usage: deriva-ml COMMAND [ARGS]... (--help of a command tells more; --version)\n\n")
        formatter.write(f"{self.help}\n\n")
        width = max(len(name) for name in COMMANDS)
        formatter.write("".join(f"  {name:{width}}  {COMMANDS[name][1]}\n" for name in self.list_commands(context)))


def _show_version(context: click.Context, _parameter: click.Parameter, wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        click.echo(f"deriva-ml {version('deriva-ml')}")
        context.exit()


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_show_version, help="Print the version."
)
def group() -> None:
    """Provenance for scientists: which code, data and settings made this result."""


def run(command: click.Command, name: str) -> None:
    """Run ``command`` as a program: a failure is one sentence on stderr and exit code 1 (2 for wrong usage).

    This is a door: the only place of the command line that catches everything. ``DERIVA_ML_DEBUG=1`` shows the
    traceback.
    """
    warnings.showwarning = _show_warning
    logging.getLogger("urllib3").setLevel(logging.ERROR)  # a retry is no news: the sentence below says how it ended
    try:
        command.main(prog_name=name, standalone_mode=True)
    except Exception as error:  # noqa: BLE001 - the door: whatever it is, the user gets a sentence
        if os.environ.get("DERIVA_ML_DEBUG"):
            traceback.print_exc()
        click.echo(_sentence(error), err=True)
        sys.exit(1)


def _show_warning(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
    """Say a warning of ours as a sentence: a place in the launcher's code tells nobody anything."""
    if category.__module__.startswith("deriva_ml."):
        click.echo(f"Warning: {message}", err=True)
    else:
        _PYTHONS_OWN(message, category, *place, **more)


def _sentence(error: Exception) -> str:
    from deriva_ml.errors import DerivaMLException

    if isinstance(error, DerivaMLException | OSError):
        return f"Error: {error}"
    return f"Unexpected error, please report it: {type(error).__name__}: {error}\n(DERIVA_ML_DEBUG=1 shows where.)"


def main() -> None:
    """Run the umbrella command."""
    run(group, "deriva-ml")


if __name__ == "__main__":
    main()
