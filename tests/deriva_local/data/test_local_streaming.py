"""Long results are written while they are read: the same bytes, a memory that does not grow, nothing left open."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from zoo import Catalog, new_catalog, table

from deriva_local.service import data
from deriva_local.service.messages import Request, Response
from deriva_local.wire.errors import Refusal

ROWS = 3_000
KINDS = ["application/json", "application/x-json-stream", "text/csv"]


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Catalog]:
    catalog = new_catalog(tmp_path_factory.mktemp("long") / "store")
    catalog.define("S", table("T", "n int4", "t text", "a text[]"))
    catalog.insert("S:T", *[{"n": n, "t": f'"{n}",', "a": ["x", None]} for n in range(ROWS)])
    yield catalog
    catalog.service.close()


def ask(catalog: Catalog, kind: str, path: str = "/entity/S:T@sort(RID)", method: str = "GET") -> Response:
    target = f"/ermrest/catalog/{catalog.id}{path}"
    return catalog.service.handle(Request(method, target, {"accept": kind}, client=catalog.service.owner))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("portion", [1, 7, 1000, ROWS - 1, ROWS])
def test_the_pieces_make_the_whole(long: Catalog, kind: str, portion: int, monkeypatch: pytest.MonkeyPatch) -> None:
    path = f"/entity/S:T@sort(RID)?limit={min(ROWS, portion * 50)}"
    whole = ask(long, kind, path).body
    assert isinstance(whole, bytes)
    monkeypatch.setattr(data, "PORTION", portion)
    streamed = ask(long, kind, path)
    assert not isinstance(streamed.body, bytes)
    assert "Content-Length" not in streamed.headers
    assert b"".join(streamed.body) == whole  # type: ignore[arg-type]


def test_what_is_read_is_one_moment(long: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data, "PORTION", 100)
    before = ask(long, KINDS[1], "/aggregate/S:T/n:=cnt(*)").body
    pieces = iter(ask(long, KINDS[1]).body)  # type: ignore[arg-type]
    first = next(pieces)
    long.insert("S:T", {"n": -1})
    found = first + b"".join(pieces)  # type: ignore[operator, arg-type]
    assert before == b'{"n":%d}\n' % found.count(b"\n")
    long.send("DELETE", "/entity/S:T/n=-1")


@pytest.mark.parametrize("read", [0, 1, 3])
def test_a_result_that_nobody_wants_any_more_lets_go(long: Catalog, read: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data, "PORTION", 100)
    idle = long.service.store.catalog(long.id)._connections._idle
    ask(long, KINDS[0], "/entity/S:T?limit=1")
    before = len(idle)
    response = ask(long, KINDS[0])
    pieces = iter(response.body)  # type: ignore[arg-type]
    for _ in range(read):
        next(pieces)
    del response, pieces
    gc.collect()
    assert len(idle) == before
    assert ask(long, KINDS[0], method="HEAD").body == b""
    gc.collect()
    assert len(idle) == before


def test_a_reader_that_takes_for_ever_is_cut_off(long: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data, "PORTION", 100)
    monkeypatch.setattr(data, "READ_LIMIT", -1.0)
    idle = long.service.store.catalog(long.id)._connections._idle
    before = len(idle)
    pieces = iter(ask(long, KINDS[0]).body)  # type: ignore[arg-type]
    with pytest.raises(Refusal, match="was not taken within"):
        b"".join(pieces)  # type: ignore[arg-type]
    assert len(idle) == before


def test_memory_does_not_grow_with_the_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data, "PORTION", 500)
    catalog = new_catalog(tmp_path / "store")
    catalog.define("S", table("T", "t text"))
    peaks = []
    for _ in range(2):
        for _ in range(2 if not peaks else 8):
            catalog.insert("S:T", *[{"t": "x" * 200} for _ in range(2_000)])
        tracemalloc.start()
        for _ in ask(catalog, KINDS[0]).body:  # type: ignore[union-attr]
            pass
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    catalog.service.close()
    assert peaks[1] < 1.5 * peaks[0]


@pytest.mark.parametrize("kind", KINDS)
def test_long_results_over_http(served: Any, kind: str) -> None:
    base = served.send("POST", "/ermrest/catalog", {}).headers["location"]
    served.send("POST", f"{base}/schema", {"schemas": {"S": {"tables": {"T": table("T", "n int4")}}}})
    rows = [{"n": n} for n in range(data.PORTION + 5)]
    assert served.send("POST", f"{base}/entity/S:T", rows).status == 200
    answer = served.send("GET", f"{base}/attribute/S:T/n@sort(n)", headers={"Accept": kind})
    assert answer.headers.get("transfer-encoding") == "chunked"
    lines = answer.body.decode().splitlines()
    assert len(lines) == len(rows) + (kind == "text/csv")
    if kind == KINDS[0]:
        assert answer.json() == rows
    assert served.send("GET", f"{base}/attribute/S:T/n@sort(n)?limit=1").json() == [{"n": 0}]
