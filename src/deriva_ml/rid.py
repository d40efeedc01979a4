"""RIDs and snapshot ids: what they look like, and how ``RID@snapshot`` is taken apart.

Floor 0: values only. A RID is opaque: the only operation on two of them is equality.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
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


def rid_list(rids: str | Iterable[str]) -> list[str]:
    """Return RIDs, or the names of executions, as a list; one alone is a list of one, and not one of letters.

    Example:
        >>> rid_list("1-ABC"), rid_list({"1-ABC"})
        (['1-ABC'], ['1-ABC'])
    """
    return [rids] if isinstance(rids, str) else list(rids)


LOCAL_MARK = "L-"
"""Begins the names of executions that no catalog knows yet. The alphabet of RIDs has no L, so none is ever one."""


def local_name(token: str) -> str:
    """Return the name under which an execution goes that no catalog knows yet; ``token`` is its uuid.

    Example:
        >>> local_name("0b5f7c1e-9d41-4c7e-8c57-6f1d2a3b4c5d")
        'L-0B5F-7C1E-9D41-4C7E'
    """
    letters = token.replace("-", "").upper()
    return LOCAL_MARK + "-".join(letters[start : start + 4] for start in range(0, 16, 4))


def is_local(rid: object) -> bool:
    """Return whether this is the name of an execution that no catalog knows yet, rather than a RID.

    Example:
        >>> is_local("L-0B5F-7C1E-9D41-4C7E"), is_local("1-ABC")
        (True, False)
    """
    return isinstance(rid, str) and rid.startswith(LOCAL_MARK)


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
