"""What the HTTP server takes from the wire: strict heads, strict chunks, and callers that get on."""

from __future__ import annotations

import http.client
import io
import socket
import ssl
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import pytest

from deriva_local.service.chunks import Chunks
from deriva_local.service.heads import MOST_LINES, fields
from deriva_local.service.overdue import Overdue

NEXT = b"GET /authn/session HTTP/1.1\r\nHost: localhost\r\n\r\n"


def lines(text: bytes) -> list[bytes]:
    return text.replace(b"\n", b"\r\n").splitlines(keepends=True)


# --------------------------------------------------------------------------------------------------------------- heads


@pytest.mark.parametrize(
    ("head", "found"),
    [
        (b"\n", {}),
        (b"host:  lab \n\n", {b"Host": b"lab"}),
        (b"X-Empty:\n\n", {b"X-Empty": b""}),
        (b"X: caf\xe9\t!\n\n", {b"X": b"caf\xe9\t!"}),
        (b"Content-Length: 007\n\n", {b"Content-Length": b"007"}),
        (b"Cookie: a=1\nCookie: b=2\n\n", {b"Cookie": b"a=1; b=2"}),
        (b"X-Forwarded-For: a\nX-Forwarded-For: b\n\n", {b"X-Forwarded-For": b"a, b"}),
        (b"X_Forwarded_Host: evil\nX: 1\n\n", {b"X": b"1"}),
    ],
)
def test_heads(head: bytes, found: dict[bytes, bytes]) -> None:
    assert fields(lines(head)) == found


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"Host: lab\n",
        b"no colon\n\n",
        b": no name\n\n",
        b"X : blank\n\n",
        b"X: a\n b\n\n",
        b"X\xe9: a\n\n",
        b"X: a\0b\n\n",
        b"X: a\x7f\n\n",
        b"Host: a\nhost: b\n\n",
        b"Host: a\nHost: a\n\n",
        b"Authorization: a\nAuthorization: b\n\n",
        b"Content-Length: 5\nContent-Length: 5\n\n",
        b"Content-Length: 5, 5\n\n",
        b"Content-Length: +5\n\n",
        b"Content-Length: -5\n\n",
        b"Content-Length: 0x5\n\n",
        b"Content-Length: 1_0\n\n",
        b"Content-Length:\n\n",
        b"Content-Length: " + b"9" * 19 + b"\n\n",
        b"Content-Length: 5\nTransfer-Encoding: chunked\n\n",
        b"Transfer-Encoding: chunked\nTransfer-Encoding: identity\n\n",
        b"X: 1\n" * (MOST_LINES + 1) + b"\n",
    ],
)
def test_heads_that_say_two_things(head: bytes) -> None:
    with pytest.raises(ValueError, match=r"\."):
        fields(lines(head))


def test_a_line_must_end_as_lines_do() -> None:
    for line in (b"Host: lab\n", b"Host: lab\r", b"Host: lab"):
        with pytest.raises(ValueError, match="malformed"):
            fields([line, b"\r\n"])


# -------------------------------------------------------------------------------------------------------------- chunks


@pytest.mark.parametrize(
    ("sent", "body"),
    [
        (b"0\r\n\r\n", b""),
        (b"A\r\n0123456789\r\n0\r\n\r\n", b"0123456789"),
        (b"01 ;a=b\r\nx\r\n1\r\ny\r\n000\r\nTrailer: t\r\n\r\n", b"xy"),
    ],
)
def test_chunks(sent: bytes, body: bytes) -> None:
    for size in (1, 3, 1000):
        chunks, got = Chunks(io.BytesIO(sent + NEXT)), b""
        while block := chunks.read(size):
            got += block
        assert (got, chunks.is_over) == (body, True)


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"\r\n",
        b"zz\r\nx\r\n0\r\n\r\n",
        b"-1\r\n\r\n",
        b"+1\r\nx\r\n0\r\n\r\n",
        b"0x1\r\nx\r\n0\r\n\r\n",
        b"1_0\r\n0123456789012345\r\n0\r\n\r\n",
        b"1\nx\r\n0\r\n\r\n",
        b"1\r\nxy\r\n0\r\n\r\n",
        b"5\r\nxy",
        b"1\r\nx\r\n",
        b"0\r\n",
        b"0\r\nTrailer\n\r\n",
        b"F" * 16 + b"\r\n",
        b"1;" + b"x" * 5000 + b"\r\nx\r\n0\r\n\r\n",
        b"0\r\n" + b"T: t\r\n" * 51 + b"\r\n",
    ],
)
def test_chunks_that_are_none(sent: bytes) -> None:
    chunks = Chunks(io.BytesIO(sent))
    with pytest.raises(ValueError, match="chunk"):
        chunks.read(10_000)
    assert not chunks.is_over


# ---------------------------------------------------------------------------------------------------------- on the wire


def answers(port: int, sent: bytes) -> list[int]:
    """Return the statuses of all answers until the server ends the connection."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as wire:
        wire.sendall(sent)
        wire.shutdown(socket.SHUT_WR)
        got = b"".join(iter(lambda: wire.recv(65536), b""))
    return [int(part[:3]) for part in got.split(b"HTTP/1.1 ")[1:]]


@pytest.mark.parametrize(
    ("head", "body", "statuses"),
    [
        (b"Content-Length: 5\r\n", b"hello", [401, 404]),
        (b"Transfer-Encoding: chunked\r\n", b"5\r\nhello\r\n0\r\n\r\n", [411, 404]),
        (b"Content-Length: 5\r\nContent-Length: 6\r\n", b"hello", [400]),
        (b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n", [400]),
        (b"Transfer-Encoding: chunked\r\n", b"zz\r\n", [400]),
        (b"Transfer-Encoding: xchunked\r\n", b"0\r\n\r\n", [501]),
        (b"X: " + b"a" * 2_000_000 + b"\r\n", b"", [413]),
    ],
)
def test_no_request_hides_in_another(served: Any, head: bytes, body: bytes, statuses: list[int]) -> None:
    put = b"PUT /hatrac/smuggled HTTP/1.1\r\nHost: localhost\r\n" + head + b"\r\n" + body
    found = answers(urlsplit(served.url).port or 0, put + NEXT)
    assert found == statuses or (statuses == [400] and found[:1] == [411]), found


def test_who_is_over_time_is_hung_up_on() -> None:
    here, there = socket.socketpair()
    overdue = Overdue()
    now = time.monotonic()
    with overdue.within(here, 30):
        assert overdue.hang_up(now) == 0
        assert overdue.hang_up(now + 31) == 1
        assert (here.recv(1), there.recv(1)) == (b"", b"")
    assert overdue.hang_up(now + 31) == 0
    overdue.close()
    here.close()
    there.close()


@pytest.mark.parametrize("options", [[], ["--tls"]], ids=["http", "https"])
def test_who_connects_and_says_nothing_keeps_nobody_waiting(serve: Callable[..., Any], options: list[str]) -> None:
    server = serve(*options)
    port = urlsplit(server.url).port or 0
    silent = [socket.create_connection(("127.0.0.1", port)) for _ in range(50)]
    if options:
        context = ssl.create_default_context(cafile=str(server.folder / "certificate.pem"))
        connection = http.client.HTTPSConnection("localhost", port, timeout=20, context=context)
    else:
        connection = http.client.HTTPConnection("localhost", port, timeout=20)
    connection.request("GET", "/authn/session")
    assert connection.getresponse().status == 404
    connection.close()
    for wire in silent:
        wire.close()


def test_plain_http_where_https_is_spoken_is_told_so(serve: Callable[..., Any]) -> None:
    server = serve("--tls")
    with socket.create_connection(("127.0.0.1", urlsplit(server.url).port or 0), timeout=20) as wire:
        wire.sendall(NEXT)
        told = b"".join(iter(lambda: wire.recv(65536), b""))
    assert told.startswith(b"HTTP/1.1 400 ")
    assert b"HTTPS" in told
