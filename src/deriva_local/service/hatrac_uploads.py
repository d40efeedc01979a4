"""Chunked uploads: a job is begun, its chunks come in any order, and it is made a version or given up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from deriva_local.objects.checksums import announced, encoded
from deriva_local.objects.names import HatracAddress, url_of
from deriva_local.objects.rows import Name
from deriva_local.objects.store import Objects
from deriva_local.objects.tree import id_of
from deriva_local.objects.uploads import Job
from deriva_local.service.hatrac_answers import created, json_answer
from deriva_local.service.hatrac_requests import document_of, length_of, refuse_too_long, told_in, with_parents
from deriva_local.service.messages import Request, Response
from deriva_local.wire.errors import bad_request, conflict, not_found

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


def get_jobs(objects: Objects, address: HatracAddress, request: Request) -> Response:
    """List the unfinished uploads of an object."""
    found = _object(objects, address)
    return json_answer([_job_url(found.name, job) for job in objects.jobs(found, request.client)])


def start_job(objects: Objects, address: HatracAddress, request: Request) -> Response:
    """Begin an upload; the object is made if it is not there."""
    if address.version or not address.name:
        raise conflict("An upload makes a new version of an object: name the object.")
    said = {_ALIASES.get(key, key): value for key, value in document_of(request).items()}
    chunk, content = _number(said, "chunk-length", 1), _number(said, "content-length", 0)
    told = told_in(said)
    wanted = Job(
        "",
        address.name,
        id_of(request.client),
        chunk,
        content,
        announced(said),
        told.content_type,
        told.content_disposition,
    )
    job = objects.start_job(address.name, wanted, request.client, parents=with_parents(address))
    return created(_job_url(address.name, job.id))


def _number(said: dict[str, Any], key: str, least: int) -> int:
    value = said.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value < 2**63:
        raise bad_request(f"{key} must be a whole number of at least {least}, not {value!r}.")
    return value


def get_job(objects: Objects, address: HatracAddress, request: Request) -> Response:
    """Show what was said when an upload began."""
    job = objects.job(_object(objects, address), address.words[0], request.client)
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
    return json_answer({key: value for key, value in document.items() if value is not None})


def put_chunk(objects: Objects, address: HatracAddress, request: Request) -> Response:
    """Take in one chunk."""
    found = _object(objects, address)
    position = address.words[1]
    job = objects.job(found, address.words[0], request.client)
    if not (position.isascii() and position.isdigit()) or len(position) > 18:
        raise bad_request(f"A chunk is named by its number, from 0; {position!r} is none.")
    body = request.body.read_bytes() if isinstance(request.body, Path) else request.body
    length = length_of(request)
    refuse_too_long(length)
    objects.put_chunk(found, job, int(position), body, length, announced(request.headers))
    return Response(204)


def finish_job(objects: Objects, address: HatracAddress, request: Request) -> Response:
    """Make a version of the chunks."""
    made = objects.finish_job(_object(objects, address), address.words[0], request.client)
    return created(url_of(made.name, made.version))


def cancel_job(objects: Objects, address: HatracAddress, request: Request) -> Response:
    """Give an upload up."""
    objects.cancel_job(_object(objects, address), address.words[0], request.client)
    return Response(204)
