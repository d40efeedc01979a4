"""A table of a million rows with ten million versions behind them, beside a small one: ``python -m benchmarks --long growth``.

The history comes from updates in SQL of the tables of the catalog, each batch of rows with a moment of its own: the
trigger keeps the versions, as for an update through the service. That takes some minutes and about 4 GB of disk.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path

import apsw

from benchmarks.measure import Figure, median_ms
from benchmarks.service import COLUMNS, DEFAULTS, Send, _rows, _sender, _table
from deriva_local.wire.crockford import micros_to_snap

FOREVER = 2**63 - 1


def figures(folder: Path, smoke: bool) -> Iterator[Figure]:
    rows, generations, batch = (2_000, 5, 500) if smoke else (1_000_000, 10, 5_000)
    send = _sender(folder / "store")
    base = f"/ermrest/catalog/{json.loads(send('POST', '/ermrest/catalog', {}))['id']}"
    send("POST", f"{base}/schema/bench")
    for name in ("small", "large"):
        send("POST", f"{base}/schema/bench/table", _table(name, COLUMNS))
    send("POST", f"{base}/entity/bench:small?{DEFAULTS}", _rows(0, 1_000))
    for start in range(0, rows, 20_000):
        send("POST", f"{base}/entity/bench:large?{DEFAULTS}", _rows(start, min(20_000, rows - start)))
    middle = _age(folder, json.loads(send("GET", f"{base}/schema/bench/table/large"))["RID"], rows, generations, batch)
    send("POST", f"{base}?analyze")
    yield from _compared(
        send, base, f"{base}@{micros_to_snap(middle)}", f"{rows:,} rows, {rows * generations:,} versions"
    )


def _age(folder: Path, rid: str, rows: int, generations: int, batch: int) -> int:
    """Update each row of a table ``generations`` times; return a moment in the middle of that history."""
    (path,) = (folder / "store").glob("catalogs/*/catalog.sqlite")
    table, connection = "t" + rid.replace("-", ""), apsw.Connection(str(path))
    moment, model, next_rid = connection.execute("SELECT * FROM moment ORDER BY time DESC LIMIT 1").fetchone()
    rids = [rid for (rid,) in connection.execute(f"SELECT RID FROM {table} WHERE died = {FOREVER} ORDER BY RID")]
    connection.execute("PRAGMA synchronous = OFF")  # nothing here is worth a sync
    middle = 0
    for generation in range(generations):
        for start in range(0, rows, batch):
            some = rids[start : start + batch]
            moment += 1_000
            with connection:
                update = f"UPDATE {table} SET born = ?, RMT = ? WHERE died = {FOREVER} AND RID BETWEEN ? AND ?"
                connection.execute(update, (moment, moment, some[0], some[-1]))
                connection.execute("INSERT INTO moment VALUES (?, ?, ?)", (moment, model, next_rid))
        middle = moment if generation == generations // 2 else middle
    versions = connection.execute(f"SELECT count(*) FROM {table} WHERE died < {FOREVER}").fetchone()[0]
    assert versions == rows * generations, versions
    connection.close()
    return middle


def _compared(send: Send, base: str, past: str, size: str) -> Iterator[Figure]:
    """The same requests to the large table and to the small one, each time for other rows."""
    rids = {name: _rids(send, base, name) for name in ("small", "large")}

    def timed(place: str, table: str, path: str) -> float:
        def one() -> None:
            send("GET", f"{place}/entity/bench:{table}{path.format(rid=random.choice(rids[table]))}")

        return median_ms(one, 100, warm=5)

    key, page = "/RID={rid}", "@sort(RID)@after({rid})?limit=100"
    for what, path in (("by key", key), ("a page of 100", page)):
        small, large = timed(base, "small", path), timed(base, "large", path)
        yield Figure(f"live read {what}; {size}", large, "1,000 rows, no history", small, 2 * small, "2 × small")
        then = timed(past, "large", path)
        yield Figure(
            f"the same at a snapshot in the middle, {what}", then, "1,000 rows, live", small, 10 * small, "10 × small"
        )


def _rids(send: Send, base: str, table: str) -> list[str]:
    """Return some RIDs from all over a table."""
    found = json.loads(send("GET", f"{base}/attribute/bench:{table}/RID@sort(RID)?limit=900"))
    if table == "large":
        for start in ("4-0000", "9-0000", "F-0000", "M-0000", "S-0000"):
            found += json.loads(send("GET", f"{base}/attribute/bench:large/RID@sort(RID)@after({start})?limit=200"))
    return [row["RID"] for row in found]
