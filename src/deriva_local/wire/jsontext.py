"""JSON as columns of type json and jsonb hold it: one normal text per value, and an order between texts.

Floor 1, pure. The normal text orders the keys of objects by length and then by bytes, keeps the last of duplicate
keys and the digits of numbers, and writes ``, `` and ``: `` between parts.
"""

from __future__ import annotations

import json
from decimal import Decimal, InvalidOperation
from functools import cmp_to_key
from json.encoder import encode_basestring
from typing import Any, NoReturn, TypeAlias

Json: TypeAlias = Any

_LONGEST_NUMBER = 4000
DEEPEST = 100
"""So many arrays and objects may stand in each other; they are walked by recursion."""


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON.")


def _exact(digits: str) -> Decimal:
    try:
        return Decimal(digits)
    except InvalidOperation:  # its exponent is too long for any number
        raise ValueError(f"The number {digits[:40]}… is too large.") from None


_DECODER = json.JSONDecoder(parse_float=_exact, parse_constant=_no_constant)


def parse_json(text: str) -> Json:
    """Return the value of strict JSON; numbers with a fraction or exponent become Decimal and keep their digits.

    Raises:
        ValueError: not JSON, or with the NaN and Infinity that JSON does not have.
    """
    try:
        return _DECODER.decode(text)
    except RecursionError:
        raise ValueError("The JSON is nested too deeply.") from None


def normal_text(value: Json) -> str:
    """Return the one normal text of a parsed JSON value.

    Raises:
        ValueError: a NUL character or half a surrogate pair in a string, a number far too long, arrays and objects that
            stand in each other too deeply, or no JSON value.

    Example:
        >>> normal_text({"bb": 1, "a": [True, None, Decimal("1.50")]})
        '{"a": [true, null, 1.50], "bb": 1}'
    """
    parts: list[str] = []
    _write(value, parts.append, 0)
    return "".join(parts)


def normal_json_text(text: str) -> str:
    """Return the normal text of JSON given as text.

    Raises:
        ValueError: as :func:`parse_json` and :func:`normal_text`.
    """
    return normal_text(parse_json(text))


def check_text(text: str) -> str:
    """Return ``text`` if a database can hold it.

    Raises:
        ValueError: it holds a NUL character or half a surrogate pair.
    """
    if text.isascii():
        if "\0" in text:
            raise ValueError("A NUL character cannot be stored in text.")
        return text
    if "\0" in text:
        raise ValueError("A NUL character cannot be stored in text.")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("Half a surrogate pair cannot be stored in text.") from None
    return text


def _write(value: Json, add: Any, depth: int) -> None:
    if isinstance(value, str):
        add(_string(value))
    elif value is None:
        add("null")
    elif value is True or value is False:
        add("true" if value else "false")
    elif isinstance(value, int | float | Decimal):
        add(_number(value))
    elif isinstance(value, list | tuple):
        _write_array(value, add, _deeper(depth))
    elif isinstance(value, dict):
        _write_object(value, add, _deeper(depth))
    else:
        raise ValueError(f"{type(value).__name__} is not a JSON value.")


def _write_array(items: list[Json] | tuple[Json, ...], add: Any, depth: int) -> None:
    add("[")
    for position, item in enumerate(items):
        if position:
            add(", ")
        _write(item, add, depth)
    add("]")


def _write_object(members: dict[str, Json], add: Any, depth: int) -> None:
    keys = sorted(
        ((key.encode(errors="surrogatepass"), key) for key in members), key=lambda pair: (len(pair[0]), pair[0])
    )
    add("{")
    for position, (_, key) in enumerate(keys):
        if position:
            add(", ")
        add(_string(key))
        add(": ")
        _write(members[key], add, depth)
    add("}")


def _deeper(depth: int) -> int:
    if depth == DEEPEST:
        raise ValueError(f"Arrays and objects may stand in each other {DEEPEST} deep, not deeper.")
    return depth + 1


def check_depth(value: Json) -> None:
    """Let a JSON value pass that can be written out and compared.

    Raises:
        ValueError: arrays and objects stand in each other too deeply.
    """
    level = [value]
    for depth in range(DEEPEST + 1):
        inner = [each for each in level if isinstance(each, list | dict)]
        if not inner:
            return
        if depth == DEEPEST:
            _deeper(depth)
        level = [part for each in inner for part in (each.values() if isinstance(each, dict) else each)]


def _string(text: str) -> str:
    return encode_basestring(check_text(text))


def _number(value: float | Decimal) -> str:
    if isinstance(value, int):
        return str(value)
    number = value if isinstance(value, Decimal) else Decimal(repr(value))
    sign, digits, exponent = number.as_tuple()
    if not isinstance(exponent, int) or len(digits) + abs(exponent) > _LONGEST_NUMBER:
        raise ValueError(f"{value} cannot be stored as a JSON number.")
    text = format(number, "f")
    return text.lstrip("-") if sign and not number else text


# ------------------------------------------------------------------------------------------------------------ order


def compare_json(first: str, second: str) -> int:
    """Return -1, 0 or 1 as the first of two stored JSON texts sorts before, with or after the second.

    An empty array comes first, then null, strings, numbers, booleans, arrays and objects; arrays and objects compare
    by size before they compare by content, and 1 equals 1.0.
    """
    if first == second:
        return 0
    return _compare(json.loads(first, parse_float=Decimal), json.loads(second, parse_float=Decimal))


def equality_key(text: str) -> str:
    """Return a text that two stored JSON texts share exactly if they are equal: 1, 1.0 and 1.00 are."""
    if "." not in text:
        return text
    return normal_text(json.loads(text, parse_float=_shortest))


def _shortest(digits: str) -> Decimal:
    number = Decimal(digits)
    whole = number.to_integral_value() if number.adjusted() < _LONGEST_NUMBER else number
    return Decimal(int(whole)) if whole == number else number.normalize()


def _rank(value: Json) -> int:
    if isinstance(value, list):
        return 5 if value else 0
    if isinstance(value, dict):
        return 6
    if value is None:
        return 1
    if isinstance(value, str):
        return 2
    return 4 if isinstance(value, bool) else 3


def _compare(first: Json, second: Json) -> int:
    by_rank = _sign(_rank(first), _rank(second))
    if by_rank or first is None:
        return by_rank
    if isinstance(first, list):
        return _sign(len(first), len(second)) or _first_difference(zip(first, second, strict=True))
    if isinstance(first, dict):
        pairs = ([_KEY(member) for member in value.items()] for value in (first, second))
        return _sign(len(first), len(second)) or _sign(*(sorted(each) for each in pairs))
    return _sign(first, second)


def _compare_members(first: tuple[str, Json], second: tuple[str, Json]) -> int:
    ours, theirs = first[0].encode(), second[0].encode()
    return _sign((len(ours), ours), (len(theirs), theirs)) or _compare(first[1], second[1])


_KEY = cmp_to_key(_compare_members)


def _first_difference(pairs: Any) -> int:
    return next((order for order in (_compare(*pair) for pair in pairs) if order), 0)


def _sign(first: Any, second: Any) -> int:
    return bool(second < first) - bool(first < second)
