"""What a Hatrac request says of the content that it sends: length, type, name, preconditions."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from deriva_local.objects.names import HatracAddress
from deriva_local.objects.rows import Version
from deriva_local.objects.store import Precondition, Told
from deriva_local.service.messages import Request
from deriva_local.wire.errors import Refusal, bad_request
from deriva_local.wire.etag import matches

_DISPOSITION = re.compile(r"filename\*=UTF-8''([A-Za-z0-9\-._~!$&+#^`|]|%[0-9A-Fa-f]{2})+")


def owner_of(request: Request) -> str:
    return request.client.id if request.client else ""


def length_of(request: Request) -> int:
    """Return the announced length of the body.

    Raises:
        Refusal: 400 it is no number, 411 it is missing.
    """
    text = request.headers.get("content-length", "")
    if not text and isinstance(request.body, bytes) and "transfer-encoding" not in request.headers:
        return len(request.body)
    if "transfer-encoding" in request.headers or not text:
        raise Refusal(411, "Send the length of the content in Content-Length; chunked transfer encoding has none.")
    if not (text.isascii() and text.isdigit()):
        raise bad_request(f"Content-Length must be a number, not {text!r}.")
    return int(text)


def precondition_of(request: Request) -> Precondition:
    """Return the check of If-Match and If-None-Match against the current version."""
    wanted, unwanted = request.headers.get("if-match"), request.headers.get("if-none-match")

    def check(current: Version | None) -> None:
        etag = etag_of(current) if current else None
        met = wanted is None or (etag is not None and matches(wanted, etag))
        if not met or (unwanted is not None and etag is not None and matches(unwanted, etag)):
            raise Refusal(412, "The object is another one by now.", {"ETag": etag} if etag else {})

    return check


def etag_of(version: Version) -> str:
    return f'"{version.version}"'


def told_in(fields: Mapping[str, Any]) -> Told:
    """Read content type and disposition from headers or a job document (names in lower case)."""
    kind, disposition = fields.get("content-type"), fields.get("content-disposition")
    if not isinstance(kind, str | None) or not isinstance(disposition, str | None):
        raise bad_request("content-type and content-disposition are text.")
    return Told(clean_type(kind), clean_disposition(disposition))


def clean_type(text: str | None) -> str | None:
    if text and (not text.isascii() or not text.isprintable()):
        raise bad_request("content-type must be printable ASCII.")
    return text or None


def clean_disposition(text: str | None) -> str | None:
    if not text:
        return None
    if not _DISPOSITION.fullmatch(text) or "/" in unquote(text) or "\\" in unquote(text):
        raise bad_request("Content-Disposition must read filename*=UTF-8''<a percent-encoded name without a folder>.")
    return text


def with_parents(address: HatracAddress) -> bool:
    return address.options.get("parents", "").lower() == "true"


def document_of(request: Request) -> dict[str, Any]:
    try:
        document = json.loads(body_of(request))
    except ValueError as error:
        raise bad_request(f"The body is no JSON: {error}.") from error
    if not isinstance(document, dict):
        raise bad_request("The body must be a JSON object.")
    return document


def body_of(request: Request) -> bytes:
    if isinstance(request.body, bytes):
        return request.body
    return request.body.read_bytes() if isinstance(request.body, Path) else request.body.read()
