"""Logging in with a browser: ``/authn/preauth`` says where, ``/authn/login`` is the page and takes its form."""

from __future__ import annotations

import html
import json
from urllib.parse import parse_qs, quote

from deriva_local.service.admission import Admission
from deriva_local.service.messages import Request, Response
from deriva_local.service.places import own_place
from deriva_local.service.session import PRIVATE, cookie, entered, form_of
from deriva_local.wire.errors import Refusal, bad_request

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"

_PAGE = """<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Log in</title>
<style>
  body {{ font: 1rem/1.5 system-ui, sans-serif; max-width: 20rem; margin: 15vh auto; padding: 0 1rem; }}
  label {{ display: block; margin-top: 1rem; }}
  input, button {{ font: inherit; width: 100%; box-sizing: border-box; padding: .4rem; }}
  button {{ margin-top: 1.5rem; }}
  .wrong {{ color: #a00; }}
</style>
<h1>Log in</h1>
{told}
<form method="post" action="/authn/login">
  <input type="hidden" name="referrer" value="{referrer}">
  <label>User name <input name="username" autocomplete="username" required autofocus></label>
  <label>Password <input name="password" type="password" autocomplete="current-password" required></label>
  <button>Log in</button>
</form>
</html>
"""


def preauth(admission: Admission, request: Request) -> Response:
    """Say where the caller logs in: ``{"redirect_url"}``, or a redirection there with ``do_redirect=true``.

    Raises:
        Refusal: 400 the referrer is a place of another origin, 405 another method than GET.
    """
    if request.method != "GET":
        raise Refusal(405, f"{request.method} is no method of /authn/preauth.", {"Allow": "GET"})
    options = _options(request)
    place = f"{request.peer.origin}/authn/login?referrer={quote(_referrer(options, request), safe='')}"
    if options.get("do_redirect", "").lower() == "true":
        return Response(303, {**PRIVATE, "Location": place})
    return Response(200, {**PRIVATE, "Content-Type": "application/json"}, _json({"redirect_url": place}))


def page(admission: Admission, request: Request) -> Response:
    """Show the form, or take it: who is let in is sent back to the referrer with a session.

    Raises:
        Refusal: 400 the referrer is a place of another origin, 405 another method than GET and POST.
    """
    if request.method == "GET":
        return _form(200, _referrer(_options(request), request))
    if request.method != "POST":
        raise Refusal(405, f"{request.method} is no method of /authn/login.", {"Allow": "GET, POST"})
    form = form_of(request)
    referrer = _referrer(form, request)
    try:
        _, word = entered(admission, request, form)
    except Refusal as refusal:
        return _form(refusal.status, referrer, refusal.detail)
    return Response(303, {**PRIVATE, "Location": referrer, "Set-Cookie": cookie(word, request.peer)})


def _options(request: Request) -> dict[str, str]:
    return {name: texts[-1] for name, texts in parse_qs(request.target.partition("?")[2]).items()}


def _referrer(given: dict[str, str], request: Request) -> str:
    place = own_place(given.get("referrer", "/"), request.peer.origin)
    if place is None:
        raise bad_request("The referrer must be an address of this server.")
    return place


def _form(status: int, referrer: str, told: str = "") -> Response:
    shown = f'<p class="wrong" role="alert">{html.escape(told)}</p>' if told else ""
    body = _PAGE.format(told=shown, referrer=html.escape(referrer, quote=True)).encode()
    headers = {
        **PRIVATE,
        "Content-Type": "text/html; charset=utf-8",
        "Content-Security-Policy": _POLICY,
        "X-Frame-Options": "DENY",
    }
    return Response(status, headers, body)


def _json(document: dict[str, str]) -> bytes:
    return json.dumps(document).encode() + b"\n"
