"""Schemas, tables, columns, keys and foreign keys as resources: read, create, alter and drop them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from deriva_local.acl.view import View
from deriva_local.model import alter, ddl, find, intake
from deriva_local.model.elements import Document, ForeignKey, Model, Table
from deriva_local.model.naming import identifier
from deriva_local.service.answers import JSON, Visit, allow, as_json, json_body
from deriva_local.service.messages import Response
from deriva_local.store.database import ReadSession, WriteSession
from deriva_local.store.remodel import carry_out
from deriva_local.url.ast import (
    ColumnResource,
    ForeignKeyResource,
    KeyResource,
    SchemaResource,
    TableRef,
    TableResource,
)
from deriva_local.wire.errors import bad_request, conflict, not_found

# -------------------------------------------------------------------------------------------------------------- schema


def whole_model(visit: Visit) -> Response:
    """``/schema``: the whole model, or many elements created at once."""
    if allow(visit.request, "GET", "POST") == "GET":
        with visit.reading() as session:
            headers = {"ETag": visit.tag(session), "Vary": "cookie", "Content-Type": JSON}
            return Response(200, headers, _model_document(visit, session))
    document = json_body(visit.request)
    with visit.writing() as session:
        if isinstance(document, list):
            made = _create_listed(visit, session, intake.documents(document, "list of elements"))
            return visit.answer(session, 201, [show(visit, session) for show in made])
        names = _create_mapped(visit, session, intake.document(document, "body"))
        portrait = visit.portrait(session)
        shown = {name: portrait.schema(session.model.schemas[name]) for name in names}
        return visit.answer(session, 201, {"schemas": shown})


_documents: dict[tuple[int, int, str | None], tuple[View, bytes]] = {}
_KEPT = 16


def _model_document(visit: Visit, session: ReadSession) -> bytes:
    """Return the JSON of the whole model; while nothing changes it, it is written once."""
    view = visit.view(session)
    key = (id(view), _shown_snaptime(session), visit.entry.alias)
    found = _documents.get(key)
    if found is not None and found[0] is view:
        return found[1]
    shown = visit.portrait(session).whole(key[1])
    if visit.entry.alias is not None:
        shown["alias_target"] = visit.entry.id
    if len(_documents) >= _KEPT:
        _documents.clear()
    made = as_json(shown)
    _documents[key] = (view, made)
    return made


def _shown_snaptime(session: ReadSession) -> int:
    return session.model_snaptime if session.moment is None else session.moment


Show = Callable[[Visit, WriteSession], Any]


def _create_mapped(visit: Visit, session: WriteSession, document: Document) -> list[str]:
    """Create what ``{"schemas": {name: schema}}`` describes; return the names of the schemas."""
    schemas = intake.document(document.get("schemas"), "value of 'schemas'")
    listed = [{"schema_name": name, **intake.document(each, f"schema '{name}'")} for name, each in schemas.items()]
    _create_listed(visit, session, listed)
    return [each["schema_name"] for each in listed]


def _create_listed(visit: Visit, session: WriteSession, documents: Sequence[Document]) -> list[Show]:
    """Create schemas, tables and foreign keys; every foreign key waits until all tables are there."""
    model, shows = session.model, []
    tables: list[tuple[str, Document]] = []
    links: list[Document] = []
    created: set[str] = set()
    for document in documents:
        if "foreign_key_columns" in document:
            links.append(document)
        elif "table_name" in document:
            schema = identifier(document.get("schema_name"), "schema name")
            if schema not in created:
                document = visit.let_create(session, schema, document)
            model, made = ddl.create_table(model, schema, document, session.new_rid)
            tables.append((made.rid, document))
            shows.append(_show_table(made.rid))
        else:
            model, rid, inside = _create_schema(model, visit.let_create(session, None, document), session)
            created.add(document["schema_name"])
            tables.extend(inside)
            shows.append(_show_schema(rid))
    for rid, document in tables:
        model, _ = ddl.link_table(model, model.table_by_rid[rid], document, session.new_rid)
    new = {rid for rid, _ in tables}
    for document in links:
        home = _home(model, document)
        if home.rid not in new:
            visit.own_table(session, model.schema_by_rid[home.schema].name, home.name)
        model, _ = ddl.create_foreign_key(model, home, document, session.new_rid)
    _check_reach(visit, session, model)
    carry_out(session, model)
    return shows


def _check_reach(visit: Visit, session: WriteSession, model: Model) -> None:
    """Let new foreign keys pass if the client sees what they refer to, or has just made it.

    Raises:
        Refusal: 409, as if the table or column were not there.
    """
    view = visit.view(session)
    if view.owner:
        return
    for table in model.tables():
        before = session.model.table_by_rid.get(table.rid)
        old = {link.rid for link in before.foreign_keys} if before else set()
        for link in table.foreign_keys:
            if link.rid not in old and link.referenced_table in session.model.table_by_rid:
                target = view.model.table_by_rid.get(link.referenced_table)
                if target is None or all(set(key.columns) != set(link.referenced_columns) for key in target.keys):
                    raise conflict(f"Foreign key '{link.name}' refers to a key that does not exist.")


def _create_schema(
    model: Model, document: Document, session: WriteSession
) -> tuple[Model, str, list[tuple[str, Document]]]:
    if "schema_name" not in document:
        raise bad_request("An element needs a 'schema_name', a 'table_name' or 'foreign_key_columns'.")
    model, schema = ddl.create_schema(model, document["schema_name"], document, session.new_rid)
    inside: list[tuple[str, Document]] = []
    tables = intake.document(document.get("tables") or {}, "value of 'tables'")
    for name, each in tables.items():
        table = {"table_name": name, **intake.document(each, f"table '{name}'")}
        model, made = ddl.create_table(model, schema.name, table, session.new_rid)
        inside.append((made.rid, table))
    return model, schema.rid, inside


def _home(model: Model, document: Document) -> Table:
    (schema, table), _ = intake.end(document["foreign_key_columns"], "foreign_key_columns")
    if schema is None or table is None:
        raise bad_request("The columns of a foreign key in a list must name their schema and table.")
    return find.table(model, schema, table)


def _show_table(rid: str) -> Show:
    return lambda visit, session: visit.portrait(session).table(session.model.table_by_rid[rid])


def _show_schema(rid: str) -> Show:
    return lambda visit, session: visit.portrait(session).schema(session.model.schema_by_rid[rid])


def schema(visit: Visit, part: SchemaResource) -> Response:
    """``/schema/S``."""
    name = part.name or ""
    method = allow(visit.request, "GET", "POST", "PUT", "DELETE")
    if method == "GET":
        with visit.reading() as session:
            return visit.answer(
                session, 200, visit.portrait(session).schema(find.schema(visit.seen(session), name, 404))
            )
    document = _sparse(visit) if method != "DELETE" else {}
    with visit.writing() as session:
        if method == "DELETE":
            carry_out(session, ddl.drop_schema(session.model, visit.own_schema(session, name, 404)))
            return visit.answer(session, 204)
        if method == "PUT" and name in visit.seen(session).schemas:
            model, changed = alter.alter_schema(session.model, visit.own_schema(session, name), document)
            visit.keep_owner(session, model, changed.acls)
            carry_out(session, model)
            return visit.answer(session, 200, visit.portrait(session).schema(changed))
        _create_listed(visit, session, [{**document, "schema_name": name}])
        if not document:
            return visit.answer(session, 201)
        return visit.answer(session, 201, visit.portrait(session).schema(session.model.schemas[name]))


def _sparse(visit: Visit) -> dict[str, Any]:
    return dict(intake.document(json_body(visit.request, absent={}), "body"))


# --------------------------------------------------------------------------------------------------------------- table


def tables(visit: Visit, part: TableResource) -> Response:
    """``/schema/S/table``."""
    if allow(visit.request, "GET", "POST") == "GET":
        with visit.reading() as session:
            found = find.schema(visit.seen(session), part.schema)
            portrait = visit.portrait(session)
            return visit.answer(session, 200, [portrait.table(each) for each in found.tables.values()])
    document = intake.document(json_body(visit.request), "body")
    with visit.writing() as session:
        return _create_table(visit, session, part.schema, document)


def _create_table(visit: Visit, session: WriteSession, schema: str, document: Document) -> Response:
    document = visit.let_create(session, schema, document)
    model, made = ddl.create_table(session.model, schema, document, session.new_rid)
    model, made = ddl.link_table(model, made, document, session.new_rid)
    _check_reach(visit, session, model)
    carry_out(session, model)
    return visit.answer(session, 201, visit.portrait(session).table(made))


def table(visit: Visit, part: TableResource) -> Response:
    """``/schema/S/table/T``."""
    name = part.table or ""
    method = allow(visit.request, "GET", "PUT", "DELETE")
    if method == "GET":
        with visit.reading() as session:
            found = find.table(visit.seen(session), part.schema, name, 404)
            return visit.answer(session, 200, visit.portrait(session).table(found))
    document = _sparse(visit) if method == "PUT" else {}
    with visit.writing() as session:
        if method == "DELETE":
            carry_out(session, ddl.drop_table(session.model, visit.own_table(session, part.schema, name, 404)))
            return visit.answer(session, 204)
        if name not in find.schema(visit.seen(session), part.schema).tables:
            return _create_table(visit, session, part.schema, {"table_name": name, **document})
        old = visit.own_table(session, part.schema, name)
        if document.get("schema_name") not in (None, part.schema):
            visit.let_create(session, identifier(document["schema_name"], "schema name"), document)
        model, changed = alter.alter_table(session.model, old, document)
        visit.keep_owner(session, model, model.schema_by_rid[changed.schema].acls, changed.acls)
        carry_out(session, model)
        return visit.answer(session, 200, visit.portrait(session).table(changed))


# -------------------------------------------------------------------------------------------------------------- column


def columns(visit: Visit, part: ColumnResource) -> Response:
    """``…/column``."""
    if allow(visit.request, "GET", "POST") == "GET":
        with visit.reading() as session:
            found = find.table(visit.seen(session), part.schema, part.table)
            portrait = visit.portrait(session)
            return visit.answer(session, 200, [portrait.column(found, each) for each in found.columns])
    document = intake.document(json_body(visit.request), "body")
    with visit.writing() as session:
        return _create_column(visit, session, visit.own_table(session, part.schema, part.table), document)


def _create_column(visit: Visit, session: WriteSession, home: Table, document: Document) -> Response:
    model, made = ddl.create_column(session.model, home, document, session.new_rid)
    carry_out(session, model)
    return visit.answer(session, 201, visit.portrait(session).column(model.table_by_rid[home.rid], made))


def column(visit: Visit, part: ColumnResource) -> Response:
    """``…/column/C``."""
    name = part.column or ""
    method = allow(visit.request, "GET", "PUT", "DELETE")
    if method == "GET":
        with visit.reading() as session:
            home = find.table(visit.seen(session), part.schema, part.table)
            return visit.answer(session, 200, visit.portrait(session).column(home, find.column(home, name, 404)))
    document = _sparse(visit) if method == "PUT" else {}
    with visit.writing() as session:
        home = visit.own_table(session, part.schema, part.table)
        if method == "DELETE":
            carry_out(session, ddl.drop_column(session.model, home, find.column(home, name, 404)))
            return visit.answer(session, 204)
        old = home.by_name.get(name)
        if old is None:
            return _create_column(visit, session, home, {"name": name, **document})
        model, changed = alter.alter_column(session.model, home, old, document)
        carry_out(session, model)
        return visit.answer(session, 200, visit.portrait(session).column(model.table_by_rid[home.rid], changed))


# ----------------------------------------------------------------------------------------------------------------- key


def keys(visit: Visit, part: KeyResource) -> Response:
    """``…/key``."""
    if allow(visit.request, "GET", "POST") == "GET":
        with visit.reading() as session:
            found = find.table(visit.seen(session), part.schema, part.table)
            portrait = visit.portrait(session)
            return visit.answer(session, 200, [portrait.key(found, each) for each in found.keys])
    document = intake.document(json_body(visit.request), "body")
    with visit.writing() as session:
        home = visit.own_table(session, part.schema, part.table)
        model, made = ddl.create_key(session.model, home, document, session.new_rid)
        carry_out(session, model)
        return visit.answer(session, 201, [visit.portrait(session).key(model.table_by_rid[home.rid], made)])


def key(visit: Visit, part: KeyResource) -> Response:
    """``…/key/c1,c2``."""
    names = part.columns or ()
    method = allow(visit.request, "GET", "PUT", "DELETE")
    if method == "GET":
        with visit.reading() as session:
            home = find.table(visit.seen(session), part.schema, part.table)
            return visit.answer(session, 200, visit.portrait(session).key(home, find.key(home, names)))
    document = _sparse(visit) if method == "PUT" else {}
    with visit.writing() as session:
        home = visit.own_table(session, part.schema, part.table)
        if method == "DELETE":
            carry_out(session, ddl.drop_key(session.model, home, find.key(home, names)))
            return visit.answer(session, 204)
        wanted = set(find.columns(home, names))
        old = next((each for each in home.keys if set(each.columns) == wanted), None)
        if old is None:
            model, changed = ddl.create_key(
                session.model, home, {"unique_columns": list(names), **document}, session.new_rid
            )
        else:
            model, changed = alter.alter_key(session.model, home, old, document)
        carry_out(session, model)
        shown = visit.portrait(session).key(model.table_by_rid[home.rid], changed)
        return visit.answer(session, 201 if old is None else 200, shown)


# --------------------------------------------------------------------------------------------------------- foreign key


def foreign_keys(visit: Visit, part: ForeignKeyResource) -> Response:
    """``…/foreignkey``."""
    if allow(visit.request, "GET", "POST") == "GET":
        with visit.reading() as session:
            found = find.table(visit.seen(session), part.schema, part.table)
            portrait = visit.portrait(session)
            return visit.answer(session, 200, [portrait.foreign_key(each) for each in found.foreign_keys])
    document = intake.document(json_body(visit.request), "body")
    with visit.writing() as session:
        home = visit.own_table(session, part.schema, part.table)
        model, made = ddl.create_foreign_key(session.model, home, document, session.new_rid)
        _check_reach(visit, session, model)
        carry_out(session, model)
        return visit.answer(session, 201, [visit.portrait(session).foreign_key(made)])


def foreign_key(visit: Visit, part: ForeignKeyResource) -> Response:
    """``…/foreignkey/cols[/reference[/S:T[/cols]]]``: a set of foreign keys, or exactly one."""
    if part.referenced_columns is None:
        allow(visit.request, "GET")
        with visit.reading() as session:
            found = chosen(visit.seen(session), part)
            if not found:
                raise not_found(f"Table '{part.table}' has no such foreign key.")
            return visit.answer(session, 200, [visit.portrait(session).foreign_key(each) for each in found])
    method = allow(visit.request, "GET", "PUT", "DELETE")
    if method == "GET":
        with visit.reading() as session:
            found = chosen(visit.seen(session), part)
            return visit.answer(session, 200, [visit.portrait(session).foreign_key(each) for each in found])
    document = _one(json_body(visit.request)) if method == "PUT" else {}
    with visit.writing() as session:
        home = visit.own_table(session, part.schema, part.table)
        found = chosen(visit.seen(session), part)
        if method == "DELETE":
            model = session.model
            for each in found:
                model = ddl.drop_foreign_key(model, each)
            carry_out(session, model)
            return visit.answer(session, 204)
        if not found:
            model, changed = ddl.create_foreign_key(session.model, home, _ends(part, document), session.new_rid)
            _check_reach(visit, session, model)
        else:
            model, changed = alter.alter_foreign_key(session.model, found[0], document)
        carry_out(session, model)
        return visit.answer(session, 200 if found else 201, visit.portrait(session).foreign_key(changed))


def _one(document: Any) -> Document:
    """Return the object, or the only element of a list."""
    if isinstance(document, list) and len(document) == 1:
        document = document[0]
    return intake.document(document, "body")


def _ends(part: ForeignKeyResource, document: Document) -> Document:
    """Return the document of a foreign key with the columns that its address names."""
    target = part.referenced or TableRef(part.table, part.schema)
    near = [{"column_name": name} for name in part.columns or ()]
    far = [
        {"schema_name": target.schema or part.schema, "table_name": target.table, "column_name": name}
        for name in part.referenced_columns or ()
    ]
    return {"foreign_key_columns": near, "referenced_columns": far, **document}


def chosen(model: Model, part: ForeignKeyResource) -> tuple[ForeignKey, ...]:
    """Return the foreign keys that an address names.

    Raises:
        Refusal: 409 for a column or table that does not exist, and where the referenced columns are not a key.
    """
    home = find.table(model, part.schema, part.table)
    target = None if part.referenced is None else referenced(model, part.referenced)
    found = find.foreign_keys(home, part.columns or (), target)
    if target is None or part.referenced_columns is None:
        return found
    find.key(target, part.referenced_columns, missing=409)
    columns = find.columns(home, part.columns or ())
    far = find.columns(target, part.referenced_columns)
    if len(columns) != len(far):
        raise bad_request("A foreign key needs as many columns as it references.")
    wanted = (target.rid, frozenset(zip(columns, far, strict=True)))
    return tuple(each for each in found if find.mapping(each) == wanted)


def referenced(model: Model, ref: TableRef) -> Table:
    """Return the table that an address names, with or without its schema.

    Raises:
        Refusal: 409 if there is none, or several.
    """
    if ref.schema is not None:
        return find.table(model, ref.schema, ref.table)
    found = [each.tables[ref.table] for each in model.schemas.values() if ref.table in each.tables]
    if len(found) != 1:
        raise conflict(f"Table '{ref.table}' {'is in several schemas' if found else 'does not exist'}.")
    return found[0]
