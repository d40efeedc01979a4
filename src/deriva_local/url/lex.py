"""Raw, percent-encoded text of an address into tokens.

Floor 1, pure. A token is a pair ``(text, mark)`` of which one is empty: ``text`` is a run of ordinary characters and
escapes, still encoded; ``mark`` is punctuation. An escape is never punctuation, which is why decoding waits until the
parser knows that it holds a name or a value.
"""

from __future__ import annotations

import re
from typing import TypeAlias
from urllib.parse import quote, unquote

from deriva_local.wire.errors import bad_request

Token: TypeAlias = tuple[str, str]

_TEXT = r"(?:[A-Za-z0-9\-*_.~+]++|%[0-9A-Fa-f]{2})++"
_TOKEN = re.compile(rf"({_TEXT})|(::|:=|[():;,=@&/?!$])")
_LEGAL = re.compile(rf"(?:{_TEXT}|[():;,=@&/?!$])*+")
_ORDINARY = "*"  # quote() itself leaves letters, digits and -_.~ alone


def check(target: str) -> None:
    """Make sure that every character of a raw target may stand in an address.

    Raises:
        Refusal: 400, naming the first character that may not.
    """
    found = _LEGAL.match(target)
    end = found.end() if found else 0
    if end < len(target):
        what = (
            f"{target[end : end + 3]!r} is no percent-escape"
            if target[end] == "%"
            else f"{target[end]!r} must be escaped"
        )
        raise bad_request(f"Invalid character at position {end} of the address: {what}.")


def tokens(text: str) -> list[Token]:
    """Return the tokens of raw text that :func:`check` has passed."""
    return _TOKEN.findall(text)


def decode(text: str) -> str:
    """Return the string that a run of ordinary characters and escapes spells; a bare ``+`` is a space.

    Raises:
        Refusal: 400, the escapes are no UTF-8, or spell a NUL character.
    """
    if "%" not in text:
        return text.replace("+", " ") if "+" in text else text
    try:
        decoded = unquote(text.replace("+", " "), errors="strict")
    except UnicodeDecodeError:
        raise bad_request(f"The escapes in '{text}' do not spell UTF-8.") from None
    if "\0" in decoded:
        raise bad_request("A NUL character cannot stand in an address.")
    return decoded


def encode(text: str) -> str:
    """Return ``text`` as it must be written to be a name or a value of an address."""
    return quote(text, safe=_ORDINARY)
