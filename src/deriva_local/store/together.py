"""Durability at the end of a block: what one thread commits there reaches the disk with one sync, in its order."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class Settling(Protocol):
    """Something whose committed transactions can be brought to the disk."""

    def settle(self) -> None:
        """Return once everything that this thread has committed is durable."""
        ...


class _Held(threading.local):
    block: dict[int, Settling] | None = None


_held = _Held()


@contextmanager
def durable_at_end() -> Iterator[None]:
    """Let transactions of this thread become durable at the end of the block, however it ends.

    Until then others see them; a power cut loses the last ones, with all that came after them. Inside another such
    block it changes nothing.

    Raises:
        Refusal: 500 at the end, when the disk failed.
    """
    if _held.block is not None:
        yield
        return
    block: dict[int, Settling] = {}
    _held.block = block
    try:
        yield
    finally:
        _held.block = None
        for each in block.values():
            each.settle()


def put_off(each: Settling) -> bool:
    """Note that ``each`` is to be settled at the end of this thread's block; say False when it is in none."""
    if _held.block is None:
        return False
    _held.block[id(each)] = each
    return True


def is_put_off() -> bool:
    """Say whether this thread is in a block that makes things durable at its end."""
    return _held.block is not None
