"""``deriva-ml resume``: settle a dead run, and say what it left."""

from __future__ import annotations

import click

from deriva_ml.cli.options import catalog_options, emit, json_option, open_catalog
from deriva_ml.execution.progress import showing


@click.command("resume")
@click.argument("rid")
@click.option("--commit", is_flag=True, help="Commit what it left, too.")
@catalog_options
@json_option
def command(rid: str, commit: bool, home: str | None, host: str | None, catalog: str | None, as_json: bool) -> None:
    """Find execution RID again: catalog and workspace agree afterwards, and a dead run is Pending_Upload.

    Where the workspace has lost its record, it is rebuilt from the manifest in the execution's folder.
    """
    exe = open_catalog(home, host, catalog).resume_execution(rid)
    rid = exe.execution_rid  # begun offline, it has one now
    with showing("quiet" if as_json else None):
        committed = exe.commit_output_assets().total_uploaded if commit else None
    pending = exe.pending_summary()
    if as_json:
        files, rows = pending.total_pending_files, pending.total_pending_rows
        emit({"rid": rid, "status": str(exe.status), "committed": committed, "files": files, "rows": rows}, as_json)
        return
    lines = [f"{rid} is {exe.status}."]
    if committed is not None:
        lines.append(f"{committed} rows committed.")
    elif pending.has_pending:
        lines += [pending.render(), f"`deriva-ml upload --execution {rid}` commits them."]
    emit("\n".join(lines), as_json)
