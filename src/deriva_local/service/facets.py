"""Annotations, comments, access control lists and bindings as resources of their own, the same for every element."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from deriva_local.acl.bindings import check_bindings
from deriva_local.acl.static import NAMES, Kind
from deriva_local.model import edit, find, intake
from deriva_local.model.elements import Acls, Column, Document, ForeignKey, Key, Model, Schema, Table
from deriva_local.service.answers import Visit, allow, json_body, text_body
from deriva_local.service.elements import chosen
from deriva_local.service.messages import Response
from deriva_local.store.database import ReadSession
from deriva_local.store.remodel import carry_out
from deriva_local.url.ast import (
    CatalogPart,
    CatalogResource,
    ColumnResource,
    Facet,
    ForeignKeyResource,
    KeyResource,
    SchemaResource,
    TableResource,
)
from deriva_local.wire.errors import conflict, not_found

Element: TypeAlias = Model | Schema | Table | Column | Key | ForeignKey


@dataclass(frozen=True)
class Subject:
    """The element whose facet is addressed. ``put`` returns the model with a changed one in its place; who owns it
    follows from the ``lists`` from the catalog down to the table."""

    kind: Kind | None
    element: Any
    put: Callable[[Any], Model]
    lists: tuple[Acls, ...]


def handle(visit: Visit, facet: Facet) -> Response:
    """Answer a request for one facet of one element."""
    return _HANDLERS[facet.kind, facet.key is not None](visit, facet.key or "")


def subject(model: Model, part: CatalogPart) -> Subject:
    """Return the element that an address names before its facet.

    Raises:
        Refusal: 409 if it does not exist.
    """
    if isinstance(part, CatalogResource):
        return Subject("catalog", model, lambda changed: changed, (model.acls,))
    if isinstance(part, SchemaResource):
        found = find.schema(model, part.name or "")
        return Subject("schema", found, lambda changed: edit.put_schema(model, changed), (model.acls, found.acls))
    if isinstance(part, TableResource | ColumnResource | KeyResource | ForeignKeyResource):
        table = find.table(model, part.schema, part.table or "")
        return _inside(model, table, part)
    raise not_found("This resource has no annotations, comment or access control.")


def _inside(
    model: Model, table: Table, part: TableResource | ColumnResource | KeyResource | ForeignKeyResource
) -> Subject:
    lists = (model.acls, model.schema_by_rid[table.schema].acls, table.acls)
    if isinstance(part, TableResource):
        return Subject("table", table, lambda changed: edit.put_table(model, changed), lists)
    if isinstance(part, ColumnResource):
        column = find.column(table, part.column or "")
        return Subject("column", column, lambda changed: edit.put_table(model, edit.put_column(table, changed)), lists)
    if isinstance(part, KeyResource):
        key = find.key(table, part.columns or (), missing=409)
        return Subject(None, key, lambda changed: edit.put_table(model, edit.put_key(table, changed)), lists)
    links = chosen(model, part)
    if len(links) != 1:
        raise conflict(f"Table '{table.name}' has no such foreign key.")
    return Subject(
        "foreign_key", links[0], lambda changed: edit.put_table(model, edit.put_foreign_key(table, changed)), lists
    )


def _seen(visit: Visit, session: ReadSession) -> Subject:
    """Return the element that the address names, as the client sees it."""
    return subject(visit.seen(session), visit.address.part)


def _owned(visit: Visit, session: ReadSession) -> Subject:
    """Return the element that the address names, in the whole model, for its owner.

    Raises:
        Refusal: 409 if the client sees no such element, 403 or 401 if it is not theirs.
    """
    view = visit.view(session)
    if not view.owner:
        seen = subject(view.model, visit.address.part)
        if not view.onlooker.holds("owner", *seen.lists):
            raise view.denied("see or change this: it belongs to somebody else")
    return subject(session.model, visit.address.part)


def _change(visit: Visit, status: int, change: Callable[[Subject], tuple[dict[str, Any], Any]]) -> Response:
    """Replace fields of the subject; ``change`` returns them with what is shown, None for an empty answer."""
    with visit.writing() as session:
        found = _owned(visit, session)
        fields, shown = change(found)
        model = found.put(replace(found.element, **fields))
        if "acls" in fields:
            visit.keep_owner(session, model, *_lists_of(found, fields["acls"])[1:])
        if "acl_bindings" in fields:
            _check_bindings(model, found)
        carry_out(session, model)
        return visit.answer(session, status) if status == 204 else visit.answer(session, status, shown)


# ---------------------------------------------------------------------------------------------------------- annotation


def _annotations(visit: Visit, _: str) -> Response:
    if allow(visit.request, "GET", "PUT") == "GET":
        with visit.reading() as session:
            return visit.answer(session, 200, _seen(visit, session).element.annotations)
    document = intake.document(json_body(visit.request), "body")
    return _change(visit, 204, lambda found: ({"annotations": document}, None))


def _annotation(visit: Visit, key: str) -> Response:
    method = allow(visit.request, "GET", "PUT", "DELETE")
    if method == "GET":
        with visit.reading() as session:
            return visit.answer(session, 200, _present(_seen(visit, session), key)[key])
    if method == "DELETE":
        return _change(visit, 204, lambda found: ({"annotations": _without(_present(found, key), key)}, None))
    value = json_body(visit.request)
    with visit.writing() as session:
        found = _owned(visit, session)
        status = 204 if key in found.element.annotations else 201
        changed = replace(found.element, annotations={**found.element.annotations, key: value})
        carry_out(session, found.put(changed))
        return visit.answer(session, status)


def _present(found: Subject, key: str) -> Document:
    annotations: Document = found.element.annotations
    if key not in annotations:
        raise not_found(f"There is no annotation '{key}'.")
    return annotations


def _without(mapping: Mapping[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in mapping.items() if name != key}


# ------------------------------------------------------------------------------------------------------------- comment


def _comment(visit: Visit, _: str) -> Response:
    method = allow(visit.request, "GET", "PUT", "DELETE")
    if method == "GET":
        with visit.reading() as session:
            comment = _seen(visit, session).element.comment
            if comment is None:
                raise not_found("There is no comment.")
            headers = {"ETag": visit.tag(session), "Vary": "cookie", "Content-Type": "text/plain"}
            return Response(200, headers, f"{comment}\n".encode())
    comment = text_body(visit.request) if method == "PUT" else None
    return _change(visit, 204, lambda found: ({"comment": comment}, None))


# ----------------------------------------------------------------------------------------------- access control lists


def _acls(visit: Visit, _: str) -> Response:
    method = allow(visit.request, "GET", "PUT", "DELETE")
    if method == "GET":
        with visit.reading() as session:
            return visit.answer(session, 200, _controlled(_owned(visit, session)).acls)
    document = intake.document(json_body(visit.request), "body") if method == "PUT" else {}

    def change(found: Subject) -> tuple[dict[str, Any], Any]:
        _controlled(found)
        acls = intake.acls({"acls": document}, _kind(found))
        if found.kind == "catalog":
            acls = {name: acls.get(name, ()) for name in NAMES["catalog"]}
        return {"acls": acls}, acls

    return _change(visit, 200 if method == "PUT" else 204, change)


def _acl(visit: Visit, name: str) -> Response:
    method = allow(visit.request, "GET", "PUT", "DELETE")
    if method == "GET":
        with visit.reading() as session:
            found = _owned(visit, session)
            acls = _controlled(found).acls
            if name not in NAMES[_kind(found)]:
                raise not_found(f"There is no access control list '{name}'.")
            return visit.answer(session, 200, acls.get(name))
    document = json_body(visit.request) if method == "PUT" else None

    def change(found: Subject) -> tuple[dict[str, Any], Any]:
        acls: Acls = _controlled(found).acls
        kind = _kind(found)
        if method == "DELETE" and name not in NAMES[kind]:
            raise not_found(f"There is no access control list '{name}'.")
        left = {**_without(acls, name), **({name: ()} if kind == "catalog" else {})}
        changed = left if method == "DELETE" else {**left, name: intake.acl(kind, name, document)}
        return {"acls": changed}, changed.get(name)

    return _change(visit, 200 if method == "PUT" else 204, change)


def _controlled(found: Subject) -> Any:
    if found.kind is None:
        raise not_found("A key has no access control.")
    return found.element


def _kind(found: Subject) -> Kind:
    _controlled(found)
    assert found.kind is not None
    return found.kind


def _lists_of(found: Subject, acls: Acls) -> tuple[Acls, ...]:
    """Return the lists that make an owner of the changed element."""
    return (*found.lists[:-1], acls) if found.kind in ("catalog", "schema", "table") else found.lists


# ------------------------------------------------------------------------------------------------------------ bindings


def _bindings(visit: Visit, _: str) -> Response:
    method = allow(visit.request, "GET", "PUT", "DELETE")
    if method == "GET":
        with visit.reading() as session:
            return visit.answer(session, 200, _bound(_owned(visit, session)).acl_bindings)
    document = intake.document(json_body(visit.request), "body") if method == "PUT" else {}

    def change(found: Subject) -> tuple[dict[str, Any], Any]:
        _bound(found)
        return {"acl_bindings": document}, document

    return _change(visit, 200 if method == "PUT" else 204, change)


def _binding(visit: Visit, name: str) -> Response:
    method = allow(visit.request, "GET", "PUT", "DELETE")
    if method == "GET":
        with visit.reading() as session:
            return visit.answer(session, 200, _present_binding(_owned(visit, session), name)[name])
    document = json_body(visit.request) if method == "PUT" else None

    def change(found: Subject) -> tuple[dict[str, Any], Any]:
        if method == "DELETE":
            return {"acl_bindings": _without(_present_binding(found, name), name)}, None
        return {"acl_bindings": {**_bound(found).acl_bindings, name: document}}, document

    return _change(visit, 200 if method == "PUT" else 204, change)


def _bound(found: Subject) -> Any:
    if found.kind not in ("table", "column", "foreign_key"):
        raise not_found("Only tables, columns and foreign keys have access bindings.")
    return found.element


def _present_binding(found: Subject, name: str) -> Document:
    bindings: Document = _bound(found).acl_bindings
    if name not in bindings:
        raise not_found(f"There is no access binding '{name}'.")
    return bindings


def _check_bindings(model: Model, found: Subject) -> None:
    for table in model.tables():
        parts: tuple[Element, ...] = (table, *table.columns, *table.foreign_keys)
        if any(not isinstance(part, Model) and part.rid == found.element.rid for part in parts):
            check_bindings(model, table)


_HANDLERS: Mapping[tuple[str, bool], Callable[[Visit, str], Response]] = {
    ("annotation", False): _annotations,
    ("annotation", True): _annotation,
    ("comment", False): _comment,
    ("acl", False): _acls,
    ("acl", True): _acl,
    ("acl_binding", False): _bindings,
    ("acl_binding", True): _binding,
}
