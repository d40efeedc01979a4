"""The embedded service in process, bytes in and bytes out, beside plain SQLite."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

from deriva_local.service.attach import attach

from benchmarks import floors
from benchmarks.measure import Figure, median_ms
from deriva_local.service.messages import Client, Request

OWNER = Client.owner("bench")
DEFAULTS = "defaults=RID,RCT,RMT,RCB,RMB"


def figures(folder: Path, smoke: bool) -> Iterator[Figure]:
    many, repeats = (500, 3) if smoke else (10_000, 7)
    send = _sender(folder / "store")
    catalog = json.loads(send("POST", "/ermrest/catalog", {}))["id"]
    base = f"/ermrest/catalog/{catalog}"
    _make_tables(send, base)
    plain = floors.plain_table(folder)
    numbers, plain_numbers = count(), count(10_000_000)

    def one() -> bytes:
        return send("POST", f"{base}/entity/bench:one?{DEFAULTS}", [_row(next(numbers))])

    rid = json.loads(one())[0]["RID"]
    floors.insert(plain, 0, 1)
    read = median_ms(lambda: send("GET", f"{base}/entity/bench:one/RID={rid}"), 20 if smoke else 2000, warm=5)
    plain_read = median_ms(lambda: plain.execute("SELECT * FROM t WHERE rid=?", ("r000000000",)).fetchall(), 200)
    yield Figure("read one row by RID", read, "plain SELECT", plain_read, 0.25, "0.25 ms")

    insert = median_ms(one, 10 if smoke else 200)
    sync = median_ms(lambda: floors.insert(plain, next(plain_numbers), 1), 10 if smoke else 200)
    yield Figure("insert one row, durable", insert, "plain INSERT + sync", sync, sync + 0.8, "floor + 0.8 ms")

    batches = iter(
        [json.dumps([_row(n) for n in range(k * many, (k + 1) * many)]).encode() for k in range(repeats + 1)]
    )
    bulk = median_ms(lambda: send("POST", f"{base}/entity/bench:many?{DEFAULTS}", next(batches)), repeats)
    starts = count(100_000_000, many)
    plain_bulk = median_ms(lambda: floors.insert(plain, next(starts), many), repeats)
    yield Figure(f"insert {many:,} rows", bulk, "plain executemany", plain_bulk, 150, "150 ms (10,000 rows)")

    send("POST", f"{base}/entity/bench:read?{DEFAULTS}", [_row(n) for n in range(many)])
    reading = median_ms(lambda: send("GET", f"{base}/entity/bench:read"), repeats)
    plain.execute("DELETE FROM t")
    floors.insert(plain, 0, many)
    plain_reading = median_ms(lambda: floors.read_json(plain), repeats)
    yield Figure(f"read {many:,} rows as JSON", reading, "json_group_array", plain_reading, 25, "25 ms (10,000 rows)")


def _sender(store: Path) -> Callable[[str, str, object], bytes]:
    service = attach(store)
    headers = {"content-type": "application/json", "accept": "application/json"}

    def send(method: str, target: str, body: object = None) -> bytes:
        data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        response = service.handle(Request(method, target, headers, data, OWNER))
        assert response.status < 300, (method, target, response)
        assert isinstance(response.body, bytes)
        return response.body

    return send


def _make_tables(send: Callable[[str, str, object], bytes], base: str) -> None:
    send("POST", f"{base}/schema/bench", None)
    system = [
        {"name": "RID", "type": {"typename": "ermrest_rid"}, "nullok": False},
        {"name": "RCT", "type": {"typename": "ermrest_rct"}, "nullok": False},
        {"name": "RMT", "type": {"typename": "ermrest_rmt"}, "nullok": False},
        {"name": "RCB", "type": {"typename": "ermrest_rcb"}},
        {"name": "RMB", "type": {"typename": "ermrest_rmb"}},
    ]
    columns = [("a", "text"), ("b", "text"), ("c", "int4"), ("d", "float8"), ("e", "text")]
    user = [{"name": name, "type": {"typename": kind}} for name, kind in columns]
    for name in ("one", "many", "read"):
        document = {"table_name": name, "column_definitions": system + user, "keys": [{"unique_columns": ["RID"]}]}
        send("POST", f"{base}/schema/bench/table", document)


def _row(number: int) -> dict[str, object]:
    return {"a": f"name {number}", "b": "text", "c": number, "d": number / 7, "e": "x"}
