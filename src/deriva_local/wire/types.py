"""The column types of the protocol, and the codec of each between the wire and SQLite.

Floor 1, pure. What is stored, per type:

================================  ====================================================================================
boolean                           0 or 1
int2, int4, int8, serial*         integer
float4, float8                    real; NaN as the text ``NaN``
date, time, timetz, timestamp     ISO text whose order is the order of time
timestamptz and its domains       integer microseconds since 1970 UTC
interval                          text, ordered by :func:`~deriva_local.wire.moments.interval_key`
json, jsonb                       normal text of :mod:`~deriva_local.wire.jsontext`, ordered by ``compare_json``
uuid, text and its domains        text
t[]                               text of a JSON array of the elements as they would be stored, with true, false, 9e999
================================  ====================================================================================
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from deriva_local.model.elements import Document, Type
from deriva_local.wire import scalars
from deriva_local.wire.codec import CheckFailed, Codec, SQLiteValue
from deriva_local.wire.errors import Refusal, bad_request, conflict
from deriva_local.wire.vectors import array_codec

__all__ = ["TYPES", "CheckFailed", "Codec", "SQLiteValue", "codec", "comparable", "type_document", "type_from_document"]

_SCALARS: Mapping[str, Codec] = {
    "boolean": scalars.BOOLEAN,
    "int2": scalars.integer_codec(16),
    "int4": scalars.integer_codec(32),
    "int8": scalars.integer_codec(64),
    "serial2": scalars.integer_codec(16),
    "serial4": scalars.integer_codec(32),
    "serial8": scalars.integer_codec(64),
    "float4": scalars.FLOAT4,
    "float8": scalars.FLOAT8,
    "numeric": scalars.NUMERIC,
    "text": scalars.TEXT,
    "date": scalars.DATE,
    "time": scalars.TIME,
    "timetz": scalars.TIMETZ,
    "timestamp": scalars.TIMESTAMP,
    "timestamptz": scalars.TIMESTAMPTZ,
    "interval": scalars.INTERVAL,
    "uuid": scalars.UUID,
    "json": scalars.JSON,
    "jsonb": scalars.JSON,
}
_DOMAINS: Mapping[str, str] = {
    "ermrest_rid": "text",
    "ermrest_rct": "timestamptz",
    "ermrest_rmt": "timestamptz",
    "ermrest_rcb": "text",
    "ermrest_rmb": "text",
    "ermrest_uri": "text",
    "ermrest_curie": "text",
    "uri": "text",
    "url": "text",
    "curie": "text",
    "longtext": "text",
    "markdown": "text",
    "gene_sequence": "text",
    "color_rgb_hex": "text",
}
_CHECKED: Mapping[str, Codec] = {"color_rgb_hex": scalars.COLOR}
_ALIASES: Mapping[str, str] = {"bool": "boolean", "character varying": "text"}
_NO_ARRAY = frozenset({"serial2", "serial4", "serial8"})
_NUMBERS = frozenset({"int2", "int4", "int8", "serial2", "serial4", "serial8", "float4", "float8", "numeric"})
_NO_COLUMN = frozenset({"numeric"})


def _all_types() -> dict[str, Type]:
    plain = {name: Type(name) for name in _SCALARS}
    plain |= {name: Type(name, "domain", plain[base]) for name, base in _DOMAINS.items()}
    arrays = {
        f"{name}[]": Type(f"{name}[]", "array", element) for name, element in plain.items() if name not in _NO_ARRAY
    }
    return plain | arrays


TYPES: Mapping[str, Type] = _all_types()
"""Every type by its name. ``numeric`` is only the type of computed values: no column can have it."""


def _all_codecs() -> dict[str, Codec]:
    codecs: dict[str, Codec] = {}
    for name, each in TYPES.items():
        if each.kind == "array" and each.base is not None:
            codecs[name] = array_codec(codecs[each.base.name])
        else:
            codecs[name] = _CHECKED.get(name) or _SCALARS[each.storage.name]
    return codecs


_CODECS = _all_codecs()


def codec(type: Type) -> Codec:
    """Return the codec of a type of :data:`TYPES`."""
    return _CODECS[type.name]


def comparable(first: Type, second: Type) -> bool:
    """Tell whether values of two types can be equal: a join or a foreign key over others has no meaning.

    Example:
        >>> comparable(TYPES["int4"], TYPES["float8"]), comparable(TYPES["text"], TYPES["date"])
        (True, False)
    """
    return _family(first) == _family(second) != "json"


def _family(type: Type) -> str:
    storage = type.storage
    if storage.kind == "array" and storage.base is not None:
        return _family(storage.base) + "[]"
    return "number" if storage.name in _NUMBERS else storage.name


def type_document(type: Type) -> dict[str, Any]:
    """Return a type as the model documents show it.

    Example:
        >>> type_document(TYPES["text[]"])
        {'typename': 'text[]', 'is_array': True, 'base_type': {'typename': 'text'}}
    """
    if type.kind == "scalar" or type.base is None:
        return {"typename": type.name}
    flag = "is_array" if type.kind == "array" else "is_domain"
    return {"typename": type.name, flag: True, "base_type": type_document(type.base)}


def type_from_document(document: Document) -> Type:
    """Return the type that a model document asks for.

    Raises:
        Refusal: 400 for a document of another shape, 409 for a type that no column can have.
    """
    if not isinstance(document, Mapping):
        raise bad_request("A column type must be an object with a 'typename'.")
    if document.get("is_array"):
        return _array_from_document(document)
    name = document.get("typename")
    if not isinstance(name, str):
        raise bad_request("A column type must have a 'typename' of text.")
    found = TYPES.get(_ALIASES.get(name, name))
    if found is None or found.kind == "array" or found.name in _NO_COLUMN:
        hint = " An array type needs 'is_array' and 'base_type'." if name.endswith("[]") else ""
        raise _unsupported(name, hint)
    return found


def _array_from_document(document: Document) -> Type:
    if "base_type" not in document:
        raise bad_request("An array type must have a 'base_type'.")
    element = type_from_document(document["base_type"])
    found = TYPES.get(f"{element.name}[]")
    if found is None:
        raise _unsupported(f"{element.name}[]")
    return found


def _unsupported(name: str, hint: str = "") -> Refusal:
    return conflict(f"Column type '{name}' is not supported.{hint}")
