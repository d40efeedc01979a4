"""Catalogs for deriva-ml made on a server: a new one, or the schema put into one that exists."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from deriva_ml.catalog import clients
from deriva_ml.catalog.port import Request
from deriva_ml.catalog.remote import RemotePort
from deriva_ml.catalog.session import Catalog
from deriva_ml.names import ML_SCHEMA, check_name
from deriva_ml.schema.install import install


def create_ml_catalog(
    hostname: str, project_name: str, credential: Mapping[str, Any] | None = None, ml_schema: str = ML_SCHEMA
) -> Any:
    """Make a catalog with the deriva-ml schema and an empty schema ``project_name``; return the client's catalog.

    Raises:
        DerivaMLOfflineError, DerivaMLAuthenticationError, DerivaMLCatalogError: the server is not there or refuses.

    Example::

        catalog = create_ml_catalog("localhost:8080", "lab")
        ml = DerivaML("localhost:8080", catalog.catalog_id)
    """
    check_name(project_name, "name of a schema")
    port = RemotePort(hostname, credential)
    body = json.dumps({"name": project_name}).encode()
    headers = {"content-type": "application/json", "accept": "application/json"}
    answer = Catalog(port, "").send(Request("POST", "/ermrest/catalog", headers, body))
    catalog = Catalog(port, str(Catalog.read(answer)["id"]), ml_schema=ml_schema)
    install(catalog, project_name)
    return clients.ermrest_catalog(catalog)


def create_ml_schema(
    hostname: str,
    catalog_id: str | int,
    project_name: str,
    credential: Mapping[str, Any] | None = None,
    ml_schema: str = ML_SCHEMA,
) -> None:
    """Put the deriva-ml schema, and a schema ``project_name`` if there is none, into a catalog that exists.

    What is there stays as it is. Raises as :func:`create_ml_catalog` does.
    """
    port = RemotePort(hostname, credential)
    install(Catalog(port, str(catalog_id), ml_schema=ml_schema), check_name(project_name, "name of a schema"))
