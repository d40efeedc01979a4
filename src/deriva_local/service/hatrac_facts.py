"""What is told of a stored content besides its bytes: its metadata."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from deriva_local.objects.checksums import decoded, encoded
from deriva_local.objects.names import HatracAddress
from deriva_local.objects.rows import Name, Version
from deriva_local.objects.store import Objects
from deriva_local.service.hatrac_answers import check_text, json_answer, text_answer
from deriva_local.service.hatrac_requests import body_of, clean_disposition, clean_type
from deriva_local.service.messages import Request, Response
from deriva_local.wire.errors import bad_request, conflict, not_found

_FIELDS = ("content-type", "content-md5", "content-sha256", "content-disposition")


def _object(objects: Objects, address: HatracAddress) -> Name:
    found = objects.look(address.name)
    if found.kind != "object":
        raise not_found("A namespace has no metadata.")
    return found


def _metadata(version: Version) -> dict[str, str]:
    fields = {
        "content-type": version.content_type,
        "content-md5": encoded(version.shown.md5),
        "content-sha256": encoded(version.shown.sha256),
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
    found = _object(objects, address)
    shown = _metadata(objects.version(found, address.version, request.client))
    if not address.words:
        return json_answer(shown)
    field = _field(address)
    if field not in shown:
        raise not_found(f"The {field} is not set.")
    return text_answer(shown[field])


def put_metadata(objects: Objects, address: HatracAddress, request: Request) -> Response:
    """Set the type or the file name; a checksum may only be said again."""
    text = body_of(request).decode("utf-8", "replace").strip()
    if not text:
        raise bad_request(f"Say what the {_field(address)} is; DELETE takes it away.")
    match _field(address):
        case "content-type":
            kind = clean_type(text)
            return _changed(objects, address, request, lambda version: replace(version, content_type=kind))
        case "content-disposition":
            name = clean_disposition(text)
            return _changed(objects, address, request, lambda version: replace(version, content_disposition=name))
        case field:
            return _changed(objects, address, request, lambda version: _with_checksum(version, field, text))


def _with_checksum(version: Version, field: str, text: str) -> Version:
    kind = field.removeprefix("content-")
    given = decoded(kind, text)
    if given is None:
        raise bad_request(f"{text!r} is no {kind}.")
    if given != (version.checksums.md5 if kind == "md5" else version.checksums.sha256):
        raise conflict(f"That is not the {kind} of this content.")
    return replace(version, untold=version.untold - {kind})


def delete_metadata(objects: Objects, address: HatracAddress, request: Request) -> Response:
    """Unset the type or the file name, or show a checksum no more."""
    field = _field(address)

    def without(version: Version) -> Version:
        if field not in _metadata(version):
            raise not_found(f"The {field} is not set.")
        match field:
            case "content-type":
                return replace(version, content_type=None)
            case "content-disposition":
                return replace(version, content_disposition=None)
            case _:
                return replace(version, untold=version.untold | {field.removeprefix("content-")})

    return _changed(objects, address, request, without)


def _changed(
    objects: Objects, address: HatracAddress, request: Request, change: Callable[[Version], Version]
) -> Response:
    def guarded(version: Version) -> Version:
        check_text(request, _metadata(version).get(_field(address)))
        return change(version)

    objects.tell(_object(objects, address), address.version, guarded, request.client)
    return Response(204)
