"""What elements of the model may be called, and what constraints are called when nobody said.

Floor 1, pure.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from typing import Any

from deriva_local.wire.errors import bad_request, conflict

LONGEST = 63
RESERVED_SCHEMAS = frozenset({"_ermrest", "_ermrest_history", "pg_catalog", "information_schema"})


def identifier(name: Any, what: str) -> str:
    """Return ``name`` if a schema, table, column or constraint can have it.

    Raises:
        Refusal: 400 if it is no text, empty, longer than 63 bytes of UTF-8, or holds a NUL.
    """
    if not isinstance(name, str) or not name:
        raise bad_request(f"The {what} must be text of at least one character.")
    if len(name.encode("utf-8", "surrogatepass")) > LONGEST:
        raise bad_request(f"The {what} '{name}' is longer than {LONGEST} bytes of UTF-8.")
    if "\0" in name:
        raise bad_request(f"The {what} must not hold a NUL character.")
    return name


def schema_name(name: Any) -> str:
    """Return ``name`` if a schema can have it.

    Raises:
        Refusal: 400 as :func:`identifier`; 409 for a name that the service keeps for itself.
    """
    if identifier(name, "schema name") in RESERVED_SCHEMAS:
        raise conflict(f"The schema name '{name}' is reserved.")
    return str(name)


def constraint_name(names: Any) -> str | None:
    """Return the name that a ``names`` list of a key or foreign key gives, None if it gives none.

    The schema in the pair is ignored: a constraint lives in the schema of its table.

    Raises:
        Refusal: 400 unless it is null, ``[]`` or one ``[schema, name]`` pair whose name is text.
    """
    if names is None or names == []:
        return None
    if not isinstance(names, list) or len(names) > 1:
        raise bad_request("'names' must be a list with at most one [schema, name] pair.")
    pair = names[0]
    if not isinstance(pair, list) or len(pair) != 2 or not isinstance(pair[1], str):
        raise bad_request("A constraint name must be a pair [schema, name] with a name of text.")
    return identifier(pair[1], "constraint name")


def key_name(table: str, columns: Sequence[str], taken: Collection[str]) -> str:
    """Return a name for a key that has none.

    Example:
        >>> key_name("Image", ["A", "B"], taken={"Image_A_B_key"})
        'Image_A_B_key1'
    """
    return _free("_".join([table, *columns]), "_key", taken)


def foreign_key_name(table: str, columns: Sequence[str], taken: Collection[str]) -> str:
    """Return a name for a foreign key that has none: ``T_c1_fkey``, with all its columns."""
    return _free("_".join([table, *columns]), "_fkey", taken)


def _free(stem: str, ending: str, taken: Collection[str]) -> str:
    number = 0
    name = shortened(stem, ending)
    while name in taken:
        number += 1
        name = shortened(stem, f"{ending}{number}")
    return name


def shortened(stem: str, ending: str) -> str:
    """Return ``stem + ending``; where that is too long, with the end of the stem replaced by a hash of it."""
    room = LONGEST - len(ending.encode())
    raw = stem.encode()
    if len(raw) <= room:
        return stem + ending
    digest = hashlib.sha256(raw).hexdigest()[:8]
    return raw[: room - len(digest) - 1].decode(errors="ignore") + "_" + digest + ending
