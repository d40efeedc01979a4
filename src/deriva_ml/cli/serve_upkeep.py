"""``deriva-ml serve check``, ``backup``, ``restore`` and ``vacuum``: looking after a store, also while it is served."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from deriva_local.service.backup import Copied, copy_store
from deriva_local.service.check import Report, refuse_strange
from deriva_local.service.check import check as check_store
from deriva_local.service.vacuum import vacuum as vacuum_store
from deriva_ml.cli.options import emit, json_option
from deriva_ml.cli.serve import STORE_HELP, store_folder

store_option = click.option("--store", metavar="DIR", help=STORE_HELP)


@click.command("check")
@json_option
@store_option
@click.pass_context
def check(context: click.Context, as_json: bool, store: str | None) -> None:
    """Verify databases, rules and checksums. Says what is wrong; the exit code is 1 if anything is."""
    folder = store_folder(context, store)
    report = check_store(folder)
    if as_json:
        emit({**_counts(report), "problems": list(report.problems), "notes": list(report.notes)}, True)
    else:
        for problem in report.problems:
            click.echo(f"Problem: {problem}", err=True)
        for note in report.notes:
            click.echo(f"Note: {note}", err=True)
        looked = ", ".join(f"{number} {what}" for what, number in _counts(report).items())
        verdict = f"{len(report.problems)} problems in" if report.problems else "Nothing is wrong with"
        click.echo(f"{verdict} {folder} ({looked}).")
    sys.exit(1 if report.problems else 0)


def _counts(report: Report) -> dict[str, int]:
    return {"databases": report.databases, "tables": report.tables, "contents": report.contents}


@click.command("backup")
@click.argument("target", type=click.Path(path_type=Path))
@click.option(
    "--since", type=click.Path(path_type=Path), metavar="BACKUP", help="Share the contents that this backup has."
)
@store_option
@click.pass_context
def backup(context: click.Context, target: Path, since: Path | None, store: str | None) -> None:
    """Copy the store to the folder TARGET, while it is used. The copy is a store as well.

    With --since, contents that an earlier backup on the same disk has take no further space: each backup is whole
    all the same, and any of them may be removed.
    """
    folder = store_folder(context, store)
    _tell(copy_store(folder, target, since), f"{folder} is copied to {target}")


@click.command("restore")
@click.argument("backup", type=click.Path(path_type=Path))
@store_option
@click.pass_context
def restore(context: click.Context, backup: Path, store: str | None) -> None:
    """Make a store of the copy in the folder BACKUP, where none is yet; the copy stays."""
    folder = store_folder(context, store)
    _tell(copy_store(backup, folder), f"{folder} is restored from {backup}")


def _tell(copied: Copied, done: str) -> None:
    """Say what was copied; contents that were damaged before make the exit code 1."""
    for problem in copied.problems:
        click.echo(f"Problem: {problem}", err=True)
    shared = f", {copied.shared} of them shared with the earlier backup" if copied.shared else ""
    click.echo(f"{done}: {copied.catalogs} catalogs, {copied.contents} contents{shared} ({copied.bytes:,} bytes).")
    sys.exit(1 if copied.problems else 0)


@click.command("vacuum")
@store_option
@click.pass_context
def vacuum(context: click.Context, store: str | None) -> None:
    """Give the space of deleted rows back to the disk. Writers wait meanwhile."""
    folder = store_folder(context, store)
    refuse_strange(folder)
    click.echo(f"{vacuum_store(folder):,} bytes are free again.")
