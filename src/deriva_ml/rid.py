"""RIDs and snapshot ids: what they look like, and how ``RID@snapshot`` is taken apart.

Floor 0: values only. A RID is opaque: the only operation on two of them is equality.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Any, TypeAlias

from deriva_ml.errors import DerivaMLValidationError

RID_PATTERN = r"^[0-9A-Z]+(-[0-9A-Z]+)*(@[0-9A-Z]+(-[0-9A-Z]+)*)?$"
_SHAPE = re.compile(r"[0-9A-Z]+(?:-[0-9A-Z]+)*(?:@[0-9A-Z]+(?:-[0-9A-Z]+)*)?")


class RidShape:
    """Tells pydantic what a RID looks like, without needing pydantic here."""

    def __get_pydantic_core_schema__(self, source: Any, handler: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
        return {**handler(source), "pattern": RID_PATTERN}


RID: TypeAlias = Annotated[str, RidShape()]
"""A text that a pydantic model accepts only when it looks like a RID."""


def is_rid(text: object) -> bool:
    """Return whether ``text`` looks like a RID, with or without a snapshot."""
    return isinstance(text, str) and _SHAPE.fullmatch(text) is not None


def check_rid(rid: str) -> str:
    """Return ``rid`` if it looks like one.

    Raises:
        DerivaMLValidationError: it does not.

    Example:
        >>> check_rid("1-ABC")
        '1-ABC'
    """
    if not is_rid(rid):
        raise DerivaMLValidationError(f"{rid!r} is not a RID: a RID is like 1-ABC or 2-7K4@33P-9WPG-1C9J.")
    return rid


def split_snapshot(rid: str) -> tuple[str, str | None]:
    """Return the RID proper and the snapshot that ``rid`` names, if any.

    Raises:
        DerivaMLValidationError: it does not look like a RID.

    Example:
        >>> split_snapshot("1-ABC@33P-9WPG")
        ('1-ABC', '33P-9WPG')
        >>> split_snapshot("1-ABC")
        ('1-ABC', None)
    """
    row, at, snapshot = check_rid(rid).partition("@")
    return row, snapshot if at else None
