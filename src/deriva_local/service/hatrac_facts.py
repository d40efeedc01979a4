"""What is told of a stored content besides its bytes: its metadata."""

from __future__ import annotations

from deriva_local.objects.access import Right
from deriva_local.objects.checksums import decoded, encoded
from deriva_local.objects.names import HatracAddress
from deriva_local.objects.rows import Version
from deriva_local.objects.store import Objects
from deriva_local.service.hatrac_answers import json_answer, text_answer
from deriva_local.service.hatrac_requests import body_of, clean_disposition, clean_type
from deriva_local.service.messages import Request, Response
from deriva_local.wire.errors import bad_request, conflict, not_found, not_offered

_FIELDS = ("content-type", "content-md5", "content-sha256", "content-disposition")


def _subject(objects: Objects, address: HatracAddress, request: Request, right: Right) -> Version:
    found = objects.look(address.name)
    if found.kind != "object":
        raise not_found("A namespace has no metadata.")
    return objects.version(found, address.version, request.client, right)


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


def get_metadata(objects: Objects, address: HatracAddress, request: Request) -> Response:
    """Show all metadata of an object or version, or one field of it."""
    shown = _metadata(_subject(objects, address, request, "read"))
    if not address.words:
        return json_answer(shown)
    field = _field(address)
    if field not in shown:
        raise not_found(f"The {field} is not set.")
    return text_answer(shown[field])


def put_metadata(objects: Objects, address: HatracAddress, request: Request) -> Response:
    """Set the type or the file name; a checksum may only be said again."""
    version, field = _subject(objects, address, request, "owner"), _field(address)
    text = body_of(request).decode("utf-8", "replace").strip()
    match field:
        case "content-type":
            objects.tell(version, "content_type", clean_type(text), request.client)
        case "content-disposition":
            objects.tell(version, "content_disposition", clean_disposition(text), request.client)
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


def delete_metadata(objects: Objects, address: HatracAddress, request: Request) -> Response:
    """Unset the type or the file name."""
    version, field = _subject(objects, address, request, "owner"), _field(address)
    if field not in _metadata(version):
        raise not_found(f"The {field} is not set.")
    match field:
        case "content-type":
            objects.tell(version, "content_type", None, request.client)
        case "content-disposition":
            objects.tell(version, "content_disposition", None, request.client)
        case _:
            raise not_offered("A checksum is what the content is; it is not removed.")
    return Response(204)
