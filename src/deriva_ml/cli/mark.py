"""``deriva-ml mark``: settle the state of an execution by hand."""

from __future__ import annotations

import click

from deriva_ml.cli.options import catalog_options, emit, json_option, open_catalog


@click.command("mark")
@click.argument("rid")
@click.argument("state")
@click.option("--reason", required=True, metavar="TEXT", help="Why; it is kept with the execution.")
@catalog_options
@json_option
def command(
    rid: str, state: str, reason: str, home: str | None, host: str | None, catalog: str | None, as_json: bool
) -> None:
    """Bring execution RID to STATE: Stopped, Failed, Pending_Upload or Aborted.

    For runs of which nobody else can know: their machine is gone, or catalog and workspace contradict each other. Only
    steps that the life of an execution has are taken, and never one away from a living process.
    """
    was = open_catalog(home, host, catalog).mark_execution(rid, state, reason)
    facts = {"rid": rid, "was": str(was), "is": state, "reason": reason}
    emit(facts if as_json else f"{rid}: {was} -> {state} ({reason})", as_json)
