"""``/hatrac``: which method of which resource does what; namespaces, objects and versions themselves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from deriva_local.objects.checksums import announced, encoded
from deriva_local.objects.content import Announced, regular_file
from deriva_local.objects.names import HatracAddress, file_name, parse, url_of
from deriva_local.objects.rows import Version
from deriva_local.objects.store import Objects, Wanted
from deriva_local.service import hatrac_acls as access
from deriva_local.service import hatrac_facts as facts
from deriva_local.service import hatrac_uploads as uploads
from deriva_local.service import ranges
from deriva_local.service.hatrac_answers import FORMS, check_shown, created, created_all, list_answer, listed
from deriva_local.service.hatrac_requests import (
    document_of,
    etag_of,
    length_of,
    precondition_of,
    refuse_too_long,
    renaming_in,
    told_in,
    with_parents,
)
from deriva_local.service.messages import FileSlice, Request, Response
from deriva_local.wire.errors import Refusal, conflict, not_found, not_offered
from deriva_local.wire.etag import matches

NAMESPACE = "application/x-hatrac-namespace"
TRUSTED = "x-deriva-local-trusted"
"""A header that only a caller in this process can send; its one value is ``sealed``."""


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


def _get(objects: Objects, address: HatracAddress, request: Request) -> Response:
    found = objects.look(address.name)
    if found.kind == "object":
        return _content(objects, objects.version(found, address.version, request.client), request)
    if address.version:
        raise not_found(f"{url_of(found.name)} is a namespace and has no versions.")
    if "range" in request.headers:
        raise not_offered("A namespace has no ranges of bytes.")
    return list_answer(objects.children(found, request.client), request)


def _content(objects: Objects, version: Version, request: Request) -> Response:
    headers = {
        "Content-Type": version.content_type or "application/octet-stream",
        "Content-Location": url_of(version.name, version.version),
        "ETag": etag_of(version),
        "Accept-Ranges": "bytes",
    }
    part = _part(version, request)
    if part is not None:
        offset, length = part
        headers["Content-Range"] = f"bytes {offset}-{offset + length - 1}/{version.length}"
        return Response(206, headers, FileSlice(objects.content(version), offset, length))
    told = {"Content-MD5": encoded(version.shown.md5), "Content-SHA256": encoded(version.shown.sha256)}
    headers.update({name: text for name, text in told.items() if text})
    headers["Content-Disposition"] = version.content_disposition or f"filename*=UTF-8''{file_name(version.name)}"
    return Response(200, headers, FileSlice(objects.content(version), 0, version.length))


def _part(version: Version, request: Request) -> tuple[int, int] | None:
    """Return the range that is asked for; none when ``If-Range`` names another version."""
    only_of = request.headers.get("if-range")
    if "range" not in request.headers or (only_of is not None and not matches(only_of, etag_of(version))):
        return None
    return ranges.wanted(request.headers["range"], version.length)


def _put(objects: Objects, address: HatracAddress, request: Request) -> Response:
    if address.version:
        raise conflict("A version is never changed: PUT the object to make a new one.")
    parents, client = with_parents(address), request.client
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() == NAMESPACE:
        objects.make_namespace(address.name, client, parents=parents)
        return created(url_of(address.name))
    if not address.name:
        raise conflict("/hatrac is a namespace.")
    wanted = _wanted(address, request)
    made = objects.put(
        wanted.name,
        wanted.body,
        wanted.announced,
        wanted.told,
        client,
        parents=parents,
        precondition=wanted.precondition,
    )
    return created(url_of(made.name, made.version))


def is_sealed_file(request: Request) -> bool:
    """Say whether a request of a caller in this process puts a sealed file, which can be taken in together with others."""
    return request.method == "PUT" and isinstance(request.body, Path) and request.headers.get(TRUSTED) == "sealed"


def put_together(objects: Objects, requests: Sequence[Request]) -> list[Response | Refusal]:
    """Answer requests that put sealed files, in one durable step.

    Raises:
        Refusal: one of them is found too late to let the others in; nothing was done.
    """
    wanted = [_wanted(parse(request.target), request) for request in requests]
    return [
        answer if isinstance(answer, Refusal) else created(url_of(answer.name, answer.version))
        for answer in objects.put_together(wanted, requests[0].client)
    ]


def _wanted(address: HatracAddress, request: Request) -> Wanted:
    told, announced_body, check = told_in(request.headers), _announced(request), precondition_of(request)
    return Wanted(address.name, request.body, announced_body, told, with_parents(address), check)


def _announced(request: Request) -> Announced:
    """Return what the headers say of the body. A file of this machine knows its length, and may be of any."""
    sums = announced(request.headers)
    if isinstance(request.body, Path):
        length = int(request.headers.get("content-length") or regular_file(request.body).stat().st_size)
        return Announced(length, sums, request.headers.get(TRUSTED) == "sealed")
    length = length_of(request)
    refuse_too_long(length)
    return Announced(length, sums)


def _delete(objects: Objects, address: HatracAddress, request: Request) -> Response:
    objects.delete(address.name, address.version, request.client, precondition_of(request), _listing_of(request))
    return Response(204)


def _listing_of(request: Request) -> Callable[[list[str]], None]:
    """Return the check of If-Match and If-None-Match against what a namespace lists, in any of its forms."""
    return lambda names: check_shown(request, *(listed([url_of(name) for name in names], form) for form in FORMS))


def _rename(objects: Objects, address: HatracAddress, request: Request) -> Response:
    if address.version or not address.name:
        raise conflict("An object is renamed, as a whole or by naming versions in the body.")
    made = objects.rename(renaming_in(document_of(request), address), request.client)
    if not made:
        return Response(204)
    return created_all([url_of(version.name, version.version) for version in made], request)


def _versions(objects: Objects, address: HatracAddress, request: Request) -> Response:
    found = objects.look(address.name)
    if found.kind != "object" or address.version:
        raise not_found("Only an object has versions.")
    return list_answer(objects.versions(found, request.client), request)


_METHODS: dict[str, dict[str, Handler]] = {
    "self": {"GET": _get, "PUT": _put, "POST": _rename, "DELETE": _delete},
    "versions": {"GET": _versions},
    "metadata": {"GET": facts.get_metadata, "PUT": facts.put_metadata, "DELETE": facts.delete_metadata},
    "acl": {"GET": access.get_acl, "PUT": access.put_acl, "DELETE": access.delete_acl},
    "upload": {"GET": uploads.get_jobs, "POST": uploads.start_job},
    "job": {"GET": uploads.get_job, "POST": uploads.finish_job, "DELETE": uploads.cancel_job},
    "chunk": {"PUT": uploads.put_chunk},
}
