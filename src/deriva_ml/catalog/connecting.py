"""Sessions that a fork may copy at any moment: they have no locks, and connect only while nobody forks.

To connect, names are looked up, trusted certificates read and hands shaken, in C and under locks of the TLS library. A
session belongs to one thread, and needs no lock; a child lets go of those of its parent's threads, and would wait for theirs.
"""

from __future__ import annotations

import queue
from contextlib import nullcontext
from functools import cache
from typing import Any

from deriva_ml.forks import inside


def make_forkable(session: Any) -> None:
    """Let the ``requests`` session of one thread be so, whether it goes directly or through a proxy."""
    for adapter in session.adapters.values():
        _without_locks(adapter.poolmanager)
        adapter.proxy_manager_for = _through_proxies(adapter.proxy_manager_for)


def _through_proxies(manager_for: Any) -> Any:
    def manager(proxy: str, **options: Any) -> Any:
        return _without_locks(manager_for(proxy, **options))

    return manager


def _without_locks(manager: Any) -> Any:
    manager.pools.lock = nullcontext()
    manager.pool_classes_by_scheme = {scheme: _pool(kind) for scheme, kind in manager.pool_classes_by_scheme.items()}
    return manager


@cache
def _pool(kind: Any) -> Any:
    """Return the kind of pool that holds no lock, and whose connections are made inside."""
    if kind.QueueCls is _Shelf:
        return kind

    def connect(self: Any) -> None:
        with inside():
            kind.ConnectionCls.connect(self)

    connection = type(kind.ConnectionCls.__name__, (kind.ConnectionCls,), {"connect": connect})
    return type(kind.__name__, (kind,), {"ConnectionCls": connection, "QueueCls": _Shelf})


class _Shelf:
    """Connections that wait to be used again, the last one first, as in ``queue.LifoQueue``."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._waiting: list[Any] = []

    def put(self, connection: Any, block: bool = True, timeout: float | None = None) -> None:
        """Lay a connection down; raises ``queue.Full`` where there is no room."""
        if len(self._waiting) >= self._size:
            raise queue.Full
        self._waiting.append(connection)

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        """Take a connection up; raises ``queue.Empty`` where there is none."""
        try:
            return self._waiting.pop()
        except IndexError:
            raise queue.Empty from None

    def qsize(self) -> int:
        """Return how many wait."""
        return len(self._waiting)
