"""What a configuration may instantiate: what the project's own Python stored or holds, and nothing else.

A law: values in, values out. A YAML file, or an override typed by somebody else, must not be able to call any function
on this machine.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from deriva_ml.errors import DerivaMLConfigurationError

_KEYS = ("_target_", "_zen_target", "_zen_wrappers")
_LOOKUPS = {
    "hydra_zen.funcs.get_obj": "path",
    "hydra.utils.get_class": "path",
    "hydra.utils.get_method": "path",
    "hydra.utils.get_object": "path",
}
_LOGGING = ("hydra.job_logging", "hydra.hydra_logging", "job_logging", "hydra_logging")
_LOGGING_KEYS = ("class", "()")
_HARMLESS = frozenset(
    {
        "deriva_ml.asset.spec.AssetSpec", "deriva_ml.asset.spec.LocalFile", "deriva_ml.dataset.spec.DatasetSpec",
        "deriva_ml.launch.configs.BaseConfig", "deriva_ml.launch.connection.DerivaMLConfig",
        "deriva_ml.launch.run.run_model", "deriva_ml.launch.specs.DescribedList", "deriva_ml.ml.DerivaML",
        "deriva_ml.workflow.workflow.Workflow", "hydra_zen.funcs.get_obj", "hydra_zen.funcs.partial",
        "hydra_zen.funcs.zen_processing", "hydra.experimental.callbacks.LogJobReturnCallback",
        "hydra.experimental.callbacks.PickleJobInfoCallback", "logging.FileHandler", "logging.Formatter",
        "logging.NullHandler", "logging.StreamHandler", "logging.handlers.RotatingFileHandler",
        "logging.handlers.TimedRotatingFileHandler", "colorlog.ColoredFormatter",
    }
)  # fmt: skip
"""What every configuration may call: it makes values, or it is what a run begins with."""


def targets(config: Any, place: str = "") -> Iterator[tuple[str, str]]:
    """Yield every name that instantiating ``config`` would call or look up, with its place.

    Example:
        >>> list(targets({"model": {"_target_": "os.system", "command": "ls"}}))
        [('model', 'os.system')]
    """
    if isinstance(config, Mapping):
        named = {config.get(key) if isinstance(config.get(key), str) else None for key in _KEYS} - {None}
        lookup = _LOOKUPS.get(str(config.get("_target_")))
        yield from ((place, str(name)) for name in sorted(str(each) for each in named))
        if lookup and isinstance(config.get(lookup), str):
            yield place, config[lookup]
        yield from _named_otherwise(config, place)
        for key, value in config.items():
            if key == "_zen_wrappers" and isinstance(value, list | tuple):
                yield from ((place, each) for each in value if isinstance(each, str))
            yield from targets(value, f"{place}.{key}" if place else str(key))
    elif isinstance(config, list | tuple):
        for number, value in enumerate(config):
            yield from targets(value, f"{place}.{number}" if place else str(number))


def _named_otherwise(config: Mapping[Any, Any], place: str) -> Iterator[tuple[str, str]]:
    """Yield what logging and sweepers call by keys of their own."""
    if place.startswith(_LOGGING):
        yield from ((place, str(config[key])) for key in _LOGGING_KEYS if isinstance(config.get(key), str))
    if isinstance(config.get("custom_search_space"), str):
        yield place, config["custom_search_space"]


def check(config: Any, stored: Collection[str], is_projects: Callable[[str], bool]) -> None:
    """Refuse a configuration that would call what neither the project's Python stored (``stored``) nor the project holds.

    Raises:
        DerivaMLConfigurationError: it names each such target and its place.
    """
    foreign = [
        (place, name)
        for place, name in targets(config)
        if name not in stored and name not in _HARMLESS and not is_projects(name)
    ]
    if foreign:
        listed = ", ".join(f"{place}: {name}" for place, name in foreign)
        raise DerivaMLConfigurationError(
            f"This configuration would call {listed}, which neither this project's configs store nor its source holds. "
            "Store it with `builds(…)` in a module of configs if it is meant."
        )
