"""From the wire to a request and back: what an HTTP server hands over, checked for where it comes from.

Before a request reaches the service its ``Host`` and ``Origin`` are checked, so that a page of another site, or a
name that somebody points at this machine, cannot speak for the user; then its credential. Behind a proxy the proxy
knows the name by which the outside calls us, and answers for it; its word counts for the address of the caller too.
"""

from __future__ import annotations

import http
import ipaddress
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, BinaryIO, cast
from urllib.parse import urlsplit

from werkzeug.wrappers import Request as WireRequest

from deriva_local.service.app import Service
from deriva_local.service.messages import PRIVATE_HEADERS, Client, FileSlice, Peer, Request, Response
from deriva_local.service.places import origin_of
from deriva_local.service.static import Folder
from deriva_local.wire.errors import Refusal, bad_request, forbidden, not_found
from deriva_local.wire.etag import READING

log = logging.getLogger(__name__)

BLOCK = 1024 * 1024
LONGEST_WASTE = 256 * 1024 * 1024
"""How much of a body that is refused for its size is still read, so that the sender hears the answer."""

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_ALWAYS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "SAMEORIGIN",
    "Referrer-Policy": "same-origin",
}
"""What browsers are told with every answer: believe its type, show it in no frame of another site, and tell other
sites nothing of where a link to them was."""
_PERSONAL = {"Cache-Control": "private, no-cache", **_ALWAYS}
"""Of what somebody may see and others may not: nobody on the way keeps it, and a browser asks whether it still holds."""
_SANDBOXED = {**_PERSONAL, "Content-Security-Policy": "sandbox"}
"""A stored page that a browser shows must not act with the rights of this origin."""

StartResponse = Callable[..., Any]


class Body:
    """The body of one request, as a stream that raises when the connection ends before the body does.

    Raises:
        Refusal: 400 from ``read``, when bytes are missing.
    """

    def __init__(self, stream: Any, length: int | None) -> None:
        self._stream = stream
        self._left = length

    def read(self, size: int = -1) -> bytes:
        """Read ``size`` bytes, fewer only at the end; all that remains for -1."""
        if size < 0:
            return b"".join(iter(lambda: self.read(BLOCK), b""))
        wanted = size if self._left is None else min(size, self._left)
        try:
            block = bytes(self._stream.read(wanted))
        except (OSError, ValueError) as error:  # the socket broke; or a chunk without a proper length
            raise bad_request("The connection ended before the body did.") from error
        if self._left is not None:
            if len(block) < wanted:
                raise bad_request("The connection ended before the body did.")
            self._left -= wanted
        return block

    def waste(self, limit: int | None) -> None:
        """Read what nobody wants, at most ``limit`` bytes of it."""
        wasted = 0
        while (limit is None or wasted < limit) and (block := self.read(BLOCK)):
            wasted += len(block)


@dataclass(frozen=True, slots=True)
class Rules:
    """Who may come in at a door.

    ``hosts`` are the names by which this server may be addressed. With ``open_access`` every caller is the owner.
    ``behind_proxy`` says that nobody but a proxy reaches us, whose ``X-Forwarded-`` headers are to be believed.
    """

    hosts: frozenset[str]
    open_access: bool = False
    behind_proxy: bool = False


class Door:
    """A WSGI application in front of one service, and of ``folders`` of static files.

    ``probe`` is a path that only who started the server knows: it answers 204 without a credential.
    """

    def __init__(self, service: Service, rules: Rules, *, probe: str, folders: Sequence[Folder] = ()) -> None:
        self._service = service
        self._rules = rules
        self._probe = probe
        self._folders = folders

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        wire = WireRequest(environ)
        target = environ.get("REQUEST_URI") or environ.get("RAW_URI") or ""
        headers = {name.lower(): text for name, text in wire.headers.items()}
        body = _body(environ, headers)
        content: Iterable[bytes]
        try:
            peer = peer_of(headers, wire.scheme, wire.remote_addr or "", self._rules)
            refuse_strange_page(wire.method, headers, peer)
            response = self._answer(wire.method, target, headers, body, peer)
            content = _content(response)
        except Refusal as refusal:
            response = _told(refusal)
            content = () if wire.method == "HEAD" else (refusal.body().encode(),)
        if response.status == 413:
            content = _then_wasted(content, body)  # who waits for the answer before sending more must hear it
        else:
            _waste(body, None)
        extra = _told_with(target)
        phrase = http.HTTPStatus(response.status).phrase
        start_response(f"{response.status} {phrase}", list({**extra, **response.headers}.items()))
        return content

    def _answer(self, method: str, target: str, headers: dict[str, str], body: Body, peer: Peer) -> Response:
        if target == self._probe:
            return Response(204)
        public = {name: text for name, text in headers.items() if not name.startswith(PRIVATE_HEADERS)}
        request = Request(method, target, public, cast(BinaryIO, body), None, peer)
        folder = next((folder for folder in self._folders if folder.has(target)), None)
        if folder is not None:
            return folder.answer(request)
        return self._service.handle(replace(request, client=self._client(headers)))

    def _client(self, headers: dict[str, str]) -> Client | None:
        if self._rules.open_access:
            return self._service.owner
        try:
            return self._service.admission.identify(headers)
        except PermissionError as error:
            raise Refusal(503, str(error)) from error


# ------------------------------------------------------------------------------------------------------------- checks


def peer_of(headers: Mapping[str, str], scheme: str, address: str, rules: Rules) -> Peer:
    """Return who is at the other end, if the request was addressed to us.

    Raises:
        Refusal: 403 the ``Host`` is not one of ours.
    """
    netloc = headers.get("host", "")
    if rules.behind_proxy:
        scheme = _last(headers, "x-forwarded-proto") or "https"
        netloc = _last(headers, "x-forwarded-host") or netloc
        address = _last(headers, "x-forwarded-for") or address
    elif not is_ours(netloc, rules.hosts):
        raise forbidden(f"This service is not known as {netloc!r}; ask for {', '.join(sorted(rules.hosts))}.")
    return Peer(address, f"{scheme}://{netloc}")


def refuse_strange_page(method: str, headers: Mapping[str, str], peer: Peer) -> None:
    """Let a request pass that one of our own pages sends, or no page at all.

    A browser that changes something for a page says which: in ``Origin``, in ``Sec-Fetch-Site``, or an old one in
    ``Referer``. Programs say none of that.

    Raises:
        Refusal: 403 another site's page sends it.
    """
    changes = method not in READING
    said = headers.get("origin", headers.get("referer") if changes else None)
    if said is not None and origin_of(said) != origin_of(peer.origin):
        raise forbidden(f"A page from {said!r} may not call this service.")
    if changes and headers.get("sec-fetch-site") in ("cross-site", "same-site"):
        raise forbidden("A page of another site may not change anything here.")


def _last(headers: Mapping[str, str], name: str) -> str:
    """Return what the nearest proxy added to a header: what stands before it, a caller may have made up."""
    return headers.get(name, "").rpartition(",")[2].strip()


def is_ours(netloc: str, hosts: frozenset[str]) -> bool:
    """Say whether ``name[:port]`` names us. ``hosts`` with ``"*"`` allows every address that is a number.

    A number cannot be pointed elsewhere by the owner of a name, which is what the check is for.
    """
    try:
        name = urlsplit(f"//{netloc}").hostname or ""
    except ValueError:
        return False
    return name in hosts or ("*" in hosts and _is_number(name))


def _is_number(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


# ------------------------------------------------------------------------------------------------------------- bodies


def _body(environ: dict[str, Any], headers: dict[str, str]) -> Body:
    length = headers.get("content-length", "")
    if "transfer-encoding" in headers:
        return Body(environ["wsgi.input"], None)
    return Body(environ["wsgi.input"], int(length) if length.isascii() and length.isdigit() else 0)


def _waste(body: Body, limit: int | None) -> None:
    """Read the rest of the body, so that the connection can carry another request."""
    try:
        body.waste(limit)
    except Refusal:
        log.debug("The sender is gone.")


def _then_wasted(content: Iterable[bytes], body: Body) -> Iterator[bytes]:
    """Send the answer, then read some more of the body: a sender who is still at it would not hear it otherwise."""
    yield from content
    _waste(body, LONGEST_WASTE)


def _told_with(target: str) -> Mapping[str, str]:
    if target.startswith("/hatrac"):
        return _SANDBOXED
    return _PERSONAL if target.startswith(("/ermrest", "/authn")) else _ALWAYS


def _content(response: Response) -> Iterable[bytes]:
    """Return what is sent.

    Raises:
        Refusal: 404 the content was deleted meanwhile.
    """
    if isinstance(response.body, bytes):
        return (response.body,)
    if not isinstance(response.body, FileSlice):
        return response.body
    part = response.body
    try:
        file = part.path.open("rb")
    except FileNotFoundError as error:
        raise not_found("The content was deleted a moment ago.") from error
    return _sent(file, part)


def _sent(file: BinaryIO, part: FileSlice) -> Iterator[bytes]:
    with file:
        file.seek(part.offset)
        left = part.length
        while left and (block := file.read(min(BLOCK, left))):
            left -= len(block)
            yield block


def _told(refusal: Refusal) -> Response:
    length = len(refusal.body().encode())
    return Response(refusal.status, {"Content-Type": "text/plain", "Content-Length": str(length), **refusal.headers})
