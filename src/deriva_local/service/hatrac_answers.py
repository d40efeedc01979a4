"""How Hatrac's answers are written, each with the entity tag of what it shows."""

from __future__ import annotations

import hashlib
import html
import json
from typing import Any

from deriva_local.service.messages import Request, Response
from deriva_local.service.negotiation import preferred
from deriva_local.wire.errors import Refusal
from deriva_local.wire.etag import refused

JSON, URIS, HTML = "application/json", "text/uri-list", "text/html"
FORMS = (JSON, URIS, HTML)


def tag_of(text: str) -> str:
    """Return the entity tag of what is shown as ``text``."""
    return f'"{hashlib.sha256(text.encode()).hexdigest()[:26]}"'


def json_answer(document: Any) -> Response:
    """Write a document."""
    return _written("application/json", as_json(document))


def text_answer(text: str) -> Response:
    """Write one line of text."""
    return _written("text/plain", f"{text}\n")


def as_json(document: Any) -> str:
    return json.dumps(document) + "\n"


def _written(kind: str, text: str) -> Response:
    return Response(200, {"Content-Type": kind, "ETag": tag_of(text)}, text.encode())


def check_text(request: Request, line: str | None) -> None:
    """Let a change of what is shown as one line of text pass, if its preconditions hold; None is nothing.

    Raises:
        Refusal: 412 they do not.
    """
    check_shown(request, None if line is None else f"{line}\n")


def check_shown(request: Request, *texts: str | None) -> None:
    """Let a change of what is shown as one of these texts pass, if its preconditions hold; None is nothing.

    Raises:
        Refusal: 412 they do not.
    """
    tags = [None if text is None else tag_of(text) for text in texts]
    if all(refused(request.method, request.headers, tag) for tag in tags):
        shown = {} if tags[0] is None else {"ETag": tags[0]}
        raise Refusal(412, "The resource is another one by now: its ETag has changed.", shown)


def created(url: str) -> Response:
    """Say where what was made is to be found."""
    return Response(201, {"Content-Type": URIS, "Location": url}, f"{url}\n".encode())


def created_all(urls: list[str], request: Request) -> Response:
    """Say where several things that were made are to be found, the first one as the location."""
    form = _preferred(request, (URIS, JSON))
    return Response(201, {"Content-Type": form, "Location": urls[0]}, listed(urls, form).encode())


def list_answer(urls: list[str], request: Request) -> Response:
    """Write addresses as JSON, or in the other form that the caller prefers."""
    form = _preferred(request, FORMS)
    text = listed(urls, form)
    return Response(200, {"Content-Type": form, "ETag": tag_of(text), "Vary": "accept"}, text.encode())


def listed(urls: list[str], form: str) -> str:
    """Return addresses as they are written in one of the forms."""
    match form:
        case "application/json":
            return as_json(urls)
        case "text/uri-list":
            return "".join(f"{url}\n" for url in urls)
        case _:
            return "".join(f'<a href="{html.escape(url)}">{html.escape(url)}</a><br>\n' for url in urls)


def _preferred(request: Request, forms: tuple[str, ...]) -> str:
    """Return the form that the caller likes best, the first one where that does not matter."""
    return preferred(request.headers.get("accept", ""), forms)
