"""What a codec is: six functions between the wire's forms of a value and the stored one.

Floor 1, pure.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

Json: TypeAlias = Any
SQLiteValue: TypeAlias = int | float | str | None


class CheckFailed(ValueError):
    """The value is well formed, but the check of its domain refuses it: a conflict, not a syntax error."""


@dataclass(frozen=True, slots=True)
class Codec:
    """The functions of one type.

    ``from_json`` takes a parsed JSON value, None included (which json columns store as JSON null). ``from_text`` takes
    a literal of an address or a CSV cell that is not NULL. ``to_json``, ``to_csv`` and ``to_match`` (the text that
    patterns search) take a stored value and return None for NULL. The first two raise :class:`ValueError` with a
    sentence for a bad value, :class:`CheckFailed` where a domain's check refuses it.

    ``plain`` is true where the stored value is what JSON shows, so that a query may pass it on.
    """

    affinity: Literal["INTEGER", "REAL", "TEXT"]
    from_json: Callable[[Json], SQLiteValue]
    from_text: Callable[[str], SQLiteValue]
    to_json: Callable[[Any], Json]
    to_csv: Callable[[Any], str | None]
    to_match: Callable[[Any], str | None]
    plain: bool = False


def same(value: Any) -> Any:
    """Return ``value``: the codec function of what needs no change."""
    return value


def unless_null(convert: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return ``convert`` with NULL passed through."""

    def converted(value: Any) -> Any:
        return None if value is None else convert(value)

    return converted
