"""Amending the past: other configuration, and values made NULL, for what was between two moments.

The present is not touched. Whoever reads a snapshot afterwards sees another amendment version, so no cached copy
survives.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from deriva_local.acl.bindings import FOREIGN_KEY_TYPES, TABLE_TYPES, check_shape
from deriva_local.acl.static import NAMES, Kind
from deriva_local.history.versions import CAPTURE, quoted
from deriva_local.model import intake
from deriva_local.model.elements import FOREVER, Column, Table, Type
from deriva_local.model.records import CATALOG
from deriva_local.store.database import WriteSession
from deriva_local.wire.errors import bad_request, conflict, not_found
from deriva_local.wire.types import codec, type_from_document

Config: TypeAlias = Literal["acl", "acl_binding", "annotation"]
UNREDACTABLE = frozenset({"RID", "RMT", "RMB"})


@dataclass(frozen=True, slots=True)
class Span:
    """From ``start`` (included) until ``until`` (excluded), in microseconds; it ends with the last change at most."""

    start: int
    until: int


def amend(session: WriteSession, span: Span, config: Config, target: str | None, document: Mapping[str, Any]) -> None:
    """Give an element, or the catalog, other lists, bindings or annotations throughout a span of the past.

    Raises:
        Refusal: 404 for an element that was never there, 400 for a document of the wrong shape, 409 for a name or kind
            of configuration that the element does not have.
    """
    rid = target or CATALOG
    found: list[Any] = session.connection.execute(
        "SELECT rid, kind, parent, doc, born, died FROM element WHERE rid = ? AND born < ? AND died > ?",
        (rid, span.until, span.start),
    ).fetchall()
    if not found:
        raise not_found(f"No element with the RID '{rid}' was there in this range of history.")
    change = _CHANGES[config](found[0][1], document)
    for element, kind, parent, doc, born, died in found:
        session.connection.execute("DELETE FROM element WHERE rid = ? AND died = ?", (element, died))
        amended = json.dumps(change(json.loads(doc)), ensure_ascii=False, separators=(",", ":"))
        first, last = max(born, span.start), min(died, span.until)
        parts = [(doc, born, first), (amended, first, last), (doc, last, died)]
        session.connection.executemany(
            "INSERT INTO element (rid, kind, parent, doc, born, died) VALUES (?, ?, ?, ?, ?, ?)",
            [(element, kind, parent, *part) for part in parts if part[1] < part[2]],
        )
    session.history_changed()


Change: TypeAlias = Callable[[dict[str, Any]], dict[str, Any]]


def _amend_lists(kind: str, document: Mapping[str, Any]) -> Change:
    if kind == "key":
        raise conflict("A key has no access control lists.")
    of: Kind = kind  # type: ignore[assignment]
    lists = intake.acls({"acls": document}, of)
    if of == "catalog":
        lists = {name: lists.get(name, ()) for name in NAMES["catalog"]}
    return lambda doc: {**doc, "acls": lists}


def _amend_bindings(kind: str, document: Mapping[str, Any]) -> Change:
    if kind not in ("table", "column", "foreign_key"):
        raise conflict(f"A {kind} has no access bindings.")
    for name, binding in document.items():
        check_shape(FOREIGN_KEY_TYPES if kind == "foreign_key" else TABLE_TYPES, name, binding)
    return lambda doc: {**doc, "acl_bindings": document}


def _amend_annotations(kind: str, document: Mapping[str, Any]) -> Change:
    if CAPTURE in document:
        raise bad_request("Whether history was recorded cannot be amended.")

    def change(doc: dict[str, Any]) -> dict[str, Any]:
        kept = {name: value for name, value in doc["annotations"].items() if name == CAPTURE}
        return {**doc, "annotations": {**document, **kept}}

    return change


_CHANGES: Mapping[Config, Callable[[str, Mapping[str, Any]], Change]] = {
    "acl": _amend_lists,
    "acl_binding": _amend_bindings,
    "annotation": _amend_annotations,
}

# -------------------------------------------------------------------------------------------------------------- redact


def redact(session: WriteSession, span: Span, column_rid: str, only: tuple[str, str] | None) -> None:
    """Make the values of a column NULL in the versions of rows that lie wholly inside a span of the past; with
    ``only``, where another column has a value, given as its RID and JSON text.

    Raises:
        Refusal: 404 for a column that never was, 409 for one that must stay, and for a condition on another table.
    """
    table, column = _column(session, column_rid)
    if column.name in UNREDACTABLE:
        raise conflict(f"Column '{column.name}' cannot be redacted.")
    where, values = "", ()
    if only is not None:
        home, condition = _column(session, only[0])
        if home != table:
            raise conflict(f"Column '{condition.name}' belongs to another table.")
        where, values = f" AND {quoted(condition.physical)} IS ?", (_value(condition.type, only[1]),)  # type: ignore[assignment]
    physical = Table(table, "", "", ()).physical
    session.connection.execute(
        f"UPDATE {quoted(physical)} SET {quoted(column.physical)} = NULL "
        f"WHERE died < {FOREVER} AND born >= ? AND died <= ?{where}",
        (span.start, span.until, *values),
    )
    session.history_changed()


def _column(session: WriteSession, rid: str) -> tuple[str, Column]:
    """Return the RID of the table of a column, and the column as it was last."""
    row: Any = session.connection.execute(
        "SELECT parent, doc FROM element WHERE rid = ? AND kind = 'column' ORDER BY died DESC LIMIT 1", (rid,)
    ).fetchone()
    if row is None:
        raise not_found(f"There never was a column with the RID '{rid}'.")
    said = json.loads(row[1])
    return row[0], Column(rid, said["name"], type_from_document(said["type"]))


def _value(type: Type, text: str) -> Any:
    try:
        given = json.loads(text)
        return None if given is None else codec(type).from_json(given)
    except ValueError as bad:
        raise bad_request(f"'{text}' is no JSON value that the column could have: {bad}") from bad
