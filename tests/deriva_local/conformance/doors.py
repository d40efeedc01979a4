"""The wires that the conformance kit goes over: kept open, with or without TLS, to our own service or to a real server."""

from __future__ import annotations

import http.client
import os
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from conformance_kit import Door, Reply
from deriva.core import get_credential

SERVER = os.environ.get("DERIVA_ML_TEST_SERVER", "")
"""A server to try as well, as ``host[:port]`` or ``http(s)://host[:port]``; whom it knows, the deriva client knows."""
REAL = "real-server"
WAYS = ("in-process", "over-http", "over-https", *([REAL] if SERVER else []))
SECONDS = 60
IDLE = 3.0
"""Seconds after which a connection is not trusted to be open still."""


@dataclass
class Wire:
    """One connection to the server at ``url``, and the catalogs that were made over it."""

    url: str
    sent: Mapping[str, str]
    made: list[str] = field(default_factory=list)
    connection: http.client.HTTPConnection | None = None
    used: float = 0.0

    @property
    def door(self) -> Door:
        return Door(self)

    def __call__(self, method: str, target: str, body: bytes, headers: Mapping[str, str]) -> Reply:
        reply = self._exchange(method, target, body, {**self.sent, **headers})
        if method == "POST" and target.startswith("/ermrest/catalog") and reply.status == 201:
            self.made += [reply.headers["location"]] if "location" in reply.headers else []
        return reply

    def _exchange(self, method: str, target: str, body: bytes, headers: Mapping[str, str]) -> Reply:
        connection = self._open()
        connection.request(method, target, body, dict(headers))
        answer = connection.getresponse()
        found = {name.lower(): text for name, text in answer.getheaders()}
        self.used = time.monotonic()
        return Reply(answer.status, found, answer.read())

    def _open(self) -> http.client.HTTPConnection:
        if self.connection is None or time.monotonic() - self.used > IDLE:
            self.close()
            self.connection = self._connected()
        return self.connection

    def _connected(self) -> http.client.HTTPConnection:
        place = urlsplit(self.url)
        if place.scheme == "http":
            return http.client.HTTPConnection(place.netloc, timeout=SECONDS)
        trusting = ssl.create_default_context()
        if place.hostname == "localhost":  # as the deriva client does: its certificate is its own
            trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
        return http.client.HTTPSConnection(place.netloc, timeout=SECONDS, context=trusting)

    def close(self) -> None:
        if self.connection is not None:
            self.connection.close()
            self.connection = None

    def clean(self) -> None:
        """Delete the catalogs that are still there: they are on somebody's server."""
        for catalog in self.made:
            self._exchange("DELETE", catalog, b"", self.sent)


def real_server() -> Wire:
    """Return a wire to the server that ``DERIVA_ML_TEST_SERVER`` names, as whom the deriva client's own store says."""
    url = SERVER if "//" in SERVER else f"https://{SERVER}"
    known = get_credential(urlsplit(url).netloc) or {}
    if "bearer-token" in known:
        return Wire(url, {"Authorization": f"Bearer {known['bearer-token']}"})
    return Wire(url, {"Cookie": known["cookie"]} if "cookie" in known else {})
