"""Callers that do not get on: who lets the server wait for the rest of a request is hung up on.

A request holds a thread while it arrives. A byte now and then would hold it for ever, since each one starts the wait
of the socket anew; so the whole of what is expected gets a time, and a thread that looks once in a while ends what is
over it.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

LOOK_EVERY = 1.0


class Overdue:
    """The connections that something is expected of, each with the moment until which."""

    def __init__(self) -> None:
        self._due: dict[object, tuple[float, socket.socket]] = {}
        self._ended = threading.Event()
        self._watch = threading.Thread(target=self._look, name="overdue", daemon=True)
        self._watch.start()

    @contextmanager
    def within(self, connection: socket.socket, seconds: float) -> Iterator[None]:
        """Expect the block, which reads from ``connection``, to end in so many seconds; else nothing more arrives there."""
        mark = object()
        self._due[mark] = (time.monotonic() + seconds, connection)
        try:
            yield
        finally:
            del self._due[mark]

    def hang_up(self, now: float) -> int:
        """End the connections that are over their time; return how many."""
        over = [connection for due, connection in tuple(self._due.values()) if due < now]
        for connection in over:
            with suppress(OSError):  # it ended meanwhile
                socket.socket.shutdown(connection, socket.SHUT_RDWR)
        return len(over)

    def close(self) -> None:
        """Look no more."""
        self._ended.set()
        self._watch.join()

    def _look(self) -> None:
        while not self._ended.wait(LOOK_EVERY):
            self.hang_up(time.monotonic())
