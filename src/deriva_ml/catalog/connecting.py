"""Connections that no fork cuts in two while they are made: the TLS library has locks that a child would inherit as held.

Making one means to look up names, to read the certificates that are trusted, and to shake hands; all of it in C.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from deriva_ml.forks import inside


def make_connections_inside(session: Any) -> None:
    """Let a ``requests`` session connect inside :func:`deriva_ml.forks.inside`, directly or through a proxy."""
    for adapter in session.adapters.values():
        _replace_pools(adapter.poolmanager)
        adapter.proxy_manager_for = _through_proxies(adapter.proxy_manager_for)


def _through_proxies(manager_for: Any) -> Any:
    def manager(proxy: str, **options: Any) -> Any:
        return _replace_pools(manager_for(proxy, **options))

    return manager


def _replace_pools(manager: Any) -> Any:
    manager.pool_classes_by_scheme = {scheme: _pool(kind) for scheme, kind in manager.pool_classes_by_scheme.items()}
    return manager


@cache
def _pool(kind: Any) -> Any:
    """Return the kind of pool whose connections are made inside."""

    def connect(self: Any) -> None:
        with inside():
            kind.ConnectionCls.connect(self)

    if getattr(kind, "is_inside", False):
        return kind
    connection = type(kind.ConnectionCls.__name__, (kind.ConnectionCls,), {"connect": connect})
    return type(kind.__name__, (kind,), {"ConnectionCls": connection, "is_inside": True})
