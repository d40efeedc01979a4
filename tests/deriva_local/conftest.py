"""The service of the tests: in a folder of the test's own in process, and served over loopback HTTP."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import textwrap
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from deriva_local.service.app import Service
from deriva_local.service.messages import FileSlice, Request, Response

START_SECONDS = 30


@dataclass(frozen=True)
class Answer:
    """A response, the same over every way in. Header names are lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def text(self) -> str:
        return self.body.decode()


Send = Callable[..., Answer]


@dataclass
class Served:
    """One running ``deriva-ml serve``."""

    folder: Path
    process: subprocess.Popen[str]
    url: str
    sent: dict[str, str] = field(default_factory=dict)

    @property
    def netloc(self) -> str:
        return urlsplit(self.url).netloc

    @property
    def token(self) -> str:
        return (self.folder / "token").read_text().strip()

    @property
    def credential(self) -> dict[str, str]:
        return {"bearer-token": self.token}

    def send(
        self, method: str, target: str, body: Any = b"", headers: Mapping[str, str] | None = None, *, token: bool = True
    ) -> Answer:
        """Send one request on a connection of its own; ``token=False`` leaves out the credential."""
        connection = http.client.HTTPConnection(self.netloc, timeout=60)
        sent = {"Authorization": f"Bearer {self.token}"} if token else {}
        try:
            connection.request(method, target, body=_bytes(body), headers={**sent, **_headers(body, headers)})
            response = connection.getresponse()
            return Answer(
                response.status, {name.lower(): text for name, text in response.getheaders()}, response.read()
            )
        finally:
            connection.close()

    def stop(self) -> int:
        """End the server as a user does, and return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(START_SECONDS)


def _headers(body: Any, headers: Mapping[str, str] | None) -> dict[str, str]:
    kind = {} if isinstance(body, bytes | Path) or hasattr(body, "read") else {"Content-Type": "application/json"}
    return {**kind, **(headers or {})}


def _bytes(body: Any) -> Any:
    return body if isinstance(body, bytes) or hasattr(body, "read") else json.dumps(body).encode()


def content(response: Response) -> bytes:
    """Return the whole body of an in-process response."""
    if isinstance(response.body, bytes):
        return response.body
    if isinstance(response.body, FileSlice):
        with response.body.path.open("rb") as file:
            file.seek(response.body.offset)
            return file.read(response.body.length)
    return b"".join(response.body)


def in_process(service: Service) -> Send:
    """Return the way into this service without a socket."""

    def send(method: str, target: str, body: Any = b"", headers: Mapping[str, str] | None = None) -> Answer:
        given = body if isinstance(body, Path) else _bytes(body)
        sent = {name.lower(): text for name, text in _headers(body, headers).items()}
        if isinstance(given, bytes):
            sent.setdefault("content-length", str(len(given)))
        response = service.handle(Request(method, target, sent, given, service.owner))
        return Answer(
            response.status, {name.lower(): text for name, text in response.headers.items()}, content(response)
        )

    return send


def start(folder: Path, *options: str) -> Served:
    """Start ``deriva-ml serve`` on a free port and wait for the address that it prints."""
    command = [sys.executable, "-m", "deriva_ml.cli.serve", "--store", str(folder), "--port", "0", *options]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line.startswith("http"):
        process.kill()
        pytest.fail(f"serve did not start: {line!r} {process.communicate()[1]}")
    return Served(folder, process, line.split()[0])


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Served]]:
    """Start servers of the test's own; all of them are ended with the test."""
    running: list[Served] = []

    def starter(*options: str, folder: Path | None = None) -> Served:
        running.append(start(folder or tmp_path / "served", *options))
        return running[-1]

    yield starter
    for server in running:
        if server.process.poll() is None:
            server.process.kill()
        server.process.communicate()


@pytest.fixture(scope="session")
def start_server() -> Callable[..., Served]:
    """``start_server(folder, *options)``, for a fixture that ends the server itself."""
    return start


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One server for all tests of this process. Its store is shared: take a catalog or a ``space`` of your own."""
    server = start(tmp_path_factory.mktemp("served") / "store")
    yield server
    server.process.kill()
    server.process.communicate()


@pytest.fixture
def served_url(served: Served) -> str:
    """The address of the shared server."""
    return served.url


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    """A service in process, on a fresh store."""
    opened = Service(tmp_path / "store")
    yield opened
    opened.close()


@pytest.fixture(params=["in process", "over http"])
def send(request: pytest.FixtureRequest) -> Send:
    """``send(method, target, body=b"", headers=None) -> Answer``, in process and over loopback HTTP.

    A body that is not bytes is sent as JSON.
    """
    if request.param == "over http":
        served: Served = request.getfixturevalue("served")
        return served.send
    return in_process(request.getfixturevalue("service"))


@pytest.fixture
def catalog(send: Send) -> str:
    """The address of a new catalog, ``/ermrest/catalog/N``."""
    return send("POST", "/ermrest/catalog", {}).headers["location"]


@pytest.fixture
def space(send: Send) -> str:
    """The address of a new, empty namespace, ``/hatrac/<unique>``."""
    made = f"/hatrac/{uuid.uuid4().hex}"
    assert send("PUT", made, headers={"Content-Type": "application/x-hatrac-namespace"}).status == 201
    return made


@pytest.fixture
def deriva_server(served: Served) -> Any:
    """An unmodified ``DerivaServer`` of the deriva client, bound to the shared server."""
    from deriva.core import DerivaServer

    return DerivaServer("http", served.netloc, credentials=served.credential)


@pytest.fixture
def hatrac_store(served: Served) -> Any:
    """An unmodified ``HatracStore`` of the deriva client, bound to the shared server."""
    from deriva.core import HatracStore

    return HatracStore("http", served.netloc, credentials=served.credential)


@pytest.fixture
def run_python() -> Callable[[str], str]:
    """Run a script in a process of its own and return what it prints."""

    def run(script: str) -> str:
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    return run
