"""The service: sends each request to the room that answers it, and turns every refusal into a response.

One application serves both ways in: a caller in this process hands over a :class:`Request`, the HTTP server makes
one from the wire. The rooms raise :class:`Refusal`; what they did not foresee becomes a 500 here, once, logged.

Preconditions: a room checks ``If-Match`` of a mutation itself, inside the transaction that it guards. Of a read they
are settled here, on the ETag of the answer.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from deriva_local.objects.store import Objects
from deriva_local.service import data, hatrac, login, models, session
from deriva_local.service.admission import Admission
from deriva_local.service.messages import FileSlice, Request, Response
from deriva_local.service.negotiation import prefers_html
from deriva_local.store.place import StoreProblem
from deriva_local.store.registry import Store
from deriva_local.url import ast
from deriva_local.url.parse import parse
from deriva_local.wire.errors import Refusal, not_found, unauthorized
from deriva_local.wire.etag import READING, refused

log = logging.getLogger(__name__)

NO_BODY = (204, 304)
LONGEST_DOCUMENT = 1024 * 1024 * 1024
"""How long rows and model documents may be, if nobody says otherwise; they are read into memory."""
LONGEST_FORM = 64 * 1024
"""How much is read of somebody who is not known yet."""


class Service:
    """A Deriva in a folder: ERMrest and Hatrac over one store.

    ``body_limit`` is how many bytes of rows, or of a model document, one request may have; more is a 413. Threads may
    share it, and a forked child may go on using it.

    Raises:
        OSError: the folder cannot be used: a network file system, no permission, no space.

    Example:
        >>> import json, tempfile
        >>> service = Service(Path(tempfile.mkdtemp()))
        >>> made = service.handle(Request("POST", "/ermrest/catalog", client=service.owner))
        >>> made.status, json.loads(made.body)
        (201, {'id': '1'})
    """

    def __init__(self, folder: Path, body_limit: int = LONGEST_DOCUMENT) -> None:
        self.folder = folder
        self.body_limit = body_limit
        self.store = Store(folder)
        self.objects = Objects(folder)
        self.owner = session.local_owner()
        self.admission = Admission(folder, self.owner)

    def handle(self, request: Request) -> Response:
        """Answer one request. Never raises for what a request asks: every failure is a response with its status."""
        try:
            response = _settled(request, self._answer(request))
        except Refusal as refusal:
            response = _refused(refusal, request) if request.method != "OPTIONS" else _options(refusal, request)
        except StoreProblem as problem:
            log.error("%s %s: %s", request.method, request.target, problem)
            response = _refused(Refusal(problem.status, str(problem)), request)
        except Exception as error:  # the door: whatever it is, the caller gets an answer and the log the reason
            log.exception("%s %s failed", request.method, request.target)
            response = _refused(Refusal(500, f"{type(error).__name__}: {error}"), request)
        return _finished(request, response)

    def handle_together(self, requests: Sequence[Request]) -> list[Response]:
        """Answer requests of one caller in this process that do not depend on each other, as :meth:`handle` does each.

        Sealed files are taken in together: two syncs for all of them, instead of two for each.
        """
        if requests and all(map(hatrac.is_sealed_file, requests)):
            try:
                answers = hatrac.put_together(self.objects, requests)
            except Refusal:  # asked one by one, each is told what is wrong with it
                return [self.handle(request) for request in requests]
            return [
                _finished(request, _refused(answer, request) if isinstance(answer, Refusal) else answer)
                for request, answer in zip(requests, answers, strict=True)
            ]
        return [self.handle(request) for request in requests]

    def _answer(self, request: Request) -> Response:
        asked = _as_get(request) if request.method == "HEAD" else request
        root = _first_word(asked.target)
        if root == "authn":
            return self._authn(_whole(asked, LONGEST_FORM))
        if root == "ermrest":
            return self._ermrest(asked)
        if root == "hatrac":
            return hatrac.handle(self.objects, asked)
        raise not_found("This service has /ermrest, /hatrac and /authn/session.")

    def _authn(self, request: Request) -> Response:
        path = request.target.partition("?")[0].rstrip("/")
        handler = _AUTHN.get(path)
        if handler is None:
            raise not_found(f"There is no {path}; there are {', '.join(_AUTHN)}.")
        return handler(self.admission, request)

    def _ermrest(self, request: Request) -> Response:
        if request.client is None and request.method not in READING and request.method != "OPTIONS":
            raise unauthorized("Nobody is logged in: log in, or send the token of the store as a bearer token.")
        request = _whole(request, self.body_limit)
        address = _parsed(request.target)
        if isinstance(address, ast.CatalogAddress) and isinstance(address.part, ast.DataResource):
            return data.handle(self.store, address, request)
        return models.handle(self.store, address, request)

    def close(self) -> None:
        """Write back what lies in the logs of the databases and let go of all files."""
        self.store.close()
        self.objects.close()
        self.admission.close()


_AUTHN = {"/authn/session": session.handle, "/authn/preauth": login.preauth, "/authn/login": login.page}


def _as_get(request: Request) -> Request:
    """Return a HEAD as the GET whose headers it wants: of the whole, since only a GET has ranges."""
    headers = {name: text for name, text in request.headers.items() if name != "range"}
    return replace(request, method="GET", headers=headers)


def _first_word(target: str) -> str:
    """Return what comes first in a path, without the suffix that a root may have."""
    return target.partition("?")[0].removeprefix("/").partition("/")[0].partition(";")[0]


@lru_cache(maxsize=512)
def _parsed(target: str) -> ast.Address:
    return parse(target)


def _whole(request: Request, longest: int) -> Request:
    """Read the body: rows and documents are parsed whole.

    Raises:
        Refusal: 413 it is longer than ``longest``.
    """
    if isinstance(request.body, bytes):
        return request
    said = request.headers.get("content-length", "")
    if said.isascii() and said.isdigit() and int(said) > longest:
        raise _too_long(longest)
    body = request.body.read_bytes() if isinstance(request.body, Path) else request.body.read(longest + 1)
    if len(body) > longest:
        raise _too_long(longest)
    return replace(request, body=body)


def _too_long(longest: int) -> Refusal:
    return Refusal(413, f"At most {longest} bytes in one request: send it in several.")


def _settled(request: Request, response: Response) -> Response:
    """Apply the preconditions of a read to its answer."""
    etag = response.headers.get("ETag")
    if request.method not in READING or etag is None or response.status not in (200, 206):
        return response
    status = refused(request.method, request.headers, etag)
    if status is None:
        return response
    kept = {name: value for name, value in response.headers.items() if name in ("ETag", "Vary", "Content-Location")}
    return _refused(Refusal(status, "The resource is another one by now: its ETag has changed.", kept), request)


def _refused(refusal: Refusal, request: Request) -> Response:
    """Write a refusal: a line of text, or a page for whoever asks for pages before text."""
    if refusal.status in NO_BODY:
        return Response(refusal.status, refusal.headers)
    known = {"WWW-Authenticate": "Bearer"} if refusal.status == 401 else {}
    wants_page = prefers_html(request.headers.get("accept", ""))
    kind, body = ("text/html", refusal.page()) if wants_page else ("text/plain", refusal.body())
    headers = {"Content-Type": kind, **known, **refusal.headers}
    return Response(refusal.status, headers, body.encode("utf-8", "replace"))


def _options(refusal: Refusal, request: Request) -> Response:
    """Answer OPTIONS: no room has that method, and each says in its refusal which ones it has."""
    if refusal.status != 405:
        return _refused(refusal, request)
    return Response(204, {"Allow": refusal.headers["Allow"] + ", OPTIONS"})


def _finished(request: Request, response: Response) -> Response:
    """Add the length of the body; of a HEAD, that is all that remains of it."""
    length = _length(response)
    if length is not None and response.status not in NO_BODY:
        response = replace(response, headers={**response.headers, "Content-Length": str(length)})
    return replace(response, body=b"") if request.method == "HEAD" else response


def _length(response: Response) -> int | None:
    """Return how long the body is; None for one that is made while it is sent."""
    if isinstance(response.body, bytes):
        return len(response.body)
    return response.body.length if isinstance(response.body, FileSlice) else None
