"""The version of the user's own project: what its pyproject.toml says, or what its tags say.

Tags are read as setuptools-scm reads them. A clean tree whose newest tag is a plain number needs nothing but git; for
everything else setuptools-scm itself is asked, which takes a fifth of a second to load.
"""

from __future__ import annotations

import functools
import logging
import os
import re
import tomllib
import warnings
from pathlib import Path
from typing import Any

from deriva_ml.workflow.git import GitUnknown, run

_PASSED_ON = ("version_scheme", "local_scheme", "tag_regex", "fallback_version")
_PLAIN_TAG = re.compile(r"v?(\d+)\.(\d+)\.(\d+)-(\d+)-g([0-9a-f]{40})")
_NODE_LENGTH = 9
log = logging.getLogger(__name__)


@functools.lru_cache(maxsize=32)
def project_version(root: Path, commit: str | None, dirty: bool) -> str | None:
    """Return the version of the project at ``root``; ``commit`` and ``dirty`` say when it must be asked for again."""
    settings = _pyproject(root)
    static = settings.get("project", {}).get("version")
    if isinstance(static, str):
        return static
    rules = settings.get("tool", {}).get("setuptools_scm", {})
    plain = (
        commit is not None
        and not dirty
        and not rules
        and not any(name.startswith("SETUPTOOLS_SCM") for name in os.environ)
    )
    return (_from_git(root) if plain else None) or _from_tags(root, rules)


def _pyproject(root: Path) -> dict[str, Any]:
    try:
        return tomllib.loads((root / "pyproject.toml").read_text())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        log.warning("The version of %s is not known: its pyproject.toml cannot be read (%s).", root, error)
        return {}


def _from_git(root: Path) -> str | None:
    """Return the version of a clean tree by the default rules, None where they are not this simple."""
    try:
        if run(root, "status", "--porcelain", "--untracked-files=no").strip():
            return None
        if not run(root, "tag", "--list", "--merged", "HEAD").strip():
            count, node = run(root, "rev-list", "--count", "HEAD").strip(), run(root, "rev-parse", "HEAD").strip()
            return f"0.1.dev{count}+g{node[:_NODE_LENGTH]}"
        described = run(root, "describe", "--tags", "--long", "--abbrev=40", "--match", "*[0-9]*").strip()
    except GitUnknown:
        return None
    tag = _PLAIN_TAG.fullmatch(described)
    if tag is None:
        return None
    major, minor, patch, distance, node = tag.groups()
    if distance == "0":
        return f"{int(major)}.{int(minor)}.{int(patch)}"
    return f"{int(major)}.{int(minor)}.{int(patch) + 1}.dev{distance}+g{node[:_NODE_LENGTH]}"


def _from_tags(root: Path, rules: dict[str, Any]) -> str | None:
    import setuptools_scm

    chosen = {name: rules[name] for name in _PASSED_ON if name in rules}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return str(setuptools_scm.get_version(root=str(root), **chosen))
    except (LookupError, ValueError, OSError, TypeError, AssertionError) as error:
        log.warning("The version of %s is not known: %s", root, error)
        return None
