"""How a password is kept: as the result of a function that takes a while and a lot of memory to compute.

A law: text in, text out.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from functools import cache

LOG_COST, BLOCK_SIZE, LANES = 15, 8, 1
"""scrypt with 2^15 rounds of 1 KiB: 32 MiB and about a tenth of a second for each guess."""

_MEMORY = 128 * 1024 * 1024
_SALT_BYTES = 16


def hashed(password: str) -> str:
    """Return what is stored of a password: function, cost, salt and result.

    Example:
        >>> matches("correct horse", hashed("correct horse")), matches("battery", hashed("staple"))
        (True, False)
    """
    salt = secrets.token_bytes(_SALT_BYTES)
    cost = (LOG_COST, BLOCK_SIZE, LANES)
    return "$".join(("scrypt", *map(str, cost), _text(salt), _text(_scrypt(password, salt, *cost))))


@cache
def nobody_s() -> str:
    """Return what would be stored of a password that nobody has: to compare with where there is no such user."""
    return hashed(secrets.token_hex(32))


def matches(password: str, stored: str) -> bool:
    """Say whether ``stored`` was made of this password; how long that takes does not depend on the answer."""
    _, log_cost, block_size, lanes, salt, result = stored.split("$")
    found = _scrypt(password, base64.b64decode(salt), int(log_cost), int(block_size), int(lanes))
    return hmac.compare_digest(found, base64.b64decode(result))


def _scrypt(password: str, salt: bytes, log_cost: int, block_size: int, lanes: int) -> bytes:
    secret = password.encode("utf-8", "surrogatepass")
    return hashlib.scrypt(secret, salt=salt, n=1 << log_cost, r=block_size, p=lanes, maxmem=_MEMORY, dklen=32)


def _text(value: bytes) -> str:
    return base64.b64encode(value).decode()
