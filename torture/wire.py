"""The misbehaving wire: a proxy between a run and its server refuses, cuts, delays and forgets, before and after the effect."""

from __future__ import annotations

import functools
import http.client
import os
import random
import socket
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from deriva_ml import DerivaML
from deriva_ml.catalog.session import Catalog
from deriva_ml.errors import DerivaMLException
from deriva_ml.schema import create_ml_catalog
from torture import story
from torture.tally import Tally

BEFORE = ("cut", "401", "409", "412", "429", "500", "503")
AFTER = ("cut after the effect", "500 after the effect", "truncated")


class Proxy(BaseHTTPRequestHandler):
    """Passes requests on; now and then something happens to one of them."""

    protocol_version = "HTTP/1.1"
    upstream = ""
    rate = 0.0
    chance = random.Random(0)
    done: list[str] = []  # noqa: RUF012 - one list for all handlers

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except OSError:  # the client has gone
            self.close_connection = True

    def _pass(self) -> None:
        body = self._body()
        fault = self.chance.choice(BEFORE + AFTER) if self.chance.random() < self.rate else ""
        if fault:
            self.done.append(f"{fault}: {self.command} {self.path[:80]}")
        if fault == "cut":
            return self._cut()
        if fault in BEFORE:
            return self._answer(int(fault), b"the wire misbehaves", {"Content-Type": "text/plain", "Retry-After": "0"})
        link = http.client.HTTPConnection(self.upstream, timeout=60)
        try:
            headers = {name: value for name, value in self.headers.items() if name.lower() != "host"}
            link.request(self.command, self.path, body, {**headers, "Host": self.upstream})
            answer = link.getresponse()
            content = answer.read()
        finally:
            link.close()
        if fault == "cut after the effect":
            return self._cut()
        if fault == "500 after the effect":
            return self._answer(500, b"forgotten", {"Content-Type": "text/plain"})
        kept = {k: v for k, v in answer.getheaders() if k.lower() not in ("transfer-encoding", "connection")}
        return self._answer(answer.status, content, kept, truncated=fault == "truncated")

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _pass

    def _body(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts = []
        while size := int(self.rfile.readline().strip() or b"0", 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _answer(self, status: int, content: bytes, headers: dict[str, str], *, truncated: bool = False) -> None:
        length = headers.pop("Content-Length", headers.pop("content-length", str(len(content))))
        self.send_response_only(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if status not in (204, 304):
            self.send_header("Content-Length", length if self.command == "HEAD" else str(len(content)))
        self.end_headers()
        if self.command == "HEAD":
            return
        self.wfile.write(content[: len(content) // 2] if truncated else content)
        if truncated and len(content) > 1:
            self._cut()

    def _cut(self) -> None:
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


def campaign(work: Path, seconds: float, seed: int) -> Tally:
    """Live runs against a server through the proxy, at several rates of trouble, until the time is over."""
    tally = Tally("the wire")
    Proxy.chance = random.Random(seed)
    Catalog.pauses = (0.01, 0.02)
    command = [sys.executable, "-m", "deriva_ml.cli.serve", "--store", str(work / "store"), "--port", "0", "--open"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"})
    try:
        assert server.stdout is not None
        Proxy.upstream = urlsplit(server.stdout.readline().split()[0]).netloc
        proxy = ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
        proxy.daemon_threads = True
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        _attack(work, f"http://localhost:{proxy.server_port}", time.monotonic() + seconds, tally)
        proxy.shutdown()
    finally:
        server.terminate()
        server.wait(30)
    return tally


def _attack(work: Path, address: str, end: float, tally: Tally) -> None:
    loop = story.life_story
    real = loop.DerivaML
    try:
        while not tally.points or time.monotonic() < end:
            Proxy.rate = 0.0
            made = create_ml_catalog(address, "domain", credential={})
            loop.DerivaML = functools.partial(_open, address, made.catalog_id)
            for name in ("home", "template"):
                (work / name).exists() and (work / name).rename(work / f"{name}-{time.monotonic_ns()}")
            loop.prepare(work / "home", story.SIZE.values)
            (work / "home").rename(work / "template")
            home = story.renew(work)
            _runs(home, work, end, tally)
    finally:
        loop.DerivaML = real


def _open(address: str, catalog: str, working_dir: Path) -> DerivaML:
    return DerivaML(address, catalog, working_dir=working_dir, credential={})


def _runs(home: Path, work: Path, end: float, tally: Tally) -> None:
    """Five runs on one catalog, each through a wire of its own badness; then the wire is well again and all is judged."""
    told = story.life_story.Acknowledged(home / "acknowledged.jsonl")
    done: list[str] = []
    for number in range(5):
        if number and time.monotonic() > end:
            break
        Proxy.rate = Proxy.chance.choice((0.01, 0.03, 0.1, 0.3))
        Proxy.done = done
        try:
            story.life_story.live(home, told, number, story.SIZE)
        except (DerivaMLException, OSError):
            continue  # a clear error; what was acknowledged before it must survive
        finally:
            Proxy.rate = 0.0
    story.judge(home, f"wire, {len(done)} troubles, the last: {done[-3:]}", tally, number + 1)
