"""The service itself, its catalogs and their aliases as resources."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from deriva_local.acl import rights, static
from deriva_local.model import intake
from deriva_local.model.documents import FEATURES
from deriva_local.service.answers import JSON, Visit, allow, as_json, json_body, known, version
from deriva_local.service.messages import ADMINISTRATORS, Client, Request, Response
from deriva_local.store.registry import FACTS, Alias, Store, checked_id
from deriva_local.wire import etag
from deriva_local.wire.crockford import micros_to_snap
from deriva_local.wire.errors import bad_request, forbidden

PROTOCOL_VERSION = "1.0"


def service(request: Request) -> Response:
    """``/ermrest``: what this service is, and what it offers."""
    allow(request, "GET")
    return Response(200, {"Content-Type": JSON}, as_json({"version": PROTOCOL_VERSION, "features": FEATURES}))


# ------------------------------------------------------------------------------------------------------------ catalogs


def create(store: Store, request: Request) -> Response:
    """``POST /ermrest/catalog``."""
    allow(request, "POST")
    document = _facts(intake.document(json_body(request, absent={}) or {}, "body"))
    if document.get("clone_source") is not None and not isinstance(document["clone_source"], str):
        raise bad_request("'clone_source' must be text or null.")
    intake.annotations_of(document)
    made = store.create_catalog(document, creator(known(request)))
    return _made(request, f"/ermrest/catalog/{made}", made)


def creator(client: Client) -> Client:
    """Return a client who may make catalogs and aliases.

    Raises:
        Refusal: 403 for any other.
    """
    if not client.may_create_catalogs:
        raise forbidden(f"Only members of the group '{ADMINISTRATORS}' make catalogs and aliases.")
    return client


def _facts(document: Mapping[str, Any]) -> Mapping[str, Any]:
    for name in ("name", "description"):
        if document.get(name) is not None and not isinstance(document[name], str):
            raise bad_request(f"'{name}' must be text or null.")
    if document.get("is_persistent") not in (None, True, False):
        raise bad_request("'is_persistent' must be true, false or null.")
    return document


def _made(request: Request, location: str, id: str, status: int = 201) -> Response:
    if request.headers.get("accept") == "text/plain":
        return Response(status, {"Location": location, "Content-Type": "text/plain"}, f"{id}\n".encode())
    return Response(status, {"Location": location, "Content-Type": JSON}, as_json({"id": id}))


def catalog(store: Store, visit: Visit) -> Response:
    """``/ermrest/catalog/id``."""
    method = allow(visit.request, "GET", "POST", "DELETE")
    if method == "GET":
        return _show(visit)
    if method == "POST":
        return _maintain(visit)
    with visit.writing() as session:  # not while somebody else writes
        visit.require_owner(session)
    if visit.entry.alias is not None:
        store.delete_alias(visit.entry.alias)
    else:
        store.delete_catalog(visit.entry.id)
    return Response(204)


def _show(visit: Visit) -> Response:
    with visit.looking() as session:
        view, snap = visit.view(session), micros_to_snap(session.snaptime)
        shown: dict[str, Any] = {
            "id": visit.address.id,
            "snaptime": snap,
            "rights": rights.catalog_rights(view.onlooker, session.model),
            **({"acls": session.model.acls} if view.owner else {}),
            "annotations": session.model.annotations,
            "features": FEATURES,
            **visit.entry.facts,
        }
    if visit.entry.alias is not None:
        shown["alias_target"] = visit.entry.id
    tag = etag.build(visit.client.roles, None, version(session, session.snaptime), visit.entry.alias)
    return Response(200, {"ETag": tag, "Vary": "cookie", "Content-Type": JSON}, as_json(shown))


def _maintain(visit: Visit) -> Response:
    """``POST /ermrest/catalog/id?vacuum`` or ``?analyze``."""
    if not {"vacuum", "analyze"}.intersection(visit.address.options):
        raise bad_request("POST to a catalog needs ?vacuum or ?analyze.")
    with visit.writing() as session:
        visit.require_owner(session)
    visit.database.maintain("vacuum" in visit.address.options)
    return Response(204)


# ------------------------------------------------------------------------------------------------------------- aliases


def aliases(store: Store, request: Request) -> Response:
    """``POST /ermrest/alias``."""
    allow(request, "POST")
    document = _facts(intake.document(json_body(request, absent={}) or {}, "body"))
    id = checked_id(document.get("id")) or store.new_id()
    owner = static.owners(document.get("owner"), creator(known(request)))
    store.put_alias(_alias(id, document, owner), new=True)
    return _made(request, f"/ermrest/alias/{id}", id)


def alias(store: Store, id: str, request: Request) -> Response:
    """``/ermrest/alias/id``."""
    method = allow(request, "GET", "PUT", "DELETE")
    client = known(request)
    if method == "PUT":
        return _put_alias(store, id, request, client)
    found = store.alias(id)
    _require_owner(found, client)
    if method == "DELETE":
        store.delete_alias(id)
        return Response(204)
    body = as_json({"id": found.id, "owner": found.owner, "alias_target": found.target, **found.facts})
    return Response(200, {"Content-Type": JSON}, body)


def _put_alias(store: Store, id: str, request: Request, client: Client) -> Response:
    document = _facts(intake.document(json_body(request), "body"))
    if checked_id(document.get("id")) not in (None, id):
        raise bad_request(f"The document has id '{document['id']}', the address '{id}'.")
    known = store.has_alias(id)
    if not known:
        creator(client)
    else:
        old = store.alias(id)
        _require_owner(old, client)
        kept = {"owner": list(old.owner), "alias_target": old.target, **old.facts}
        document = {**kept, **document}
    checked_id(id)
    store.put_alias(_alias(id, document, static.owners(document.get("owner"), client)), new=not known)
    return _made(request, f"/ermrest/alias/{id}", id, 200 if known else 201)


def _alias(id: str, document: Mapping[str, Any], owner: tuple[str, ...]) -> Alias:
    target = document.get("alias_target")
    if target is not None and not isinstance(target, str):
        raise bad_request("'alias_target' must be the id of a catalog, or null.")
    return Alias(id, owner, target, {name: document[name] for name in FACTS if document.get(name) is not None})


def _require_owner(found: Alias, client: Client) -> None:
    if not client.is_store_owner and not client.roles.intersection(found.owner):
        raise forbidden(f"You do not own alias '{found.id}'.")
