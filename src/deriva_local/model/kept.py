"""What follows from a table alone, worked out once: tables are values, which last as long as the model they belong to."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from deriva_local.model.elements import Table

T = TypeVar("T")

_KEPT = 512


class Kept(Generic[T]):
    """Answers of ``work``, by table and what else it is told; of too many all are let go.

    Example:
        >>> names = Kept(lambda table, prefix: prefix + table.name)
        >>> names(Table("1", "2", "Image", ()), "the ")
        'the Image'
    """

    def __init__(self, work: Callable[..., T]) -> None:
        self._work = work
        self._found: dict[tuple[Hashable, ...], tuple[Table, T]] = {}

    def __call__(self, table: Table, *more: Hashable) -> T:
        key = (id(table), *more)
        found = self._found.get(key)
        if found is not None and found[0] is table:  # else the number was another table's before
            return found[1]
        made = self._work(table, *more)
        if len(self._found) >= _KEPT:
            self._found.clear()
        self._found[key] = (table, made)
        return made
