"""The front door: class DerivaML opens a catalog and hands on; every public method is one call into a room."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from deriva_ml.catalog import clients
from deriva_ml.catalog.embedded import EMBEDDED, FIRST_CATALOG, open_or_create, refuse_network_folder
from deriva_ml.catalog.port import Port
from deriva_ml.catalog.remote import RemotePort
from deriva_ml.catalog.session import Catalog
from deriva_ml.errors import DerivaMLConfigurationError, DerivaMLReadOnlyError, DerivaMLSchemaError
from deriva_ml.names import ML_SCHEMA
from deriva_ml.settings import find_home, workspace_folder


class DerivaML:
    """A catalog, opened for recording what was done with which data.

    Without arguments it opens the user's embedded catalog, and makes it on first use. With a host it opens a catalog
    of a Deriva server, or of ``deriva-ml serve``.

    Args:
        hostname: A server (``data.example.org``, ``localhost:8080``, with its scheme if need be). None: embedded.
        catalog_id: The catalog's id. None: the embedded one that is made on first use.
        domain_schemas: The schemas of the users' own tables, if not all but deriva-ml's and the system's.
        default_schema: The schema that takes new tables, where there are several.
        project_name: Begins the ids of new terms (``project:1-ABC``). Default: the name of the default schema.
        cache_dir: The folder for what can be fetched again. Default: in the workspace.
        working_dir: The folder for the embedded catalog and the workspace (of a server: the workspace only).
            Default: ``DERIVA_ML_HOME``, the nearest ``.deriva-ml``, ``~/.deriva-ml``.
        hydra_runtime_output_dir: The folder of a Hydra run whose configuration belongs to the executions.
        ml_schema: The name of the deriva-ml schema in the catalog.
        logging_level, deriva_logging_level: How much deriva-ml and the deriva client log.
        credential: What the server wants to see, as the deriva client spells it (``{"bearer-token": …}``).
        clean_execution_dir: Whether an execution's staged files go away once they are in the catalog.

    Raises:
        DerivaMLConfigurationError: no such catalog, or a folder that cannot hold one (a network file system).
        DerivaMLReadOnlyError: the folder cannot be written.
        DerivaMLOfflineError: the server does not answer.
        DerivaMLAuthenticationError: the server does not know the user.
        DerivaMLSchemaError: the catalog has no deriva-ml schema.

    Example::

        ml = DerivaML()
        ml.create_vocabulary("Grade", comment="How severe it is")
        ml.add_term("Grade", "Mild", "Hardly visible")
    """

    def __init__(
        self,
        hostname: str | None = None,
        catalog_id: str | int | None = None,
        domain_schemas: Collection[str] | None = None,
        default_schema: str | None = None,
        project_name: str | None = None,
        cache_dir: str | Path | None = None,
        working_dir: str | Path | None = None,
        hydra_runtime_output_dir: str | Path | None = None,
        ml_schema: str = ML_SCHEMA,
        logging_level: int = logging.WARNING,
        deriva_logging_level: int = logging.WARNING,
        credential: Mapping[str, Any] | None = None,
        clean_execution_dir: bool = True,
    ) -> None:
        logging.getLogger("deriva_ml").setLevel(logging_level)
        logging.getLogger("deriva").setLevel(deriva_logging_level)
        self.working_dir = find_home(working_dir)
        self.hydra_runtime_output_dir = Path(hydra_runtime_output_dir) if hydra_runtime_output_dir else None
        self.clean_execution_dir = clean_execution_dir
        port, self.catalog_id = _open(self.working_dir, hostname, catalog_id, credential)
        self.session = Catalog(
            port, self.catalog_id, ml_schema=ml_schema, default_schema=default_schema, domain_schemas=domain_schemas
        )
        _check(self.session, default_schema, domain_schemas)
        self.workspace = workspace_folder(self.working_dir, port.host, self.catalog_id)
        _make_folder(self.workspace)
        self.cache_dir = Path(cache_dir) if cache_dir is not None else self.workspace / "cache"
        self._project_name = project_name

    # -------------------------------------------------------------------------------------------------------- catalog

    @property
    def host_name(self) -> str:
        """The server, ``"embedded"`` for the catalog in a folder."""
        return self.session.host

    @property
    def ml_schema(self) -> str:
        """The schema of deriva-ml's own tables."""
        return self.session.ml_schema

    @property
    def domain_schemas(self) -> frozenset[str]:
        """The schemas of the users' own tables."""
        return frozenset(self.session.domain_schemas)

    @property
    def default_schema(self) -> str:
        """The schema that takes new tables."""
        return self.session.default_schema

    @property
    def project_name(self) -> str:
        """What the ids of new terms begin with."""
        return self._project_name or self.default_schema

    @cached_property
    def catalog(self) -> Any:
        """The deriva client's ``ErmrestCatalog``, bound to this catalog."""
        return clients.ermrest_catalog(self.session)

    @cached_property
    def hatrac(self) -> Any:
        """The deriva client's ``HatracStore`` of the same server."""
        return clients.hatrac_store(self.session)

    @property
    def model(self) -> Any:
        """The deriva client's ``Model`` of the catalog, as it is now."""
        return self.catalog.getCatalogModel()

    def pathBuilder(self) -> Any:
        """Return the deriva client's data paths: ``ml.pathBuilder().schemas[schema].tables[name]``."""
        return self.catalog.getPathBuilder()

    def domain_path(self, schema: str | None = None) -> Any:
        """Return the deriva client's data path of the default schema, or of ``schema``."""
        return self.pathBuilder().schemas[schema or self.default_schema]

    # ----------------------------------------------------------------------------------------------------- vocabulary

    # --------------------------------------------------------------------------------------------------------- tables

    # --------------------------------------------------------------------------------------------------------- assets

    # ------------------------------------------------------------------------------------------------------- features

    # ------------------------------------------------------------------------------------------------------ workflows

    # ----------------------------------------------------------------------------------------------------- executions

    # ------------------------------------------------------------------------------------------------------- datasets

    # -------------------------------------------------------------------------------------------------------- lineage

    # -------------------------------------------------------------------------------------------------------- storage


def _open(
    home: Path, hostname: str | None, catalog_id: str | int | None, credential: Mapping[str, Any] | None
) -> tuple[Port, str]:
    if hostname is None or hostname == EMBEDDED:
        return open_or_create(home, str(catalog_id) if catalog_id is not None else FIRST_CATALOG)
    if catalog_id is None:
        raise DerivaMLConfigurationError(f"Say which catalog of {hostname}: DerivaML({hostname!r}, catalog_id).")
    refuse_network_folder(home)
    return RemotePort(hostname, credential), str(catalog_id)


def _check(session: Catalog, default_schema: str | None, domain_schemas: Collection[str] | None) -> None:
    """Refuse a catalog without the deriva-ml schema, and schemas that it does not have."""
    session.document()
    if default_schema is None and not domain_schemas and session.host == EMBEDDED:
        return
    schemas = session.model().schemas
    if session.ml_schema not in schemas:
        raise DerivaMLSchemaError(
            f"Catalog {session.catalog_id} of {session.host} has no schema {session.ml_schema!r}: "
            "`deriva_ml.schema.create_ml_schema` makes it, or `ml_schema=` says what it is called here."
        )
    unknown = sorted({*(domain_schemas or ()), *([default_schema] if default_schema else [])} - set(schemas))
    if unknown:
        raise DerivaMLSchemaError(f"The catalog has no schema {', '.join(unknown)}. There are: {', '.join(schemas)}.")


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DerivaMLReadOnlyError(
            f"{folder} cannot be made: {error.strerror}. Choose another place with DERIVA_ML_HOME."
        ) from error
