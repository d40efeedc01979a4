"""The asset rows of a catalog against its object store: is every file there, and the one that the row describes."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from urllib.parse import urlsplit

from deriva_ml.catalog import objects
from deriva_ml.catalog.rows import Row, pages
from deriva_ml.catalog.session import Catalog
from deriva_ml.check.findings import CheckReport, Finding, fatal
from deriva_ml.errors import DerivaMLIntegrityError
from deriva_ml.names import TableName

TOGETHER = 200
_RESTORE = "bring the file back from a backup, or from the machine that made it"


def check_assets(session: Catalog, *, read_data: bool) -> CheckReport:
    """Examine every asset row whose file lies in this server's object store; ``read_data`` brings each file and hashes it."""
    report = CheckReport()
    for table in session.model().asset_tables():
        rows = (row for row in pages(session, f"/entity/{table.name.path}") if _is_ours(session, row["URL"]))
        while part := list(islice(rows, TOGETHER)):
            report.looked_at["assets"] += len(part)
            report.take(_part_problems(session, table.name, part, read_data))
    return report


def _is_ours(session: Catalog, url: str | None) -> bool:
    parts = urlsplit(url or "")
    return parts.path.startswith("/hatrac/") and parts.netloc in ("", session.host)


def _part_problems(session: Catalog, table: TableName, rows: Sequence[Row], read_data: bool) -> Iterator[Finding]:
    addresses = {row["RID"]: objects.object_address(row["URL"]) for row in rows}
    found = objects.find(session, addresses.values())
    for row in rows:
        where, there = f"{table} {row['RID']}", found.get(addresses[row["RID"]])
        if there is None:
            yield fatal("asset-gone", where, f"the object store has nothing at {row['URL']}", _RESTORE)
        elif there.length != row["Length"] or (there.md5 is not None and there.md5 != row["MD5"]):
            yield fatal(
                "asset-differs",
                where,
                f"the row says {row['Length']} bytes with MD5 {row['MD5']}; the object store has {there.length} with {there.md5}",
                _RESTORE,
            )
        elif read_data:
            yield from _byte_problems(session, where, row)


def _byte_problems(session: Catalog, where: str, row: Row) -> Iterator[Finding]:
    with tempfile.TemporaryDirectory(prefix="deriva-ml-check-") as folder:
        try:
            objects.get(session, row["URL"], Path(folder) / "content", md5=row["MD5"])
        except DerivaMLIntegrityError as error:
            yield fatal("asset-bytes", where, str(error), _RESTORE)
