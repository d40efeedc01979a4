"""``deriva-ml check``: is everything whole that this machine keeps."""

from __future__ import annotations

import sys
from dataclasses import asdict

import click

from deriva_ml.check.findings import CheckReport
from deriva_ml.check.workspace import check_home
from deriva_ml.cli.options import HOME_HELP, emit, json_option
from deriva_ml.settings import find_home


@click.command("check")
@click.option("--read-data", is_flag=True, help="Read every staged, sealed and cached byte, and compare checksums.")
@click.option("--home", metavar="DIR", help=HOME_HELP)
@json_option
def command(read_data: bool, home: str | None, as_json: bool) -> None:
    """Check the workspaces and the embedded catalog of this machine; change nothing.

    Exits with 0 when all is whole, 1 when all that is wrong can be repaired, 2 when something is fatal.
    """
    report = check_home(find_home(home), read_data=read_data)
    emit(_document(report) if as_json else report.render(), as_json)
    sys.exit(report.exit_code)


def _document(report: CheckReport) -> dict[str, object]:
    findings = [{**asdict(finding), "weight": finding.weight.name.lower()} for finding in report.findings]
    return {"exit_code": report.exit_code, "looked_at": dict(report.looked_at), "findings": findings}
