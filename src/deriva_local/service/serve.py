"""The service on a socket: loopback HTTP, or HTTPS with a certificate of its own, until it is told to stop."""

from __future__ import annotations

import errno
import http.client
import ipaddress
import secrets
import signal
import socket
import ssl
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deriva_local.service.app import LONGEST_DOCUMENT, Service
from deriva_local.service.certificate import certificate_for
from deriva_local.service.listener import Listener
from deriva_local.service.static import Folder
from deriva_local.service.wsgi import LOOPBACK, Door, Rules
from deriva_local.users.accounts import Accounts


class CannotServe(OSError):
    """The server cannot start; the message says why, and what to do."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a server listens, and how it is called. Port 0 takes a free one.

    ``certificate`` is a PEM file with a key and the certificates that go with it; without one, the store makes its
    own for ``tls``. ``other_names`` are names by which clients call the server besides ``host``. ``behind_proxy``
    says that only a proxy reaches it, which does the encryption.
    """

    host: str = "127.0.0.1"
    port: int = 0
    tls: bool = False
    certificate: Path | None = None
    other_names: tuple[str, ...] = ()
    behind_proxy: bool = False

    @property
    def is_loopback(self) -> bool:
        """Say whether only this machine can reach it."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    @property
    def is_everywhere(self) -> bool:
        """Say whether it listens on every address of this machine."""
        return self.host in ("", "0.0.0.0", "::")

    @property
    def names(self) -> frozenset[str]:
        """Return the names and addresses by which the server may be called."""
        own = {socket.gethostname(), socket.getfqdn()} if self.is_everywhere else {self.host}
        return LOOPBACK | {name.lower() for name in (*own, *self.other_names)}

    @property
    def shown_host(self) -> str:
        """Return the name in the address that is shown: ``localhost`` whenever that leads here."""
        if self.is_loopback or self.is_everywhere:
            return "localhost"
        return f"[{self.host}]" if ":" in self.host else self.host


def serve(
    folder: Path,
    place: Place,
    *,
    open_access: bool = False,
    folders: Sequence[Folder] = (),
    body_limit: int = LONGEST_DOCUMENT,
    ready: Callable[[str], None],
) -> None:
    """Serve the store in ``folder`` until SIGTERM or SIGINT; call ``ready`` with the address once that answers.

    ``folders`` of static files are shown beside the services. Rows and model documents may be ``body_limit`` bytes
    long. Requests that run when the signal comes are finished.
    Call it from the main thread.

    Raises:
        CannotServe: the port is in use, the host is not of this machine, the address does not lead here, or others
            could come in as the owner, unknown, or overheard.
        OSError: the store cannot be opened.
    """
    refuse_unsafe(folder, place, open_access)
    service = Service(folder, body_limit)
    try:
        _run(service, place, Rules(_hosts(place), open_access, place.behind_proxy), folders, ready)
    finally:
        service.close()


def refuse_unsafe(folder: Path, place: Place, open_access: bool) -> None:
    """Let a server start that only this machine reaches, or that knows its users and cannot be overheard.

    Raises:
        CannotServe: it is neither, or every caller of it would be the owner.
    """
    if open_access and (place.behind_proxy or not place.is_loopback):
        raise CannotServe(
            f"Open access on {place.host} would make every machine that reaches it the owner of this store: "
            "leave out --open and give the token to those who may come in, or serve on 127.0.0.1."
        )
    if place.is_loopback:
        return
    missing = []
    if not Accounts(folder).users():
        missing.append("users (deriva-ml serve user add NAME)")
    if not place.tls and not place.behind_proxy:
        missing.append("encryption (--tls, or --behind-proxy where a proxy does it)")
    if missing:
        raise CannotServe(f"Other machines can reach {place.host}: that needs {' and '.join(missing)}.")


def _hosts(place: Place) -> frozenset[str]:
    return place.names | ({"*"} if place.is_everywhere else frozenset())


def _run(service: Service, place: Place, rules: Rules, folders: Sequence[Folder], ready: Callable[[str], None]) -> None:
    service.admission.tokens.create()
    probe = f"/probe/{secrets.token_urlsafe(16)}"
    server = _server(Door(service, rules, probe=probe, folders=folders), place, service.folder)
    stop = threading.Event()
    _bind(server, place)
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGTERM, signal.SIGINT)}
    worker = threading.Thread(target=server.serve, name="serve")
    worker.start()
    try:
        port = server.bind_addr[1]
        _try_out(place, port, probe, service.folder)
        ready(f"{'https' if place.tls else 'http'}://{place.shown_host}:{port}")
        stop.wait()
    finally:
        server.stop()
        worker.join()
        for number, handler in before.items():
            signal.signal(number, handler)


def _server(door: Door, place: Place, folder: Path) -> Listener:
    server = Listener((place.host, place.port), door)
    if place.tls:
        pem = str(_certificate(place, folder))
        try:
            server.encrypt(pem)
        except OSError as error:
            raise CannotServe(f"{pem} is no PEM file with a key and its certificate: {error}.") from error
    return server


def _certificate(place: Place, folder: Path) -> Path:
    return place.certificate or certificate_for(place.names, folder / "certificate.pem")


def _bind(server: Any, place: Place) -> None:
    try:
        server.prepare()
    except OSError as error:
        text = str(error)
        if f"[Errno {errno.EADDRINUSE}]" in text:
            raise CannotServe(
                f"Port {place.port} on {place.host} is in use: end what uses it, or choose another with --port "
                "(0 takes a free one)."
            ) from error
        raise CannotServe(f"{place.host} port {place.port} cannot be served: {text}.") from error


def _try_out(place: Place, port: int, probe: str, folder: Path) -> None:
    """Ask the address that will be shown for a path that only we know.

    Raises:
        CannotServe: something else answers there, or nothing.
    """
    host = place.shown_host.strip("[]")
    try:
        status = _asked(host, port, probe, _certificate(place, folder) if place.tls else None)
    except (OSError, http.client.HTTPException) as error:
        raise CannotServe(
            f"Listening on {place.host}, but {host}:{port} does not answer: {error}. Serve on 127.0.0.1 (leave out --host)."
        ) from error
    if status != 204:
        raise CannotServe(f"{host}:{port} leads to another server: choose another port with --port.")


def _asked(host: str, port: int, path: str, trusted: Path | None) -> int:
    if trusted is None:
        connection = http.client.HTTPConnection(host, port, timeout=10)
    else:
        context = ssl.create_default_context(cafile=str(trusted))
        context.check_hostname = False  # a lab's certificate names the lab; that it is us, the path shows
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        connection = http.client.HTTPSConnection(host, port, timeout=10, context=context)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    finally:
        connection.close()
