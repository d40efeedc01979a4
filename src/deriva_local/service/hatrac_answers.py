"""How Hatrac's answers are written."""

from __future__ import annotations

import hashlib
import html
import json
from typing import Any

from deriva_local.service.messages import Request, Response


def json_answer(document: Any) -> Response:
    """Write a document."""
    return Response(200, {"Content-Type": "application/json"}, json.dumps(document).encode() + b"\n")


def text_answer(text: str) -> Response:
    """Write one line of text."""
    return Response(200, {"Content-Type": "text/plain"}, f"{text}\n".encode())


def created(url: str) -> Response:
    """Say where what was made is to be found."""
    return Response(201, {"Content-Type": "text/uri-list", "Location": url}, f"{url}\n".encode())


def created_all(urls: list[str], request: Request) -> Response:
    """Say where several things that were made are to be found, the first one as the location."""
    if "application/json" in request.headers.get("accept", ""):
        kind, text = "application/json", json.dumps(urls) + "\n"
    else:
        kind, text = "text/uri-list", "".join(f"{url}\n" for url in urls)
    return Response(201, {"Content-Type": kind, "Location": urls[0]}, text.encode())


def list_answer(urls: list[str], request: Request) -> Response:
    """Write addresses as JSON, or as the one other form that the caller prefers."""
    accept = request.headers.get("accept", "")
    if "text/uri-list" in accept:
        kind, text = "text/uri-list", "".join(f"{url}\n" for url in urls)
    elif "text/html" in accept and "application/json" not in accept:
        kind, text = "text/html", "".join(f'<a href="{html.escape(url)}">{html.escape(url)}</a><br>\n' for url in urls)
    else:
        kind, text = "application/json", json.dumps(urls) + "\n"
    etag = hashlib.sha256(text.encode()).hexdigest()[:26]
    return Response(200, {"Content-Type": kind, "ETag": f'"{etag}"', "Vary": "accept"}, text.encode())
