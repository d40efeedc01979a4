"""Examining a whole workspace: the store, every execution's folder, what is kept beside them; nothing is changed.

A workspace is healthy when nothing acknowledged is lost and everything can go on; a run that is alive, waits for a commit
or failed is healthy. Without ``read_data`` names, sizes and rows are compared; with it every byte is read.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import apsw

from deriva_ml.catalog.embedded import FIRST_CATALOG, EmbeddedPort, store_problems
from deriva_ml.catalog.port import Request
from deriva_ml.catalog.session import Catalog
from deriva_ml.check.assets import check_assets
from deriva_ml.check.database import file_problems, open_to_look, schema_problems
from deriva_ml.check.findings import CheckReport, Finding, Weight, fatal, repairable
from deriva_ml.check.folders import OPEN, Folder, folder_problems
from deriva_ml.check.kept import cache_problems, lock_problems, sealed_bag_problems
from deriva_ml.check.rules import row_problems
from deriva_ml.environment.host import host_name
from deriva_ml.errors import DerivaMLBusyError, DerivaMLIntegrityError
from deriva_ml.execution import liveness
from deriva_ml.execution.manifest import Entry, rebuild
from deriva_ml.execution.recover import FORGOTTEN
from deriva_ml.execution.run import lock_file
from deriva_ml.execution.staged import Staged
from deriva_ml.execution.staging import MANIFEST
from deriva_ml.execution.states import ExecutionStatus
from deriva_ml.execution.store import SCHEMA_STEPS, ExecutionStore, Registered

S = ExecutionStatus
STORE = "store.sqlite"


def check_home(home: Path, *, read_data: bool = False) -> CheckReport:
    """Examine the embedded catalog and every workspace of ``home``."""
    report = check_catalog(home / "catalog", read_data=read_data)
    workspaces = home / "workspaces"
    for folder in sorted(workspaces.iterdir()) if workspaces.is_dir() else []:
        if folder.is_dir():
            report.add(check_workspace(folder, folder / "cache", read_data=read_data))
    return report


def check_catalog(store: Path, *, read_data: bool = False) -> CheckReport:
    """Examine an embedded catalog: its databases page by page, the rules of its tables, its objects, its asset rows."""
    report = CheckReport()
    for path in sorted(store.rglob("*.sqlite")) if store.is_dir() else []:
        report.looked_at["databases"] += 1
        report.take(file_problems(path))
    if report.findings or not (store / "registry.sqlite").is_file():
        return report
    problems, looked_at = store_problems(store, read_data=read_data)
    report.take(fatal("catalog", store, text, "restore a backup (`deriva-ml serve restore`)") for text in problems)
    report.looked_at.update(looked_at)
    if read_data and not problems:
        report.add(_asset_rows(store))
    return report


def _asset_rows(store: Path) -> CheckReport:
    """Compare the asset rows of the first catalog with the objects, whose bytes have been read already."""
    port = EmbeddedPort(store)
    session = Catalog(port, FIRST_CATALOG)
    if port.send(Request("GET", session.root)).status != 200:
        return CheckReport()
    return check_assets(session, read_data=False)


def check_workspace(workspace: Path, cache: Path, *, read_data: bool = False) -> CheckReport:
    """Examine the workspace in a folder, and its cache."""
    report = CheckReport()
    report.looked_at["workspaces"] += 1
    report.take(lock_problems(workspace))
    sound = _check_store(workspace, report)
    if sound:
        _check_executions(ExecutionStore(workspace), report, read_data)
    report.take(_unrecorded(workspace, known=_folders_known(workspace) if sound else None))
    report.take(cache_problems(cache, read_data=read_data))
    report.take(sealed_bag_problems(workspace, read_data=read_data))
    return report


def _check_store(workspace: Path, report: CheckReport) -> bool:
    """Examine the store's file, tables and rows; return whether its rows can be read."""
    path = workspace / STORE
    if not path.exists() and not path.is_symlink():
        return False
    report.looked_at["databases"] += 1
    found = list(file_problems(path))
    if not found:
        connection = open_to_look(path)
        try:
            found = list(schema_problems(path, connection, SCHEMA_STEPS))
            if not any(finding.weight is Weight.FATAL for finding in found):
                found += row_problems(connection)
        except apsw.Error as error:
            found.append(fatal("store-damaged", path, str(error)))
        finally:
            connection.close()
    report.take(found)
    return not any(finding.weight is Weight.FATAL for finding in found)


def _check_executions(store: ExecutionStore, report: CheckReport, read_data: bool) -> None:
    for found in store.select():
        entries = Staged(store, found.rid).entries()
        report.looked_at["executions"] += 1
        report.looked_at["files"] += len(entries)
        quiet = _quiet(store.workspace, found.rid)
        if quiet:
            report.take(_dead(found))
        folder = Folder(store.folder(found.rid), found.rid, found.status, entries, quiet)
        report.take(folder_problems(folder, read_data=read_data))


def _quiet(workspace: Path, rid: str) -> bool:
    """Return whether no living process runs, commits or creates this execution."""
    for kind in ("run", "commit", "create"):
        path = lock_file(workspace, rid, kind)
        if not path.is_file():
            continue
        try:
            liveness.take(path, "a check").release()
        except DerivaMLBusyError:
            return False
    return True


def _dead(found: Registered) -> Iterator[Finding]:
    if found.owner.get("host") != host_name():
        return
    if found.status is S.Running:
        yield repairable(
            "dead", f"execution {found.rid}", "it is Running, and its process is gone", "`deriva-ml resume` settles it"
        )
    elif found.status is S.Created and found.catalog_status is None and not found.untold:
        yield repairable(
            "half-made",
            f"execution {found.rid}",
            "its creation was interrupted",
            "the next program that opens the catalog aborts it",
        )


def _folders_known(workspace: Path) -> set[str]:
    return {found.rid for found in ExecutionStore(workspace).select()}


def _unrecorded(workspace: Path, known: set[str] | None) -> Iterator[Finding]:
    """Yield the folders that have something to commit, of which the store knows nothing."""
    executions = workspace / "executions"
    for path in sorted(executions.iterdir()) if executions.is_dir() else []:
        if (known is not None and path.name in known) or (path / FORGOTTEN).is_file():
            continue
        manifest = path / MANIFEST
        if manifest.is_file():
            yield from _lost(path, manifest)
        elif any(file.is_file() for file in (path / "assets").rglob("*")):
            yield fatal("unrecorded", path, "it has staged files, and neither store nor manifest say what they are")
        elif any((path / "sealed").glob("*")):  # what describes a run is written before the store knows it
            yield repairable(
                "unrecorded", path, "its creation was interrupted, and nothing was staged yet", "remove the folder"
            )


def _lost(path: Path, manifest: Path) -> Iterator[Finding]:
    try:
        entries: list[Entry] = rebuild(manifest.read_bytes())[1]
    except (DerivaMLIntegrityError, ValueError) as error:
        yield fatal("unrecorded", path, f"the store does not know it, and its manifest cannot be read: {error}")
        return
    waiting = [entry for entry in entries if entry.state in OPEN]
    if waiting:
        yield repairable(
            "unrecorded", path, f"the store does not know it, and {len(waiting)} files wait to be committed",
            f"`deriva-ml resume {path.name}` rebuilds its record from the manifest",
        )  # fmt: skip
