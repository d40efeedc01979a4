"""A SQLite file examined without changing it: is it a database, are its pages whole, has it the tables it should have."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import apsw

from deriva_ml.check.findings import Finding, fatal, repairable

MAGIC = b"SQLite format 3\x00"
SHOWN = 5
_RESTORE = "move it away and restore a backup; without one `deriva-ml resume RID` rebuilds from the manifests"


def open_to_look(path: Path) -> apsw.Connection:
    """Return a connection that cannot write."""
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    connection.set_busy_timeout(10_000)
    return connection


def file_problems(path: Path) -> Iterator[Finding]:
    """Yield what is wrong with the file as a database; nothing after this can be asked of one that has a problem here."""
    if not path.is_file():
        yield fatal("store-no-file", path, "it is not a file", _RESTORE)
        return
    with path.open("rb") as file:
        head = file.read(len(MAGIC))
    if head != MAGIC:
        yield fatal("store-no-database", path, "it is empty" if not head else "it is not a SQLite database", _RESTORE)
        return
    try:
        connection = open_to_look(path)
        found = [row[0] for row in connection.execute(f"PRAGMA integrity_check({SHOWN})")]
        connection.close()
    except apsw.Error as error:
        found = [str(error)]
    yield from (fatal("store-damaged", path, text, _RESTORE) for text in found if text != "ok")


def schema_problems(path: Path, connection: apsw.Connection, steps: Sequence[str]) -> Iterator[Finding]:
    """Yield how the tables differ from those that ``steps`` make."""
    version = int(connection.pragma("user_version"))
    if version > len(steps):
        yield fatal("store-newer", path, f"a newer deriva-ml has written it (version {version})", "upgrade deriva-ml")
        return
    fresh = apsw.Connection(":memory:")
    for step in steps[:version]:
        fresh.execute(step)
    sql = "SELECT name, type, sql FROM sqlite_master WHERE sql IS NOT NULL"
    here = {name: text for name, _, text in connection.execute(sql)}
    for name, kind, text in fresh.execute(sql):
        if name not in here and kind == "index":
            yield repairable("store-index", path, f"the index {name} is missing", "queries are slow without it")
        elif here.get(name) != text:
            yield fatal(
                "store-table", path, f"the {kind} {name} is {'changed' if name in here else 'missing'}", _RESTORE
            )
