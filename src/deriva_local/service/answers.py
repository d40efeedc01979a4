"""Requests to model resources, opened and answered: who asks, in which session, under which entity tag."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from deriva_local.acl.static import EVERYBODY, Onlooker
from deriva_local.acl.view import View, view_of
from deriva_local.model import find
from deriva_local.model.documents import Portrait
from deriva_local.model.elements import Acls, Document, Model, Schema, Table
from deriva_local.service.messages import Client, Request, Response
from deriva_local.store.database import Database, ReadSession, WriteSession
from deriva_local.store.registry import Entry
from deriva_local.url.ast import CatalogAddress
from deriva_local.wire import etag
from deriva_local.wire.crockford import micros_to_snap
from deriva_local.wire.errors import Refusal, bad_request, forbidden, unauthorized
from deriva_local.wire.jsontext import check_depth

JSON = "application/json"
ANONYMOUS = Client("", "anonymous", EVERYBODY)
"""Somebody who is not logged in."""
_NOT_NOW = (403, 503, 507)
"""How a catalog that cannot be written at the moment says so."""
NOTHING = object()
"""Stands for an absent body, where null is a value."""


@dataclass(frozen=True)
class Visit:
    """One request to one catalog."""

    database: Database
    entry: Entry
    address: CatalogAddress
    request: Request

    @property
    def client(self) -> Client:
        return who(self.request)

    @contextmanager
    def reading(self) -> Iterator[ReadSession]:
        """Read the moment that the address names.

        Raises:
            Refusal: 304 or 412 by the preconditions, 403 or 401 for a catalog that the client may not see.
        """
        with self.looking() as session:
            self._check_preconditions(session)
            yield session

    @contextmanager
    def looking(self) -> Iterator[ReadSession]:
        """Read the moment that the address names; preconditions are settled on the answer's own tag.

        Raises:
            Refusal: 403 or 401 for a catalog that the client may not see.
        """
        with self.database.read(self.address.snapshot) as session:
            enter(self.view(session))
            yield session

    @contextmanager
    def writing(self) -> Iterator[WriteSession]:
        """Write, if the preconditions hold for the state that the transaction meets.

        Raises:
            Refusal: 403 on a snapshot, 412 by the preconditions, 403 or 401 for a catalog that the client may not see.
        """
        client = known(self.request)
        if self.address.snapshot is not None:
            raise forbidden("A snapshot of the past cannot be changed.")
        with self.database.write(client) as session:
            enter(self.view(session))
            self._check_preconditions(session)
            yield session

    def view(self, session: ReadSession) -> View:
        """Return the model that the session sees, as the client may see it."""
        return view_of(session.model, self.client.standing, past=session.moment is not None)

    # ------------------------------------------------------------------------- what the client sees, and must own to change

    def seen(self, session: ReadSession) -> Model:
        """Return the part of the model that the client sees."""
        return self.view(session).model

    def require_owner(self, session: ReadSession) -> None:
        """Let the owner of the catalog pass.

        Raises:
            Refusal: 403, or 401 for somebody who is not logged in.
        """
        view = self.view(session)
        view.require(view.on_catalog("owner"), "change this catalog")

    def own_schema(self, session: ReadSession, name: str, missing: int = 409) -> Schema:
        """Return a schema that the client owns.

        Raises:
            Refusal: with the status ``missing`` if the client sees none, 403 or 401 for one that is not theirs.
        """
        view = self.view(session)
        found = find.schema(view.model, name, missing)
        view.require(view.on_schema(found, "owner"), f"change schema '{name}'")
        return session.model.schema_by_rid[found.rid]

    def own_table(self, session: ReadSession, schema: str, name: str, missing: int = 409) -> Table:
        """Return a table that the client owns, with all its columns, keys and foreign keys.

        Raises:
            Refusal: as :meth:`own_schema`.
        """
        view = self.view(session)
        found = find.table(view.model, schema, name, missing)
        view.require(view.on_table(found, "owner"), f"change table '{schema}:{name}'")
        return session.model.table_by_rid[found.rid]

    def keep_owner(self, session: ReadSession, model: Model, *lists: Acls) -> None:
        """Let the lists of a changed schema or table, or none for the catalog, pass if the client still owns it.

        The owner of the store, in a catalog whose lists do not name that user, can always come back.

        Raises:
            Refusal: 403 if not.
        """
        named = Onlooker(self.client.roles)
        if self.client.is_store_owner and not named.holds("owner", session.model.acls):
            return
        if not named.holds("owner", model.acls, *lists):
            raise forbidden("You would no longer own it: keep yourself among the owners.")

    def let_create(self, session: ReadSession, schema: str | None, doc: Document) -> Document:
        """Return the document of a new schema or of a new table in a schema; it says who owns it if that must be said.

        Raises:
            Refusal: 403 or 401 for somebody who may not create there, 409 for a schema that the client does not see.
        """
        view = self.view(session)
        if schema is None:
            view.require(view.on_catalog("create"), "create a schema")
            owner = view.owner
        else:
            home = find.schema(view.model, schema)
            view.require(view.on_schema(home, "create"), f"create a table in schema '{schema}'")
            owner = view.on_schema(home, "owner")
        lists = doc.get("acls") or {}
        if owner or not isinstance(lists, dict) or lists.get("owner") is not None:
            return doc
        return {**doc, "acls": {**lists, "owner": [self.client.id]}}

    # ------------------------------------------------------------------------------------------------------------ answers

    def tag(self, session: ReadSession) -> str:
        """Return the entity tag of model resources in the state that the session sees."""
        moment = session.moment if session.moment is not None else session.model_snaptime
        return etag.build(self.client.roles, None, version(session, moment), self.entry.alias)

    def portrait(self, session: ReadSession) -> Portrait:
        """Return the documents of the model as the client sees them."""
        return Portrait(self.view(session))

    def answer(self, session: ReadSession, status: int, document: Any = NOTHING) -> Response:
        """Return a response with the entity tag of what the session has become."""
        headers = {"ETag": self.tag(session), "Vary": "cookie"}
        if document is NOTHING:
            return Response(status, headers)
        return Response(status, {**headers, "Content-Type": JSON}, as_json(document))

    def _check_preconditions(self, session: ReadSession) -> None:
        tag = self.tag(session)
        status = etag.refused(self.request.method, self.request.headers, tag)
        if status is not None:
            raise Refusal(status, "The model has changed: its ETag is another one.", {"ETag": tag, "Vary": "cookie"})


def who(request: Request) -> Client:
    """Return who asks: somebody without a name if nobody is logged in."""
    return ANONYMOUS if request.client is None else request.client


def meet(database: Database, request: Request) -> None:
    """Let the catalog know who asks, before the request runs.

    Reading waits for no writer and needs no room on the disk: then the catalog gets to know them the next time.
    """
    if request.client is None:
        return
    reading = request.method in etag.READING
    try:
        database.introduce(request.client, patience=0 if reading else None)
    except Refusal as refusal:
        if not reading or refusal.status not in _NOT_NOW:
            raise


def known(request: Request) -> Client:
    """Return who asks, to change something.

    Raises:
        Refusal: 401 for an anonymous request.
    """
    if request.client is None:
        raise unauthorized("Nobody is logged in.")
    return request.client


def enter(view: View) -> None:
    """Let somebody pass who may know that there is this catalog.

    Raises:
        Refusal: 403, or 401 for somebody who is not logged in.
    """
    if not view.owner:
        view.require(view.on_catalog("enumerate"), "see this catalog")


def version(session: ReadSession, moment: int) -> str:
    """Return what an entity tag says of the moment: for the past, with the version of its last amendment."""
    snap = micros_to_snap(moment)
    return snap if session.amended is None else f"{snap}-{micros_to_snap(session.amended)}"


def as_json(document: Any) -> bytes:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass") + b"\n"


def json_body(request: Request, absent: Any = NOTHING) -> Any:
    """Return the parsed JSON body; ``absent`` stands in for an empty one.

    Raises:
        Refusal: 400 if it is not JSON, or is empty and must not be.
    """
    body = text_body(request)
    if not body.strip() and absent is not NOTHING:
        return absent
    try:
        document = json.loads(body, parse_constant=_no_constant)
        check_depth(document)
    except (ValueError, RecursionError) as error:
        raise bad_request(f"The body of the request is not JSON: {error}.") from error
    if "\\u" in body:
        _check_characters(document)
    return document


def _no_constant(word: str) -> Any:
    raise ValueError(f"{word} is no JSON value")


def _check_characters(document: Any) -> None:
    """Refuse what no text of a catalog can hold: NUL, and halves of characters."""
    text = json.dumps(document, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise bad_request("The body of the request has an escape that is half a character.") from error
    if "\\u0000" in text:
        raise bad_request("The body of the request has a NUL character.")


def text_body(request: Request) -> str:
    """Return the body as text.

    Raises:
        Refusal: 400 if it is not UTF-8.
    """
    if not isinstance(request.body, bytes):
        raise bad_request("The body of the request must be sent whole.")
    try:
        return request.body.decode()
    except UnicodeDecodeError as error:
        raise bad_request("The body of the request is not UTF-8.") from error


def allow(request: Request, *methods: str) -> str:
    """Return the method of the request, if the resource has it.

    Raises:
        Refusal: 405, which lists the methods that it has.
    """
    if request.method not in methods:
        raise Refusal(405, f"This resource has no {request.method}.", {"Allow": ", ".join(methods)})
    return request.method
