"""The HTTP server: connections that wait hold no thread, requests are read strictly and in time."""

from __future__ import annotations

import logging
import os
import socket
import ssl
from contextlib import suppress
from typing import Any

from cheroot.server import HTTPConnection, HTTPRequest
from cheroot.ssl.builtin import BuiltinSSLAdapter
from cheroot.wsgi import Server

from deriva_local.service.chunks import Chunks
from deriva_local.service.heads import LONGEST_HEAD, StrictReader
from deriva_local.service.overdue import Overdue

log = logging.getLogger(__name__)

THREADS = 32
"""How many requests run at once. Readers that take their time, and writers that wait in line, hold one each."""
NAME = "deriva-local"
"""What the server calls itself: no version, which would tell whom it concerns what to try."""
CONNECTIONS = 512
"""How many callers may stay connected between two requests; the one that was silent for longest goes."""
BACKLOG = 128
"""How many callers may knock at the same moment: more would have to knock again, a second later."""
SOCKET_SECONDS = 60
GOODBYE_SECONDS = 20
HEAD_SECONDS = 10
"""How long the head of a request may take to arrive, and a TLS handshake."""
SLOWEST = 1024
"""How many bytes of a body a second are the least, once the first minute is over."""

_PLAIN = (
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: 41\r\nConnection: close\r\n\r\n"
    b"This port speaks HTTPS only, not HTTP.  \n"
)


class _Incoming:
    """What a connection reads from, with a time for each piece of a body."""

    def __init__(self, file: Any, connection: socket.socket, overdue: Overdue) -> None:
        self._file, self._connection, self._overdue = file, connection, overdue
        self.is_in_head = True

    def read(self, size: int = -1) -> bytes:
        with self._overdue.within(self._connection, SOCKET_SECONDS + max(size, 0) / SLOWEST):
            block: bytes = self._file.read(size)
        return block

    def readline(self, *size: int) -> bytes:
        line: bytes
        if self.is_in_head:  # which has a time as a whole
            line = self._file.readline(*size)
        else:
            with self._overdue.within(self._connection, SOCKET_SECONDS):
                line = self._file.readline(*size)
        return line

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


class _Request(HTTPRequest):
    header_reader = StrictReader()

    def parse_request(self) -> None:
        self.conn.rfile.is_in_head = True
        with self.server.overdue.within(self.conn.socket, HEAD_SECONDS):
            super().parse_request()
        self.conn.rfile.is_in_head = False

    def respond(self) -> None:
        """Answer. After a body that could not be understood nobody knows where the next request would begin."""
        if not self.chunked_read:
            super().respond()
            return
        self.rfile = Chunks(self.conn.rfile)
        self.server.gateway(self).respond()
        self.ensure_headers_sent()
        if self.chunked_write:
            self.conn.wfile.write(b"0\r\n\r\n")
        self.close_connection = self.close_connection or not self.rfile.is_over


class _Connection(HTTPConnection):
    RequestHandlerClass = _Request
    is_new = True

    def __init__(self, server: Any, sock: Any, *more: Any, **named: Any) -> None:
        super().__init__(server, sock, *more, **named)
        self.rfile: Any = _Incoming(self.rfile, sock, server.overdue)
        self._greeted = not isinstance(sock, ssl.SSLSocket)

    def communicate(self) -> Any:
        if not self._greeted and not self._greet():
            return False
        return super().communicate()  # type: ignore[no-untyped-call]

    def _greet(self) -> bool:
        """Shake hands; say False to whom that cannot be done with."""
        try:
            with self.server.overdue.within(self.socket, HEAD_SECONDS):
                self.socket.do_handshake()
        except OSError as error:
            log.debug("No handshake with %s: %s", self.remote_addr, error)
            if "HTTP_REQUEST" in str(getattr(error, "reason", "")):
                with suppress(OSError):
                    os.write(self.socket.fileno(), _PLAIN)
            return False
        self._greeted = True
        return True


class _Tls(BuiltinSSLAdapter):
    """Encryption whose handshake is left to the thread of the connection, since one thread takes in all callers."""

    def wrap(self, sock: Any) -> tuple[ssl.SSLSocket, dict[str, str]]:
        wrapped = self.context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
        return wrapped, {"wsgi.url_scheme": "https", "HTTPS": "on"}


class Listener(Server):
    """The HTTP server on one address, with its complaints in our log."""

    keep_alive_conn_limit = CONNECTIONS
    max_request_header_size = LONGEST_HEAD
    ConnectionClass = _Connection

    def __init__(self, address: tuple[str, int], application: Any) -> None:
        super().__init__(
            address,
            application,
            numthreads=THREADS,
            request_queue_size=BACKLOG,
            timeout=SOCKET_SECONDS,
            shutdown_timeout=GOODBYE_SECONDS,
            server_name=NAME,
        )
        self.overdue = Overdue()

    def encrypt(self, pem: str) -> None:
        """Speak TLS with the key and the certificates in this file.

        Raises:
            OSError: it is no such file.
        """
        self.ssl_adapter = _Tls(pem, pem)
        self.ssl_adapter.context.minimum_version = ssl.TLSVersion.TLSv1_2

    def process_conn(self, conn: Any) -> None:
        """Give a connection a thread once it has something to say: some callers connect ahead, and say nothing."""
        if conn.is_new:
            conn.is_new = False
            self.put_conn(conn)
        else:
            super().process_conn(conn)

    def stop(self) -> None:
        super().stop()
        self.overdue.close()

    @staticmethod
    def bind_socket(socket_: socket.socket, bind_addr: tuple[str, int]) -> socket.socket:
        """Bind, and let the next server have the port as soon as this one is gone, whoever chose the port.

        A free port must be asked for without this option, and old connections only let go of it if they had it too.
        """
        socket_.bind(bind_addr)
        socket_.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        return socket_

    def error_log(self, msg: str = "", level: int = logging.INFO, traceback: bool = False) -> None:
        log.log(level, "%s", msg, exc_info=traceback)
