"""Named sweeps: lists of overrides under a name, used as ``+multirun=NAME``."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from deriva_ml.errors import DerivaMLValidationError


@dataclass(frozen=True, slots=True)
class MultirunSpec:
    """A named sweep: what it is for, and the overrides that span it."""

    name: str
    overrides: tuple[str, ...]
    description: str = ""


_KNOWN: dict[str, MultirunSpec] = {}


def multirun_config(name: str, overrides: Iterable[str], description: str = "") -> MultirunSpec:
    """Give a sweep a name; the same name again takes the place of the first.

    Example::

        multirun_config("lr_sweep", ["model_config.lr=0.1,0.01,0.001"], "Which learning rate?")
    """
    if not name or any(letter.isspace() for letter in name):
        raise DerivaMLValidationError(f"{name!r} cannot name a sweep: a name has no spaces.")
    found = MultirunSpec(name, tuple(overrides), description)
    _KNOWN[name] = found
    return found


def get_multirun_config(name: str) -> MultirunSpec | None:
    """Return the sweep of this name, None when there is none."""
    return _KNOWN.get(name)


def list_multirun_configs() -> list[str]:
    """Return the names of the sweeps."""
    return sorted(_KNOWN)


def get_all_multirun_configs() -> dict[str, MultirunSpec]:
    """Return the sweeps by name."""
    return dict(_KNOWN)
