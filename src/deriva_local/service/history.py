"""The history of a catalog as a resource: its span, its truncation, and what became of a row."""

from __future__ import annotations

from deriva_local.history.resolve import resolve_rid
from deriva_local.history.truncate import span, truncate
from deriva_local.service.answers import JSON, Visit, allow, as_json
from deriva_local.service.messages import Response
from deriva_local.url.ast import EntityRidResource, HistoryResource
from deriva_local.wire import etag
from deriva_local.wire.crockford import micros_to_snap, snap_to_micros
from deriva_local.wire.errors import bad_request, conflict, not_found, not_offered


def history(visit: Visit, part: HistoryResource) -> Response:
    """``/history/from,until``: GET tells the span, DELETE forgets what was over at ``until``."""
    if part.config is not None or part.attribute is not None:
        raise not_offered("Amending and redacting history is not offered. A Deriva server has it.")
    if visit.address.snapshot is not None:
        raise not_found("A snapshot has no history of its own.")
    method = allow(visit.request, "GET", "DELETE")
    if method == "GET":
        with visit.reading() as session:
            first, last = span(session, _bound(part.start), _bound(part.until))
            shown = {"amendver": None, "snaprange": [micros_to_snap(first), micros_to_snap(last)]}
            return Response(200, {"Content-Type": JSON, "Vary": "cookie"}, as_json(shown))
    until = _bound(part.until)
    if part.start is not None or until is None:
        raise bad_request("History is truncated from its beginning: DELETE /history/,until.")
    with visit.writing() as session:
        visit.require_owner(session)
        truncate(session, until)
        return visit.answer(session, 204)


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
        tag = etag.build(visit.client.roles, None, micros_to_snap(session.snaptime), visit.entry.alias)
        headers = {"ETag": tag, "Vary": "cookie", "Content-Type": JSON}
        return Response(200, headers, as_json(resolve_rid(session, visit.view(session), part.rid)))
