"""``/authn/session``: who the service takes the caller for, logging in with the token, and logging out."""

from __future__ import annotations

import json
import os
import pwd
import time
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs

from deriva_local.service.messages import Client, Request, Response
from deriva_local.service.tokens import COOKIE, SESSION_SECONDS, Tokens, read_cookie
from deriva_local.wire.errors import Refusal, conflict, not_found, not_offered, unauthorized


def local_owner() -> Client:
    """Return the user whose process this is: the owner of every store that it opens.

    Taken from the user database and not from the environment, so that ``sudo`` and cron do not rename anybody.
    """
    try:
        return Client.owner(pwd.getpwuid(os.getuid()).pw_name)
    except KeyError:  # a container that runs under a number without a name
        return Client.owner(str(os.getuid()))


def handle(tokens: Tokens, owner: Client, request: Request) -> Response:
    """Answer a request below ``/authn``.

    Raises:
        Refusal: 401 a wrong password, 404 nobody is logged in, 405 an unknown method, 409 somebody is logged in
            already, 501 another resource of the login service.
    """
    path, _, query = request.target.partition("?")
    if path.rstrip("/") != "/authn/session":
        raise not_offered(f"{path} is not offered here: log in with the token of the store.")
    match request.method:
        case "GET":
            return _shown(tokens, _logged_in(request), request)
        case "PUT":
            return _opened(tokens, _logged_in(request), request)
        case "POST":
            return _log_in(tokens, owner, request)
        case "DELETE":
            return _log_out(request, query)
        case _:
            raise Refusal(405, f"{request.method} is no method of /authn/session.", {"Allow": "GET, PUT, POST, DELETE"})


def _logged_in(request: Request) -> Client:
    if request.client is None:
        raise not_found("Nobody is logged in.")
    return request.client


def _log_in(tokens: Tokens, owner: Client, request: Request) -> Response:
    if request.client is not None:
        raise conflict(f"{request.client.display_name} is logged in already.")
    body = request.body if isinstance(request.body, bytes) else b""
    form = parse_qs(body.decode("utf-8", "replace"))
    if not tokens.is_word(form.get("password", [""])[-1]):
        raise unauthorized("The password is the word in the token file of the store; this is another one.")
    return _opened(tokens, owner, request)


def _log_out(request: Request, query: str) -> Response:
    _logged_in(request)
    gone = {"Set-Cookie": f"{COOKIE}=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict"}
    wanted = parse_qs(query).get("logout_url")
    if not wanted:
        return Response(204, gone)
    return Response(200, {**gone, "Content-Type": "application/json"}, _json({"logout_url": wanted[-1]}))


def _opened(tokens: Tokens, client: Client, request: Request) -> Response:
    """Start or extend a session: the caller gets a new cookie."""
    session = tokens.issue()
    headers = {
        "Content-Type": "application/json",
        "Set-Cookie": f"{COOKIE}={session}; Path=/; Max-Age={SESSION_SECONDS}; HttpOnly; SameSite=Strict",
    }
    return Response(200, headers, _json(_document(client, tokens.expiry(session))))


def _shown(tokens: Tokens, client: Client, request: Request) -> Response:
    """Show the session. A token and the in-process door do not expire; they are shown with a full session to go."""
    ends = tokens.expiry(read_cookie(request.headers)) or time.time() + SESSION_SECONDS
    return Response(200, {"Content-Type": "application/json"}, _json(_document(client, ends)))


def _document(client: Client, ends: float) -> dict[str, Any]:
    names = {client.id: client.display_name}
    return {
        "client": {
            "id": client.id,
            "display_name": client.display_name,
            "full_name": client.display_name,
            "email": None,
            "identities": [client.id],
        },
        "attributes": [{"id": role, "display_name": names.get(role, role)} for role in sorted(client.roles - {"*"})],
        "since": _iso(ends - SESSION_SECONDS),
        "expires": _iso(ends),
        "seconds_remaining": max(0, int(ends - time.time())),
        "vary_headers": ["cookie"],
        "tracking": None,
    }


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()


def _json(document: dict[str, Any]) -> bytes:
    return json.dumps(document).encode() + b"\n"
