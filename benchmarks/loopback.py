"""The service over loopback HTTP: many small requests, large files, long results, and a crowd of writers."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil

from benchmarks import floors
from benchmarks.crowd import crowd
from benchmarks.measure import Figure, median_ms
from benchmarks.service import COLUMNS, DEFAULTS, OWNER, _row, _rows, _table
from deriva_local.service.attach import attach
from deriva_local.service.messages import FileSlice, Request

MIB = 1 << 20


def figures(folder: Path, smoke: bool) -> Iterator[Figure]:
    with serving(folder / "store") as server:
        base = server.catalog("one", "long")
        yield from _small_requests(server, base, folder, 0.3 if smoke else 4.0)
        yield from _large_files(server, folder, (2 if smoke else 100) * MIB)
        yield from _long_results(server, base, (1_000, 5_000) if smoke else (10_000, 1_000_000))
    yield from _files_in_process(folder, (2 if smoke else 100) * MIB)
    yield _many_processes(folder, 4 if smoke else 64)


@dataclass
class Server:
    """One ``deriva-ml serve`` on a free port."""

    process: subprocess.Popen[str]
    port: int
    token: str

    def send(self, method: str, target: str, body: Any = None, sink: Path | None = None) -> bytes:
        """Send one request; the answer goes into the file ``sink`` where that is given."""
        connection = http.client.HTTPConnection("localhost", self.port, blocksize=MIB)
        data = body if body is None or isinstance(body, bytes) or hasattr(body, "read") else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        if hasattr(data, "read"):
            headers["Content-Length"] = str(os.fstat(data.fileno()).st_size)
        connection.request(method, target, data, headers)
        answer = connection.getresponse()
        if sink is None:
            found = answer.read()
        else:
            found = b""
            with sink.open("wb", buffering=0) as file:
                while block := answer.read(MIB):
                    file.write(block)
        connection.close()
        assert answer.status < 300, (method, target, answer.status, found)
        return found

    def catalog(self, *tables: str) -> str:
        """Make a catalog with these tables in the schema ``bench``; return its address."""
        base = f"/ermrest/catalog/{json.loads(self.send('POST', '/ermrest/catalog', {}))['id']}"
        self.send("POST", f"{base}/schema/bench")
        for name in tables:
            self.send("POST", f"{base}/schema/bench/table", _table(name, COLUMNS))
        return base

    def memory(self) -> float:
        """Return what the server holds in memory, in MiB."""
        return float(psutil.Process(self.process.pid).memory_info().rss / MIB)


@contextmanager
def serving(store: Path) -> Iterator[Server]:
    command = [sys.executable, "-m", "deriva_ml.cli.serve", "--store", str(store)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert process.stdout is not None
        port = urlsplit(process.stdout.readline().strip()).port
        assert port is not None
        yield Server(process, port, (store / "token").read_text().strip())
    finally:
        process.terminate()
        process.communicate()


def _small_requests(server: Server, base: str, folder: Path, seconds: float) -> Iterator[Figure]:
    """Eight clients at once; a figure is the time per request, all clients together."""
    address, entities = (server.port, server.token), f"{base}/entity/bench:one"
    row = json.dumps([_row(1)]).encode()
    rid = json.loads(server.send("POST", f"{entities}?{DEFAULTS}", row))[0]["RID"]
    nothing = crowd(address, ("GET", "/nothing/here", b""), seconds)
    reads = crowd(address, ("GET", f"{entities}/RID={rid}", b""), seconds)
    name = f"8 clients read a row over HTTP ({reads.per_second:,.0f}/s)"
    yield Figure(name, reads.each_ms, "an unknown address", nothing.each_ms, 1000 / 1500, "1,500/s")
    plain, numbers = floors.plain_table(folder), count()
    sync = median_ms(lambda: floors.insert(plain, next(numbers), 1), 100)
    inserts = crowd(address, ("POST", f"{entities}?{DEFAULTS}", row), seconds)
    name = f"8 clients insert a row over HTTP, durable ({inserts.per_second:,.0f}/s)"
    yield Figure(name, inserts.each_ms, "plain INSERT + sync", sync, 1000 / 1000, "1,000/s")
    name = "the longest wait of 64 clients that insert"
    many = crowd(address, ("POST", f"{entities}?{DEFAULTS}", row), seconds, 64)
    yield Figure(name, many.longest_ms, "64 plain INSERTs + syncs", 64 * sync, 1000, "1 s")


def _large_files(server: Server, folder: Path, size: int) -> Iterator[Figure]:
    source, copy = folder / "large.bin", folder / "copy.bin"
    source.write_bytes(os.urandom(size))
    stored = median_ms(lambda: floors.hash_copy_sync(source, copy), 3)
    names = count()

    def put() -> None:
        with source.open("rb") as file:
            server.send("PUT", f"/hatrac/large{next(names)}", file)

    label = f"{size // MIB} MiB over HTTP"
    sent = median_ms(put, 3)
    yield Figure(f"PUT {label}", sent, "hash + copy + fsync", stored, 1.5 * stored, "1.5 × floor")
    copied = median_ms(lambda: _copy(source, copy), 5)
    got = median_ms(lambda: server.send("GET", "/hatrac/large0", sink=copy), 5)
    assert copy.read_bytes() == source.read_bytes()
    yield Figure(f"GET {label}", got, "copy", copied, 1.5 * copied, "1.5 × floor")
    for number in range(next(names)):
        server.send("DELETE", f"/hatrac/large{number}")


def _files_in_process(folder: Path, size: int) -> Iterator[Figure]:
    source, copy = folder / "large.bin", folder / "copy.bin"
    service, names = attach(folder / "files"), count()

    def put() -> None:
        with source.open("rb") as file:
            headers = {"content-length": str(size)}
            answer = service.handle(Request("PUT", f"/hatrac/large{next(names)}", headers, file, OWNER))
        assert answer.status == 201, answer

    def get() -> None:
        found = service.handle(Request("GET", "/hatrac/large0", client=OWNER)).body
        assert isinstance(found, FileSlice) and found.length == size
        _copy(found.path, copy)

    stored = median_ms(lambda: floors.hash_copy_sync(source, copy), 3)
    label = f"{size // MIB} MiB in process"
    yield Figure(f"PUT {label}", median_ms(put, 3), "hash + copy + fsync", stored, 1.5 * stored, "1.5 × floor")
    copied = median_ms(lambda: _copy(source, copy), 5)
    yield Figure(f"GET {label}", median_ms(get, 5), "copy", copied, 1.5 * copied, "1.5 × floor")
    service.close()
    shutil.rmtree(folder / "files")


def _copy(source: Path, target: Path) -> None:
    with source.open("rb", buffering=0) as read, target.open("wb", buffering=0) as write:
        while block := read.read(MIB):
            write.write(block)


def _long_results(server: Server, base: str, sizes: tuple[int, int]) -> Iterator[Figure]:
    """What the server holds in memory after results of two sizes, in each form; SQLite keeps up to 32 MiB of pages."""
    few, many = sizes
    kinds, there, small = ("json", "x-json-stream", "csv"), 0, 0.0
    for size in sizes:
        for start in range(there, size, 10_000):
            server.send("POST", f"{base}/entity/bench:long?{DEFAULTS}", _rows(start, min(10_000, size - start)))
        there = size
        for kind in kinds:
            _take(server, f"{base}/entity/bench:long", kind)
        small = small or server.memory()
    name = f"memory after reading {many:,} rows thrice"
    yield Figure(name, server.memory(), f"after {few:,} rows", small, small + 48, "floor + 48 MiB", "MiB")


def _take(server: Server, target: str, kind: str) -> None:
    connection = http.client.HTTPConnection("localhost", server.port)
    accept = "text/csv" if kind == "csv" else f"application/{kind}"
    connection.request("GET", target, headers={"Authorization": f"Bearer {server.token}", "Accept": accept})
    answer = connection.getresponse()
    while answer.read(MIB):
        pass
    connection.close()


_WRITER = """
import sys, time
from pathlib import Path
from benchmarks.loopback import Request, attach
service, target, body = attach(Path(sys.argv[1])), sys.argv[2], sys.stdin.readline().encode()
headers = {"content-type": "application/json"}

def insert():
    start = time.perf_counter()
    assert service.handle(Request("POST", target, headers, body, service.owner)).status == 200
    return time.perf_counter() - start

insert()
print("ready", flush=True)
sys.stdin.readline()
print(1000 * max(insert() for _ in range(10)), flush=True)
sys.stdin.readline()
"""


def _many_processes(folder: Path, number: int) -> Figure:
    """So many processes insert at the same time, each ten times; the figure is the longest that one of them waited.

    Who is done stays: so many interpreters that end keep the processors from those who still wait.
    """
    with serving(folder / "crowd") as server:
        target = f"{server.catalog('one')}/entity/bench:one?{DEFAULTS}"
    command = [sys.executable, "-c", _WRITER, str(folder / "crowd"), target]
    pipe = subprocess.PIPE
    writers = [subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) for _ in range(number)]
    for writer in writers:
        assert writer.stdin is not None and writer.stdout is not None
        writer.stdin.write(json.dumps([_row(1)]) + "\n")
        writer.stdin.flush()
        assert writer.stdout.readline() == "ready\n"
    plain, numbers = floors.plain_table(folder / "crowd"), count()
    sync = median_ms(lambda: floors.insert(plain, next(numbers), 1), 50)
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("\n")
        writer.stdin.flush()
    longest = max([float(writer.stdout.readline()) for writer in writers if writer.stdout is not None])
    for writer in writers:
        writer.communicate("\n")
    name = f"the longest wait of {number} processes that insert"
    return Figure(name, longest, f"{number} plain INSERTs + syncs", number * sync, 1000, "1 s")
