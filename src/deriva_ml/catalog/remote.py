"""The road to a Deriva server over HTTPS (or loopback HTTP), through the session of the released ``deriva`` client."""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urlsplit

from deriva_ml.catalog.port import Request, Response
from deriva_ml.errors import DerivaMLConfigurationError, DerivaMLOfflineError
from deriva_ml.files import BLOCK, replacing

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
TOKEN_VARIABLE = "DERIVA_ML_TOKEN"
SESSION = {
    "retry_connect": 1,
    "retry_read": 0,
    "retry_backoff_factor": 0.2,
    "retry_status_forcelist": [],
    "timeout": (6, 63),
}
"""The client repeats no request by itself: which ones may be repeated is decided above the port."""


class RemotePort:
    """A :class:`~deriva_ml.catalog.port.Port` to the server ``hostname``.

    ``hostname`` is ``data.example.org``, ``localhost:8080`` or begins with its scheme. Without ``credential``
    the token in ``DERIVA_ML_TOKEN`` is used, else what the ``deriva`` client holds for the host.

    Raises:
        DerivaMLConfigurationError: ``hostname`` is no name of a host.
        DerivaMLOfflineError: the loopback server does not answer.
    """

    links_files = False

    def __init__(self, hostname: str, credential: Mapping[str, Any] | None = None) -> None:
        scheme, self.host = _parts(hostname)
        self.scheme = scheme or _scheme_of(self.host)
        self.credential = dict(credential) if credential is not None else _stored_credential(self.host)
        self._held = threading.local()

    def send(self, request: Request) -> Response:
        """Send one request."""
        with self._said_clearly(), _body(request) as body:
            session = self._session()
            answer = session.request(
                request.method,
                self._url(request),
                headers=dict(request.headers),
                data=body,
                allow_redirects=False,
                verify=session.verify,
            )
        return Response(answer.status_code, _lower(answer.headers), answer.content)

    def send_together(self, requests: Sequence[Request]) -> list[Response]:
        """Send several requests, one after the other."""
        return [self.send(request) for request in requests]

    def fetch(self, request: Request, target: Path) -> Response:
        """Send a GET and write the body of a 200 into ``target``."""
        headers = {**request.headers, "accept-encoding": "identity"}
        session = self._session()
        with (
            self._said_clearly(),
            session.request("GET", self._url(request), headers=headers, stream=True, verify=session.verify) as answer,
        ):
            if answer.status_code != 200:
                return Response(answer.status_code, _lower(answer.headers), answer.content)
            with replacing(target) as file:
                for block in answer.iter_content(BLOCK):
                    file.write(block)
            return Response(200, _lower(answer.headers), b"")

    def close(self) -> None:
        """Close this thread's connections."""
        held = getattr(self._held, "value", None)
        if held is not None and held[0] == os.getpid():
            held[1]._close_session()
        self._held.value = None

    def _url(self, request: Request) -> str:
        return f"{self.scheme}://{self.host}{request.path}"

    def _session(self) -> Any:
        """Return the requests session of this thread of this process: a forked child must not share sockets."""
        from deriva.core import DEFAULT_SESSION_CONFIG, DerivaBinding

        held = getattr(self._held, "value", None)
        if held is None or held[0] != os.getpid():
            binding = DerivaBinding(
                self.scheme,
                self.host,
                self.credential,
                caching=False,
                session_config={**DEFAULT_SESSION_CONFIG, **SESSION},
            )
            _settle_certificates(binding._session)
            held = self._held.value = (os.getpid(), binding)
        return held[1]._session

    @contextmanager
    def _said_clearly(self) -> Iterator[None]:
        """Translate what ``requests`` says of a server that does not answer."""
        import requests

        try:
            yield
        except requests.exceptions.InvalidURL as error:
            raise DerivaMLConfigurationError(
                f"{self.host!r} is not a host: write data.example.org or localhost:8080."
            ) from error
        except requests.exceptions.SSLError as error:
            raise DerivaMLOfflineError(
                f"There is no secure connection to {self.host}: either it speaks plain http, or its certificate is not trusted here "
                "(REQUESTS_CA_BUNDLE=/path/to/its/certificate.pem trusts it). Nothing staged is lost."
            ) from error
        except requests.RequestException as error:
            raise DerivaMLOfflineError(
                f"{self.host} does not answer ({type(error).__name__}): is the name right, http or https too, is the server running, is there a network? Nothing staged is lost."
            ) from error


def _settle_certificates(session: Any) -> None:
    """Ask once where a certificate is refused (urllib3 would ask ten times, for minutes), and be silent about localhost.

    The ``deriva`` client takes any certificate of localhost; urllib3 would say so again at every request.
    """
    for adapter in session.adapters.values():
        adapter.max_retries = adapter.max_retries.new(other=0)
    if session.verify is False:
        warnings.filterwarnings("ignore", "Unverified HTTPS request is being made to host 'localhost'")


def host_of(hostname: str) -> str:
    """Return the host, with its port, that ``hostname`` names with or without a scheme; raises as :class:`RemotePort` does."""
    return _parts(hostname)[1]


def _parts(hostname: str) -> tuple[str, str]:
    """Return the scheme, ``""`` where none is named, and the host with its port."""
    scheme, mark, rest = hostname.partition("://")
    host = (rest if mark else hostname).strip().rstrip("/")
    named = scheme.lower() if mark else ""
    if (
        not host
        or urlsplit(f"//{host}").path
        or any(letter.isspace() for letter in host)
        or named not in {"", "http", "https"}
    ):
        raise DerivaMLConfigurationError(
            f"{hostname!r} is not a host: write data.example.org or http://localhost:8080."
        )
    return named, host


def _scheme_of(host: str) -> str:
    """Return https; for a server on this machine, which may do without, the scheme that it speaks."""
    if urlsplit(f"//{host}").hostname not in LOOPBACK:
        return "https"
    import requests

    try:
        answer = requests.get(f"http://{host}/ermrest/", timeout=6, allow_redirects=False)
    except requests.RequestException:  # not plain HTTP, or nobody there: the first real request tells which
        return "https"
    return "https" if answer.status_code == 400 else "http"


def _stored_credential(host: str) -> dict[str, Any]:
    """Return the token in ``DERIVA_ML_TOKEN``, which processes hand on to their workers, else what the client keeps."""
    if token := os.environ.get(TOKEN_VARIABLE, "").strip():
        return {"bearer-token": token}
    from deriva.core import get_credential

    found: dict[str, Any] | None = get_credential(host)
    return found or {}


@contextmanager
def _body(request: Request) -> Iterator[bytes | BinaryIO]:
    """Give what ``requests`` sends: a whole file as a stream, a part of one as bytes."""
    if isinstance(request.body, bytes) or not request.body.stat().st_size:  # an empty stream would have no length
        yield request.body if isinstance(request.body, bytes) else b""
        return
    with request.body.open("rb") as file:
        if request.length is None:
            yield file
            return
        file.seek(request.offset)
        yield file.read(request.length)


def _lower(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}
