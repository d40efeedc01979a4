"""A lock for threads that serves who came first: a plain one lets whoever is running take it again and again."""

from __future__ import annotations

import threading
from collections import deque


class Turnstile:
    """One thread at a time, in the order of their coming. Not for use inside itself."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._line: deque[threading.Lock] = deque()
        self._is_taken = False

    @property
    def waiting(self) -> int:
        """How many threads stand in line."""
        return len(self._line)

    def enter(self, patience: float) -> bool:
        """Wait for at most ``patience`` seconds (0: not at all); say whether it is our turn."""
        with self._guard:
            if not self._is_taken:
                self._is_taken = True
                return True
            if not patience:
                return False
            called = threading.Lock()
            called.acquire()
            self._line.append(called)
        return called.acquire(timeout=patience) or not self._leave(called)

    def _leave(self, called: threading.Lock) -> bool:
        """Step out of the line; say False if our turn came in this very moment."""
        with self._guard:
            if called not in self._line:
                return False
            self._line.remove(called)
            return True

    def exit(self) -> None:
        """Let the next one in."""
        with self._guard:
            if self._line:
                self._line.popleft().release()
            else:
                self._is_taken = False
