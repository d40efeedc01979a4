"""Examining a whole workspace: the store, every execution's folder, what is kept beside them; nothing is changed.

A workspace is healthy when nothing acknowledged is lost and everything can go on; a run that is alive, waits for a commit
or failed is healthy. Without ``read_data`` names, sizes and rows are compared; with it every byte is read.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import apsw

from deriva_ml.catalog.session import Catalog
from deriva_ml.check.agreement import asset_problems, execution_problems
from deriva_ml.check.database import RESTORE, file_problems, is_empty, schema_problems
from deriva_ml.check.entries import OPEN, Folder
from deriva_ml.check.findings import CheckReport, Finding, counted, fatal, note, repairable, unreadable
from deriva_ml.check.folders import folder_problems
from deriva_ml.check.kept import (
    cache_problems,
    lock_problems,
    schema_cache_problems,
    sealed_bag_problems,
    set_aside_notes,
)
from deriva_ml.check.remedies import rebuild, settle
from deriva_ml.check.rules import row_problems
from deriva_ml.clock import pause
from deriva_ml.db import looking
from deriva_ml.environment.host import is_here, may_live
from deriva_ml.errors import DerivaMLException, DerivaMLIntegrityError
from deriva_ml.execution import liveness, manifest
from deriva_ml.execution.folders import FORGOTTEN
from deriva_ml.execution.run import lock_file
from deriva_ml.execution.staged import Staged
from deriva_ml.execution.staging import MANIFEST
from deriva_ml.execution.states import ExecutionStatus
from deriva_ml.execution.store import SCHEMA_STEPS, STORE, ExecutionStore, Registered
from deriva_ml.rid import is_local, is_rid

S = ExecutionStatus
_DESCRIBES = re.compile(r"\.?(configuration\.json|uv\.lock|hydra-.+\.yaml|environment_snapshot_.+\.txt)(\..+\.tmp)?")
MOMENT = 0.05
LOOKS = 3
"""How often an execution that changes meanwhile is looked at before what was found counts."""


def check_workspace(
    workspace: Path,
    cache: Path,
    session: Catalog | None = None,
    *,
    read_data: bool = False,
    without_store: bool = False,
) -> CheckReport:
    """Examine the workspace in a folder, and its cache; ``session`` is its embedded catalog, if that can be asked.

    ``without_store`` leaves the store alone, because opening it would hide what is wrong with it.
    """
    report = CheckReport()
    report.looked_at["workspaces"] += 1
    try:
        _check(workspace, cache, session, report, read_data, without_store)
    except OSError as error:
        report.take([unreadable(workspace, error)])
    return report


def _check(
    workspace: Path, cache: Path, session: Catalog | None, report: CheckReport, read_data: bool, without_store: bool
) -> None:
    if not os.access(workspace, os.W_OK):
        report.take([note("read-only", workspace, "it cannot be written: no run can be recorded here")])
    report.take(lock_problems(workspace))
    report.take(schema_cache_problems(workspace))
    gone = not without_store and is_empty(workspace / STORE)
    sound = not without_store and not gone and _check_store(workspace, report)
    store = ExecutionStore(workspace, read_only=True) if sound else None
    try:
        if store is not None:
            _check_executions(store, session, report, read_data)
        if gone:
            report.take(_gone(workspace))
        if gone or store is not None:  # nobody knows what one knows that cannot be read
            report.take(_unrecorded(workspace, store))
        report.take(sealed_bag_problems(workspace, lambda rid: _waits(store, rid), read_data=read_data))
    finally:
        if store is not None:
            store.database.close()
    report.take(cache_problems(cache, read_data=read_data))
    report.take(set_aside_notes(workspace))


# ---------------------------------------------------------------------------------------------------------------- store


def _gone(workspace: Path) -> Iterator[Finding]:
    """Yield what it means that there is no store: nothing, where there never was an execution."""
    path = workspace / STORE
    known = [path for path in _folders(workspace) if not (path / FORGOTTEN).is_file() and not _holds_nothing(path)]
    if known:
        lost = f"it {'is empty' if path.exists() else 'is gone'}, and what it knew of {counted(len(known), 'execution')} with it"
        yield fatal("store-gone", path, lost, RESTORE)


def _check_store(workspace: Path, report: CheckReport) -> bool:
    """Examine the store's file, tables and rows; return whether its rows can be read."""
    path = workspace / STORE
    report.looked_at["databases"] += 1
    found = list(file_problems(path))
    if not found:
        found = _contents(path)
    report.take(found)
    return not any(finding.weight for finding in found if finding.remedy is None)


def _contents(path: Path) -> list[Finding]:
    try:
        with looking(path) as connection:
            found = list(schema_problems(path, connection, SCHEMA_STEPS))
            if any(finding.weight and finding.remedy is None for finding in found):
                return found
            return [*found, *row_problems(connection, path.parent)]
    except (apsw.Error, DerivaMLIntegrityError) as error:
        return [fatal("store-damaged", path, str(error), RESTORE)]


# ----------------------------------------------------------------------------------------------------------- executions


def _check_executions(store: ExecutionStore, session: Catalog | None, report: CheckReport, read_data: bool) -> None:
    known, folders = store.select(), []
    for found in known:
        report.looked_at["executions"] += 1
        try:
            folder, problems = _looked_at(store, found, read_data)
        except OSError as error:
            report.take([unreadable(f"execution {found.rid}", error)])
            continue
        report.looked_at["files"] += len(folder.entries)
        report.take(_dead(store.workspace, found))
        report.take(problems)
        folders.append(folder)
    if session is None:
        return
    try:
        quiet = {folder.rid for folder in folders if folder.quiet}
        report.take(execution_problems(session, store, [found for found in known if found.rid in quiet]))
        if read_data:
            report.take(asset_problems(session, folders))
    except DerivaMLException as error:
        report.take([fatal("catalog", store.workspace, f"its catalog could not be asked: {error}")])


def _looked_at(store: ExecutionStore, found: Registered, read_data: bool) -> tuple[Folder, list[Finding]]:
    """Examine the folder of an execution; what is found counts when the record did not change meanwhile."""
    folder = Folder.of(store, found, quiet=is_quiet(store.workspace, found))
    problems = list(folder_problems(folder, read_data=read_data))
    for _ in range(LOOKS - 1):
        now = store.get(found.rid)
        if not problems or now is None:  # forgotten meanwhile, with its folder
            return folder, problems if now else []
        again = Folder.of(store, now, quiet=is_quiet(store.workspace, now))
        if (again.entries, again.quiet) == (folder.entries, folder.quiet) and not _may_pass(folder, problems):
            break
        folder, problems = again, list(folder_problems(again, read_data=read_data))
    return folder, problems


def _may_pass(folder: Folder, problems: list[Finding]) -> bool:
    """Wait a moment, and say so, where a living program may just be writing the manifest of what it has registered."""
    if not folder.owned or not any(finding.kind in ("manifest-less", "manifest-gone") for finding in problems):
        return False
    pause(MOMENT)
    return True


def is_quiet(workspace: Path, found: Registered) -> bool:
    """Return whether no living process runs, commits or creates this execution."""
    if any(liveness.alive(lock_file(workspace, found.rid, kind)) for kind in ("run", "commit", "create")):
        return False
    return not _has_lost_its_lock(workspace, found)


def _has_lost_its_lock(workspace: Path, found: Registered) -> bool:
    """Return whether somebody has removed the lock file of a run that may be alive."""
    if found.status is not S.Running or lock_file(workspace, found.rid, "run").is_file():
        return False
    return is_here(found.owner) and may_live(found.owner)


def _dead(workspace: Path, found: Registered) -> Iterator[Finding]:
    if not is_here(found.owner):
        return
    where = f"execution {found.rid}"
    if _has_lost_its_lock(workspace, found):
        text = f"its lock file is gone: whether process {found.owner.get('pid')} still runs it, only you can tell"
        yield repairable("lock-gone", where, text, f"when it has ended: `deriva-ml resume {found.rid}`")
    elif found.status is S.Running and not liveness.alive(lock_file(workspace, found.rid, "run")):
        yield repairable("dead", where, "it is Running, and its process is gone", settle(workspace, found.rid))
    elif (
        found.status is S.Created
        and found.catalog_status is None
        and not found.untold
        and not liveness.alive(lock_file(workspace, found.rid, "create"))
    ):
        yield repairable("half-made", where, "its creation was interrupted", settle(workspace, found.rid))


def _waits(store: ExecutionStore | None, rid: str) -> bool | None:
    """Return whether something of an execution waits to be committed here; None where nobody knows the execution."""
    found = store.get(rid) if store is not None else None
    return None if found is None or store is None else Staged(store, found.rid).has_pending()


# ----------------------------------------------------------------------------------------------------------- unrecorded


def _folders(workspace: Path) -> list[Path]:
    """Return the folders of executions; what users put beside them has other names."""
    executions = workspace / "executions"
    if not executions.is_dir():
        return []
    return sorted(path for path in executions.iterdir() if path.is_dir() and _is_name(path.name))


def _is_name(text: str) -> bool:
    return is_rid(text.removeprefix("L-")) and "@" not in text


def _holds_nothing(path: Path) -> bool:
    """Return whether a folder has at most the files that describe a run, which are written before the store knows it."""
    if (path / MANIFEST).exists() or any(file.is_file() for file in (path / "assets").rglob("*")):
        return False
    return all(_DESCRIBES.fullmatch(file.name) for file in (path / "sealed").glob("*"))


def _unrecorded(workspace: Path, store: ExecutionStore | None) -> Iterator[Finding]:
    """Yield the folders that have something to commit, of which the store knows nothing."""
    for path in _folders(workspace):
        if (store is not None and store.get(path.name) is not None) or (path / FORGOTTEN).is_file():
            continue
        if _holds_nothing(path):
            if any((path / "sealed").glob("*")) and not liveness.alive(lock_file(workspace, path.name, "create")):
                cut_off = "no store knows it, and nothing was staged in it: its creation was cut off"
                yield note("execution-left", path, cut_off, "it may be removed")
        elif (path / MANIFEST).is_file():
            yield from _lost(workspace, store, path)
        else:
            unknown = "it has staged files, and neither store nor manifest say what they are"
            yield fatal("unrecorded", path, unknown, "register in a new run what you need of them")


def _lost(workspace: Path, store: ExecutionStore | None, path: Path) -> Iterator[Finding]:
    try:
        rid, entries = manifest.rebuild((path / MANIFEST).read_bytes())
    except (DerivaMLIntegrityError, ValueError) as error:
        unread = f"the store does not know it, and its manifest cannot be read: {error}"
        yield fatal("unrecorded", path, unread, "register in a new run what you need of its files")
        return
    waiting = sum(entry.state in OPEN for entry in entries)
    if not waiting or rid != path.name:  # a copy that somebody has made of another one
        return
    text = f"the store does not know it, and {counted(waiting, 'file')} wait to be committed"
    text += "; values, metrics and parameters of it are not in the manifest"
    if is_local(rid):
        yield fatal("unrecorded", path, f"{text}, and no catalog knows it", "register its files in a new run")
    else:
        by_hand = (
            f"`deriva-ml resume {rid}` rebuilds its record from the manifest, where no backup of the store is left"
        )
        yield repairable("unrecorded", path, text, by_hand if store is None else rebuild(workspace, rid))
