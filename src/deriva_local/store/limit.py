"""Stops what SQLite does for a request when it takes too long."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import apsw

from deriva_local.wire.errors import bad_request

TOLD = "Query run time limit exceeded."

_STEPS = 50_000
"""How many instructions of SQLite's machine lie between two looks at the clock: a millisecond, if all are its own."""


@contextmanager
def limited(connection: apsw.Connection, seconds: float) -> Iterator[None]:
    """Let statements run for so long, all of the block together. Blocks may lie in each other.

    Raises:
        Refusal: 400 when it takes longer.
    """
    deadline = time.monotonic() + seconds
    name = object()
    connection.set_progress_handler(lambda: time.monotonic() > deadline, _STEPS, id=name)
    try:
        yield
    except apsw.InterruptError as stopped:
        raise bad_request(TOLD) from stopped
    finally:
        connection.set_progress_handler(None, id=name)
