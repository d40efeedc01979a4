"""Staged files that were written again after a commit had sealed them: the commit that follows takes them as they are now.

What the catalog has already stays there, as it was an output of the run; the new content is then a second one. A linked file
is the user's own, and was read when it was sealed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from deriva_ml.catalog.rows import select
from deriva_ml.enums import AssetRole
from deriva_ml.errors import DerivaMLBusyError
from deriva_ml.execution import liveness
from deriva_ml.execution.manifest import Entry, EntryState, Mode
from deriva_ml.execution.plan import groups
from deriva_ml.execution.run import Run
from deriva_ml.execution.staging import is_another, stamp
from deriva_ml.files import sha256_of
from deriva_ml.names import TableName

_WRITTEN = (Mode.NEW, Mode.COPY)
"""Files of which the user has the staged path."""


def take_again(run: Run) -> list[str]:
    """Let what was written again be sealed again, or be an output of its own; return what is to be said of it."""
    changed = [entry for entry in run.staged.sealed_from_staged() if was_rewritten(run, entry)]
    if not changed:
        return []
    there = in_catalog(run, changed)
    open_again = [_open(entry) for entry in changed if entry.key not in there]
    kept = _placed(run, [entry for entry in changed if entry.key in there])
    model = run.session.model()
    with run.staged.writing() as connection:
        for entry in open_again:
            run.staged.write(connection, entry)
        for entry in kept:
            run.staged.write(connection, replace(entry, source_stamp=None))
            place = run.staging.fresh(model.find_asset_table(TableName(entry.schema, entry.table)), entry.file_name)
            run.staged.write(connection, replace(_open(entry), key=place.key))
    run.staging.write_manifest()
    return [f"{entry.label} was written again after it was sent: both are outputs" for entry in kept]


def was_rewritten(run: Run, entry: Entry) -> bool:
    """Return whether the staged file of an entry was written again since a commit has sealed it."""
    if entry.state is EntryState.PENDING or entry.mode not in _WRITTEN or entry.source_stamp is None:
        return False
    return entry.staged != entry.sealed and is_rewritten(run.folder / entry.staged, entry.source_stamp, entry.sha256)


def entry_now(run: Run, path: Any) -> Entry | None:
    """Return the file that a path names as it is now: one that was written again since it was sent is another one."""
    entry = run.staging.find(path)
    if entry is None or not was_rewritten(run, entry):
        return entry
    with suppress(DerivaMLBusyError), liveness.holding(run.lock_file("commit"), "A file that was written again waits"):
        take_again(run)  # unless a commit is going on: the value is about what that has sealed
    return run.staging.find(path)


def is_rewritten(path: Path, sealed: str | None, sha256: str | None) -> bool:
    """Return whether a staged file holds something else than when it was sealed, with that stamp and checksum; a touch is no writing."""
    return path.is_file() and is_another(sealed or "", stamp(path)) and sha256_of(path) != sha256


def in_catalog(run: Run, entries: Sequence[Entry]) -> set[str]:
    """Return the keys of those entries that the catalog has as outputs of this run, or may have while it cannot be asked."""
    there = {entry.key for entry in entries if entry.state is EntryState.UPLOADED}
    sent = [entry for entry in entries if entry.state is EntryState.SEALED and entry.rid]
    if run.session.offline:
        return there | {entry.key for entry in sent}
    return there | linked(run, sent, AssetRole.output) | _written(run, sent)


def linked(run: Run, entries: Sequence[Entry], *roles: str) -> set[str]:
    """Return the keys of those entries that the catalog links to this run, in one of these roles, or in any."""
    there = set[str]()
    for group in groups(run, _placed(run, entries)):
        column = group.link_column(group.roles)
        where = {column: list(group.assets), "Execution": run.rid, **({"Asset_Role": list(roles)} if roles else {})}
        found = _those(run, group.roles.name, column, where)
        there |= {entry.key for entry in group.entries if entry.rid in found}
    return there


def _written(run: Run, entries: Sequence[Entry]) -> set[str]:
    """Return the keys of those entries whose own rows the catalog has."""
    there = set[str]()
    for group in groups(run, _placed(run, entries)):
        found = _those(run, group.table.name, "RID", {"RID": list(group.new)})
        there |= {entry.key for entry in group.entries if entry.rid in found}
    return there


def _placed(run: Run, entries: Sequence[Entry]) -> list[Entry]:
    """Return those entries whose tables the catalog has: one that is gone has taken its assets with it."""
    model = run.session.model()
    return [entry for entry in entries if model.table(TableName(entry.schema, entry.table)) is not None]


def _those(run: Run, table: TableName, column: str, where: Mapping[str, Any]) -> set[str]:
    return {row[column] for row in select(run.session, table, where, columns=[column])}


def _open(entry: Entry) -> Entry:
    return replace(
        entry, state=EntryState.PENDING, source_stamp=None, sealed=None, md5=None, sha256=None, length=None, rid=None,
        url=None, reused=False, uploaded_at=None,
    )  # fmt: skip
