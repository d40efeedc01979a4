"""How soon somebody may try another password: the more failed, the later.

A law: what failed so far and the time in, a wait out. The first few mistakes are free; after them each one doubles
the wait. Mistakes are counted for a name as tried from one address, so that nobody can lock another user out, and
for the address as a whole, so that trying many names does not help.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TypeAlias

FREE = 3
"""How many mistakes cost nothing."""

FIRST_WAIT, LONGEST_WAIT = 0.25, 60.0
FORGOTTEN_AFTER = 900.0
"""Seconds after which a mistake does not count any more."""

FREE_OF_ADDRESS = 20
"""How many mistakes of one address, over all names, cost nothing: a class room may share one."""

MOST_KEYS = 10_000

Key: TypeAlias = tuple[str, str]
"""A name and the address that it is tried from; the name is empty for the address as a whole."""


def wait_after(mistakes: int, free: int = FREE) -> float:
    """Return how many seconds must pass after the last of so many mistakes.

    Example:
        >>> [wait_after(mistakes) for mistakes in (0, 3, 4, 5, 6, 40)]
        [0.0, 0.0, 0.25, 0.5, 1.0, 60.0]
    """
    if mistakes <= free:
        return 0.0
    return float(min(FIRST_WAIT * 2 ** min(mistakes - free - 1, 30), LONGEST_WAIT))


def keys_of(name: str, address: str) -> tuple[tuple[Key, int], ...]:
    """Return what an attempt counts for, each with the number of mistakes that are free."""
    return ((name, address), FREE), (("", address), FREE_OF_ADDRESS)


@dataclass
class Attempts:
    """The mistakes of the last minutes: per key how many, and when the last one was."""

    mistakes: dict[Key, tuple[int, float]] = field(default_factory=dict)

    def wait(self, name: str, address: str, now: float) -> float:
        """Return how many seconds somebody must still wait before trying this name again; 0 for none."""
        waits = [self._left(key, free, now) for key, free in keys_of(name, address)]
        return max(0.0, *waits)

    def _left(self, key: Key, free: int, now: float) -> float:
        count, last = self.mistakes.get(key, (0, now))
        return 0.0 if now - last > FORGOTTEN_AFTER else last + wait_after(count, free) - now

    def began(self, name: str, address: str, now: float) -> None:
        """Count an attempt as a mistake, until it turns out to be none: those at the same time count each other."""
        if len(self.mistakes) >= MOST_KEYS:
            self._forget(now)
        for key, _ in keys_of(name, address):
            count, last = self.mistakes.get(key, (0, now))
            self.mistakes[key] = (1 if now - last > FORGOTTEN_AFTER else count + 1, now)

    def _forget(self, now: float) -> None:
        """Forget what does not count any more, and the older half of all when that is not enough."""
        recent = sorted((last, key) for key, (_, last) in self.mistakes.items() if now - last <= FORGOTTEN_AFTER)
        self._keep(key for _, key in recent[-MOST_KEYS // 2 :])

    def _keep(self, keys: Iterable[Key]) -> None:
        self.mistakes = {key: self.mistakes[key] for key in keys}

    def succeeded(self, name: str, address: str) -> None:
        """Forget the mistakes that somebody made before remembering the password, and the attempt itself."""
        self.mistakes.pop((name, address), None)
        count, last = self.mistakes.get(("", address), (1, 0.0))
        self.mistakes["", address] = (max(0, count - 1), last)
