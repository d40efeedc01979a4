"""``bump-version`` and ``deriva-ml bump-version``: tag the next version, and push it."""

from __future__ import annotations

from pathlib import Path

import click

from deriva_ml.cli.main import run


@click.command("bump-version")
@click.argument("part", type=click.Choice(["patch", "minor", "major"]), default="patch")
@click.option("--dry-run", is_flag=True, help="Say what would be done; do nothing but fetch tags.")
@click.option("--prefix", envvar="PREFIX", default="v", show_default=True, help="What tags begin with (or set PREFIX).")
@click.option("--start", envvar="START", default="0.1.0", show_default=True, help="The first version (or set START).")
def command(part: str, dry_run: bool, prefix: str, start: str) -> None:
    """Tag the next version of the project here and push it: fetch tags, bump PART, tag, push."""
    from deriva_ml.launch import version_bump

    here = Path.cwd()
    bump = version_bump.plan(here, part, prefix=prefix, start=start)
    if dry_run:
        for step in bump.steps:
            click.echo(f"would run: git {' '.join(step)}")
    else:
        version_bump.perform(here, bump)
    here_only = "" if any(step[0] == "push" for step in bump.steps) else " (there is no remote to push it to)"
    click.echo(f"{bump.before or 'no version'} -> {bump.after}{here_only}")


def main() -> None:
    """Run ``bump-version``."""
    run(command, "bump-version")


if __name__ == "__main__":
    main()
