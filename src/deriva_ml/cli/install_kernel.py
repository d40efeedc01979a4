"""``deriva-ml-install-kernel`` and ``deriva-ml install-kernel``: a Jupyter kernel of this environment."""

from __future__ import annotations

import click

from deriva_ml.cli.main import run


@click.command("install-kernel")
@click.option("--install-local", is_flag=True, help="Install into this environment, not for the user.")
@click.option("--name", metavar="NAME", help="Default: the name of the project here, else of the environment.")
def command(install_local: bool, name: str | None) -> None:
    """Give this environment a Jupyter kernel, named after the project."""
    from deriva_ml.launch.kernel import install_kernel

    kernel, folder = install_kernel(local=install_local, name=name)
    click.echo(f"Kernel {kernel} in {folder}")


def main() -> None:
    """Run ``deriva-ml-install-kernel``."""
    run(command, "deriva-ml-install-kernel")


if __name__ == "__main__":
    main()
