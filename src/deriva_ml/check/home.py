"""Examining all that lies in a home: the embedded catalog and every workspace."""

from __future__ import annotations

from pathlib import Path

from deriva_ml.catalog.embedded import EMBEDDED, EmbeddedPort
from deriva_ml.catalog.opening import open_offline
from deriva_ml.catalog.port import Request
from deriva_ml.catalog.schema_cache import NAME, read_cache
from deriva_ml.catalog.session import Catalog
from deriva_ml.check.catalog import REGISTRY, check_catalog, databases
from deriva_ml.check.findings import CheckReport, fatal, unreadable
from deriva_ml.check.log import log_problems
from deriva_ml.check.workspace import check_workspace
from deriva_ml.execution.store import STORE
from deriva_ml.settings import HOME_NAME, store_folder


def workspaces_of(home: Path) -> list[Path]:
    """Return the folders of the workspaces of ``home``."""
    folder = home / "workspaces"
    return sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []


def check_home(home: Path, *, read_data: bool = False, fresh: bool = True) -> CheckReport:
    """Examine the embedded catalog and every workspace of ``home``.

    ``fresh`` says that this process has opened none of its databases, so that their logs may be looked at.
    """
    report = CheckReport()
    if home.exists() and not home.is_dir():
        report.take(
            [
                fatal(
                    "home",
                    home,
                    "it is not a folder: nothing can be kept there",
                    "choose another with --home or DERIVA_ML_HOME",
                )
            ]
        )
        return report
    try:
        _check(home, report, read_data, fresh)
    except OSError as error:
        report.take([unreadable(home, error)])
    return report


def _check(home: Path, report: CheckReport, read_data: bool, fresh: bool) -> None:
    store, workspaces = store_folder(home), workspaces_of(home)
    here = [*databases(store), *(path / STORE for path in workspaces)]
    torn = {path: found for path in here if fresh and (found := list(log_problems(path, read_data=read_data)))}
    report.take(finding for found in torn.values() for finding in found)
    torn_there = [path for path in torn if path.is_relative_to(store)]
    catalog = check_catalog(store, read_data=read_data, without=torn_there)
    report.add(catalog)
    askable = catalog.looked_at["databases"] and not torn_there and not catalog.exit_code
    for folder in workspaces:
        session = session_of(home, folder) if askable else None
        report.add(
            check_workspace(
                folder, folder / "cache", session, read_data=read_data, without_store=folder / STORE in torn
            )
        )


def session_of(home: Path, workspace: Path) -> Catalog | None:
    """Return the embedded catalog that a workspace belongs to; None for that of a server, and where there is none."""
    host, _, catalog = workspace.name.partition("__")
    if host != EMBEDDED:
        return None
    port = EmbeddedPort(store_folder(home))
    session = Catalog(port, catalog)
    return session if port.send(Request("GET", session.root)).status == 200 else None


def session_to_repair(home: Path, workspace: Path) -> Catalog:
    """Return the catalog of a workspace: the embedded one, or what is known of that of a server.

    Raises:
        DerivaMLOfflineError: the embedded one is not there, or nothing is known of the server's.
    """
    embedded = session_of(home, workspace)
    if embedded is not None:
        return embedded
    kept = read_cache(workspace / NAME)
    return open_offline(home, kept.get("hostname"), kept.get("catalog_id"))


def told_of_nothing(home: Path) -> str:
    """Return what to say where there was nothing to look at."""
    if not home.exists():
        return f"There is no folder {home} yet: nothing to check."
    return f"{home} holds neither a catalog nor a workspace of deriva-ml: nothing to check."


def misplaced(home: Path) -> Path | None:
    """Return the home that is meant where somebody names a part of it, or the folder around it; None for one that is right."""
    if (home / "workspaces").is_dir() or (home / "catalog").is_dir():
        return None
    if (home / STORE).is_file():
        return home.parents[1]
    if (home / REGISTRY).is_file():
        return home.parent
    return home / HOME_NAME if (home / HOME_NAME).is_dir() else None
