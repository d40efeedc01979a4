"""Which catalog is meant, opened and looked at: what is not as it should be is said before any work begins."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from deriva_ml.catalog.away import AwayPort
from deriva_ml.catalog.embedded import EMBEDDED, FIRST_CATALOG, open_or_create, refuse_network_folder
from deriva_ml.catalog.identity import identity_of
from deriva_ml.catalog.port import Port
from deriva_ml.catalog.remote import RemotePort, host_of
from deriva_ml.catalog.schema_cache import recall
from deriva_ml.catalog.session import Catalog
from deriva_ml.catalog.workspaces import folder_offline, folder_online
from deriva_ml.enums import ConnectionMode
from deriva_ml.errors import DerivaMLConfigurationError, DerivaMLReadOnlyError, DerivaMLSchemaError
from deriva_ml.files import hide_from_git, make_folder
from deriva_ml.names import ML_SCHEMA
from deriva_ml.settings import workspace_folder


def connection_mode(mode: ConnectionMode | str) -> ConnectionMode:
    """Return the mode that a name means.

    Raises:
        DerivaMLConfigurationError: there is no such mode.
    """
    try:
        return ConnectionMode(str(mode))
    except ValueError:
        raise DerivaMLConfigurationError(f"mode is online or offline, not {mode!r}.") from None


def open_catalog(
    home: Path,
    hostname: str | None = None,
    catalog_id: str | int | None = None,
    credential: Mapping[str, Any] | None = None,
    ml_schema: str = ML_SCHEMA,
    default_schema: str | None = None,
    domain_schemas: Collection[str] | None = None,
) -> Catalog:
    """Return the catalog of a server, or without a host the embedded one of ``home``, made on first use.

    Raises:
        DerivaMLConfigurationError: no such catalog, or a folder that cannot hold one.
        DerivaMLSchemaError: it has no deriva-ml schema, or not the schemas that are named.
        DerivaMLOfflineError, DerivaMLAuthenticationError, DerivaMLReadOnlyError: the server or the folder refuses.
    """
    port, known, document = _road(home, hostname, catalog_id, credential)
    catalog = Catalog(port, known, ml_schema=ml_schema, default_schema=default_schema, domain_schemas=domain_schemas)
    catalog.identity = identity_of(document or catalog.document(), known)
    if port.host != EMBEDDED or ml_schema != ML_SCHEMA or default_schema is not None or domain_schemas:
        _check_schemas(catalog, {*(domain_schemas or ()), *([default_schema] if default_schema else [])})
    return catalog


def open_offline(
    home: Path,
    hostname: str | None = None,
    catalog_id: str | int | None = None,
    ml_schema: str = ML_SCHEMA,
    default_schema: str | None = None,
    domain_schemas: Collection[str] | None = None,
) -> Catalog:
    """Return a session of a catalog that is away: it knows what the last online opening kept, and sends nothing.

    Raises:
        DerivaMLOfflineError: nothing was kept in the workspace below ``home``, or that of another catalog.
        DerivaMLConfigurationError: ``hostname`` is no name of a host, or no catalog of it is named.
        DerivaMLSchemaError: the catalog has not the schemas that are named.
    """
    if hostname is not None and hostname != EMBEDDED and catalog_id is None:
        raise DerivaMLConfigurationError(f"Say which catalog of {hostname}: DerivaML({hostname!r}, catalog_id).")
    host = EMBEDDED if hostname is None or hostname == EMBEDDED else host_of(hostname)
    known = str(catalog_id) if catalog_id is not None else FIRST_CATALOG
    catalog = Catalog(
        AwayPort(host),
        known,
        ml_schema=ml_schema,
        default_schema=default_schema,
        domain_schemas=domain_schemas,
        offline=True,
    )
    folder, identity = folder_offline(home, host, known)
    recall(catalog, folder, identity)
    _check_schemas(catalog, {*(domain_schemas or ()), *([default_schema] if default_schema else [])})
    return catalog


def _road(
    home: Path, hostname: str | None, catalog_id: str | int | None, credential: Mapping[str, Any] | None
) -> tuple[Port, str, dict[str, Any]]:
    """Return the road to a catalog, its id, and what it says of itself where that was read on the way."""
    if hostname is None or hostname == EMBEDDED:
        known = str(catalog_id) if catalog_id is not None else FIRST_CATALOG
        port, document = open_or_create(home, known)
        return port, known, document
    if catalog_id is None:
        raise DerivaMLConfigurationError(f"Say which catalog of {hostname}: DerivaML({hostname!r}, catalog_id).")
    refuse_network_folder(home)
    return RemotePort(hostname, credential), str(catalog_id), {}


def _check_schemas(catalog: Catalog, named: set[str]) -> None:
    schemas = catalog.model().schemas
    if catalog.ml_schema not in schemas:
        raise DerivaMLSchemaError(
            f"Catalog {catalog.catalog_id} of {catalog.host} has no schema {catalog.ml_schema!r}: "
            "`deriva_ml.schema.create_ml_schema(host, catalog, project)` makes it, "
            "or `ml_schema=` says what it is called here."
        )
    if unknown := sorted(named - set(schemas)):
        raise DerivaMLSchemaError(f"The catalog has no schema {', '.join(unknown)}. There are: {', '.join(schemas)}.")


def make_workspace(home: Path, catalog: Catalog) -> Path:
    """Return the folder of the catalog's workspace below ``home``, made if need be; one for each catalog, by whatever address.

    Raises:
        DerivaMLReadOnlyError: it cannot be made.
    """
    folder = workspace_folder(home, catalog.host, catalog.catalog_id)
    try:
        if catalog.offline:
            folder, _ = folder_offline(home, catalog.host, catalog.catalog_id)
        else:
            folder = folder_online(home, catalog)
        make_folder(folder)
        hide_from_git(folder.parent)
    except OSError as error:
        raise DerivaMLReadOnlyError(
            f"{folder} cannot be made: {error.strerror}. Choose another place with DERIVA_ML_HOME."
        ) from error
    return folder
