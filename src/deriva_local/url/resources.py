"""Addresses of model elements and their facets, of history, and of single RIDs.

Floor 1, pure. Every rule takes the raw segments after its word and refuses, with 400, those that are too many.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

from deriva_local.url.ast import (
    CatalogResource,
    ColumnResource,
    EntityRidResource,
    Facet,
    ForeignKeyResource,
    HistoryResource,
    KeyResource,
    SchemaResource,
    TableRef,
    TableResource,
    TextFacetResource,
)
from deriva_local.url.cursor import Cursor
from deriva_local.wire.errors import Refusal, bad_request

FacetKind: TypeAlias = Literal["annotation", "acl", "acl_binding", "comment"]
Segments: TypeAlias = Sequence[str]
TablePart: TypeAlias = TableResource | ColumnResource | KeyResource | ForeignKeyResource
_ANNOTATED: tuple[FacetKind, ...] = ("annotation", "comment")
_SCHEMA_FACETS: tuple[FacetKind, ...] = ("acl", "annotation", "comment")
_TABLE_FACETS: tuple[FacetKind, ...] = ("acl", "annotation", "comment", "acl_binding")
_CATALOG_FACETS: tuple[FacetKind, ...] = ("acl", "annotation")


def parse_catalog_facet(segments: Segments) -> CatalogResource:
    """Read ``acl[/name]`` or ``annotation[/key]`` of a catalog."""
    return CatalogResource(_facet(segments, _CATALOG_FACETS))


def parse_schema(segments: Segments) -> SchemaResource | TablePart:
    """Read what follows ``schema``."""
    segments = _without_trailing_slash(segments)
    if not segments:
        return SchemaResource()
    name, *rest = segments
    schema = one_name(name)
    if rest and rest[0].lower() == "table":
        return _parse_table(schema, _without_trailing_slash(rest[1:]))
    return SchemaResource(schema, _facet(rest, _SCHEMA_FACETS))


def parse_entity_rid(segments: Segments) -> EntityRidResource:
    """Read the RID after ``entity_rid``."""
    if len(segments) != 1:
        raise bad_request("entity_rid takes one RID.")
    return EntityRidResource(one_name(segments[0]))


def parse_text_facet(segments: Segments) -> TextFacetResource:
    """Read the pattern after ``textfacet``."""
    if len(segments) != 1:
        raise bad_request("textfacet takes one pattern.")
    return TextFacetResource(one_name(segments[0]))


def parse_history(segments: Segments) -> HistoryResource:
    """Read the range after ``history``, and what is asked of it."""
    if not segments:
        raise bad_request("history takes a range 'from,until'.")
    start, until = _range(segments[0])
    rest = segments[1:]
    if not rest:
        return HistoryResource(start, until)
    word = rest[0].lower()
    if word == "attribute" and 2 <= len(rest) <= 3:
        column, value = _history_filter(rest[2]) if len(rest) == 3 else (None, None)
        return HistoryResource(start, until, None, None, one_name(rest[1]), column, value)
    kind = _kind(word)
    if kind != "comment" and len(rest) <= 2:
        return HistoryResource(start, until, kind, one_name(rest[1]) if len(rest) == 2 else None)
    raise _unknown(rest[0], ("acl", "acl_binding", "annotation", "attribute/RID"))


def one_name(segment: str) -> str:
    """Read a segment that is one name.

    Raises:
        Refusal: 400, it is empty or more than a name.
    """
    cursor = Cursor(segment)
    name = cursor.name()
    cursor.end()
    return name


# ---------------------------------------------------------------------------------------------------------- tables


def _parse_table(schema: str, segments: Segments) -> TablePart:
    if not segments:
        return TableResource(schema)
    table = one_name(segments[0])
    rest = segments[1:]
    word = rest[0].lower() if rest else ""
    below = _without_trailing_slash(rest[1:])
    if word == "column":
        return _parse_column(schema, table, below)
    if word == "key":
        return _parse_key(schema, table, below)
    if word == "foreignkey":
        return _parse_foreign_key(schema, table, below)
    return TableResource(schema, table, _facet(rest, _TABLE_FACETS))


def _parse_column(schema: str, table: str, segments: Segments) -> ColumnResource:
    if not segments:
        return ColumnResource(schema, table)
    return ColumnResource(schema, table, one_name(segments[0]), _facet(segments[1:], _TABLE_FACETS))


def _parse_key(schema: str, table: str, segments: Segments) -> KeyResource:
    if not segments:
        return KeyResource(schema, table)
    return KeyResource(schema, table, _names(segments[0]), _facet(segments[1:], _ANNOTATED))


def _parse_foreign_key(schema: str, table: str, segments: Segments) -> ForeignKeyResource:
    if not segments:
        return ForeignKeyResource(schema, table)
    columns = _names(segments[0])
    rest = _without_trailing_slash(segments[1:])
    if not rest:
        return ForeignKeyResource(schema, table, columns)
    if rest[0].lower() != "reference":
        raise _unknown(rest[0], ("reference",))
    below = _without_trailing_slash(rest[1:])
    if not below:
        return ForeignKeyResource(schema, table, columns, full=True)
    referenced = _table_name(below[0])
    if len(below) == 1:
        return ForeignKeyResource(schema, table, columns, True, referenced)
    facet = _facet(below[2:], _TABLE_FACETS)
    return ForeignKeyResource(schema, table, columns, True, referenced, _names(below[1]), facet)


# ----------------------------------------------------------------------------------------------------- small rules


def _facet(segments: Segments, offered: tuple[FacetKind, ...]) -> Facet | None:
    segments = _without_trailing_slash(segments)
    if not segments:
        return None
    kind = _kind(segments[0])
    if kind not in offered:
        raise _unknown(segments[0], offered)
    if len(segments) > (1 if kind == "comment" else 2):
        raise bad_request(f"Nothing can follow '{'/'.join(segments[: 1 if kind == 'comment' else 2])}'.")
    return Facet(kind, one_name(segments[1]) if len(segments) == 2 else None)


def _kind(segment: str) -> FacetKind:
    for kind in _TABLE_FACETS:
        if segment.lower() == kind:
            return kind
    raise _unknown(segment, _TABLE_FACETS)


def _without_trailing_slash(segments: Segments) -> Segments:
    return segments[:-1] if segments and not segments[-1] else segments


def _names(segment: str) -> tuple[str, ...]:
    cursor = Cursor(segment)
    names = cursor.listed(cursor.name)
    cursor.end()
    return names


def _table_name(segment: str) -> TableRef:
    cursor = Cursor(segment)
    cursor.take(":")
    first = cursor.name()
    table = TableRef(cursor.name(), first) if cursor.take(":") else TableRef(first)
    cursor.end()
    return table


def _range(segment: str) -> tuple[str | None, str | None]:
    cursor = Cursor(segment)
    start = cursor.value() or None
    cursor.expect(",")
    until = cursor.value() or None
    cursor.end()
    return start, until


def _history_filter(segment: str) -> tuple[str, str]:
    cursor = Cursor(segment)
    column = cursor.name()
    cursor.expect("=")
    value = cursor.name()
    cursor.end()
    return column, value


def _unknown(segment: str, offered: Sequence[str]) -> Refusal:
    return bad_request(f"'{segment}' is not possible here; possible are: {', '.join(offered)}.")
