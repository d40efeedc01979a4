"""Several writers at once: compare-and-set by RMT loses no update, and moments and RIDs are never shared."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from zoo import Catalog, table

COUNT = "/attributegroup/Counter/RID,RMT;n"


def increment(catalog: Catalog, times: int) -> int:
    """Add one, so often, to a counter that others change as well; return how often it had to be tried again."""
    lost = 0
    for _ in range(times):
        while True:
            row = catalog.get("/attribute/Counter/RID,RMT,n")[0]
            reply = catalog.send("PUT", COUNT, [{**row, "n": row["n"] + 1}])
            if reply.json():
                break
            lost += 1
    return lost


def counter(catalog: Catalog) -> None:
    catalog.define("s", table("Counter", "n int4"))
    catalog.insert("Counter", {"n": 0})


def test_threads_that_compare_and_set_lose_no_update(empty: Catalog) -> None:
    counter(empty)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: increment(empty, 15), range(4)))
    assert empty.get("/entity/Counter")[0]["n"] == 60


WORKER = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from zoo import Catalog
from deriva_local.service.app import Service
from test_local_contention import increment
increment(Catalog(Service(Path(sys.argv[2])), sys.argv[3]), int(sys.argv[4]))
"""


def test_processes_that_compare_and_set_lose_no_update(empty: Catalog) -> None:
    counter(empty)
    command = [sys.executable, "-c", WORKER, str(Path(__file__).parent), str(empty.service.folder), empty.id, "10"]
    workers = [subprocess.Popen(command) for _ in range(3)]
    assert [worker.wait(60) for worker in workers] == [0, 0, 0]
    assert empty.get("/entity/Counter")[0]["n"] == 30


def test_batches_of_many_threads_share_no_rid_and_no_moment(empty: Catalog) -> None:
    empty.define("s", table("T", "n int4"))

    def write(number: int) -> list[dict[str, Any]]:
        return empty.insert("T", *({"n": number} for _ in range(20)))

    with ThreadPoolExecutor(4) as pool:
        batches = list(pool.map(write, range(24)))
    assert len({row["RID"] for rows in batches for row in rows}) == 480
    assert len({row["RCT"] for rows in batches for row in rows}) == 24
    assert empty.get("/aggregate/T/n:=cnt_d(n),m:=cnt(*)") == [{"n": 24, "m": 480}]


def test_a_reader_sees_one_moment_while_others_write(empty: Catalog) -> None:
    empty.define("s", table("T", "n int4"))

    def read(_: int) -> int:
        return int(empty.get("/aggregate/T/n:=cnt(*)")[0]["n"])

    with ThreadPoolExecutor(3) as pool:
        writing = [pool.submit(empty.insert, "T", *({"n": n} for n in range(10))) for _ in range(10)]
        counts = list(pool.map(read, range(40)))
        assert all(len(each.result()) == 10 for each in writing)
    assert all(count % 10 == 0 for count in counts)
