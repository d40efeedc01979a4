"""``run_notebook``: the first cell of a notebook; composes its configuration and begins its execution.

It works the same under ``deriva-ml-run-notebook``, which then also follows every cell, and in Jupyter, where a failing cell
may be mended and run again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import fields
from datetime import datetime
from pathlib import Path
from typing import Any

from hydra_zen import instantiate
from omegaconf import DictConfig, OmegaConf, open_dict

from deriva_ml.enums import ConnectionMode
from deriva_ml.errors import DerivaMLConfigurationError
from deriva_ml.execution.configuration import ExecutionConfiguration
from deriva_ml.execution.execution import Execution
from deriva_ml.launch.composed import Composed, as_list, choices_of, plain
from deriva_ml.launch.configs import BaseConfig, notebook_config
from deriva_ml.launch.connection import DerivaMLConfig, connection_of
from deriva_ml.launch.hydra_main import OUTPUT, composition
from deriva_ml.launch.kernel_side import wait_until_loaded
from deriva_ml.launch.notebook_begun import begin, followed, settle_earlier, tell_dry_run
from deriva_ml.launch.notebook_told import OVERRIDES_VARIABLE
from deriva_ml.launch.registration import (
    find_upwards,
    groups,
    lies_above,
    load_configs,
    make_importable,
    register,
    roots_of,
)
from deriva_ml.launch.run import VALIDATE, found_inputs, read_dry_run
from deriva_ml.launch.task import Task, stored_targets
from deriva_ml.ml import DerivaML
from deriva_ml.workflow.source import caller
from deriva_ml.workflow.workflow import Workflow

_OF_EVERY_NOTEBOOK = {field.name for field in fields(BaseConfig)}


def run_notebook(
    config_name: str | None = None,
    overrides: Sequence[str] | None = None,
    workflow_name: str | None = None,
    workflow_type: str = "Analysis Notebook",
    ml_class: type[DerivaML] | None = None,
    config_package: str = "configs",
) -> tuple[DerivaML, Execution, Any]:
    """Compose the notebook's configuration, open its catalog and begin its execution; return all three.

    ``config_name`` is the name given to ``notebook_config``; left out, it is the notebook's file name, and a project
    without a folder ``configs`` has the plain :class:`~deriva_ml.launch.configs.BaseConfig`. ``overrides`` are Hydra's;
    those of ``deriva-ml-run-notebook`` come after them. End the notebook with ``execution.commit_output_assets()``.

    Called again in the same kernel, it ends the execution that it began before: with nothing staged that one is Aborted.

    Raises:
        DerivaMLConfigurationError: no configurations are found, or this one cannot be composed.
        DerivaMLNotFoundError: an input is not there; nothing was recorded.

    Example::

        ml, execution, config = run_notebook("analysis")
    """
    wait_until_loaded()
    roots = _load(config_package, needed=config_name is not None)
    name = config_name or _name_of_notebook()
    chosen = [*(overrides or ()), *json.loads(os.environ.get(OVERRIDES_VARIABLE, "[]"))]
    composed = composition(name, chosen)
    Task(roots, stored_targets()).check(_without_hydra(composed))
    config = _instance(composed)
    connection = connection_of(config.deriva_ml)
    ml = connection.open(ml_class, _hydra_files(connection, composed, chosen))
    if ml.mode is ConnectionMode.online and not read_dry_run(config.dry_run):
        ml.add_term("Workflow_Type", workflow_type, "Notebooks that analyse results")
    workflow = Workflow(
        name=workflow_name or name, workflow_type=[workflow_type], description=config.description or None
    )
    return ml, _begun(ml, _configuration(config, workflow, chosen), config.dry_run), config


def _load(package: str, needed: bool) -> tuple[str, ...]:
    """Read the project's configurations; return where its modules lie. A notebook by itself needs no configurations."""
    if not needed and package == "configs" and not lies_above(package):
        register()
        return (str(Path.cwd()),)
    configs = find_upwards(package)
    make_importable(configs)
    load_configs(package)
    return tuple(roots_of(configs))


def get_notebook_configuration(
    config_class: Any,
    config_name: str,
    overrides: Sequence[str] | None = None,
    job_name: str = "notebook",
    version_base: str = "1.3",
) -> Any:
    """Return a composed configuration as an instance, without an execution.

    What the project's ``configs`` register under ``config_name`` counts; where they do not, ``config_class`` does.
    ``job_name`` and ``version_base`` are accepted for the sake of older notebooks.

    Raises:
        DerivaMLConfigurationError: it cannot be composed.

    Example::

        config = get_notebook_configuration(MyConfig, "analysis", overrides=["threshold=0.9"])
    """
    register()
    if config_name not in groups().get("", ()) and lies_above("configs"):
        load_configs()
    if config_name not in groups().get("", ()) and config_class is not None:
        notebook_config(config_name, config_class if isinstance(config_class, type) else None)
        register()
    return _instance(composition(config_name, list(overrides or ())))


def _name_of_notebook() -> str:
    """Return the name of the notebook's configuration, registered now if the project has none of it."""
    source = caller()
    if source.path is None:
        raise DerivaMLConfigurationError(
            f'Which configuration? Say run_notebook("name"): the file of this notebook is not known ({source.reason}).'
        )
    name = source.path.stem
    if name not in groups().get("", ()):
        notebook_config(name)
        register()
    return name


def _instance(composed: DictConfig) -> Any:
    """Return what the configuration describes, with the choices that led to it."""
    found: Any = instantiate(_without_hydra(composed))
    found.config_choices = choices_of(composed.hydra)
    return found


def _without_hydra(composed: DictConfig) -> DictConfig:
    task = composed.copy()
    with open_dict(task):
        task.pop("hydra", None)
    return task


def _configuration(config: Any, workflow: Any, overrides: Sequence[str]) -> ExecutionConfiguration:
    own = {name: plain(value) for name, value in vars(config).items() if name not in _OF_EVERY_NOTEBOOK}
    return ExecutionConfiguration(
        datasets=as_list(config.datasets),
        assets=as_list(config.assets),
        workflow=workflow,
        description=Composed(overrides=tuple(overrides)).described(config.description or workflow.name),
        config_choices=config.config_choices,
        parameters=own,
    )


def _begun(ml: DerivaML, configuration: ExecutionConfiguration, dry_run: Any) -> Execution:
    """Begin the execution. Where inputs are only to be looked up, the runner's notebook ends here; Jupyter's goes on, dry."""
    dry = read_dry_run(dry_run)
    found = found_inputs(ml, configuration) if dry == VALIDATE else ""
    if found:
        print(found)
    if dry and followed():
        tell_dry_run(found)
    if found and followed():
        raise SystemExit
    execution = ml.create_execution(configuration, dry_run=bool(dry))
    settle_earlier()
    begin(execution)
    return execution


def _hydra_files(connection: DerivaMLConfig, composed: DictConfig, overrides: Sequence[str]) -> Path:
    """Write what Hydra writes for a run, and return the folder."""
    folder = connection.home / "hydra" / datetime.now().strftime("%Y%m%d_%H%M%S_%f")
    inside = folder / OUTPUT
    inside.mkdir(parents=True, exist_ok=True)
    files: dict[str, Callable[[], str]] = {
        "config": lambda: OmegaConf.to_yaml(_without_hydra(composed)),
        "overrides": lambda: OmegaConf.to_yaml(OmegaConf.create(list(overrides))),
        "hydra": lambda: OmegaConf.to_yaml(OmegaConf.masked_copy(composed, ["hydra"])),
    }
    for name, text in files.items():
        (inside / f"{name}.yaml").write_text(text())
    return folder
