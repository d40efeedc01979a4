"""Looking at the configuration of a notebook without running it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from deriva_ml.launch import hydra_main
from deriva_ml.launch.configs import notebook_config
from deriva_ml.launch.multiruns import list_multirun_configs
from deriva_ml.launch.notebook_file import config_of, read_notebook
from deriva_ml.launch.registration import find_upwards, groups, load_configs, make_importable, menu, register, roots_of
from deriva_ml.launch.task import Task, stored_targets


def notebook_menu(notebook: Path) -> str:
    """Return the menu of the configurations that the notebook can choose from: those of a folder above it.

    Raises:
        DerivaMLConfigurationError: there are none, or they cannot be read.
    """
    _load(notebook)
    return menu(list_multirun_configs())


def show_config(notebook: Path, overrides: Sequence[str], flags: Sequence[str]) -> None:
    """Let Hydra show the configuration that the notebook composes; one that nobody registered is the plain one.

    Raises:
        DerivaMLConfigurationError: no such notebook, or its configuration cannot be composed.
    """
    name = config_of(read_notebook(notebook)) or notebook.stem
    configs = _load(notebook)
    if name not in groups().get("", ()):
        notebook_config(name)
        register()
    hydra_main.main(Task(tuple(roots_of(configs)), stored_targets()), name, [*flags, *overrides])


def _load(notebook: Path) -> Path:
    configs = find_upwards("configs", notebook.absolute().parent)
    make_importable(configs)
    load_configs(configs.name)
    return configs
