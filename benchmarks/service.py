"""The embedded service in process, bytes in and bytes out, beside plain SQLite."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import apsw

from benchmarks import floors
from benchmarks.measure import Figure, median_ms
from deriva_local.service.attach import attach
from deriva_local.service.messages import Client, Request

OWNER = Client.owner("bench")
READER = Client("reader", "Reader", frozenset({"reader", "*"}))
DEFAULTS = "defaults=RID,RCT,RMT,RCB,RMB"
SYSTEM = [
    {"name": "RID", "type": {"typename": "ermrest_rid"}, "nullok": False},
    {"name": "RCT", "type": {"typename": "ermrest_rct"}, "nullok": False},
    {"name": "RMT", "type": {"typename": "ermrest_rmt"}, "nullok": False},
    {"name": "RCB", "type": {"typename": "ermrest_rcb"}},
    {"name": "RMB", "type": {"typename": "ermrest_rmb"}},
]
COLUMNS = (("a", "text"), ("b", "text"), ("c", "int4"), ("d", "float8"), ("e", "text"))

Send = Callable[..., bytes]


def figures(folder: Path, smoke: bool) -> Iterator[Figure]:
    bench = Bench(folder, smoke)
    yield from bench.single_rows()
    yield from bench.many_rows()
    yield from bench.models()
    yield from bench.joins_and_searches()


class Bench:
    """One catalog of the service, and one plain SQLite file for the floors."""

    def __init__(self, folder: Path, smoke: bool) -> None:
        self.smoke = smoke
        self.many, self.repeats = (500, 3) if smoke else (10_000, 7)
        self.folder = folder
        self.send = _sender(folder / "store")
        self.base = f"/ermrest/catalog/{json.loads(self.send('POST', '/ermrest/catalog', {}))['id']}"
        self.send("POST", f"{self.base}/schema/bench", None)
        for name in ("one", "many", "read"):
            self.send("POST", f"{self.base}/schema/bench/table", _table(name, COLUMNS))
        self.plain = floors.plain_table(folder)

    def single_rows(self) -> Iterator[Figure]:
        numbers, plain_numbers = count(), count(10_000_000)
        times = 10 if self.smoke else 200

        def one() -> bytes:
            return self.send("POST", f"{self.base}/entity/bench:one?{DEFAULTS}", [_row(next(numbers))])

        rid = json.loads(one())[0]["RID"]
        path = f"{self.base}/entity/bench:one/RID={rid}"
        floors.insert(self.plain, 0, 1)
        read = median_ms(lambda: self.send("GET", path), 20 if self.smoke else 2000, warm=5)
        question = "SELECT * FROM t WHERE rid=?"
        plain = median_ms(lambda: self.plain.execute(question, ("r000000000",)).fetchall(), 200)
        yield Figure("read one row by RID", read, "plain SELECT", plain, 0.15, "0.15 ms")

        insert = median_ms(one, times)
        sync = median_ms(lambda: floors.insert(self.plain, next(plain_numbers), 1), times)
        yield Figure("insert one row, durable", insert, "plain INSERT + sync", sync, sync + 0.4, "floor + 0.4 ms")

        change = f"{self.base}/attributegroup/bench:one/RID;a,c"
        update = median_ms(lambda: self.send("PUT", change, [{"RID": rid, "a": "n", "c": next(numbers)}]), times)
        yield Figure("update one row, durable", update, "plain INSERT + sync", sync, sync + 0.5, "floor + 0.5 ms")

    def many_rows(self) -> Iterator[Figure]:
        many, target = self.many, f"{self.base}/entity/bench:many?{DEFAULTS}"
        batches = iter([_rows(start * many, many) for start in range(self.repeats + 1)])
        bulk = median_ms(lambda: self.send("POST", target, next(batches)), self.repeats)
        starts = count(100_000_000, many)
        plain_bulk = median_ms(lambda: floors.insert(self.plain, next(starts), many), self.repeats)
        yield Figure(f"insert {many:,} rows", bulk, "plain executemany", plain_bulk, 100, "100 ms (10,000 rows)")

        read = f"{self.base}/entity/bench:read"
        self.send("POST", f"{read}?{DEFAULTS}", _rows(0, many))
        reading = median_ms(lambda: self.send("GET", read), self.repeats)
        self.plain.execute("DELETE FROM t")
        floors.insert(self.plain, 0, many)
        plain_reading = median_ms(lambda: floors.read_json(self.plain), self.repeats)
        yield Figure(
            f"read {many:,} rows as JSON", reading, "json_group_array", plain_reading, 20, "20 ms (10,000 rows)"
        )
        csv = median_ms(lambda: self.send("GET", f"{read}?accept=csv"), self.repeats)
        yield Figure(f"read {many:,} rows as CSV", csv, "json_group_array", plain_reading, 30, "30 ms (10,000 rows)")
        yield from self._snapshot(read, reading)
        yield from self._guarded(read, reading)

    def _snapshot(self, read: str, live: float) -> Iterator[Figure]:
        """A tenth of the rows dies; the snapshot from before still shows them all."""
        snap = json.loads(self.send("GET", self.base))["snaptime"]
        self.send("DELETE", f"{read}/c::lt::{self.many // 10}")
        then = median_ms(lambda: self.send("GET", read.replace(self.base, f"{self.base}@{snap}")), self.repeats)
        yield Figure("the same at a snapshot, 10 % dead", then, "the live rows", live, 2 * live, "2 × live")
        self.send("POST", f"{read}?{DEFAULTS}", _rows(0, self.many // 10))

    def _guarded(self, read: str, open_ms: float) -> Iterator[Figure]:
        """Somebody who reads what an access binding lets through: here, every row."""
        place = f"{self.base}/schema/bench/table/read"
        self.send("PUT", f"{self.base}/acl/enumerate", ["*"])
        binding = {"types": ["select"], "projection": "a", "projection_type": "nonnull"}
        self.send("PUT", f"{place}/acl_binding/b", binding)
        guarded = median_ms(lambda: self.send("GET", read, client=READER), self.repeats)
        yield Figure("the same through an access binding", guarded, "as the owner", open_ms, 2 * open_ms, "2 × owner")

    def models(self) -> Iterator[Figure]:
        names, floor = count(), median_ms(lambda: floors.insert(self.plain, next(_far), 1), 10)

        def table() -> bytes:
            return self.send("POST", f"{self.base}/schema/bench/table", _table(f"t{next(names)}", COLUMNS))

        create = median_ms(table, 5 if self.smoke else 50)
        yield Figure("create a table", create, "plain INSERT + sync", floor, floor + 3, "floor + 3 ms")
        whole = median_ms(lambda: self.send("GET", f"{self.base}/schema"), self.repeats)
        yield Figure("whole model document, unchanged", whole, "plain INSERT + sync", floor, 2, "2 ms")
        catalog = median_ms(lambda: self.send("POST", "/ermrest/catalog", {}), 3 if self.smoke else 20)
        yield Figure("create a catalog", catalog, "plain INSERT + sync", floor, 6 * floor + 20, "six syncs + 20 ms")

    def joins_and_searches(self) -> Iterator[Figure]:
        rows = 1_000 if self.smoke else 100_000
        _fill_chain(self.send, self.base, rows)
        best = Handwritten(self.send, self.base, self.folder / "store" / "catalogs" / "1" / "catalog.sqlite")
        filtered = f"{self.base}/entity/A:=chain:A/name=a7/B:=chain:B/v::lt::50/C:=chain:C/w=1/$C"
        joined = median_ms(lambda: self.send("GET", filtered), self.repeats)
        floor = median_ms(lambda: best.run(_FILTERED), self.repeats)
        yield Figure(
            f"join of three tables, {rows:,} rows", joined, "best SQL", floor, 2 * floor + 0.2, "2 × best + 0.2 ms"
        )
        wide = f"{self.base}/aggregate/A:=chain:A/B:=chain:B/v=3/C:=chain:C/n:=cnt(*)"
        counted = median_ms(lambda: self.send("GET", wide), self.repeats)
        floor = median_ms(lambda: best.run(_COUNT), self.repeats)
        yield Figure("the same join, counted", counted, "best SQL", floor, 2 * floor, "2 × best")
        for name, pattern in (("plain text", "k9999"), ("an expression", "k99.*8%24")):
            search = f"{self.base}/entity/chain:B/*::ciregexp::{pattern}"
            found = median_ms(lambda: self.send("GET", search), 3)  # noqa: B023 - it is called before the next one
            yield Figure(f"search {rows:,} rows for {name}", found, "best SQL", floor, 400, "400 ms (100,000 rows)")


_FILTERED = """
SELECT json_group_array(json_object('RID', C.RID, 'RCT', C.RCT, 'RMT', C.RMT, 'RCB', C.RCB, 'RMB', C.RMB,
    'b', C.{C_b}, 'w', C.{C_w})) FROM {A} AS A
CROSS JOIN {B} AS B ON B.{B_a} = A.{A_name} AND B.{alive} AND B.{B_v} < 50
CROSS JOIN {C} AS C ON C.{C_b} = B.{B_k} AND C.{alive} AND C.{C_w} = 1
WHERE A.{alive} AND A.{A_name} = 'a7'
"""
_COUNT = """
SELECT count(*) FROM {B} AS B CROSS JOIN {C} AS C ON C.{C_b} = B.{B_k} AND C.{alive}
CROSS JOIN {A} AS A ON A.{A_name} = B.{B_a} AND A.{alive} WHERE B.{alive} AND B.{B_v} = 3
"""
_far = count(900_000_000)


def _sender(store: Path) -> Send:
    service = attach(store)
    headers = {"content-type": "application/json", "accept": "application/json"}

    def send(method: str, target: str, body: object = None, client: Client = OWNER) -> bytes:
        data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        response = service.handle(Request(method, target, headers, data, client))
        assert response.status < 300, (method, target, response)
        assert isinstance(response.body, bytes)
        return response.body

    return send


def _table(name: str, columns: tuple[tuple[str, str], ...], **more: Any) -> dict[str, Any]:
    user = [{"name": column, "type": {"typename": kind}} for column, kind in columns]
    keys = [{"unique_columns": ["RID"]}, *more.pop("keys", [])]
    return {"table_name": name, "column_definitions": SYSTEM + user, "keys": keys, **more}


def _row(number: int) -> dict[str, object]:
    return {"a": f"name {number}", "b": "text", "c": number, "d": number / 7, "e": "x"}


def _rows(start: int, many: int) -> bytes:
    return json.dumps([_row(number) for number in range(start, start + many)]).encode()


def _fill_chain(send: Send, base: str, rows: int) -> None:
    """Fill A(name) ← B(a, k, v) ← C(b, w); B and C are long."""

    def link(column: str, table: str, referenced: str) -> dict[str, Any]:
        far = [{"schema_name": "chain", "table_name": table, "column_name": referenced}]
        return {"foreign_key_columns": [{"column_name": column}], "referenced_columns": far}

    tables = [
        _table("A", (("name", "text"),), keys=[{"unique_columns": ["name"]}]),
        _table("B", (("a", "text"), ("k", "text"), ("v", "int4")), keys=[{"unique_columns": ["k"]}],
               foreign_keys=[link("a", "A", "name")]),
        _table("C", (("b", "text"), ("w", "int4")), foreign_keys=[link("b", "B", "k")]),
    ]  # fmt: skip
    send("POST", f"{base}/schema", {"schemas": {"chain": {"tables": {each["table_name"]: each for each in tables}}}})
    send("POST", f"{base}/entity/chain:A?{DEFAULTS}", [{"name": f"a{number}"} for number in range(1000)])
    for start in range(0, rows, 20_000):
        some = range(start, min(rows, start + 20_000))
        send(
            "POST",
            f"{base}/entity/chain:B?{DEFAULTS}",
            [{"a": f"a{n % 1000}", "k": f"k{n}", "v": n % 100} for n in some],
        )
    for start in range(0, rows, 20_000):
        some = range(start, min(rows, start + 20_000))
        send("POST", f"{base}/entity/chain:C?{DEFAULTS}", [{"b": f"k{n * 7 % rows}", "w": n % 50} for n in some])


class Handwritten:
    """SQL written by hand on the very tables of the service: what its own statements are measured against."""

    def __init__(self, send: Send, base: str, file: Path) -> None:
        self.connection = apsw.Connection(str(file))
        tables = json.loads(send("GET", f"{base}/schema/chain"))["tables"]
        self.names = {name: "t" + table["RID"].replace("-", "") for name, table in tables.items()}
        self.names |= {
            f"{name}_{column['name']}": "c" + column["RID"].replace("-", "")
            for name, table in tables.items()
            for column in table["column_definitions"]
        }

    def run(self, sql: str) -> list[Any]:
        return self.connection.execute(sql.format(alive=f"died = {2**63 - 1}", **self.names)).fetchall()
