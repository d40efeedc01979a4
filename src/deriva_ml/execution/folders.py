"""Making room: the folders and records of executions that nobody needs any more on this machine.

What goes is moved aside while nobody can stage anything, and removed after that: whoever stages more at the same moment
is either seen, and keeps all of it, or finds the folders gone and makes them anew.
"""

from __future__ import annotations

import errno
import secrets
import shutil
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from deriva_ml.clock import from_iso, now
from deriva_ml.errors import DerivaMLBusyError
from deriva_ml.execution import incoming, liveness
from deriva_ml.execution.find import list_executions
from deriva_ml.execution.run import lock_file
from deriva_ml.execution.staged import Staged
from deriva_ml.execution.staging import MANIFEST
from deriva_ml.execution.states import ExecutionStatus
from deriva_ml.execution.store import ExecutionStore, Registered
from deriva_ml.files import make_folder
from deriva_ml.forks import generation
from deriva_ml.rid import is_local, rid_list

FORGOTTEN = "asset-manifest.forgotten.json"
"""What the manifest is called of an execution whose record was removed: none to rebuild it from."""
FINISHED = (ExecutionStatus.Uploaded, ExecutionStatus.Aborted)
REMOVED = "removed"
"""The folder of a workspace for what was moved aside."""


def clean_execution_dirs(
    store: ExecutionStore, older_than_days: float | None = None, exclude_rids: str | Iterable[str] = ()
) -> dict[str, Any]:
    """Remove the folders of executions that are uploaded whole, or aborted; the records stay.

    Returns ``dirs_removed``, ``bytes_freed``, and ``errors``: which could not be removed, and why.
    """
    keep, limit = set(rid_list(exclude_rids)), now() - timedelta(days=older_than_days or 0)
    result: dict[str, Any] = {"dirs_removed": 0, "bytes_freed": 0, "errors": []}
    for found in store.select("status IN ('Uploaded', 'Aborted')"):
        folder = store.folder(found.rid)
        if found.rid in keep or from_iso(found.last_activity) > limit or not folder.is_dir() or not _done(store, found):
            continue
        try:
            with _left_alone(store, found.rid, "cleaned"):
                aside = take_away(store, found.rid, partial(iter, [folder]))
            size = sum(map(_size, aside or ()))
            sweep(store, aside)
        except (OSError, DerivaMLBusyError) as error:
            result["errors"].append(f"{folder}: {error}")
            continue
        result["dirs_removed"] += len(aside or ())
        result["bytes_freed"] += size
    sweep(store)
    return result


def gc_executions(
    store: ExecutionStore, *, older_than: datetime | None = None, status: Any = None, delete_working_dir: bool = False
) -> int:
    """Remove the local records of finished executions; what waits to be committed or told, or runs, is kept. Return how many.

    ``delete_working_dir`` removes their folders as well. The catalog keeps everything.
    """
    forgotten = 0
    for each in list_executions(store, status=FINISHED if status is None else status):
        if each.status in FINISHED and (older_than is None or each.last_activity < older_than):
            forgotten += _forget(store, each.rid, delete_working_dir)
    sweep(store)
    return forgotten


def _forget(store: ExecutionStore, rid: str, with_folder: bool) -> bool:
    """Remove the record of an execution, and its lock files; a manifest that stays is no longer one to rebuild from."""
    folder = store.folder(rid)
    try:
        with _left_alone(store, rid, "forgotten"):
            aside = take_away(store, rid, lambda: [folder] if with_folder else [], forget=True)
    except DerivaMLBusyError:
        return False
    if aside is None:
        return False
    sweep(store, aside)
    if (folder / MANIFEST).is_file():
        (folder / MANIFEST).replace(folder / FORGOTTEN)
    for kind in ("run", "commit", "create"):
        lock_file(store.workspace, rid, kind).unlink(missing_ok=True)
    return True


def _left_alone(store: ExecutionStore, rid: str, what: str) -> Any:
    return liveness.holding(lock_file(store.workspace, rid, "commit"), f"Execution {rid} cannot be {what}")


def _done(store: ExecutionStore, found: Registered) -> bool:
    """Return whether an execution is finished, and has nothing that the catalog is still to get or to be told."""
    if found.status not in FINISHED or is_local(found.rid):
        return False
    return found.status is ExecutionStatus.Aborted or not Staged(store, found.rid).has_pending()


def take_away(
    store: ExecutionStore, rid: str, places: Callable[[], Iterable[Path]], *, forget: bool = False
) -> list[Path] | None:
    """Move files and folders of a finished execution aside; return where they are now, for :func:`sweep`.

    None, and nothing is moved, where something waits to be committed: staging takes the lock that is held here.
    ``forget`` removes the record at the same moment.
    """
    with store.database.transaction() as connection:
        found = store.get(rid)
        if found is None or not _done(store, found):
            return None
        aside = [_aside(store, place) for place in places() if place.is_symlink() or place.exists()]
        folder = store.folder(rid)
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
        if forget:
            store.forget(connection, rid)
    return aside


def _aside(store: ExecutionStore, place: Path) -> Path:
    make_folder(store.workspace / REMOVED)
    name = secrets.token_hex(8)
    try:
        return place.rename(store.workspace / REMOVED / name)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        beside = store.workspace / "executions" / f".{name}.{REMOVED}"
        return place.rename(beside)  # the folders of executions are on a disk of their own


def sweep(store: ExecutionStore, aside: Iterable[Path] | None = ()) -> None:
    """Remove what was moved aside, by us or by somebody who died meanwhile, and bags that dead loaders had unpacked.

    What cannot be removed now goes the next time.
    """
    incoming.sweep(store.workspace)
    folder = store.workspace / REMOVED
    for path in {*(folder.iterdir() if folder.is_dir() else ()), *(aside or ())}:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _size(place: Path) -> int:
    return sum(path.lstat().st_size for path in place.rglob("*") if path.is_symlink() or path.is_file())


def forget_dry_run(workspace: Path, born: int) -> None:
    """Remove the workspace of a dry run, in the process that made it: a forked worker goes before its parent does."""
    if born == generation():
        shutil.rmtree(workspace, ignore_errors=True)
