"""Cheap clients for a load test: one process, several kept connections, one request always under way on each.

``python -m benchmarks.crowd PORT TOKEN METHOD TARGET SECONDS CONNECTIONS < body`` prints how many were answered, and the
longest that one took in milliseconds.
"""

from __future__ import annotations

import select
import socket
import subprocess
import sys
import time
from dataclasses import dataclass

HEAD = (
    "{method} {target} HTTP/1.1\r\nHost: localhost:{port}\r\nAuthorization: Bearer {token}\r\n"
    "Content-Type: application/json\r\nAccept: application/json\r\nContent-Length: {length}\r\n\r\n"
)


@dataclass(frozen=True)
class Load:
    """What a crowd did: answers per second, and the longest wait in milliseconds."""

    per_second: float
    longest_ms: float

    @property
    def each_ms(self) -> float:
        return 1000 / self.per_second


def crowd(address: tuple[int, str], request: tuple[str, str, bytes], seconds: float, clients: int = 8) -> Load:
    """Let ``clients`` connections, spread over two processes, send one request again and again."""
    (port, token), (method, target, body) = address, request
    command = [sys.executable, "-m", "benchmarks.crowd", str(port), token, method, target]
    workers = [
        subprocess.Popen([*command, str(seconds), str(share)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for share in (clients // 2, clients - clients // 2)
    ]
    answers = [worker.communicate(body)[0].split() for worker in workers]
    return Load(sum(int(count) for count, _ in answers) / seconds, max(float(longest) for _, longest in answers))


class Caller:
    """One connection with one request under way."""

    def __init__(self, port: int, request: bytes) -> None:
        self.socket = socket.create_connection(("localhost", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.request = request

    def send(self) -> None:
        self.received = b""
        self.began = time.perf_counter()
        self.socket.sendall(self.request)

    def is_answered(self) -> bool:
        """Read what is there; say whether that completes the answer."""
        self.received += self.socket.recv(1 << 16)
        head, found, body = self.received.partition(b"\r\n\r\n")
        if not found:
            return False
        status = int(head[9:12])
        if status >= 500:
            raise SystemExit(self.received.decode())
        length = head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0]
        return len(body) >= int(length or 0)


def main(port: int, request: bytes, seconds: float, connections: int) -> None:
    callers = [Caller(port, request) for _ in range(connections)]
    waiting = select.poll()
    by_number = {caller.socket.fileno(): caller for caller in callers}
    for number in by_number:
        waiting.register(number, select.POLLIN)
    for caller in callers:
        caller.send()
    answers, longest, end = 0, 0.0, time.perf_counter() + seconds
    while (now := time.perf_counter()) < end:
        for number, _ in waiting.poll(1000):
            caller = by_number[number]
            if caller.is_answered():
                longest = max(longest, time.perf_counter() - caller.began)
                answers += 1
                caller.send()
    still = max(now - caller.began for caller in callers)
    print(answers, 1000 * max(longest, still))


if __name__ == "__main__":
    port, token, method, target, seconds, connections = sys.argv[1:]
    body = sys.stdin.buffer.read()
    head = HEAD.format(method=method, target=target, port=port, token=token, length=len(body))
    main(int(port), head.encode() + body, float(seconds), int(connections))
