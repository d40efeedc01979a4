"""``deriva-ml check``: is everything whole that this machine keeps."""

from __future__ import annotations

import sys
from dataclasses import asdict

import click

from deriva_ml.check.assets import check_assets
from deriva_ml.check.findings import CheckReport
from deriva_ml.check.workspace import check_home
from deriva_ml.cli.options import catalog_options, emit, json_option, open_catalog
from deriva_ml.settings import find_home


@click.command("check")
@click.option(
    "--read-data",
    is_flag=True,
    help="Read every byte, staged, sealed, cached, or in the object store, and compare checksums.",
)
@catalog_options
@json_option
def command(read_data: bool, home: str | None, host: str | None, catalog: str | None, as_json: bool) -> None:
    """Check the workspaces and the embedded catalog of this machine; change nothing.

    With --host also that every asset of that server's catalog has its file; with --read-data each file is brought and hashed.

    Exits with 0 when all is whole, 1 when all that is wrong can be repaired, 2 when something is fatal.
    """
    report = check_home(find_home(home), read_data=read_data)
    if host is not None:
        report.add(check_assets(open_catalog(home, host, catalog).session, read_data=read_data))
    emit(_document(report) if as_json else report.render(), as_json)
    sys.exit(report.exit_code)


def _document(report: CheckReport) -> dict[str, object]:
    findings = [{**asdict(finding), "weight": finding.weight.name.lower()} for finding in report.findings]
    return {"exit_code": report.exit_code, "looked_at": dict(report.looked_at), "findings": findings}
