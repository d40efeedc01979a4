"""``deriva-ml check``: is everything whole that this machine keeps; with ``--repair`` it puts right what a machine can."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from deriva_ml.catalog.session import Catalog
from deriva_ml.check.assets import check_assets
from deriva_ml.check.findings import CheckReport, Weight
from deriva_ml.check.home import check_home, misplaced, session_to_repair, told_of_nothing
from deriva_ml.check.repair import Repair
from deriva_ml.check.repair import repair as repaired
from deriva_ml.cli.options import catalog_options, emit, json_option, open_catalog
from deriva_ml.errors import DerivaMLException
from deriva_ml.files import locked
from deriva_ml.settings import find_home, workspace_folder

if TYPE_CHECKING:
    from deriva_ml.ml import DerivaML

FATAL = int(Weight.FATAL)


@click.command("check")
@click.option(
    "--read-data",
    is_flag=True,
    help="Read every byte, staged, sealed, cached, or in the object store, and compare checksums.",
)
@click.option(
    "--repair", is_flag=True, help="Put right what a machine can. Nothing is deleted; live runs are left alone."
)
@click.option("--dry-run", is_flag=True, help="With --repair: only say what it would do.")
@catalog_options
@json_option
def command(
    read_data: bool, repair: bool, dry_run: bool, home: str | None, host: str | None, catalog: str | None, as_json: bool
) -> None:
    """Check the workspaces and the embedded catalog of this machine; without --repair nothing is changed.

    With --host also that every asset of that server's catalog has its file; with --read-data each file is brought and hashed.

    Exits with 0 when all is whole, 1 when all that is wrong can be repaired, 2 when something is fatal or cannot be
    checked; after --repair by what is left.
    """
    if dry_run and not repair:
        raise click.UsageError("--dry-run goes with --repair.")
    place = find_home(home)
    try:
        _refuse_wrong_place(place, home is not None)
        server = None if host is None else partial(open_catalog, home, host, catalog)
        report, repairs = _checked(place, server, read_data, repair and not dry_run)
    except (DerivaMLException, OSError) as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(FATAL)
    emit(_document(report, repairs) if as_json else _text(place, report, repairs, dry_run), as_json)
    sys.exit(report.exit_code)


def _refuse_wrong_place(place: Path, named: bool) -> None:
    if named and not place.exists():
        raise FileNotFoundError(f"There is no folder {place}.")
    meant = misplaced(place)
    if meant is not None:
        raise FileNotFoundError(
            f"{place} is not a home: name the folder that holds catalog and workspaces, --home {meant}."
        )


def _checked(
    place: Path, server: Callable[[], DerivaML] | None, read_data: bool, repair: bool
) -> tuple[CheckReport, list[Repair]]:
    """Check; repair, and check again. Two repairs of one home follow each other."""
    with locked(place / "repair.lock") if repair and place.is_dir() else nullcontext():
        report = check_home(place, read_data=read_data)
        session = server().session if server is not None else None
        repairs: list[Repair] = []
        if repair and report.remedies:
            logging.getLogger("deriva_ml").setLevel(logging.ERROR)  # each repair is told by a line of its own
            repairs = list(repaired(report.remedies, _sessions(place, session), read_data=read_data))
            report = check_home(place, read_data=read_data, fresh=False)
    if session is not None:
        report.add(check_assets(session, read_data=read_data))
    return report, repairs


def _sessions(place: Path, server: Catalog | None) -> Callable[[Path], Catalog]:
    def session(workspace: Path) -> Catalog:
        if server is not None and workspace == workspace_folder(place, server.host, server.catalog_id):
            return server
        return session_to_repair(place, workspace)

    return session


def _text(place: Path, report: CheckReport, repairs: Sequence[Repair], dry_run: bool) -> str:
    if not report.looked_at and not report.findings:
        return told_of_nothing(place)
    would = [f"{'would':10}  {one.where}: {one.remedy.does}" for one in report.findings if one.remedy and dry_run]
    return "\n".join([*would, *map(str, repairs), report.render()])


def _document(report: CheckReport, repairs: Sequence[Repair]) -> dict[str, object]:
    findings = [
        {
            "weight": one.weight.name.lower(),
            "kind": one.kind,
            "where": one.where,
            "text": one.text,
            "advice": one.advice,
            "repair": one.remedy.does if one.remedy else None,
        }
        for one in report.findings
    ]
    return {
        "exit_code": report.exit_code,
        "looked_at": dict(report.looked_at),
        "findings": findings,
        "repairs": [asdict(one) for one in repairs],
    }
