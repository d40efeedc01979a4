"""The service in this process: one for each store folder, shared by all who ask, and made anew after a fork."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from deriva_local.service.app import Service

_attached: dict[Path, Service] = {}
_guard = threading.Lock()


def attach(folder: Path) -> Service:
    """Return the service of the store in ``folder``; the store is made if there is none.

    Two calls for one folder give one service, from any thread. A service that was attached before a fork works in
    the child as well; the child's own calls give the child's own.

    Raises:
        OSError: the store cannot be made or opened; the message says why.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> attach(folder) is attach(folder)
        True
    """
    place = folder.expanduser().resolve()
    with _guard:
        if place not in _attached:
            _attached[place] = Service(place)
        return _attached[place]


def detach(folder: Path) -> None:
    """Close the service of ``folder``, if this process has one; the next :func:`attach` opens it again."""
    with _guard:
        service = _attached.pop(folder.expanduser().resolve(), None)
    if service is not None:
        service.close()


def _after_fork() -> None:
    """Leave the services to the parent, and with them a lock that another of its threads may have held."""
    global _guard
    _guard = threading.Lock()
    _attached.clear()


os.register_at_fork(after_in_child=_after_fork)
