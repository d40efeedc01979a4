"""The service behind a ``requests`` session: objects of the deriva client talk to it without a socket.

Import this file only where ``requests`` is loaded anyway; the service itself does not need it.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping
from http import HTTPStatus
from typing import Any, BinaryIO, cast
from urllib.parse import urlsplit

import requests
from deriva.core import deriva_binding
from requests.adapters import BaseAdapter
from requests.structures import CaseInsensitiveDict
from urllib3 import HTTPHeaderDict, HTTPResponse

from deriva_local.service.app import Service
from deriva_local.service.messages import PRIVATE_HEADERS, FileSlice, Request, Response


class ServiceAdapter(BaseAdapter):
    """A transport adapter that answers from one service, as its owner.

    Example::

        route("embedded.localhost", attach(folder))
        catalog = DerivaServer("https", "embedded.localhost").connect_ermrest("1")
    """

    def __init__(self, service: Service) -> None:
        super().__init__()
        self._service = service

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: Any = None,
        verify: Any = True,
        cert: Any = None,
        proxies: Mapping[str, str] | None = None,
    ) -> requests.Response:
        """Answer one request of a session. Time-outs, certificates and proxies mean nothing here."""
        headers = {
            name.lower(): _text(value)
            for name, value in request.headers.items()
            if not name.lower().startswith(PRIVATE_HEADERS)
        }
        asked = Request(request.method or "GET", request.path_url, headers, _body(request), self._service.owner)
        return _as_requests(self._service.handle(asked), request)

    def close(self) -> None:
        """Nothing is held: the service belongs to who attached it."""


def mount(binding: Any, service: Service) -> None:
    """Let one object of the deriva client use ``service``: a ``DerivaServer``, ``ErmrestCatalog``, ``HatracStore``, …

    Objects that it makes (the catalogs of a server, the snapshots of a catalog) have sessions of their own and are
    to be mounted as well; :func:`route` covers them all.
    """
    parts = urlsplit(binding.get_server_uri())
    binding._session.mount(f"{parts.scheme}://{parts.netloc}/", ServiceAdapter(service))


_routes: dict[str, Service] = {}


def route(host: str, service: Service) -> None:
    """Let every object of the deriva client that is made from now on for ``host`` use ``service``.

    Objects for other hosts are left alone. Choose a name that no network has, such as ``embedded.localhost``.
    """
    _routes[host] = service
    if deriva_binding.get_new_requests_session is not _new_session:
        deriva_binding.get_new_requests_session = _new_session


def _new_session(url: str | None = None, *given: Any, **named: Any) -> requests.Session:
    session: requests.Session = _plain_session(url, *given, **named)
    service = _routes.get(urlsplit(url or "").netloc)
    if service is not None:
        for scheme in ("http", "https"):
            session.mount(f"{scheme}://{urlsplit(url or '').netloc}/", ServiceAdapter(service))
    return session


_plain_session = deriva_binding.get_new_requests_session


def _text(value: str | bytes) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value


def _body(request: requests.PreparedRequest) -> bytes | BinaryIO:
    body: Any = request.body
    if body is None:
        return b""
    if isinstance(body, str):
        return body.encode()
    if isinstance(body, bytes) or hasattr(body, "read"):
        return cast(bytes | BinaryIO, body)
    return io.BytesIO(b"".join(body))


def _as_requests(response: Response, asked: requests.PreparedRequest) -> requests.Response:
    """Build the response that a session expects of an adapter, readable as a stream."""
    raw = HTTPResponse(
        body=_stream(response.body),
        headers=HTTPHeaderDict(response.headers),
        status=response.status,
        reason=HTTPStatus(response.status).phrase,
        version=11,
        preload_content=False,
        decode_content=False,
        request_method=asked.method,
    )
    answer = requests.Response()
    answer.status_code = response.status
    answer.headers = CaseInsensitiveDict(response.headers)
    answer.encoding = cast(str, requests.utils.get_encoding_from_headers(answer.headers))
    answer.raw = raw
    answer.reason = HTTPStatus(response.status).phrase
    answer.url = asked.url or ""
    answer.request = asked
    return answer


def _stream(body: bytes | FileSlice | Iterable[bytes]) -> io.IOBase:
    if isinstance(body, bytes):
        return io.BytesIO(body)
    if isinstance(body, FileSlice):
        return io.BufferedReader(_Slice(body))
    return io.BufferedReader(_Joined(iter(body)))


class _Slice(io.RawIOBase):
    """A part of a file, to be read once."""

    def __init__(self, part: FileSlice) -> None:
        self._file = part.path.open("rb", buffering=0)
        self._file.seek(part.offset)
        self._left = part.length

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        block = self._file.read(min(len(buffer), self._left)) or b""
        buffer[: len(block)] = block
        self._left -= len(block)
        return len(block)

    def close(self) -> None:
        self._file.close()
        super().close()


class _Joined(io.RawIOBase):
    """Blocks as they are made, to be read once."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks = blocks
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._rest:
            block = next(self._blocks, None)
            if block is None:
                return 0
            self._rest = block
        taken = self._rest[: len(buffer)]
        buffer[: len(taken)] = taken
        self._rest = self._rest[len(taken) :]
        return len(taken)
