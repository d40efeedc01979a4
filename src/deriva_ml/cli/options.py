"""What the commands share: the options that choose a catalog, and how results are printed."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from deriva_ml.enums import ConnectionMode

if TYPE_CHECKING:
    from deriva_ml.ml import DerivaML

F = TypeVar("F", bound=Callable[..., Any])

HOME_HELP = "Folder that holds catalog and workspace. Default: DERIVA_ML_HOME, the nearest .deriva-ml, ~/.deriva-ml."


def catalog_options(function: F) -> F:
    """Give a command the options ``--home``, ``--host`` and ``--catalog``."""
    for option in (
        click.option("--catalog", metavar="ID", help="Catalog id. Default: the embedded catalog, or 1 on a server."),
        click.option("--host", metavar="HOST", help="A Deriva server. Default: the embedded catalog."),
        click.option("--home", metavar="DIR", help=HOME_HELP),
    ):
        function = option(function)
    return function


def mode_option(help_text: str) -> Callable[[F], F]:
    """Give a command the option ``--mode``."""
    modes = click.Choice(list(ConnectionMode))
    return click.option("--mode", type=modes, default=ConnectionMode.online, show_default=True, help=help_text)


def json_option(function: F) -> F:
    """Give a command the option ``--json``."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")(function)


def open_catalog(
    home: str | None = None,
    host: str | None = None,
    catalog: str | None = None,
    mode: str = ConnectionMode.online,
) -> DerivaML:
    """Open the catalog that the options name.

    Raises:
        DerivaMLConfigurationError: the folder cannot be used, or the host is not there.
    """
    from deriva_ml.ml import DerivaML

    if host is None:
        return DerivaML(None, catalog, working_dir=home, mode=mode)
    return DerivaML(host, catalog or "1", working_dir=home, mode=mode)


def emit(value: Any, as_json: bool) -> None:
    """Print ``value`` as indented JSON, or as the text that it is."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False, default=str) if as_json else str(value))
