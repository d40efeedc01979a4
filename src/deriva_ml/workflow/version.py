"""The version of the user's own project: what its pyproject.toml says, or what its tags say (setuptools-scm)."""

from __future__ import annotations

import functools
import logging
import tomllib
import warnings
from pathlib import Path
from typing import Any

_PASSED_ON = ("version_scheme", "local_scheme", "tag_regex", "fallback_version")
log = logging.getLogger(__name__)


@functools.lru_cache(maxsize=32)
def project_version(root: Path, commit: str | None, dirty: bool) -> str | None:
    """Return the version of the project at ``root``; ``commit`` and ``dirty`` say when it must be asked for again."""
    settings = _pyproject(root)
    static = settings.get("project", {}).get("version")
    if isinstance(static, str):
        return static
    return _from_tags(root, settings.get("tool", {}).get("setuptools_scm", {}))


def _pyproject(root: Path) -> dict[str, Any]:
    try:
        return tomllib.loads((root / "pyproject.toml").read_text())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        log.warning("The version of %s is not known: its pyproject.toml cannot be read (%s).", root, error)
        return {}


def _from_tags(root: Path, settings: dict[str, Any]) -> str | None:
    import setuptools_scm

    chosen = {name: settings[name] for name in _PASSED_ON if name in settings}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return str(setuptools_scm.get_version(root=str(root), **chosen))
    except (LookupError, ValueError, OSError, TypeError, AssertionError) as error:
        log.warning("The version of %s is not known: %s", root, error)
        return None
