"""The root configurations: what a run, and what a notebook, is composed of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hydra_zen import builds, store

from deriva_ml.launch.run import run_model
from deriva_ml.ml import DerivaML

ROOT_NAME = "deriva_model"

base_defaults: list[Any] = [
    "_self_",
    {"deriva_ml": "default_deriva"},
    {"datasets": "default_dataset"},
    {"assets": "default_asset"},
    {"workflow": "default_workflow"},
    {"model_config": "default_model"},
]
"""The Hydra defaults of a run: the five groups with their default entries. The start of one's own."""

_NOTEBOOK_GROUPS = {"deriva_ml": "default_deriva", "datasets": "default_dataset", "assets": "default_asset"}


def create_model_config(
    ml_class: type[DerivaML] | None = None,
    description: str = "Model execution",
    hydra_defaults: Sequence[Any] | None = None,
) -> Any:
    """Return the root configuration of ``deriva-ml-run``; store it under the name ``deriva_model``.

    ``ml_class`` is a subclass of DerivaML to open the catalog as; ``hydra_defaults`` begin with :data:`base_defaults`.

    Example::

        RootConfig = create_model_config(description="digits")
        store(RootConfig, name="deriva_model")
    """
    more: dict[str, Any] = {} if ml_class is None else {"ml_class": ml_class}
    defaults = list(hydra_defaults) if hydra_defaults is not None else list(base_defaults)
    return builds(run_model, description=description, populate_full_signature=True, hydra_defaults=defaults, **more)


# The types of its fields are no texts (this file has no `from __future__ import annotations`): those of a subclass are read
# in the module of the subclass, and where one of them is not known there, none would be checked.
@dataclass
class BaseConfig:
    """What every notebook is configured with; subclasses add fields of their own.

    ``dry_run`` is False, True (nothing is recorded) or ``"validate"`` (inputs are looked up, nothing runs).
    """

    deriva_ml: Any = None
    datasets: Any = field(default_factory=list)
    assets: Any = field(default_factory=list)
    dry_run: Any = False
    description: str = ""
    config_choices: dict[str, str] = field(default_factory=dict)
    script_config: Any = None


DerivaBaseConfig = BaseConfig


def notebook_config(
    name: str,
    config_class: type[BaseConfig] | None = None,
    defaults: Mapping[str, str] | None = None,
    **field_defaults: Any,
) -> Any:
    """Register the configuration of a notebook; ``run_notebook(name)`` composes it.

    ``defaults`` chooses entries of groups (``{"assets": "my_models"}``); keywords set fields of ``config_class``.

    Example::

        notebook_config("analysis", MyConfig, defaults={"assets": "trained"}, threshold=0.5)
    """
    chosen = {**_NOTEBOOK_GROUPS, **(defaults or {})}
    config = builds(
        config_class or BaseConfig,
        populate_full_signature=True,
        hydra_defaults=["_self_", *({group: entry} for group, entry in chosen.items())],
        **field_defaults,
    )
    store(config, name=name)
    return config
