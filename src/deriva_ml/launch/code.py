"""The file that holds a model function: that is the workflow of its runs, not the launcher."""

from __future__ import annotations

import functools
import importlib.util
import inspect
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hydra.utils import get_object
from omegaconf import DictConfig

from deriva_ml.launch.failures import users_code
from deriva_ml.workflow.capture import LAUNCHED, Code, of_source
from deriva_ml.workflow.source import Source


@contextmanager
def launched(config: DictConfig) -> Iterator[None]:
    """Say that workflows made inside the block are the code of the configured model function."""
    name = model_name(config)
    token = LAUNCHED.set(code_of(name) if name else None)
    try:
        yield
    finally:
        LAUNCHED.reset(token)


def model_name(config: DictConfig) -> str | None:
    """Return the dotted name of the function that a run of ``config`` calls."""
    chosen: Any = config.get("script_config") or config.get("model_config")
    if not isinstance(chosen, DictConfig):
        return None
    name = chosen.get("_zen_target") or chosen.get("_target_")
    return str(name) if name else None


@functools.lru_cache(maxsize=64)
def code_of(name: str) -> Code:
    """Return what is known of the code of a function; asked for once in a process, which has loaded it once.

    Raises:
        DerivaMLConfigurationError: it cannot be imported.
    """
    with users_code(f"The model function {name} cannot be loaded"):
        found = inspect.unwrap(get_object(name))
    try:
        file = inspect.getsourcefile(found)
    except TypeError:  # built in, or an instance: it has no file
        file = None
    if file is None:
        return Code(problems=(f"The code is not known: {name} is not written in Python.",))
    return of_source(Source(Path(file).absolute()))


@functools.lru_cache(maxsize=256)
def lies_in(name: str, roots: tuple[str, ...]) -> bool:
    """Return whether a dotted name is defined in the project's own files; what they import from elsewhere is not.

    Raises:
        DerivaMLConfigurationError: it cannot be imported.
    """
    if not _module_lies_in(name, roots):
        return False
    with users_code(f"{name} cannot be loaded"):
        found = get_object(name)
    return _module_lies_in(str(getattr(found, "__module__", "")), roots)


@functools.lru_cache(maxsize=256)
def _module_lies_in(name: str, roots: tuple[str, ...]) -> bool:
    try:
        spec = importlib.util.find_spec(name.partition(".")[0])
    except (ImportError, ValueError):
        return False
    if spec is None:
        return False
    places: Iterable[str] = spec.submodule_search_locations or ([spec.origin] if spec.origin else [])
    return any(_is_below(Path(place), Path(root)) for place in places for root in roots)


def _is_below(path: Path, root: Path) -> bool:
    return path.is_relative_to(root) and "site-packages" not in path.relative_to(root).parts
