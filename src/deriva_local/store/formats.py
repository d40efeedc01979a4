"""Files of an older format are brought up to date: step by step, in one transaction, while nobody else writes.

The number of steps that a file has taken is its format, and stands in its header. A process that dies on the way leaves
the file as it was; the next one begins anew.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import apsw

from deriva_local.store.connections import APPLICATION, explained, opened, transaction
from deriva_local.store.forks import inside
from deriva_local.store.place import StoreProblem, refuse_newer
from deriva_local.store.queue import Queue
from deriva_local.wire.errors import Refusal

Step = Callable[[apsw.Connection], None]
"""Brings a file from the format before to its own."""


def script(text: str) -> Step:
    """Return the step that runs some SQL."""

    def run(connection: apsw.Connection) -> None:
        connection.execute(text).fetchall()

    return run


def bring_up(path: Path, queue: Queue, steps: Sequence[Step]) -> None:
    """Let the file at ``path`` have taken all ``steps``; it has taken the first one, which made it.

    Raises:
        StoreProblem: it is damaged, unreadable, no file of ours, or in use by others for too long; the disk is full.
        NewerStore: a newer program wrote it.
    """
    with explained(path):
        found = _format(path)
        refuse_newer(path, found, len(steps))
        if found == len(steps):
            return
        try:
            with queue.turn(), inside():
                _step_up(path, steps, queue.patience)
        except Refusal as busy:
            raise StoreProblem(f"{path} is of an older format and in use: end what uses it, then try again.") from busy


def _format(path: Path) -> int:
    with inside():
        connection = opened(path)
        try:
            return checked(path, connection)
        finally:
            connection.close()


def checked(path: Path, connection: apsw.Connection) -> int:
    """Return the format of a file that is ours.

    Raises:
        StoreProblem: it is no file of ours.
    """
    mark, found = connection.pragma("application_id"), int(connection.pragma("user_version"))
    if mark != APPLICATION or not found:
        raise StoreProblem(f"{path} is not a file of a store of this program.")
    return found


def _step_up(path: Path, steps: Sequence[Step], patience: float) -> None:
    """Take the steps that are missing, unless another process did while we waited."""
    connection = opened(path, patience)
    try:
        with transaction(connection):
            found = checked(path, connection)
            refuse_newer(path, found, len(steps))
            for number in range(found, len(steps)):
                steps[number](connection)
                connection.pragma("user_version", number + 1)
    finally:
        connection.close()
