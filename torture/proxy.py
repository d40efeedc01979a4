"""A misbehaving proxy: it refuses, cuts at any byte, delays, flips and forgets, before the effect of a request and after it."""

from __future__ import annotations

import http.client
import random
import socket
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

REFUSALS = ("401", "403", "409", "412", "429", "500", "502", "503", "504")
BEFORE = (*REFUSALS, "cut", "cut in the request", "flipped request", "sent on", "sent elsewhere", "silent")
AFTER = (
    "cut after the effect",
    "500 after",
    "504 after",
    "cut in the answer",
    "garbage",
    "flipped answer",
    "trickled",
    "silent after",
)
RARE = {"silent", "silent after", "trickled"}
"""They cost a time-out each."""
SILENCE = 2.5


class Proxy(BaseHTTPRequestHandler):
    """Passes requests on; now and then something happens to one of them."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    upstream = ""
    elsewhere = ""
    rate = 0.0
    chance = random.Random(0)
    done: list[str] = []  # noqa: RUF012 - one list for all handlers

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except (OSError, http.client.HTTPException):  # one of the two sides has gone
            self.close_connection = True

    def _pass(self) -> None:
        body = self._body()
        fault = self._fault(body)
        if fault:
            self.done.append(f"{fault}: {self.command} {self.path[:80]}")
        if fault in REFUSALS:
            return self._refuse(int(fault))
        if fault in BEFORE and fault != "flipped request":
            return self._before(fault, body)
        if fault == "flipped request":
            body = self._flipped(body)
        status, headers, content = self._ask(body)
        return self._after(fault, status, headers, content)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _pass

    def _fault(self, body: bytes) -> str:
        if self.chance.random() >= self.rate:
            return ""
        fault = self.chance.choice(BEFORE + AFTER)
        objects = self.path.startswith("/hatrac/")
        unfit = {
            "flipped request": not (objects and self.command == "PUT" and body),  # rows carry no checksum
            "flipped answer": not (objects and self.command == "GET"),
            "cut in the request": not body,
        }
        if unfit.get(fault) or (fault in RARE and self.chance.random() > 0.1):
            return self.chance.choice(REFUSALS)
        return fault

    def _before(self, fault: str, body: bytes) -> None:
        if fault == "sent on":
            return self._answer(307, b"", {"Location": self.path})
        if fault == "sent elsewhere":
            return self._answer(307, b"", {"Location": f"http://{self.elsewhere}{self.path}"})
        if fault == "silent":
            time.sleep(SILENCE)
        if fault == "cut in the request":
            self._ask(body, self.chance.randrange(len(body)))
        return self._cut()

    def _after(self, fault: str, status: int, headers: dict[str, str], content: bytes) -> None:
        match fault:
            case "cut after the effect":
                return self._cut()
            case "500 after" | "504 after":
                return self._answer(int(fault[:3]), b"forgotten", {"Content-Type": "text/plain"})
            case "silent after":
                time.sleep(SILENCE)
                return self._cut()
            case "garbage":
                content = bytes(self.chance.choice(b"<>{[x") for _ in content)
            case "flipped answer":
                content = self._flipped(content)
        return self._answer(status, content, headers, fault)

    def _ask(self, body: bytes, cut_at: int | None = None) -> tuple[int, dict[str, str], bytes]:
        """Ask the server; with ``cut_at`` the connection is gone after that byte of the body."""
        link = http.client.HTTPConnection(self.upstream, timeout=60)
        try:
            link.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            kept = {
                name: value for name, value in self.headers.items() if name.lower() not in ("host", "transfer-encoding")
            }
            for name, value in {**kept, "Host": self.upstream, "Content-Length": str(len(body))}.items():
                if name.lower() != "content-length" or name == "Content-Length":
                    link.putheader(name, value)
            link.endheaders()
            link.send(body[:cut_at])
            if cut_at is not None:
                return 0, {}, b""
            answer = link.getresponse()
            headers = {k: v for k, v in answer.getheaders() if k.lower() not in ("transfer-encoding", "connection")}
            return answer.status, headers, answer.read()
        finally:
            link.close()

    def _body(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts = []
        while size := int(self.rfile.readline().strip() or b"0", 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _refuse(self, status: int) -> None:
        moment = format_datetime(datetime.now(UTC), usegmt=True)
        again = {"Retry-After": self.chance.choice(("0", moment))} if status in (429, 503) else {}
        self._answer(status, b"the wire misbehaves", {"Content-Type": "text/plain", **again})

    def _answer(self, status: int, content: bytes, headers: dict[str, str], fault: str = "") -> None:
        length = next((value for name, value in headers.items() if name.lower() == "content-length"), str(len(content)))
        self.send_response_only(status)
        for name, value in headers.items():
            if name.lower() != "content-length":
                self.send_header(name, value)
        if status not in (204, 304):
            self.send_header("Content-Length", length if self.command == "HEAD" else str(len(content)))
        self.end_headers()
        if self.command == "HEAD":
            return
        if fault == "cut in the answer":
            self.wfile.write(content[: self.chance.randrange(len(content) + 1)])
            self._cut()
        elif fault == "trickled":
            self._trickle(content)
        else:
            self.wfile.write(content)

    def _trickle(self, content: bytes) -> None:
        for number in range(len(content)):
            self.wfile.write(content[number : number + 1])
            self.wfile.flush()
            time.sleep(0.05)

    def _flipped(self, content: bytes) -> bytes:
        if not content:
            return content
        at = self.chance.randrange(len(content))
        return content[:at] + bytes([content[at] ^ (1 << self.chance.randrange(8))]) + content[at + 1 :]

    def _cut(self) -> None:
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


class Trap(BaseHTTPRequestHandler):
    """Another host, which writes down whatever credentials come to it."""

    caught: list[str] = []  # noqa: RUF012 - one list for all handlers

    def _take(self) -> None:
        secrets = {name: value for name, value in self.headers.items() if name.lower() in ("authorization", "cookie")}
        if secrets or self.command not in ("GET", "HEAD"):
            self.caught.append(f"{self.command} {self.path[:80]} {sorted(secrets)}")
        self.send_error(404)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _take

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


def listening(handler: Callable[..., BaseHTTPRequestHandler]) -> ThreadingHTTPServer:
    """Return a server on a free port that answers with ``handler`` in threads of its own."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server
