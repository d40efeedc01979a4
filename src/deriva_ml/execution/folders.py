"""Making room: the folders of executions that nobody needs any more on this machine."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any

from deriva_ml.clock import from_iso, now
from deriva_ml.errors import DerivaMLBusyError
from deriva_ml.execution import liveness
from deriva_ml.execution.run import lock_file
from deriva_ml.execution.staged import Staged
from deriva_ml.execution.states import ExecutionStatus
from deriva_ml.execution.store import ExecutionStore, Registered
from deriva_ml.forks import generation
from deriva_ml.rid import is_local, rid_list


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
            with liveness.holding(
                lock_file(store.workspace, found.rid, "commit"), f"Execution {found.rid} cannot be cleaned"
            ):
                size = _size(folder)
                shutil.rmtree(folder)
        except (OSError, DerivaMLBusyError) as error:
            result["errors"].append(f"{folder}: {error}")
            continue
        result["dirs_removed"] += 1
        result["bytes_freed"] += size
    return result


def _done(store: ExecutionStore, found: Registered) -> bool:
    if is_local(found.rid):  # the catalog is still to be told of it
        return False
    return found.status is ExecutionStatus.Aborted or not Staged(store, found.rid).has_pending()


def _size(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_symlink() or path.is_file())


def forget_dry_run(workspace: Path, born: int) -> None:
    """Remove the workspace of a dry run, in the process that made it: a forked worker goes before its parent does."""
    if born == generation():
        shutil.rmtree(workspace, ignore_errors=True)
