"""Reading a project's ``configs``: every module of the package is imported, and what it stores becomes Hydra's menu."""

from __future__ import annotations

import importlib
import os
import pkgutil
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from hydra.core.config_store import ConfigStore
from hydra_zen import builds, store

from deriva_ml.errors import DerivaMLConfigurationError
from deriva_ml.launch.configs import ROOT_NAME, create_model_config
from deriva_ml.launch.connection import DerivaMLConfig
from deriva_ml.launch.failures import users_code
from deriva_ml.launch.nearest import ADDED

PLACES = ("configs", "src/configs")


def find_configs(named: str | Path | None = None, start: Path | None = None) -> Path:
    """Return the folder of configurations: the one named, else ``configs`` or ``src/configs`` here.

    Raises:
        DerivaMLConfigurationError: it is not there.
    """
    here = start or Path.cwd()
    for place in (named,) if named else PLACES:
        if (here / place).is_dir():
            return (here / place).resolve()
    wanted = f"{named} is no folder" if named else f"There is no folder {' or '.join(PLACES)} in {here}"
    raise DerivaMLConfigurationError(
        f"{wanted}: configurations are Python modules in a folder `configs`. Go to your project, or name the folder with --config-dir."
    )


def find_upwards(package: str, start: Path | None = None) -> Path:
    """Return the folder of the package here (in ``start``) or in a folder above: a notebook runs where it lies.

    Raises:
        DerivaMLConfigurationError: it is in none.
    """
    here = start or Path.cwd()
    for place in _upwards(package, here):
        return place
    raise DerivaMLConfigurationError(
        f"No folder {package!r} lies in {here} or above it: configurations are Python modules in a folder {package!r} "
        "of the project."
    )


def lies_above(package: str) -> bool:
    """Return whether the folder of the package lies here or in a folder above."""
    return any(True for _ in _upwards(package, Path.cwd()))


def _upwards(package: str, here: Path) -> Iterator[Path]:
    for folder in (here, *here.parents):
        yield from (place for place in (folder / package, folder / "src" / package) if place.is_dir())


def make_importable(configs: Path) -> None:
    """Let the project's own source be imported without installing it, in this process and in those that it starts."""
    roots = _importable_from(configs)
    for root in reversed(roots):
        if root in sys.path:
            sys.path.remove(root)
        sys.path.insert(0, root)
    before = [part for part in os.environ.get("PYTHONPATH", "").split(os.pathsep) if part and part not in roots]
    os.environ["PYTHONPATH"] = os.pathsep.join([*roots, *before])


def roots_of(configs: Path) -> list[str]:
    """Return where a project's modules lie, which configurations may call: beside its configs, below ``src``, and above it."""
    beside = configs.parent
    folders = [beside, beside / "src", *([beside.parent] if beside.name == "src" else [])]
    return [str(folder) for folder in folders if folder.is_dir()]


def _importable_from(configs: Path) -> list[str]:
    """Return where modules are imported from: the project's, and the folder we are in if the configurations lie deep inside.

    That folder can hold anything, Python's own library too, so it is not among those that configurations may call.
    """
    here = Path.cwd()
    more = [str(here), str(here / "src")] if here in configs.parent.parents else []
    return list(dict.fromkeys([*roots_of(configs), *(folder for folder in more if Path(folder).is_dir())]))


def load_configs(package_name: str = "configs") -> list[str]:
    """Import every module of the package, ``experiments`` last, and hand what they store to Hydra; return their names.

    A package that cannot be imported is looked for here and in the folders above.

    Raises:
        DerivaMLConfigurationError: there is no such package, or one of its modules cannot be imported.
    """
    with users_code(f"The configurations of {package_name} cannot be read"):
        try:
            package = importlib.import_module(package_name)
        except ModuleNotFoundError as error:
            if error.name != package_name:
                raise
            make_importable(find_upwards(package_name))
            package = importlib.import_module(package_name)
        names = sorted(module.name for module in pkgutil.iter_modules(package.__path__))
        names.sort(key=lambda name: name == "experiments")
        for name in names:
            importlib.import_module(f"{package_name}.{name}")
        register()
    return names


def register() -> None:
    """Hand what was stored to Hydra, and add the entries that every run needs and the project left out."""
    store.add_to_hydra_store(overwrite_ok=True)
    known = groups()
    missing = {
        ("deriva_ml", "default_deriva"): builds(DerivaMLConfig, populate_full_signature=True),
        ("datasets", "default_dataset"): [],
        ("assets", "default_asset"): [],
    }
    for (group, name), config in missing.items():
        if name not in known.get(group, ()):
            ConfigStore.instance().store(group=group, name=name, node=config, provider="deriva-ml")
    if ROOT_NAME not in known.get("", ()) and "default_model" in known.get("model_config", ()):
        ConfigStore.instance().store(name=ROOT_NAME, node=create_model_config(), provider="deriva-ml")


def groups() -> dict[str, list[str]]:
    """Return Hydra's menu: the names of the entries of each group, those of the root under ``""``."""
    found: dict[str, list[str]] = {}
    _walk(ConfigStore.instance().repo, "", found)
    return {group: sorted(names) for group, names in sorted(found.items())}


def _walk(tree: object, path: str, found: dict[str, list[str]]) -> None:
    if not isinstance(tree, dict):
        return
    for name, node in tree.items():
        inside = f"{path}/{name}" if path else name
        if isinstance(node, dict):
            if inside != "hydra":
                _walk(node, inside, found)
        else:
            found.setdefault(path, []).append(name.removesuffix(".yaml"))


def menu(sweeps: Iterable[str]) -> str:
    """Return the menu as text, one group after the other."""
    known = {group: names for group, names in groups().items() if group not in ("", "hydra")}
    lines: list[str] = []
    for group, names in known.items():
        lines += [f"{'+' if group in ADDED else ''}{group}=", *(f"    {name}" for name in names)]
    named = sorted(sweeps)
    lines += ["+multirun=", *(f"    {name}" for name in named)] if named else []
    return "\n".join([*lines, "--config-name", *(f"    {name}" for name in roots())])


def roots() -> list[str]:
    """Return the names that ``--config-name`` takes."""
    return [name for name in groups().get("", ()) if not name.startswith("_") and name != "hydra_config"]
