"""Servers that misbehave as a test says: one that answers from a script, and a wire that is cut at a byte."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer; ``pause`` seconds pass before each of its bytes."""

    status: int = 200
    body: bytes = b"[]"
    headers: dict[str, str] = field(default_factory=dict)
    pause: float = 0.0


@dataclass
class Scripted:
    """A server that gives these answers in turn, the last one again and again, and notes what it was asked."""

    answers: list[Answer]
    host: str = ""
    asked: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)

    def next(self) -> Answer:
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@contextlib.contextmanager
def scripted(*answers: Answer) -> Iterator[Scripted]:
    script = Scripted(list(answers))

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def _say(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            script.asked.append((self.command, self.path, {k.lower(): v for k, v in self.headers.items()}))
            answer = script.next()
            self.send_response_only(answer.status)
            for name, value in {**answer.headers, "Content-Length": str(len(answer.body))}.items():
                self.send_header(name, value)
            self.end_headers()
            with contextlib.suppress(OSError):  # the client has had enough
                for number in range(len(answer.body)) if answer.pause else ():
                    time.sleep(answer.pause)
                    self.wfile.write(answer.body[number : number + 1])
                if not answer.pause:
                    self.wfile.write(answer.body)

        do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _say

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    script.host = f"http://localhost:{server.server_port}"
    yield script
    server.shutdown()
    server.server_close()


class Wire:
    """Passes bytes on to a server and counts those that go there; each connection is cut after ``cut_after`` of them.

    ``silence`` is the beginning of a request at which a connection falls silent, once: nothing comes to the server any more,
    or with ``after_effect`` nothing comes back from it.
    """

    def __init__(self, host: str, port: int) -> None:
        self._to = (host, port)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.host = f"http://localhost:{self._listening.getsockname()[1]}"
        self.sent = 0
        self.cut_after: int | None = None
        self.silence: bytes | None = None
        self.after_effect = False
        self._muted: set[socket.socket] = set()
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listening.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                server = socket.create_connection(self._to)
                threading.Thread(target=self._pass, args=(client, server), daemon=True).start()

    def _pass(self, client: socket.socket, server: socket.socket) -> None:
        back = threading.Thread(target=self._back, args=(client, server), daemon=True)
        back.start()
        self._there(client, server)
        back.join()
        client.close()
        server.close()

    def _there(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while block := client.recv(65536):
                if self.silence is not None and self.silence in block:
                    self.silence = None
                    self._muted.add(server)
                if server in self._muted and not self.after_effect:
                    continue
                if self.cut_after is not None:
                    block = block[: max(0, self.cut_after)]
                    self.cut_after -= len(block)
                server.sendall(block)
                self.sent += len(block)
                if self.cut_after is not None and self.cut_after <= 0:
                    break
        self._end(client, server)

    def _back(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while block := server.recv(65536):
                if server not in self._muted:
                    client.sendall(block)
        self._end(client, server)

    def _end(self, *ends: socket.socket) -> None:
        for end in ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
