"""The base-32 text of RIDs and snapshot times.

Floor 1, pure. A signed 64-bit integer is shifted left by one bit, which makes 65 bits: 13 symbols of 5 bits. Leading
zeros go, and a hyphen separates every 4 symbols from the right. The last symbol is therefore always an even one.
A snapshot time is the same text over microseconds since 1970 UTC.
"""

from __future__ import annotations

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
SYMBOLS = 13

_LOWEST, _HIGHEST = -(2**63), 2**63 - 1
_ALL_BITS = 2**64 - 1
_PAIRS = tuple(high + low for high in ALPHABET for low in ALPHABET)
_VALUES = {symbol: value for value, symbol in enumerate(ALPHABET)} | {"O": 0, "I": 1, "L": 1}
_VALUES |= {symbol.lower(): value for symbol, value in _VALUES.items()}


def encode(number: int) -> str:
    """Return the text of a signed 64-bit integer.

    Raises:
        ValueError: ``number`` needs more than 64 bits.

    Example:
        >>> encode(0), encode(1), encode(-1)
        ('0', '2', 'Z-ZZZZ-ZZZZ-ZZZY')
    """
    if not _LOWEST <= number <= _HIGHEST:
        raise ValueError(f"{number} does not fit into 64 bits.")
    bits = (number & _ALL_BITS) << 1
    group = bits & 0xFFFFF
    text = _PAIRS[group >> 10] + _PAIRS[group & 1023]
    bits >>= 20
    while bits:
        group = bits & 0xFFFFF
        text = _PAIRS[group >> 10] + _PAIRS[group & 1023] + "-" + text
        bits >>= 20
    return text.lstrip("0") or "0"


def decode(text: str) -> int:
    """Return the integer that ``text`` spells; case, hyphens and the letters O, I and L are forgiven.

    Raises:
        ValueError: another character, no symbol at all, or more than 13 symbols.
    """
    bits = 0
    count = 0
    try:
        for symbol in text.replace("-", ""):
            bits = bits << 5 | _VALUES[symbol]
            count += 1
    except KeyError as unknown:
        raise ValueError(f"'{text}' is not a RID or snapshot time: {unknown} is no base-32 symbol.") from None
    if not 0 < count <= SYMBOLS:
        raise ValueError(f"'{text}' is not a RID or snapshot time: it needs 1 to {SYMBOLS} symbols.")
    number = bits >> 1
    return number if number <= _HIGHEST else number - 2**64


def normalise(text: str) -> str:
    """Return ``text`` in its one canonical spelling.

    Raises:
        ValueError: as :func:`decode`.

    Example:
        >>> normalise("1abo")
        '1-ABG'
    """
    return encode(decode(text))


def micros_to_snap(micros: int) -> str:
    """Return the snapshot time of a moment in microseconds since 1970 UTC."""
    return encode(micros)


def snap_to_micros(snap: str) -> int:
    """Return the moment of a snapshot time in microseconds since 1970 UTC.

    Raises:
        ValueError: as :func:`decode`.
    """
    return decode(snap)
