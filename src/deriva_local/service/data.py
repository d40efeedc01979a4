"""Answers requests for data: entity, attribute, attributegroup and aggregate, read and written."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any

from deriva_local.acl.view import View, view_of
from deriva_local.data.changes import Changes
from deriva_local.data.insert import InsertOptions, insert
from deriva_local.data.intake import Field
from deriva_local.data.permits import check_links, check_rows, closed_columns, refuse_closed, visible_rows
from deriva_local.data.update import ANYTHING, Permits, update_groups, upsert
from deriva_local.model.elements import Column, Table
from deriva_local.query.path import PathBinder, find_table
from deriva_local.query.plan import Output, Ref
from deriva_local.query.prepared import prepare
from deriva_local.query.sql import compile_rids
from deriva_local.service.answers import allow, enter, known, meet, version, who
from deriva_local.service.messages import Request, Response
from deriva_local.service.negotiation import form_of, headers_of, limit_of, option
from deriva_local.service.rows import Form, Reading, csv_body, fetch, given_rows, json_body, outputs_of, stored_rows
from deriva_local.store.database import Database, ReadSession, WriteSession
from deriva_local.store.forks import Visit
from deriva_local.store.limit import limited
from deriva_local.store.registry import Store
from deriva_local.url import ast
from deriva_local.wire import etag
from deriva_local.wire.errors import Refusal, bad_request, forbidden, not_found
from deriva_local.wire.tabular import CSV, Rows, read_rows

_METHODS = {
    "entity": ("GET", "POST", "PUT", "DELETE"),
    "attribute": ("GET", "DELETE"),
    "attributegroup": ("GET", "PUT"),
    "aggregate": ("GET",),
}


PORTION = 20_000
"""So many rows are held in memory at once; a longer result is written while it is read."""

STEP = 2_000
"""So many rows of a longer result are written at a time: what a slow reader is given in one go."""

WRITE_LIMIT = 20.0
"""Seconds after which a change of the data is stopped: before those who wait for it give up."""

READ_LIMIT = 1800.0
"""Seconds that a reader may take for a long result. While it lasts, the log of the database cannot be emptied."""


def handle(store: Store, address: ast.CatalogAddress, request: Request) -> Response:
    """Answer a request whose address names data.

    Raises:
        Refusal: whatever is wrong with it; the door turns it into a response.
    """
    part = address.part
    if not isinstance(part, ast.DataResource):
        raise not_found("This address names no data.")
    method = allow(request, *_METHODS[part.api])
    entry = store.entry(address.id)
    database = store.database(entry)
    meet(database, request)
    visit = _Visit(database, address, part, request, entry.alias)
    if method == "GET":
        return _read(visit)
    if address.snapshot is not None:
        raise forbidden("A snapshot of the past cannot be changed.")
    return _WRITERS[method, part.api](visit)


@dataclass(frozen=True, slots=True)
class _Visit:
    """One request to the data of one catalog."""

    database: Database
    address: ast.CatalogAddress
    part: ast.DataResource
    request: Request
    alias: str | None

    def tag(self, session: ReadSession) -> str:
        """Return the entity tag of data in the state that the session sees."""
        accept = self.request.headers.get("accept")
        return etag.build(who(self.request).roles, accept, version(session, session.snaptime), self.alias)

    def view(self, session: ReadSession) -> View:
        """Return the model that the session sees, as the client may see it."""
        return view_of(session.model, who(self.request).standing, past=session.moment is not None)

    def check(self, session: ReadSession) -> str:
        """Return the entity tag, if the client may go on.

        Raises:
            Refusal: 304 or 412 by the preconditions, 403 or 401 for a catalog that the client may not see.
        """
        enter(self.view(session))
        tag = self.tag(session)
        status = etag.refused(self.request.method, self.request.headers, tag)
        if status is not None:
            raise Refusal(
                status, "The data has changed: its ETag is another one.", {"ETag": tag, "Vary": "cookie, accept"}
            )
        return tag

    @contextmanager
    def writing(self) -> Iterator[WriteSession]:
        """Write, for a limited time: others wait.

        Raises:
            Refusal: 400 when it takes too long, 401 for an anonymous request.
        """
        with self.database.write(known(self.request)) as session, limited(session.connection, WRITE_LIMIT):
            yield session

    def rows(self) -> Rows:
        """Return the rows of the body."""
        body = self.request.body
        if not isinstance(body, bytes):
            raise bad_request("The body of the request must be sent whole.")
        return read_rows(self.request.headers.get("content-type", ""), body)

    def names(self, name: str) -> frozenset[str]:
        """Return the column names that an option of the query lists."""
        return frozenset(self.address.options.get(name, ()))


# ---------------------------------------------------------------------------------------------------------- reading


def _read(visit: _Visit) -> Response:
    kind = form_of(visit.address, visit.request)
    limit = limit_of(visit.address)
    past = visit.address.snapshot is not None
    with ExitStack() as held:
        session = held.enter_context(visit.database.read(visit.address.snapshot))
        headers = headers_of(visit.address, kind, visit.check(session))
        shape = "values" if kind == CSV else "json"
        query = prepare(visit.request.target, visit.part, visit.view(session), limit, past, shape)  # type: ignore[arg-type]
        reading = Reading(session, query.sql, query.bindings(session.moment))
        form = Form(kind, query.outputs, _arrays_as_json(visit))
        first = reading.portion(PORTION)
        if len(first) < PORTION:
            return Response(200, headers, form.whole(first))
        session.visit.end()
        return Response(200, headers, form.pieces(_portions(held.pop_all(), session.visit, reading, first)))


def _portions(held: ExitStack, visit: Visit, reading: Reading, first: list[Any]) -> Iterator[list[Any]]:
    """Yield the rows of a long result as they are asked for; what is ``held`` open ends with it, or when it is let go."""
    ends = time.monotonic() + READ_LIMIT
    with held:
        for start in range(0, len(first), STEP):
            yield first[start : start + STEP]
        first.clear()
        while rows := _next_portion(visit, reading):
            if time.monotonic() > ends:
                raise bad_request(f"The result was not taken within {READ_LIMIT:.0f} seconds: ask for it in pages.")
            yield rows


def _next_portion(visit: Visit, reading: Reading) -> list[Any]:
    """Read on; whoever takes the rows may do so slowly, and is no hindrance for a fork meanwhile."""
    try:
        visit.begin()
        return reading.portion(min(STEP, PORTION))
    finally:
        visit.end()


def _arrays_as_json(visit: _Visit) -> bool:
    return option(visit.address, "arrays") == "json"


# ---------------------------------------------------------------------------------------------------------- writing


def _post_entity(visit: _Visit) -> Response:
    rows = visit.rows()
    conflicts = option(visit.address, "onconflict") or "abort"
    if conflicts not in ("abort", "skip"):
        raise bad_request(f"onconflict={conflicts} is not known: use abort or skip.")
    given = visit.names("nondefaults")
    with visit.writing() as session:
        visit.check(session)
        view = visit.view(session)
        seen, table = _single_table(visit.part, view)
        view.require(view.on_table(table, "insert"), f"insert into table '{table.name}'")
        closed = closed_columns(view, table, ("insert",))
        _check_given(view, seen, given | visit.names("defaults"), given)
        refuse_closed(view, seen, rows, closed)
        defaults = visit.names("defaults") - given
        options = InsertOptions(defaults, given, conflicts == "skip", closed, leased=not view.owner)
        rids = insert(session, table, rows, options)
        written = {each.rid for each in table.columns if each.name not in closed | defaults and not each.is_system}
        check_links(session, view, table, "insert", written, rids)
        return _stored_reply(visit, session, _shown(view, table, closed), rows, ([], rids))


def _check_given(view: View, seen: Table, named: frozenset[str], given: frozenset[str]) -> None:
    """Let the options of an insert pass that name columns which the client sees, and may bring along.

    Raises:
        Refusal: 409 for a column that is not there, 403 or 401 for one that the client may not set.
    """
    if view.owner:
        return
    for name in named:
        if name not in seen.by_name:
            raise Refusal(409, f"Column '{name}' does not exist in table '{seen.name}'.")
    for name in given - {"RID"}:
        view.require(view.on_column(seen, seen.by_name[name], "insert"), f"set column '{name}'")


def _put_entity(visit: _Visit) -> Response:
    rows = visit.rows()
    with visit.writing() as session:
        visit.check(session)
        view = visit.view(session)
        seen, table = _single_table(visit.part, view)
        for right in ("insert", "update"):
            view.require(view.on_table(table, right), f"{right} rows of table '{table.name}'")
        closed = closed_columns(view, table, ("insert", "update"))
        refuse_closed(view, seen, rows, closed)
        columns = [each for each in table.columns if each.name not in closed and not each.is_system]
        permits = _permits(session, view, table, columns)
        rids = upsert(session, table, rows, closed, permits)
        return _stored_reply(visit, session, _shown(view, table, closed), rows, rids)


def _permits(session: WriteSession, view: View, table: Table, columns: Sequence[Column]) -> Permits:
    """Return what lets an update of these columns pass."""
    if view.owner:
        return ANYTHING
    written = {column.rid for column in columns}
    return Permits(
        lambda rids: check_rows(session, view, table, "update", rids, columns),
        lambda rids: check_links(session, view, table, "update", written, rids),
        lambda rids: check_links(session, view, table, "insert", written, rids),
        lambda rids, read: visible_rows(session, view, table, rids, read),
    )


def _put_groups(visit: _Visit) -> Response:
    rows = visit.rows()
    kind = form_of(visit.address, visit.request, rows.kind)
    with visit.writing() as session:
        visit.check(session)
        view = visit.view(session)
        seen, table = _single_table(visit.part, view)
        view.require(view.on_table(table, "update"), f"update table '{table.name}'")
        keys, targets = (_fields(seen, items) for items in (visit.part.groups, visit.part.items))
        _require_columns(view, table, [field.column for field in keys], "select")
        _require_columns(view, table, [field.column for field in targets], "update")
        if len({field.name for field in (*keys, *targets)}) < len(keys) + len(targets):
            raise bad_request("A name occurs twice: give one of the columns another name.")
        permits = _permits(session, view, table, [field.column for field in targets])
        updated = update_groups(session, table, keys, targets, rows, permits)
        outputs = [Output(field.name, field.column.type, Ref(0, field.column)) for field in (*keys, *targets)]
        headers = headers_of(visit.address, kind, visit.tag(session))
        if kind == CSV:
            return Response(200, headers, csv_body(outputs, updated, _arrays_as_json(visit)))
        return Response(200, headers, json_body(given_rows(session, outputs, updated), kind))


def _delete_entity(visit: _Visit) -> Response:
    with visit.writing() as session:
        visit.check(session)
        view = visit.view(session)
        table, rids = _chosen(session, view, visit.part.path)
        view.require(view.on_table(table, "delete"), f"delete rows of table '{table.name}'")
        check_rows(session, view, table, "delete", rids)
        changes = Changes(session)
        changes.delete(table, rids)
        return _settled(visit, session, changes)


def _delete_attribute(visit: _Visit) -> Response:
    """Set the listed columns to NULL."""
    with visit.writing() as session:
        visit.check(session)
        view = visit.view(session)
        table, rids = _chosen(session, view, visit.part.path)
        view.require(view.on_table(table, "update"), f"update table '{table.name}'")
        _refuse_json(table)
        columns = [field.column for field in _fields(view.model.table_by_rid[table.rid], visit.part.items)]
        for column in columns:
            if column.is_system:
                raise forbidden(f"Column '{column.name}' can only be set by the service.")
            if any(column.rid in key.columns for key in table.keys):
                raise Refusal(409, f"Column '{column.name}' belongs to a key and cannot be emptied.")
        _require_columns(view, table, columns, "update")
        check_rows(session, view, table, "update", rids, columns)
        changes = Changes(session)
        changes.update(table, columns, [(rid, (None,) * len(columns)) for rid in rids])
        return _settled(visit, session, changes)


def _refuse_json(table: Table) -> None:
    for column in table.columns:
        if column.type.name in ("json", "json[]"):
            raise Refusal(
                409,
                f"Column '{column.name}' of table '{table.name}' is json, whose values cannot be compared: "
                "empty columns of this table by a PUT of attributegroup.",
            )


_WRITERS: dict[tuple[str, str], Callable[[_Visit], Response]] = {
    ("POST", "entity"): _post_entity,
    ("PUT", "entity"): _put_entity,
    ("PUT", "attributegroup"): _put_groups,
    ("DELETE", "entity"): _delete_entity,
    ("DELETE", "attribute"): _delete_attribute,
}


def _single_table(part: ast.DataResource, view: View) -> tuple[Table, Table]:
    """Return the one table that a path names: what the client sees of it, and the whole.

    Raises:
        Refusal: 400 for a path that names more, 409 for a table that is not there.
    """
    first = part.path.steps[0]
    if len(part.path.steps) > 1 or not isinstance(first, ast.TableStep):
        raise bad_request("Rows can only be written to one table: the path must name nothing else.")
    seen = find_table(view.model, first.table)
    return seen, view.full.table_by_rid[seen.rid]


def _require_columns(view: View, table: Table, columns: Iterable[Column], right: str) -> None:
    if not view.owner:
        for column in columns:
            if not column.is_system or right == "select":
                view.require(view.on_column(table, column, right), f"{right} column '{column.name}'")


def _fields(table: Table, items: tuple[ast.Item, ...]) -> list[Field]:
    """Return plain columns of the one table that is written to, under the names that the rows give them."""
    fields = []
    for item in items:
        if not isinstance(item, ast.ColumnItem):
            raise bad_request("Only plain columns can be written.")
        column = table.by_name.get(item.column.parts[-1])
        if column is None:
            raise Refusal(409, f"Column '{item.column.parts[-1]}' does not exist in table '{table.name}'.")
        fields.append(Field(item.out or column.name, column))
    return fields


def _chosen(session: ReadSession, view: View, path: ast.Path) -> tuple[Table, list[str]]:
    """Return the table whose rows a path names, and the RIDs of those that the client sees.

    Raises:
        Refusal: 404 when there is none.
    """
    binder = PathBinder(view)
    statement = compile_rids(binder.follow(path))
    rids = [rid for (rid,) in fetch(session, statement.text, statement.params)]  # type: ignore[arg-type]
    if not rids:
        raise not_found("The path names no row.")
    return view.full.table_by_rid[binder.table.rid], rids


def _settled(visit: _Visit, session: WriteSession, changes: Changes) -> Response:
    session.data_changed()
    changes.settle()
    return Response(204, {"ETag": visit.tag(session), "Vary": "cookie, accept"})


def _shown(view: View, table: Table, closed: Collection[str]) -> Table:
    """Return a table with the columns that a client is shown of rows it has just written: what it could write or may
    read in any row, and the system columns."""
    if view.owner:
        return table
    columns = [
        each
        for each in table.columns
        if each.is_system or each.name not in closed or view.on_column(table, each, "select") is True
    ]
    return replace(table, columns=tuple(columns))


def _stored_reply(
    visit: _Visit, session: WriteSession, table: Table, rows: Rows, rids: tuple[list[str], list[str]]
) -> Response:
    """Return the rows as they are stored now: updated ones without their system columns, new ones with them."""
    updated, inserted = rids
    kind = form_of(visit.address, visit.request, rows.kind)
    headers = headers_of(visit.address, kind, visit.tag(session))
    if kind == CSV:
        found = stored_rows(session, table, [*updated, *inserted], kind)
        return Response(200, headers, csv_body(outputs_of(table.columns), found, _arrays_as_json(visit)))
    texts = stored_rows(session, table, updated, kind, with_system=False) if updated else []
    return Response(200, headers, json_body(texts + stored_rows(session, table, inserted, kind), kind))
