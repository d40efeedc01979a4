"""``/authn/session``: who the service takes the caller for; logging in, staying in, and logging out."""

from __future__ import annotations

import json
import os
import pwd
import time
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs

from deriva_local.service.admission import SESSION_SECONDS, Admission
from deriva_local.service.messages import Client, Peer, Request, Response
from deriva_local.service.places import own_place
from deriva_local.service.tokens import COOKIE, read_cookie
from deriva_local.wire.errors import Refusal, conflict, not_found

PRIVATE = {"Cache-Control": "no-store"}
"""What is told of a person is kept nowhere on the way."""


def local_owner() -> Client:
    """Return the user whose process this is: the owner of every store that it opens.

    Taken from the user database and not from the environment, so that ``sudo`` and cron do not rename anybody.
    """
    try:
        return Client.owner(pwd.getpwuid(os.getuid()).pw_name)
    except KeyError:  # a container that runs under a number without a name
        return Client.owner(str(os.getuid()))


def handle(admission: Admission, request: Request) -> Response:
    """Answer a request to ``/authn/session``.

    Raises:
        Refusal: 401 a wrong name or password, 404 nobody is logged in, 405 an unknown method, 409 somebody is
            logged in already, 429 too many attempts failed.
    """
    match request.method:
        case "GET":
            return _shown(admission, _logged_in(request), request)
        case "PUT":
            return _extended(admission, _logged_in(request), request)
        case "POST":
            return _log_in(admission, request)
        case "DELETE":
            return _log_out(admission, request)
        case _:
            raise Refusal(405, f"{request.method} is no method of /authn/session.", {"Allow": "GET, PUT, POST, DELETE"})


def _logged_in(request: Request) -> Client:
    if request.client is None:
        raise not_found("Nobody is logged in.")
    return request.client


def _log_in(admission: Admission, request: Request) -> Response:
    if request.client is not None:
        raise conflict(f"{request.client.display_name} is logged in already.")
    client, word = entered(admission, request, form_of(request))
    return _answer(client, time.time(), time.time() + SESSION_SECONDS, cookie(word, request.peer))


def entered(admission: Admission, request: Request, form: dict[str, str]) -> tuple[Client, str]:
    """Let in who filled in this form; return the client and the word of the new session.

    Raises:
        Refusal: 401 a wrong name or password, 429 too many attempts failed.
    """
    client = admission.log_in(form.get("username", ""), form.get("password", ""), request.peer.address)
    return client, admission.begin_session(client)


def form_of(request: Request) -> dict[str, str]:
    """Return the fields of a form that was sent, the last one of each name."""
    body = request.body if isinstance(request.body, bytes) else b""
    return {name: texts[-1] for name, texts in parse_qs(body.decode("utf-8", "replace")).items()}


def cookie(word: str, peer: Peer, seconds: int = SESSION_SECONDS) -> str:
    """Return the header that makes a browser keep the word of a session, or forget it after 0 seconds."""
    secure = "; Secure" if peer.is_secure else ""
    return f"{COOKIE}={word}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}"


def _log_out(admission: Admission, request: Request) -> Response:
    _logged_in(request)
    admission.end_session(request.headers)
    gone = {**PRIVATE, "Set-Cookie": cookie("", request.peer, 0)}
    wanted = parse_qs(request.target.partition("?")[2]).get("logout_url")
    if not wanted:
        return Response(204, gone)
    place = own_place(wanted[-1], request.peer.origin) or "/"
    return Response(200, {**gone, "Content-Type": "application/json"}, _json({"logout_url": place}))


def _extended(admission: Admission, client: Client, request: Request) -> Response:
    """Let a session run on from now; a token ends when it ends."""
    ticket = admission.ticket(request.headers)
    if ticket is None or ticket.kind != "session":
        return _shown(admission, client, request)
    admission.extend_session(request.headers)
    word = read_cookie(request.headers)
    return _answer(client, ticket.since, time.time() + SESSION_SECONDS, cookie(word, request.peer))


def _shown(admission: Admission, client: Client, request: Request) -> Response:
    """Show the session. The owner's word and the in-process door do not expire; they have a full session to go."""
    ticket = admission.ticket(request.headers)
    if ticket is None:
        return _answer(client, time.time(), time.time() + SESSION_SECONDS)
    return _answer(client, ticket.since, ticket.ends)


def _answer(client: Client, since: float, ends: float, set_cookie: str | None = None) -> Response:
    headers = {**PRIVATE, "Content-Type": "application/json"}
    if set_cookie:
        headers["Set-Cookie"] = set_cookie
    return Response(200, headers, _json(_document(client, since, ends)))


def _document(client: Client, since: float, ends: float) -> dict[str, Any]:
    names = {client.id: client.display_name}
    return {
        "client": {
            "id": client.id,
            "display_name": client.display_name,
            "full_name": client.display_name,
            "email": None,
            "identities": list(client.identities),
        },
        "attributes": [{"id": role, "display_name": names.get(role, role)} for role in sorted(client.roles - {"*"})],
        "since": _iso(since),
        "expires": _iso(ends),
        "seconds_remaining": max(0, int(ends - time.time())),
        "vary_headers": ["cookie"],
        "tracking": None,
    }


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()


def _json(document: dict[str, Any]) -> bytes:
    return json.dumps(document).encode() + b"\n"
