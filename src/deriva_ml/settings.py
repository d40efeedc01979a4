"""Where state lives, and which environment variable counts: ``DERIVA_ML_HOME``.

The home holds the embedded catalog and one workspace per catalog, embedded or remote::

    <home>/catalog/                        the embedded store
    <home>/workspaces/<host>__<catalog>/   store.sqlite, executions/<RID>/, cache/; named after the first address of its catalog
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from deriva_ml.errors import DerivaMLConfigurationError

HOME_VARIABLE = "DERIVA_ML_HOME"
HOME_NAME = ".deriva-ml"
SAVE_RID_VARIABLE = "DERIVA_ML_SAVE_EXECUTION_RID"
"""Names the file in which a launcher wants to read which execution was made."""


def find_home(working_dir: str | Path | None = None) -> Path:
    """Return the folder that holds the state: the argument, ``DERIVA_ML_HOME``, the nearest ``.deriva-ml``, the user's.

    The nearest one is looked for in the current folder and those above it. Nothing is created.

    Raises:
        DerivaMLConfigurationError: the current folder is to say where it is, and does not exist any more.
    """
    if working_dir is not None:
        return Path(working_dir).expanduser().absolute()
    if named := os.environ.get(HOME_VARIABLE):
        return Path(named).expanduser().absolute()
    try:
        here = Path.cwd()
    except FileNotFoundError as error:
        raise DerivaMLConfigurationError(
            "The current folder does not exist any more: change to another one, or name the folder with DERIVA_ML_HOME or working_dir."
        ) from error
    for folder in (here, *here.parents):
        if (folder / HOME_NAME).is_dir():
            return folder / HOME_NAME
    return Path.home() / HOME_NAME


def store_folder(home: Path) -> Path:
    """Return the folder of the embedded store of ``home``."""
    return home / "catalog"


def workspace_folder(home: Path, host: str, catalog_id: str) -> Path:
    """Return the folder of the workspace that belongs to one catalog; letters that a path should not have become ``_``."""
    return home / "workspaces" / re.sub(r"[^A-Za-z0-9._-]", "_", f"{host}__{catalog_id}").lstrip(".")
