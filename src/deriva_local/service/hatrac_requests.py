"""What a Hatrac request says in headers and body: length, type and name of a content, preconditions, commands."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

from deriva_local.objects.names import PREFIX, HatracAddress, parse
from deriva_local.objects.rename import Renaming
from deriva_local.objects.rows import Version
from deriva_local.objects.store import Precondition, Told
from deriva_local.service.messages import Request
from deriva_local.wire.errors import Refusal, bad_request
from deriva_local.wire.etag import refused

_FILENAME = "filename*=UTF-8''"
_DISPOSITION = re.compile(re.escape(_FILENAME) + r"([A-Za-z0-9\-._~!$&+#^`|]|%[0-9A-Fa-f]{2})+")
LONGEST_DOCUMENT = 1024 * 1024
LARGEST_PUT = 128 * 1024 * 1024


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
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise bad_request(f"Content-Length must be a number of bytes, not {text[:40]!r}.")
    return int(text)


def refuse_too_long(length: int) -> None:
    """Let a body of so many bytes pass, whole or a chunk.

    Raises:
        Refusal: 413 it is too long for one request.
    """
    if length > LARGEST_PUT:
        raise Refusal(413, f"At most {LARGEST_PUT} bytes in one request: send more as an upload in smaller chunks.")


def precondition_of(request: Request) -> Precondition:
    """Return the check of If-Match and If-None-Match against the current version."""

    def check(current: Version | None) -> None:
        etag = etag_of(current) if current else None
        if refused("PUT", request.headers, etag):
            raise Refusal(412, "The object is another one by now.", {"ETag": etag} if etag else {})

    return check


def etag_of(version: Version) -> str:
    """Return the entity tag of a version: its name, which no other content ever has."""
    return f'"{version.version}"'


def told_in(fields: Mapping[str, Any]) -> Told:
    """Read content type and disposition from headers or a job document (names in lower case)."""
    kind, disposition = fields.get("content-type"), fields.get("content-disposition")
    if not isinstance(kind, str | None) or not isinstance(disposition, str | None):
        raise bad_request("content-type and content-disposition are text.")
    return Told(clean_type(kind), clean_disposition(disposition))


def clean_type(text: str | None) -> str | None:
    """Return a content type that a header can carry; None for none.

    Raises:
        Refusal: 400 it has characters that no header has.
    """
    if text and (not text.isascii() or not text.isprintable()):
        raise bad_request("content-type must be printable ASCII.")
    return text or None


def clean_disposition(text: str | None) -> str | None:
    """Return a content disposition that names a file, and no folder; None for none.

    Raises:
        Refusal: 400 it does not.
    """
    if not text:
        return None
    if not _DISPOSITION.fullmatch(text) or not _is_file_name(unquote_to_bytes(text.removeprefix(_FILENAME))):
        raise bad_request("Content-Disposition must read filename*=UTF-8''<a percent-encoded name without a folder>.")
    return text


def _is_file_name(name: bytes) -> bool:
    """Say whether this can be the name of a file everywhere, and of nothing but a file."""
    try:
        text = name.decode()
    except UnicodeDecodeError:
        return False
    return text not in (".", "..") and not any(sign in "/\\\x7f" or sign < " " for sign in text)


def with_parents(address: HatracAddress) -> bool:
    """Say whether missing namespaces are to be made."""
    return address.options.get("parents", "").lower() == "true"


_RENAMING = {"command", "source_name", "source_versions", "versions", "copy_acls"}


def renaming_in(document: Mapping[str, Any], address: HatracAddress) -> Renaming:
    """Read the command to give an object the name in the address.

    Raises:
        Refusal: 400 another command, or one with fields that it does not have.
    """
    if document.get("command") != "rename_from":
        raise bad_request(f"There is no command {document.get('command')!r}; there is 'rename_from'.")
    strange = sorted(set(document) - _RENAMING)
    if strange:
        raise bad_request(f"The command has no {', '.join(strange)}.")
    source, copied = document.get("source_name"), document.get("copy_acls", False)
    versions = document.get("source_versions", document.get("versions"))
    if not isinstance(source, str) or not isinstance(copied, bool):
        raise bad_request("source_name must be the name of an object, and copy_acls true or false.")
    if versions is not None and not _are_texts(versions):
        raise bad_request("source_versions must be a list of versions.")
    found = parse(PREFIX + "/" + source.removeprefix(PREFIX + "/").removeprefix("/"))
    if found.version or found.part != "self" or found.options:
        raise bad_request("source_name must be the name of an object, without a version.")
    named = None if versions is None else tuple(dict.fromkeys(text.rpartition(":")[2] for text in versions))
    return Renaming(found.name, address.name, named, copied, with_parents(address))


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(text, str) for text in value)


def roles_of(request: Request) -> tuple[str, ...]:
    """Return the list of roles that is the body.

    Raises:
        Refusal: 400 it is something else.
    """
    roles = _json_of(request)
    if not _are_texts(roles) or not all(roles):
        raise bad_request("The body must be a JSON list of roles.")
    return tuple(roles)


def document_of(request: Request) -> dict[str, Any]:
    """Return the JSON object that is the body.

    Raises:
        Refusal: 400 it is something else, 413 it is far too long.
    """
    document = _json_of(request)
    if not isinstance(document, dict):
        raise bad_request("The body must be a JSON object.")
    return document


def _json_of(request: Request) -> Any:
    try:
        return json.loads(body_of(request))
    except (ValueError, RecursionError) as error:
        raise bad_request(f"The body is no JSON: {error}.") from error


def body_of(request: Request) -> bytes:
    """Return the whole of a short body.

    Raises:
        Refusal: 413 it is not short.
    """
    if isinstance(request.body, Path):
        return request.body.read_bytes()
    body = request.body if isinstance(request.body, bytes) else request.body.read(LONGEST_DOCUMENT + 1)
    if len(body) > LONGEST_DOCUMENT:
        raise Refusal(413, f"At most {LONGEST_DOCUMENT} bytes are read here.")
    return body
