"""``DerivaMLConfig``: which catalog, as a configuration that can be stored, overridden and opened."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from deriva_ml.enums import ConnectionMode
from deriva_ml.ml import DerivaML
from deriva_ml.names import ML_SCHEMA
from deriva_ml.settings import find_home


class DerivaMLConfig(BaseModel):
    """The arguments of :class:`~deriva_ml.ml.DerivaML` as a configuration; without a host it means the embedded catalog.

    A credential does not belong here, because Hydra writes configurations into files; the ``deriva`` client keeps it, or
    the variable ``DERIVA_ML_TOKEN`` brings it. ``use_minid`` changes nothing, because without a bucket there are no MINIDs.

    Example:
        >>> DerivaMLConfig(hostname="data.example.org", catalog_id=1).catalog_id
        '1'
    """

    model_config = ConfigDict(extra="forbid", coerce_numbers_to_str=True)

    hostname: str | None = None
    catalog_id: str | None = None
    domain_schemas: list[str] | None = None
    default_schema: str | None = None
    project_name: str | None = None
    cache_dir: Path | None = None
    working_dir: Path | None = None
    hydra_runtime_output_dir: Path | None = None
    ml_schema: str = ML_SCHEMA
    logging_level: int = logging.WARNING
    deriva_logging_level: int = logging.WARNING
    s3_bucket: str | None = None
    use_minid: bool | None = None
    clean_execution_dir: bool = True
    mode: ConnectionMode = ConnectionMode.online

    @property
    def home(self) -> Path:
        """The folder that holds catalog and workspaces."""
        return find_home(self.working_dir)

    def open(self, ml_class: type[DerivaML] | None = None, hydra_dir: Path | None = None) -> DerivaML:
        """Open the catalog, as a ``ml_class`` if given; ``hydra_dir`` holds the Hydra files of the run.

        A class of the project's own is handed what the configuration says and nothing that it leaves at its default.

        Raises:
            DerivaMLConfigurationError, DerivaMLOfflineError, DerivaMLAuthenticationError, DerivaMLReadOnlyError: as
                :class:`~deriva_ml.ml.DerivaML` does.
        """
        arguments = {"hostname": self.hostname, "catalog_id": self.catalog_id, **self.model_dump(exclude_defaults=True)}
        if self.hostname is not None and self.catalog_id is None:
            arguments["catalog_id"] = "1"
        if hydra_dir is not None:
            arguments["hydra_runtime_output_dir"] = hydra_dir
        return (ml_class or DerivaML)(**arguments)


def connection_of(value: Any) -> DerivaMLConfig:
    """Return the connection that a configuration, a mapping or nothing means.

    Example:
        >>> connection_of(None).hostname is None, connection_of({"hostname": "h"}).hostname
        (True, 'h')
    """
    if value is None:
        return DerivaMLConfig()
    if isinstance(value, DerivaMLConfig):
        return value
    if isinstance(value, BaseModel):
        return DerivaMLConfig(**value.model_dump())
    return DerivaMLConfig(**dict(value if isinstance(value, Mapping) else vars(value)))
