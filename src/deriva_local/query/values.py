"""How SQL spells a stored value, per type: as JSON, as an element of a stored array, as text to search, in order.

Floor 1, pure: SQL expressions in, SQL expressions out. The functions and collations that they name are those of
:mod:`~deriva_local.query.functions`. ``{0}`` stands for the expression; rows are built by joining JSON texts, so
every JSON form is text and NULL becomes ``null``.
"""

from __future__ import annotations

from deriva_local.model.elements import Type
from deriva_local.wire.types import TYPES, codec

_WHOLE = ("int2", "int4", "int8", "serial2", "serial4", "serial8", "numeric")
_FLOATS = ("float4", "float8")
_TIMES_AS_NUMBERS = ("timestamptz",)
_JSON = ("json", "jsonb")

_AS_IT_IS = "ifnull({0}, 'null')"
_BOOLEAN = "CASE {0} WHEN 1 THEN 'true' WHEN 0 THEN 'false' ELSE 'null' END"
_QUOTED = "json_quote({0})"
_FLOAT = (
    "CASE WHEN {0} BETWEEN -1e14 AND 1e14"
    " THEN CASE WHEN {0} = CAST({0} AS INTEGER) THEN CAST({0} AS INTEGER) ELSE float_repr({0}) END"
    " WHEN {0} IS NULL THEN 'null' ELSE float_json({0}) END"
)
"""Most floats need no call or a cheap one; only the very large, infinite and not-a-number go the long way."""


def _json_form(type: Type) -> str:
    if type.kind == "array" and type.base is not None:
        element = type.base.storage
        return _AS_IT_IS if codec(element).plain or element.name == "boolean" else f"array_json('{type.name}', {{0}})"
    if type.name in _WHOLE or type.name in _JSON:
        return _AS_IT_IS
    if type.name in _TIMES_AS_NUMBERS:
        return "moment_json({0})"
    if type.name in _FLOATS:
        return _FLOAT
    return _BOOLEAN if type.name == "boolean" else _QUOTED


def _element_form(type: Type) -> str:
    if type.name in _WHOLE or type.name in _TIMES_AS_NUMBERS:
        return _AS_IT_IS
    if type.name in _FLOATS:
        return "float_element({0})"
    return _BOOLEAN if type.name == "boolean" else _QUOTED


def _match_form(type: Type) -> str:
    if type.name in _JSON or (codec(type).plain and type.name not in _WHOLE):
        return "{0}"
    if type.name in _TIMES_AS_NUMBERS:
        return "moment_match({0})"
    return "CAST({0} AS TEXT)" if type.name in _WHOLE else f"match_text('{type.name}', {{0}})"


_STORAGE = {each.storage.name: each.storage for each in TYPES.values()}
_JSON_FORMS = {name: _json_form(type) for name, type in _STORAGE.items()}
_ELEMENT_FORMS = {name: _element_form(type) for name, type in _STORAGE.items() if type.kind != "array"}
_MATCH_FORMS = {name: _match_form(type) for name, type in _STORAGE.items()}
_COLLATIONS = {"jsonb": " COLLATE json_order", "interval": " COLLATE interval_order"} | {
    name: " COLLATE array_order" for name, type in _STORAGE.items() if type.kind == "array"
}


def json_form(type: Type) -> str:
    """Return the template of the JSON text of a value: ``json_quote({0})`` for text."""
    return _JSON_FORMS[type.storage.name]


def element_form(type: Type) -> str:
    """Return the template of a value as a stored array holds it; arrays of arrays are not stored."""
    return _ELEMENT_FORMS.get(type.storage.name) or _JSON_FORMS[type.storage.name]


def match_form(type: Type) -> str:
    """Return the template of the text in which patterns search."""
    return _MATCH_FORMS[type.storage.name]


def element_collation(type: Type) -> str:
    """Return what must follow the element form of a value where equal elements count as one: 1 and 1.0 are."""
    return {"jsonb": " COLLATE json_elements", "interval": " COLLATE interval_elements"}.get(type.storage.name, "")


def collation(type: Type) -> str:
    """Return what must follow an expression that is compared or ordered: `` COLLATE …``, mostly nothing."""
    return _COLLATIONS.get(type.storage.name, "")
