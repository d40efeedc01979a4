"""``/hatrac``: the methods of namespaces, objects, versions, their metadata, access lists and upload jobs.

Access lists are shown and not changed, and objects are not renamed: those methods answer 501.
"""

from __future__ import annotations

import hashlib
import html
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote

from deriva_local.objects.access import acl, acls
from deriva_local.objects.checksums import announced, decoded, encoded
from deriva_local.objects.content import Announced, regular_file
from deriva_local.objects.names import HatracAddress, parse, url_of
from deriva_local.objects.rows import Name, Version
from deriva_local.objects.store import Objects, Precondition, Told
from deriva_local.objects.uploads import Job
from deriva_local.service import ranges
from deriva_local.service.messages import FileSlice, Request, Response
from deriva_local.wire.errors import Refusal, bad_request, conflict, not_found, not_offered
from deriva_local.wire.etag import matches

LARGEST_PUT = 128 * 1024 * 1024
NAMESPACE = "application/x-hatrac-namespace"
TRUSTED = "x-deriva-local-trusted"
"""A header that only a caller in this process can send; its one value is ``sealed``."""

_DISPOSITION = re.compile(r"filename\*=UTF-8''([A-Za-z0-9\-._~!$&+#^`|]|%[0-9A-Fa-f]{2})+")
_FIELDS = ("content-type", "content-md5", "content-sha256", "content-disposition")

Handler = Callable[[Objects, HatracAddress, Request], Response]


def handle(objects: Objects, request: Request) -> Response:
    """Answer a request below ``/hatrac``.

    Raises:
        Refusal: with the status that the protocol has for it; 405 where the resource has no such method.
    """
    address = parse(request.target)
    methods = _METHODS["job" if address.part == "upload" and address.words else address.part]
    if len(address.words) == 2 and address.part == "upload":
        methods = _METHODS["chunk"]
    handler = methods.get(request.method)
    if handler is None:
        allowed = ", ".join(["HEAD", *methods] if "GET" in methods else methods)
        raise Refusal(405, f"{request.method} is no method of this resource; it has {allowed}.", {"Allow": allowed})
    return handler(objects, address, request)


# --------------------------------------------------------------------------------------------- what headers say


def _owner(request: Request) -> str:
    return request.client.id if request.client else ""


def _length(request: Request) -> int:
    """Return the announced length of the body.

    Raises:
        Refusal: 400 it is no number, 411 it is missing.
    """
    text = request.headers.get("content-length", "")
    if "transfer-encoding" in request.headers or not text:
        raise Refusal(411, "Send the length of the content in Content-Length; chunked transfer encoding has none.")
    if not (text.isascii() and text.isdigit()):
        raise bad_request(f"Content-Length must be a number, not {text!r}.")
    return int(text)


def _precondition(request: Request) -> Precondition:
    """Return the check of If-Match and If-None-Match against the current version."""
    wanted, unwanted = request.headers.get("if-match"), request.headers.get("if-none-match")

    def check(current: Version | None) -> None:
        etag = _etag(current) if current else None
        met = wanted is None or (etag is not None and matches(wanted, etag))
        if not met or (unwanted is not None and etag is not None and matches(unwanted, etag)):
            raise Refusal(412, "The object is another one by now.", {"ETag": etag} if etag else {})

    return check


def _etag(version: Version) -> str:
    return f'"{version.version}"'


def _told(fields: Mapping[str, Any]) -> Told:
    """Read content type and disposition from headers or a job document (names in lower case)."""
    kind, disposition = fields.get("content-type"), fields.get("content-disposition")
    if not isinstance(kind, str | None) or not isinstance(disposition, str | None):
        raise bad_request("content-type and content-disposition are text.")
    return Told(_clean_type(kind), _clean_disposition(disposition))


def _clean_type(text: str | None) -> str | None:
    if text and (not text.isascii() or not text.isprintable()):
        raise bad_request("content-type must be printable ASCII.")
    return text or None


def _clean_disposition(text: str | None) -> str | None:
    if not text:
        return None
    if not _DISPOSITION.fullmatch(text) or "/" in unquote(text) or "\\" in unquote(text):
        raise bad_request("Content-Disposition must read filename*=UTF-8''<a percent-encoded name without a folder>.")
    return text


def _parents(address: HatracAddress) -> bool:
    return address.options.get("parents", "").lower() == "true"


def _document(request: Request) -> dict[str, Any]:
    try:
        document = json.loads(_read(request))
    except ValueError as error:
        raise bad_request(f"The body is no JSON: {error}.") from error
    if not isinstance(document, dict):
        raise bad_request("The body must be a JSON object.")
    return document


def _read(request: Request) -> bytes:
    if isinstance(request.body, bytes):
        return request.body
    return request.body.read_bytes() if isinstance(request.body, Path) else request.body.read()


# ------------------------------------------------------------------------------------------- how answers are written


def _json(document: Any) -> Response:
    return Response(200, {"Content-Type": "application/json"}, json.dumps(document).encode() + b"\n")


def _text(text: str) -> Response:
    return Response(200, {"Content-Type": "text/plain"}, f"{text}\n".encode())


def _created(url: str) -> Response:
    return Response(201, {"Content-Type": "text/uri-list", "Location": url}, f"{url}\n".encode())


def _list(urls: list[str], request: Request) -> Response:
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


# ------------------------------------------------------------------------------------- namespaces, objects, versions


def _get(objects: Objects, address: HatracAddress, request: Request) -> Response:
    found = objects.look(address.name)
    if found.kind == "object":
        return _content(objects, objects.version(found, address.version), request)
    if address.version:
        raise not_found(f"{url_of(found.name)} is a namespace and has no versions.")
    if "range" in request.headers:
        raise not_offered("A namespace has no ranges of bytes.")
    return _list(objects.children(found), request)


def _content(objects: Objects, version: Version, request: Request) -> Response:
    headers = {
        "Content-Type": version.content_type or "application/octet-stream",
        "Content-Location": url_of(version.name, version.version),
        "ETag": _etag(version),
        "Accept-Ranges": "bytes",
    }
    part = _part(version, request)
    if part is not None:
        offset, length = part
        headers["Content-Range"] = f"bytes {offset}-{offset + length - 1}/{version.length}"
        return Response(206, headers, FileSlice(objects.content(version), offset, length))
    basename = version.name.rpartition("/")[2]
    headers["Content-MD5"] = encoded(version.checksums.md5)
    headers["Content-SHA256"] = encoded(version.checksums.sha256)
    headers["Content-Disposition"] = version.content_disposition or f"filename*=UTF-8''{basename}"
    return Response(200, headers, FileSlice(objects.content(version), 0, version.length))


def _part(version: Version, request: Request) -> tuple[int, int] | None:
    """Return the range that is asked for; none when ``If-Range`` names another version."""
    only_of = request.headers.get("if-range")
    if "range" not in request.headers or (only_of is not None and not matches(only_of, _etag(version))):
        return None
    return ranges.wanted(request.headers["range"], version.length)


def _put(objects: Objects, address: HatracAddress, request: Request) -> Response:
    if address.version:
        raise conflict("A version is never changed: PUT the object to make a new one.")
    parents, owner = _parents(address), _owner(request)
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() == NAMESPACE:
        objects.make_namespace(address.name, owner, parents=parents)
        return _created(url_of(address.name))
    if not address.name:
        raise conflict("/hatrac is a namespace.")
    told, announced_body, check = _told(request.headers), _announced(request), _precondition(request)
    made = objects.put(address.name, request.body, announced_body, told, owner, parents=parents, precondition=check)
    return _created(url_of(made.name, made.version))


def _announced(request: Request) -> Announced:
    """Return what the headers say of the body. A file of this machine knows its length, and may be of any."""
    sums = announced(request.headers)
    if isinstance(request.body, Path):
        length = int(request.headers.get("content-length") or regular_file(request.body).stat().st_size)
        return Announced(length, sums, request.headers.get(TRUSTED) == "sealed")
    length = _length(request)
    if length > LARGEST_PUT:
        raise Refusal(413, f"At most {LARGEST_PUT} bytes in one request: send larger contents as an upload in chunks.")
    return Announced(length, sums)


def _delete(objects: Objects, address: HatracAddress, request: Request) -> Response:
    objects.delete(address.name, address.version, _precondition(request))
    return Response(204)


def _rename(objects: Objects, address: HatracAddress, request: Request) -> Response:
    command = _document(request).get("command")
    if command != "rename_from":
        raise bad_request(f"There is no command {command!r}.")
    raise not_offered("Objects are not renamed here: PUT the content under the new name.")


def _versions(objects: Objects, address: HatracAddress, request: Request) -> Response:
    found = objects.look(address.name)
    if found.kind != "object" or address.version:
        raise not_found("Only an object has versions.")
    return _list(objects.versions(found), request)


# --------------------------------------------------------------------------------------------------------- metadata


def _subject(objects: Objects, address: HatracAddress) -> Version:
    found = objects.look(address.name)
    if found.kind != "object":
        raise not_found("A namespace has no metadata.")
    return objects.version(found, address.version)


def _metadata(version: Version) -> dict[str, str]:
    fields = {
        "content-type": version.content_type,
        "content-md5": encoded(version.checksums.md5),
        "content-sha256": encoded(version.checksums.sha256),
        "content-disposition": version.content_disposition,
    }
    return {name: text for name, text in fields.items() if text}


def _field(address: HatracAddress) -> str:
    field = address.words[0].lower() if address.words else ""
    if field not in _FIELDS:
        raise bad_request(f"There is no metadata {field!r}; there are {', '.join(_FIELDS)}.")
    return field


def _get_metadata(objects: Objects, address: HatracAddress, request: Request) -> Response:
    shown = _metadata(_subject(objects, address))
    if not address.words:
        return _json(shown)
    field = _field(address)
    if field not in shown:
        raise not_found(f"The {field} is not set.")
    return _text(shown[field])


def _put_metadata(objects: Objects, address: HatracAddress, request: Request) -> Response:
    version, field = _subject(objects, address), _field(address)
    text = _read(request).decode("utf-8", "replace").strip()
    match field:
        case "content-type":
            objects.tell(version, "content_type", _clean_type(text))
        case "content-disposition":
            objects.tell(version, "content_disposition", _clean_disposition(text))
        case _:
            _same_checksum(version, field, text)
    return Response(204)


def _same_checksum(version: Version, field: str, text: str) -> None:
    kind = field.removeprefix("content-")
    given = decoded(kind, text)
    if given is None:
        raise bad_request(f"{text!r} is no {kind}.")
    if given != (version.checksums.md5 if kind == "md5" else version.checksums.sha256):
        raise conflict(f"The {kind} of this content is {_metadata(version)[field]}.")


def _delete_metadata(objects: Objects, address: HatracAddress, request: Request) -> Response:
    version, field = _subject(objects, address), _field(address)
    if field not in _metadata(version):
        raise not_found(f"The {field} is not set.")
    match field:
        case "content-type":
            objects.tell(version, "content_type", None)
        case "content-disposition":
            objects.tell(version, "content_disposition", None)
        case _:
            raise not_offered("A checksum is what the content is; it is not removed.")
    return Response(204)


# ------------------------------------------------------------------------------------------------------ access lists


def _get_acl(objects: Objects, address: HatracAddress, request: Request) -> Response:
    found = objects.look(address.name)
    kind: Literal["namespace", "object", "version"] = "version" if address.version else found.kind
    owner = (objects.version(found, address.version).owner if address.version else found.owner) or _owner(request)
    if not address.words:
        return _json(acls(kind, owner))
    roles = acl(kind, owner, address.words[0])
    if len(address.words) == 1:
        return _json(roles)
    if address.words[1] not in roles:
        raise not_found(f"{address.words[1]!r} is not in that list.")
    return _text(address.words[1])


def _change_acl(objects: Objects, address: HatracAddress, request: Request) -> Response:
    objects.look(address.name)
    raise not_offered("Access lists are not changed here: everything in this store is its owner's.")


# ------------------------------------------------------------------------------------------------------ upload jobs

_ALIASES = {
    "chunk_bytes": "chunk-length",
    "chunk_length": "chunk-length",
    "total_bytes": "content-length",
    "content_length": "content-length",
    "content_md5": "content-md5",
    "content_sha256": "content-sha256",
    "content_type": "content-type",
    "content_disposition": "content-disposition",
}


def _job_url(name: str, job: str) -> str:
    return f"{url_of(name)};upload/{job}"


def _object(objects: Objects, address: HatracAddress) -> Name:
    found = objects.look(address.name)
    if found.kind != "object" or address.version:
        raise not_found("Only an object has uploads.")
    return found


def _get_jobs(objects: Objects, address: HatracAddress, request: Request) -> Response:
    found = _object(objects, address)
    return _json([_job_url(found.name, job) for job in objects.jobs(found)])


def _start_job(objects: Objects, address: HatracAddress, request: Request) -> Response:
    if address.version or not address.name:
        raise conflict("An upload makes a new version of an object: name the object.")
    said = {_ALIASES.get(key, key): value for key, value in _document(request).items()}
    chunk, content = _number(said, "chunk-length", 1), _number(said, "content-length", 0)
    told = _told(said)
    wanted = Job(
        "", address.name, _owner(request), chunk, content, announced(said), told.content_type, told.content_disposition
    )
    job = objects.start_job(address.name, wanted, parents=_parents(address))
    return _created(_job_url(address.name, job.id))


def _number(said: dict[str, Any], key: str, least: int) -> int:
    value = said.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value < 2**63:
        raise bad_request(f"{key} must be a whole number of at least {least}, not {value!r}.")
    return value


def _get_job(objects: Objects, address: HatracAddress, request: Request) -> Response:
    job = objects.job(_object(objects, address), address.words[0])
    document = {
        "url": _job_url(job.name, job.id),
        "owner": [job.owner],
        "target": url_of(job.name),
        "chunk-length": job.chunk_length,
        "content-length": job.content_length,
        "content-type": job.content_type,
        "content-md5": encoded(job.checksums.md5) or None,
        "content-sha256": encoded(job.checksums.sha256) or None,
        "content-disposition": job.content_disposition,
    }
    return _json({key: value for key, value in document.items() if value is not None})


def _put_chunk(objects: Objects, address: HatracAddress, request: Request) -> Response:
    found = _object(objects, address)
    job, position = address.words
    if not (position.isascii() and position.isdigit()) or len(position) > 18:
        raise bad_request(f"A chunk is named by its number, from 0; {position!r} is none.")
    body = request.body.read_bytes() if isinstance(request.body, Path) else request.body
    objects.put_chunk(found, job, int(position), body, _length(request), announced(request.headers))
    return Response(204)


def _finish_job(objects: Objects, address: HatracAddress, request: Request) -> Response:
    made = objects.finish_job(_object(objects, address), address.words[0])
    return _created(url_of(made.name, made.version))


def _cancel_job(objects: Objects, address: HatracAddress, request: Request) -> Response:
    objects.cancel_job(_object(objects, address), address.words[0])
    return Response(204)


_METHODS: dict[str, dict[str, Handler]] = {
    "self": {"GET": _get, "PUT": _put, "POST": _rename, "DELETE": _delete},
    "versions": {"GET": _versions},
    "metadata": {"GET": _get_metadata, "PUT": _put_metadata, "DELETE": _delete_metadata},
    "acl": {"GET": _get_acl, "PUT": _change_acl, "DELETE": _change_acl},
    "upload": {"GET": _get_jobs, "POST": _start_job},
    "job": {"GET": _get_job, "POST": _finish_job, "DELETE": _cancel_job},
    "chunk": {"PUT": _put_chunk},
}
