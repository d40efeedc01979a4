"""A SQLite file of plain rows: made and brought up to date under a lock, durable on commit, its writers in line."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import apsw

from deriva_local.store.connections import PATIENCE, Connections, explained, opened, refused, transaction
from deriva_local.store.forks import inside
from deriva_local.store.place import make_folder, refuse_network, refuse_newer, sync_folder
from deriva_local.store.queue import Queue


class Tables:
    """The file at ``path``, for all threads of this process and its forked children.

    ``steps`` are the scripts that make the tables: the first one makes the oldest format, each further one brings the
    format before it up to date. The number of steps that were taken is kept in the header of the file.

    Raises:
        StoreProblem: the file cannot be made or opened, or a newer program wrote it; the message says why.

    Example:
        >>> import tempfile
        >>> tables = Tables(Path(tempfile.mkdtemp()) / "notes.sqlite", ["CREATE TABLE note (text)"])
        >>> with tables.write() as db:
        ...     _ = db.execute("INSERT INTO note VALUES ('x')")
        >>> with tables.read() as db:
        ...     db.execute("SELECT text FROM note").get
        'x'
    """

    def __init__(self, path: Path, steps: Sequence[str]) -> None:
        self.path = path
        refuse_network(path.parent)
        make_folder(path.parent)
        self._queue = Queue(path.with_name(f"{path.name}.lock"), PATIENCE)
        self._connections = Connections(path)
        found = self._format()
        refuse_newer(path, found, len(steps))
        if found < len(steps):
            self._step_up(steps)

    def _format(self) -> int:
        """Return the format of the file; 0 for none, and for one that another process is just making."""
        if not self.path.exists():
            return 0
        with explained(self.path), self._connections.lent() as connection:
            return int(connection.pragma("user_version"))

    def _step_up(self, steps: Sequence[str]) -> None:
        """Take the steps that are missing, unless another process did while we waited."""
        with explained(self.path), self._queue.turn(), inside():
            if not self.path.exists():
                os.close(os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
            connection = opened(self.path, create=True)
            try:
                with transaction(connection):
                    for number in range(int(connection.pragma("user_version")), len(steps)):
                        connection.execute(steps[number]).fetchall()
                        connection.pragma("user_version", number + 1)
            finally:
                connection.close()
            sync_folder(self.path.parent)

    @contextmanager
    def read(self) -> Iterator[apsw.Connection]:
        """Read what is committed, each statement by itself."""
        with refused(self.path), self._connections.lent() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[apsw.Connection]:
        """Write in one transaction: kept when the block ends, undone when it raises.

        Raises:
            Refusal: 503 if others write for too long, 507 on a full disk, 403 on a read-only one.
        """
        with self._queue.turn(), refused(self.path), self._connections.lent() as connection, transaction(connection):
            yield connection

    def vacuum(self) -> None:
        """Give unused space back to the disk."""
        with self._queue.turn(), refused(self.path), self._connections.lent() as connection:
            connection.execute("VACUUM").fetchall()

    def close(self) -> None:
        """Close the connections; the last one of all processes writes the log back into the file."""
        self._connections.close()
        self._queue.close()
