"""Access lists as resources: ``;acl``, ``;acl/<access>`` and ``;acl/<access>/<role>``, for the owner of what they guard."""

from __future__ import annotations

from collections.abc import Callable

from deriva_local.objects.access import Acls, Kind, checked_access, shown, with_list
from deriva_local.objects.names import HatracAddress
from deriva_local.objects.store import Objects
from deriva_local.service.hatrac_answers import as_json, check_shown, check_text, json_answer, text_answer
from deriva_local.service.hatrac_requests import roles_of
from deriva_local.service.messages import Request, Response
from deriva_local.wire.errors import Refusal, not_found


def get_acl(objects: Objects, address: HatracAddress, request: Request) -> Response:
    """Show all access lists of a resource, one of them, or one role in it."""
    kind, found = _kind(objects, address), objects.look(address.name)
    lists = objects.acls(found, address.version, request.client)
    if not address.words:
        return json_answer(shown(kind, lists))
    roles = _of(lists, checked_access(kind, address.words[0]))
    if len(address.words) == 1:
        return json_answer(list(roles))
    return text_answer(_listed(address.words[1], roles))


def put_acl(objects: Objects, address: HatracAddress, request: Request) -> Response:
    """Replace an access list, or add a role to it."""
    access = _access(objects, address, "GET")
    if len(address.words) == 2:
        role = address.words[1]
        return _changed(objects, address, request, lambda lists: with_list(lists, access, (*_of(lists, access), role)))
    roles = roles_of(request)
    return _changed(objects, address, request, lambda lists: with_list(lists, access, roles))


def delete_acl(objects: Objects, address: HatracAddress, request: Request) -> Response:
    """Empty an access list, or take a role out of it."""
    access = _access(objects, address, "GET")
    if len(address.words) == 1:
        return _changed(objects, address, request, lambda lists: with_list(lists, access, ()))
    role = address.words[1]

    def without(lists: Acls) -> Acls:
        _listed(role, _of(lists, access))
        return with_list(lists, access, tuple(other for other in _of(lists, access) if other != role))

    return _changed(objects, address, request, without)


def _kind(objects: Objects, address: HatracAddress) -> Kind:
    found = objects.look(address.name)
    if not address.version:
        return found.kind
    if found.kind != "object":
        raise not_found("A namespace has no versions.")
    return "version"


def _access(objects: Objects, address: HatracAddress, *methods: str) -> str:
    """Return the access list that is to be changed: all of them at once are only shown."""
    if not address.words:
        allowed = ", ".join(["HEAD", *methods])
        raise Refusal(405, "Name the access list that is to be changed.", {"Allow": allowed})
    return checked_access(_kind(objects, address), address.words[0])


def _of(lists: Acls, access: str) -> tuple[str, ...]:
    return lists.get(access, ())


def _listed(role: str, roles: tuple[str, ...]) -> str:
    if role not in roles:
        raise not_found(f"{role!r} is not in that list.")
    return role


def _changed(objects: Objects, address: HatracAddress, request: Request, change: Callable[[Acls], Acls]) -> Response:
    def guarded(lists: Acls) -> Acls:
        roles = _of(lists, address.words[0])
        if len(address.words) == 1:
            check_shown(request, as_json(list(roles)))
        else:
            check_text(request, address.words[1] if address.words[1] in roles else None)
        return change(lists)

    objects.change_acls(address.name, address.version, guarded, request.client)
    return Response(204)
