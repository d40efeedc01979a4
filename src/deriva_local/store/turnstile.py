"""A lock for threads that serves who came first: a plain one lets whoever is running take it again and again."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager


class Turnstile:
    """One thread at a time, in the order of their coming. Not for use inside itself."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._line: deque[threading.Lock] = deque()
        self._inside: threading.Lock | None = None

    @property
    def waiting(self) -> int:
        """How many threads stand in line."""
        return len(self._line)

    @contextmanager
    def turn(self, patience: float) -> Iterator[bool]:
        """Wait for at most ``patience`` seconds (0: not at all) for our turn; in the block we know whether it came.

        Ctrl-C may interrupt the waiting, the block and the leaving: the turn goes on to the next one all the same.
        """
        ticket = threading.Lock()
        ticket.acquire()
        try:
            yield self._enter(ticket, patience)
        finally:
            try:
                self._leave(ticket)
            finally:
                self._leave(ticket)  # the first may have been interrupted before it began

    def _enter(self, ticket: threading.Lock, patience: float) -> bool:
        with self._guard:
            if self._inside is None:
                self._inside = ticket
                return True
            if not patience:
                return False
            self._line.append(ticket)
        return ticket.acquire(timeout=patience)

    def _leave(self, ticket: threading.Lock) -> None:
        """Let the next one in, or step out of the line. Done twice, it has been done once."""
        with self._guard:
            if self._inside is ticket:
                self._inside = self._line[0] if self._line else None
            elif ticket in self._line:
                self._line.remove(ticket)
            if self._line and self._line[0] is self._inside:
                del self._line[0]
            if self._inside is not None and self._inside.locked():
                self._inside.release()
