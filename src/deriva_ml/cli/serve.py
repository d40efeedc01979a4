"""``deriva-ml serve``: let other processes and Deriva tools reach the embedded catalog."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from deriva_ml.cli.main import run

REGISTRY = "registry.sqlite"
STORE_HELP = "The store, or its home. Default: that of DerivaML()."
MIB = 1024 * 1024

SUBCOMMANDS: dict[str, tuple[str, str]] = {
    "backup": ("deriva_ml.cli.serve_upkeep", "backup"),
    "check": ("deriva_ml.cli.serve_upkeep", "check"),
    "restore": ("deriva_ml.cli.serve_upkeep", "restore"),
    "token": ("deriva_ml.cli.serve_users", "token"),
    "user": ("deriva_ml.cli.serve_users", "user"),
    "vacuum": ("deriva_ml.cli.serve_upkeep", "vacuum"),
}


class Service(click.Group):
    """Serves by itself; its subcommands look after the store, and are imported when called."""

    def invoke(self, context: click.Context) -> Any:
        from deriva_local.wire.errors import Refusal

        try:
            return super().invoke(context)
        except Refusal as refusal:  # what would be an answer over HTTP: others are writing, the disk is full
            raise click.ClickException(refusal.detail) from refusal

    def list_commands(self, context: click.Context) -> list[str]:
        return sorted(SUBCOMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in SUBCOMMANDS:
            return None
        import importlib

        module, attribute = SUBCOMMANDS[name]
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command


@click.group("serve", cls=Service, invoke_without_command=True, subcommand_metavar="[COMMAND]")
@click.option("--store", metavar="DIR", help=STORE_HELP)
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="The port; 0 takes a free one.")
@click.option("--tls", is_flag=True, help="HTTPS, with a certificate of the store's own.")
@click.option("--certificate", type=click.Path(path_type=Path), help="HTTPS with this PEM file (with its key).")
@click.option("--name", "names", multiple=True, help="Another name by which clients call this server.")
@click.option("--behind-proxy", is_flag=True, help="Only a proxy reaches it, which does HTTPS.")
@click.option("--static", "folders", multiple=True, metavar="PREFIX=FOLDER", help="Show the files of a folder as well.")
@click.option(
    "--body-limit", type=click.IntRange(1), default=256, metavar="MIB", help="Longest rows or document to take in."
)
@click.option("--open", "open_access", is_flag=True, help="No token: every caller here is the owner.")
@click.pass_context
def command(context: click.Context, /, store: str | None, **options: Any) -> None:
    """Serve the embedded catalog on loopback HTTP or HTTPS until Ctrl-C.

    Prints the address once it answers. Callers send the word in the store's token file as a bearer token, or log in
    as one of its users.
    """
    context.obj = store
    if context.invoked_subcommand is None:
        if store is None:
            _make_own_catalog()
        _serve(store_folder(context), **options)


def _make_own_catalog() -> None:
    """Make the catalog that ``DerivaML()`` opens, if it was never opened: callers expect to find it."""
    from deriva_ml.catalog.embedded import open_or_create
    from deriva_ml.settings import find_home

    port, _ = open_or_create(find_home())
    port.close()


def _serve(
    folder: Path,
    host: str,
    port: int,
    tls: bool,
    certificate: Path | None,
    names: tuple[str, ...],
    behind_proxy: bool,
    folders: tuple[str, ...],
    body_limit: int,
    open_access: bool,
) -> None:
    from deriva_local.service.serve import Place, serve
    from deriva_local.service.static import Folder

    place = Place(host, port, tls or certificate is not None, certificate, names, behind_proxy)

    def ready(url: str) -> None:
        click.echo(url)
        if tls and not certificate:
            click.echo(
                f"Certificate: {folder / 'certificate.pem'} (for clients that insist on one they trust)", err=True
            )
        click.echo("Open to every process on this machine." if open_access else f"Token: {folder / 'token'}", err=True)

    shown = [Folder.of(text) for text in folders]
    serve(folder, place, open_access=open_access, folders=shown, body_limit=body_limit * MIB, ready=ready)


def store_folder(context: click.Context, store: str | None = None) -> Path:
    """Return the store that a command is about: its own ``--store``, that of ``serve``, or the library's.

    Who names a home means the store in it: a second, empty one beside it would help nobody.
    """
    from deriva_ml.settings import find_home, store_folder

    named = store or context.find_object(str)
    if not named:
        return store_folder(find_home())
    inside = store_folder(Path(named))
    return inside if (inside / REGISTRY).exists() and not (Path(named) / REGISTRY).exists() else Path(named)


if __name__ == "__main__":
    run(command, "deriva-ml serve")
