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
_OURS = ("deriva_ml", "hydra_zen.funcs", "hydra.core", "hydra._internal.core_plugins", "hydra_plugins")


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
        for key, value in config.items():
            if key == "_zen_wrappers" and isinstance(value, list | tuple):
                yield from ((place, each) for each in value if isinstance(each, str))
            yield from targets(value, f"{place}.{key}" if place else str(key))
    elif isinstance(config, list | tuple):
        for number, value in enumerate(config):
            yield from targets(value, f"{place}.{number}" if place else str(number))


def check(config: Any, stored: Collection[str], is_projects: Callable[[str], bool]) -> None:
    """Refuse a configuration that would call what neither the project's Python stored (``stored``) nor the project holds.

    Raises:
        DerivaMLConfigurationError: it names each such target and its place.
    """
    foreign = [
        (place, name)
        for place, name in targets(config)
        if name not in stored and not _is_ours(name) and not is_projects(name)
    ]
    if foreign:
        listed = ", ".join(f"{place}: {name}" for place, name in foreign)
        raise DerivaMLConfigurationError(
            f"This configuration would call {listed}, which neither this project's configs store nor its source holds. "
            "Store it with `builds(…)` in a module of configs if it is meant."
        )


def _is_ours(name: str) -> bool:
    return name.startswith(tuple(f"{module}." for module in _OURS))
