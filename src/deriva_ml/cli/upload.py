"""``deriva-ml-upload`` and ``deriva-ml upload``: commit what earlier runs left staged, here or through sealed bags."""

from __future__ import annotations

import shlex
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from deriva_ml.cli.main import run
from deriva_ml.cli.options import HOME_HELP, emit, json_option, mode_option, open_catalog
from deriva_ml.enums import ConnectionMode
from deriva_ml.errors import DerivaMLException, DerivaMLOfflineError
from deriva_ml.execution.progress import showing
from deriva_ml.execution.report import UploadReport

if TYPE_CHECKING:
    from deriva_ml.ml import DerivaML

CLEAN, PARTIAL, FATAL, INTERRUPTED = 0, 1, 2, 130
"""Exit codes: all was committed; some execution was not; nothing could be begun; Ctrl-C."""


@click.command("upload")
@click.option("--host", metavar="HOST", help="A Deriva server. Default: the embedded catalog.")
@click.option("--catalog", metavar="ID", help="Catalog id. Default on a server: 1.")
@click.option(
    "--execution",
    "executions",
    metavar="RID",
    multiple=True,
    help="An execution (repeatable). Default: all that wait.",
)
@click.option("--clean", is_flag=True, help="Remove the folders of what was committed.")
@click.option("--working-dir", "--home", "working_dir", metavar="DIR", help=HOME_HELP)
@mode_option("Committing needs the catalog: online. Sealing does not: offline asks nobody.")
@click.option("--seal", is_flag=True, help="Commit nothing: write a sealed bag of each.")
@click.option("--to", metavar="FILE", help="The sealed bag to write, or a folder for several.")
@click.option("--bag", "bags", metavar="FILE", multiple=True, help="A sealed bag of another machine; can be repeated.")
@click.option("--quiet", is_flag=True, help="Show no progress.")
@json_option
def command(
    host: str | None,
    catalog: str | None,
    executions: tuple[str, ...],
    clean: bool,
    working_dir: str | None,
    mode: str,
    seal: bool,
    to: str | None,
    bags: tuple[str, ...],
    quiet: bool,
    as_json: bool,
) -> None:
    """Commit what earlier runs left staged: files, feature values, metrics.

    Exits with 0 when all was committed, 1 when some execution was not, 2 when nothing could be begun.
    """
    if (to and not seal) or (seal and bags) or (bags and executions):
        raise click.UsageError("--to goes with --seal; --bag goes with neither --seal nor --execution.")
    try:
        if seal:
            _seal(_for_sealing(working_dir, host, catalog, mode), executions, to, as_json)
            return
        if mode == ConnectionMode.offline:
            raise DerivaMLOfflineError("A commit writes to the catalog, so it cannot be made offline; --seal can.")
        ml = open_catalog(working_dir, host, catalog)
        with showing("quiet" if quiet or as_json else None):
            report = (
                _load(ml, bags, clean)
                if bags
                else ml.commit_pending_executions(execution_rids=executions or None, clean_folder=clean)
            )
    except DerivaMLException as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(FATAL)
    except KeyboardInterrupt:
        click.echo("Interrupted. Nothing staged is lost: the same command goes on where this stopped.", err=True)
        sys.exit(INTERRUPTED)
    emit(_document(report) if as_json else _text(report), as_json)
    for error_text in report.errors:
        click.echo(f"Error: {error_text}", err=True)
    unknown = bool(executions) and not any(ml.executions.store.get(rid) for rid in executions)
    sys.exit(FATAL if unknown else PARTIAL if report.errors else CLEAN)


def _for_sealing(home: str | None, host: str | None, catalog: str | None, mode: str) -> DerivaML:
    """Open the catalog, or where it does not answer what the workspace knows of it: sealing sends nothing."""
    try:
        return open_catalog(home, host, catalog, mode)
    except DerivaMLOfflineError as error:
        if mode == ConnectionMode.offline:
            raise
        click.echo(f"Sealing without the catalog: {error}", err=True)
        return open_catalog(home, host, catalog, ConnectionMode.offline)


def _seal(ml: DerivaML, executions: tuple[str, ...], to: str | None, as_json: bool) -> None:
    rids = executions or tuple(run.execution_rid for run in ml.pending_summary().per_execution)
    several = len(rids) > 1 or (to is not None and Path(to).is_dir())
    sealed = {}
    for rid in rids:
        target = None if to is None else Path(to) / f"execution-{rid}.zip" if several else Path(to)
        sealed[rid] = str(ml.resume_execution(rid).seal(target))
    lines = [
        f"Execution {rid} is sealed in {path}: `deriva-ml upload --bag {shlex.quote(path)}` loads it."
        for rid, path in sealed.items()
    ]
    emit(sealed if as_json else "\n".join(lines) or "Nothing is waiting to be committed.", as_json)


def _load(ml: DerivaML, bags: tuple[str, ...], clean: bool) -> UploadReport:
    """Load sealed bags; the failure of one does not keep the others back."""
    total = UploadReport()
    for bag in bags:
        try:
            total.add(ml.load_sealed_bag(bag, clean_folder=clean))
        except DerivaMLException as error:
            total.errors.append(str(error) if bag in str(error) else f"{bag}: {error}")
    return total


def _document(report: UploadReport) -> dict[str, object]:
    return {
        "execution_rids": report.execution_rids,
        "total_uploaded": report.total_uploaded,
        "total_failed": report.total_failed,
        "per_table": report.per_table,
        "errors": report.errors,
        "notes": report.notes,
        "items": [asdict(item) for item in report.items],
    }


def _text(report: UploadReport) -> str:
    if not report.execution_rids:
        if report.errors:
            return "Nothing was committed."
        return "Nothing is waiting to be committed."
    return str(replace(report, errors=[]))  # these go to the error stream


def main() -> None:
    """Run ``deriva-ml-upload``."""
    run(command, "deriva-ml-upload")


if __name__ == "__main__":
    main()
