"""The embedded catalog in a folder: its databases page by page, the rules of its tables, its objects, its asset rows."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

from deriva_ml.catalog.embedded import FIRST_CATALOG, EmbeddedPort, store_problems
from deriva_ml.catalog.port import Request
from deriva_ml.catalog.session import Catalog
from deriva_ml.check.assets import check_assets
from deriva_ml.check.database import RESTORE_CATALOG, file_problems
from deriva_ml.check.findings import CheckReport, Finding, fatal, note, unreadable

REGISTRY, OBJECTS = "registry.sqlite", "hatrac.sqlite"


def databases(store: Path) -> list[Path]:
    """Return the databases of an embedded catalog that are there."""
    named = [store / REGISTRY, store / OBJECTS, store / "users.sqlite", *store.glob("catalogs/*/catalog.sqlite")]
    return sorted(path for path in named if path.exists() or path.is_symlink())


def check_catalog(store: Path, *, read_data: bool = False, without: Collection[Path] = ()) -> CheckReport:
    """Examine an embedded catalog; nothing is asked of one with a database in ``without``, as something is wrong with that."""
    report = CheckReport()
    if not store.is_dir():
        report.take([fatal("catalog", store, "it is not a folder", RESTORE_CATALOG)] if store.exists() else [])
        return report
    try:
        _check(store, report, read_data, without)
    except OSError as error:
        report.take([unreadable(store, error)])
    return report


def _check(store: Path, report: CheckReport, read_data: bool, without: Collection[Path]) -> None:
    found = databases(store)
    report.looked_at["databases"] += len(found)
    report.take(_missing(store))
    for path in found:
        if path not in without:
            report.take(file_problems(path, RESTORE_CATALOG))
    if report.findings or without or not (store / REGISTRY).is_file():
        return
    problems, notes, looked_at = store_problems(store, read_data=read_data)
    report.take(fatal("catalog", store, text, RESTORE_CATALOG) for text in problems)
    report.take(note("catalog-left", store, text, "it costs space only") for text in notes)
    report.looked_at.update(looked_at)
    if read_data and not problems:
        report.add(_asset_rows(store))


def _missing(store: Path) -> Iterator[Finding]:
    """Yield the databases without which what is there cannot be read; opening the catalog would make empty ones."""
    parts = {REGISTRY: "catalogs/*/catalog.sqlite", OBJECTS: "objects/?/*"}
    for name, pattern in parts.items():
        if not (store / name).exists() and any(path.is_file() for path in store.glob(pattern)):
            gone = f"it is gone, and {store / pattern} is there: the next opening would begin an empty one"
            yield fatal("catalog-gone", store / name, gone, RESTORE_CATALOG)


def _asset_rows(store: Path) -> CheckReport:
    """Compare the asset rows of the first catalog with the objects, whose bytes have been read already."""
    port = EmbeddedPort(store)
    session = Catalog(port, FIRST_CATALOG)
    if port.send(Request("GET", session.root)).status != 200:
        return CheckReport()
    return check_assets(session, read_data=False)
