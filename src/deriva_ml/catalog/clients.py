"""The deriva client's own objects, bound to the same catalog: loaded on first use.

For the embedded catalog, the client's sessions send to it in this process: the client looks its host up like any
other, under a name that no network knows.
"""

from __future__ import annotations

import hashlib
from typing import Any

from deriva_ml.catalog.away import away_client
from deriva_ml.catalog.embedded import EmbeddedPort
from deriva_ml.catalog.port import Port
from deriva_ml.catalog.remote import RemotePort
from deriva_ml.catalog.session import Catalog
from deriva_ml.errors import DerivaMLConfigurationError
from deriva_ml.names import TableName


def ermrest_catalog(catalog: Catalog) -> Any:
    """Return the client's ``ErmrestCatalog``, or ``ErmrestSnapshot`` for a snapshot."""
    if catalog.offline:
        return away_client(catalog.host)
    from deriva.core import ErmrestCatalog, ErmrestSnapshot

    scheme, server, credential = _place(catalog.port)
    if catalog.snapshot:
        return ErmrestSnapshot(scheme, server, catalog.catalog_id, catalog.snapshot, credential)
    return ErmrestCatalog(scheme, server, catalog.catalog_id, credential)


def hatrac_store(catalog: Catalog) -> Any:
    """Return the client's ``HatracStore`` of the catalog's server."""
    if catalog.offline:
        return away_client(catalog.host)
    from deriva.core import HatracStore

    return HatracStore(*_place(catalog.port))


def model_table(client: Any, name: TableName) -> Any:
    """Return the client's ``Table`` called ``name``, from a fresh model."""
    return client.getCatalogModel().schemas[name.schema].tables[name.name]


def _place(port: Port) -> tuple[str, str, dict[str, Any] | None]:
    """Return what the client wants to know of a server: scheme, name, credential."""
    if isinstance(port, RemotePort):
        return port.scheme, port.host, port.credential
    if not isinstance(port, EmbeddedPort):
        raise DerivaMLConfigurationError(f"The deriva client knows no road to {port.host}.")
    name = "embedded-" + hashlib.sha256(str(port.service.folder).encode()).hexdigest()[:12]
    port.known_to_client(name)
    return "https", name, None
