"""``deriva-ml serve``: let other processes and Deriva tools reach the embedded catalog."""

from __future__ import annotations

from pathlib import Path

import click

from deriva_ml.cli.main import run


@click.command("serve")
@click.option("--store", metavar="DIR", help="The store to serve. Default: the one that DerivaML() opens.")
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="The port; 0, the default, takes a free one.")
@click.option("--tls", is_flag=True, help="HTTPS, with a certificate that the store makes for itself.")
@click.option("--open", "open_access", is_flag=True, help="Every caller on this machine is the owner, without a token.")
def command(store: str | None, host: str, port: int, tls: bool, open_access: bool) -> None:
    """Serve the embedded catalog on loopback HTTP or HTTPS until Ctrl-C.

    Prints the address once it answers. Callers send the word in the store's token file as a bearer token.
    """
    from deriva_local.service.serve import Place, serve

    folder = Path(store) if store else _default_store()

    def ready(url: str) -> None:
        click.echo(url)
        if tls:
            click.echo(
                f"Certificate: {folder / 'certificate.pem'} (for clients that insist on one they trust)", err=True
            )
        click.echo("Open to every process on this machine." if open_access else f"Token: {folder / 'token'}", err=True)

    serve(folder, Place(host, port, tls), open_access=open_access, ready=ready)


def _default_store() -> Path:
    from deriva_ml.settings import find_home, store_folder

    return store_folder(find_home())


if __name__ == "__main__":
    run(command, "deriva-ml serve")
