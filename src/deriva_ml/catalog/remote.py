"""The road to a Deriva server over HTTPS (or loopback HTTP), through the session of the released ``deriva`` client."""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urljoin, urlsplit

from deriva_ml.catalog.connecting import make_forkable
from deriva_ml.catalog.port import Request, Response
from deriva_ml.clock import monotonic
from deriva_ml.errors import DerivaMLConfigurationError, DerivaMLOfflineError
from deriva_ml.files import BLOCK, replacing
from deriva_ml.forks import generation

REDIRECTS = frozenset({301, 302, 303, 307, 308})
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
TOKEN_VARIABLE = "DERIVA_ML_TOKEN"
TIMEOUT_VARIABLE = "DERIVA_ML_TIMEOUT"
"""Seconds that a server may be silent, and in which a byte of an answer counts as progress."""
TIMEOUT = 63.0
CONNECT_TIMEOUT = 6.0
SLOWEST = 1024
"""Bytes in a second: an answer that comes more slowly, for as long as a time-out lasts, is given up."""
MOST_REDIRECTS = 5
SESSION = {"retry_connect": 1, "retry_read": 0, "retry_backoff_factor": 0.2, "retry_status_forcelist": []}
"""The client repeats no request by itself: which ones may be repeated is decided above the port."""


class RemotePort:
    """A :class:`~deriva_ml.catalog.port.Port` to the server ``hostname``.

    ``hostname`` is ``data.example.org``, ``localhost:8080`` or begins with its scheme. Without ``credential``
    the token in ``DERIVA_ML_TOKEN`` is used, else what the ``deriva`` client holds for the host; that is looked up again
    when it is refused, so that a login elsewhere helps a process that runs on.

    Raises:
        DerivaMLConfigurationError: ``hostname`` is no name of a host, or ``DERIVA_ML_TIMEOUT`` no number of seconds.
        DerivaMLOfflineError: the loopback server does not answer.
    """

    links_files = False

    def __init__(self, hostname: str, credential: Mapping[str, Any] | None = None) -> None:
        scheme, self.host = _parts(hostname)
        self.scheme = scheme or _scheme_of(self.host)
        self._given = credential is not None
        self.credential = dict(credential) if credential is not None else _stored_credential(self.host)
        self._timeout = _timeout()
        self._held = threading.local()

    def send(self, request: Request) -> Response:
        """Send one request."""
        with self._said_clearly():
            answer = self._exchange(request, request.headers)
            try:
                body = b"".join(self._blocks(answer))
            except BaseException:
                answer.close()
                raise
            answer.raw.release_conn()
        return Response(answer.status_code, _lower(answer.headers), body)

    def send_together(self, requests: Sequence[Request]) -> list[Response]:
        """Send several requests, one after the other."""
        return [self.send(request) for request in requests]

    def durable_at_end(self) -> AbstractContextManager[None]:
        """Change nothing: what a server has answered is durable."""
        return nullcontext()

    def fetch(self, request: Request, target: Path) -> Response:
        """Send a GET and write the body of a 200 into ``target``."""
        with self._said_clearly():
            answer = self._exchange(request, {**request.headers, "accept-encoding": "identity"})
            with answer:
                if answer.status_code != 200:
                    return Response(answer.status_code, _lower(answer.headers), answer.content)
                with replacing(target) as file:
                    for block in self._blocks(answer):
                        file.write(block)
        return Response(200, _lower(answer.headers), b"")

    def _exchange(self, request: Request, headers: Mapping[str, str]) -> Any:
        """Send a request, to where the server sends it on to, and return the answer, its body not yet read.

        Credentials go to the server that was named and to nobody else: what it sends on to another host is asked for
        there without them, and only the bytes of objects, which are verified by their checksums.

        Raises:
            DerivaMLOfflineError: the server sends it on to another host, or for ever.
        """
        url = f"{self.scheme}://{self.host}{request.path}"
        for _ in range(MOST_REDIRECTS):
            answer = self._asked(url, request, headers)
            if answer.status_code == 401 and self._logged_in_again():
                answer.close()
                answer = self._asked(url, request, headers)
            target = answer.headers.get("location") if answer.status_code in REDIRECTS else None
            if target is None:
                return answer
            answer.close()
            url = urljoin(url, target)
            reads = request.method in {"GET", "HEAD"}
            if not self._is_ours(url) and not (reads and request.path.startswith("/hatrac/")):
                raise DerivaMLOfflineError(
                    f"{self.host} sends {request.method} {request.path[:200]} on to {urlsplit(url).netloc}, which gets neither your credentials "
                    "nor your data: name the right host, or log in if that is its page of logins. Nothing staged is lost."
                )
            if answer.status_code not in {307, 308} and not reads:
                raise DerivaMLOfflineError(
                    f"{self.host} answers {request.method} {request.path[:200]} with {answer.status_code} to {target[:200]}: a login page or a "
                    "proxy stands before the catalog. Nothing staged is lost."
                )
        raise DerivaMLOfflineError(f"{self.host} sends {request.path[:200]} on and on, without an end.")

    def _logged_in_again(self) -> bool:
        """Return whether there is another credential now than the one that was refused: then that one is used."""
        found = self.credential if self._given else _stored_credential(self.host)
        if found == self.credential:
            return False
        self.credential = found
        return True

    def _asked(self, url: str, request: Request, headers: Mapping[str, str]) -> Any:
        import requests

        ours = self._is_ours(url)
        session = self._session() if ours else requests.Session()
        if not ours:
            make_forkable(session)
        with _body(request) as body:
            return session.request(
                request.method,
                url,
                headers=dict(headers),
                data=body,
                stream=True,
                allow_redirects=False,
                timeout=(min(CONNECT_TIMEOUT, self._timeout), self._timeout),
                verify=session.verify,
                auth=None if ours else _nothing_added,  # else ~/.netrc might know the other host
            )

    def _is_ours(self, url: str) -> bool:
        return url.startswith(f"{self.scheme}://{self.host}/")

    def _blocks(self, answer: Any) -> Iterator[bytes]:
        """Yield an answer as it comes; one that trickles is given up."""
        began, size = monotonic(), 0
        while block := answer.raw.read1(BLOCK, decode_content=True):
            yield block
            size += len(block)
            elapsed = monotonic() - began
            if elapsed > self._timeout and size < elapsed * SLOWEST:
                answer.close()
                raise DerivaMLOfflineError(
                    f"{self.host} is too slow: {size} bytes in {elapsed:.0f} seconds. Nothing staged is lost; {TIMEOUT_VARIABLE} "
                    "(seconds) gives it more time.",
                    doubtful=True,
                )

    def close(self) -> None:
        """Close this thread's connections."""
        held = getattr(self._held, "value", None)
        if held is not None and held[0][0] == generation():
            held[1]._close_session()
        self._held.value = None

    def _session(self) -> Any:
        """Return the requests session of this thread of this process: a forked child must not share sockets."""
        from deriva.core import DEFAULT_SESSION_CONFIG, DerivaBinding

        held, wanted = getattr(self._held, "value", None), (generation(), self.credential)
        if held is None or held[0] != wanted:
            binding = DerivaBinding(
                self.scheme,
                self.host,
                self.credential,
                caching=False,
                session_config={**DEFAULT_SESSION_CONFIG, **SESSION, "timeout": (CONNECT_TIMEOUT, self._timeout)},
            )
            _settle_retries(binding._session)
            make_forkable(binding._session)
            held = self._held.value = (wanted, binding)
        return held[1]._session

    @contextmanager
    def _said_clearly(self) -> Iterator[None]:
        """Translate what ``requests`` says of a server that does not answer."""
        import requests
        import urllib3

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
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            raise DerivaMLOfflineError(
                f"{self.host} does not answer ({type(error).__name__}): is the name right, http or https too, is the server running, is there a "
                f"network? Nothing staged is lost; mode='offline' begins and ends runs meanwhile. ({TIMEOUT_VARIABLE}, in seconds, says how long to wait; {self._timeout:g} now.)",
                doubtful=not _never_connected(error),
            ) from error


def _settle_retries(session: Any) -> None:
    """Ask once where a certificate is refused (urllib3 would ask ten times, for minutes), and be silent about localhost.

    How long to wait because a server asks for it is decided above the port: urllib3 would wait for days.

    The ``deriva`` client takes any certificate of localhost; urllib3 would say so again at every request.
    """
    for adapter in session.adapters.values():
        adapter.max_retries = adapter.max_retries.new(other=0, respect_retry_after_header=False)
    if session.verify is False:
        warnings.filterwarnings("ignore", "Unverified HTTPS request is being made to host 'localhost'")


def host_of(hostname: str) -> str:
    """Return the host, with its port, that ``hostname`` names with or without a scheme; raises as :class:`RemotePort` does."""
    return _parts(hostname)[1]


def _nothing_added(sent: Any) -> Any:
    return sent


def _never_connected(error: Exception) -> bool:
    """Return whether nothing can have reached the server."""
    import requests
    import urllib3

    cause = error.args[0] if error.args else None
    reason = getattr(cause, "reason", cause)
    return isinstance(error, requests.exceptions.ConnectTimeout) or isinstance(
        reason, urllib3.exceptions.NewConnectionError
    )


def _timeout() -> float:
    """Return the seconds that ``DERIVA_ML_TIMEOUT`` names, or as many as suit most servers."""
    text = os.environ.get(TIMEOUT_VARIABLE, "").strip()
    try:
        seconds = float(text) if text else TIMEOUT
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise DerivaMLConfigurationError(f"{TIMEOUT_VARIABLE} is {text!r}: write a number of seconds, such as 120.")
    return seconds


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
