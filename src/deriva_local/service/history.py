"""The history of a catalog as a resource: its span, its amendment and truncation, and what became of a row."""

from __future__ import annotations

from deriva_local.history.amend import Config, Span, amend, redact
from deriva_local.history.resolve import resolve_rid
from deriva_local.history.truncate import span, truncate
from deriva_local.model import intake
from deriva_local.service.answers import JSON, Visit, allow, as_json, json_body, version
from deriva_local.service.messages import Response
from deriva_local.store import layout
from deriva_local.store.database import WriteSession
from deriva_local.url.ast import EntityRidResource, HistoryResource
from deriva_local.wire import etag
from deriva_local.wire.crockford import micros_to_snap, snap_to_micros
from deriva_local.wire.errors import bad_request, conflict, not_found


def history(visit: Visit, part: HistoryResource) -> Response:
    """``/history/from,until[/…]``: GET tells the span; PUT amends configuration in it; DELETE redacts values in it, or
    forgets what was over at its end."""
    if visit.address.snapshot is not None:
        raise not_found("A snapshot has no history of its own.")
    if part.config is not None:
        return _configuration(visit, part, part.config)
    if part.attribute is not None:
        return _values(visit, part, part.attribute)
    if allow(visit.request, "GET", "DELETE") == "GET":
        return _told(visit, part, owners_only=False)
    until = _bound(part.until)
    if part.start is not None or until is None:
        raise bad_request("History is truncated from its beginning: DELETE /history/,until.")
    with visit.writing() as session:
        visit.require_owner(session)
        truncate(session, until)
        return visit.answer(session, 204)


def _told(visit: Visit, part: HistoryResource, owners_only: bool) -> Response:
    with visit.looking() as session:
        if owners_only:
            visit.require_owner(session)
        first, last = span(session, _bound(part.start), _bound(part.until))
        amended = layout.amended(session.connection)
    last_amended = None if amended is None else micros_to_snap(amended)
    shown = {"amendver": last_amended, "snaprange": [micros_to_snap(first), micros_to_snap(last)]}
    moment = micros_to_snap(last) if amended is None else f"{micros_to_snap(last)}-{last_amended}"
    tag = etag.build(visit.client.roles, None, moment, visit.entry.alias)
    return Response(200, {"ETag": tag, "Content-Type": JSON, "Vary": "cookie"}, as_json(shown))


def _configuration(visit: Visit, part: HistoryResource, config: Config) -> Response:
    """``/history/from,until/acl|acl_binding|annotation[/RID]``."""
    if allow(visit.request, "GET", "PUT") == "GET":
        return _told(visit, part, owners_only=True)
    document = intake.document(json_body(visit.request), "body")
    with visit.writing() as session:
        visit.require_owner(session)
        amend(session, _whole_span(session, part), config, part.target, document)
    return Response(204)


def _values(visit: Visit, part: HistoryResource, column: str) -> Response:
    """``/history/from,until/attribute/CRID[/FRID=json]``."""
    if allow(visit.request, "GET", "DELETE") == "GET":
        return _told(visit, part, owners_only=True)
    only = None if part.filter_column is None else (part.filter_column, part.filter_value or "")
    with visit.writing() as session:
        visit.require_owner(session)
        redact(session, _whole_span(session, part), column, only)
    return Response(204)


def _whole_span(session: WriteSession, part: HistoryResource) -> Span:
    """Return the span of an amendment, which must have both ends.

    Raises:
        Refusal: 400 if one is missing, 404 if nothing happened in it.
    """
    start, until = _bound(part.start), _bound(part.until)
    if start is None or until is None:
        raise bad_request("An amendment needs both ends of its range: /history/from,until/….")
    span(session, start, until)
    return Span(start, min(until, session.snaptime + 1))


def _bound(snap: str | None) -> int | None:
    if snap is None:
        return None
    try:
        return snap_to_micros(snap)
    except ValueError as error:
        raise conflict(f"'{snap}' is not a snapshot: {error}") from error


def entity_rid(visit: Visit, part: EntityRidResource) -> Response:
    """``/entity_rid/RID``."""
    allow(visit.request, "GET")
    with visit.reading() as session:
        tag = etag.build(visit.client.roles, None, version(session, session.snaptime), visit.entry.alias)
        headers = {"ETag": tag, "Vary": "cookie", "Content-Type": JSON}
        return Response(200, headers, as_json(resolve_rid(session, visit.view(session), part.rid)))
