"""The code of a run in an installed package: which distribution brought the file, and where that came from."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.metadata import Distribution, distributions
from pathlib import Path

from deriva_ml.workflow.git import browsable

_FOLDERS = ("site-packages", "dist-packages")


@dataclass(frozen=True, slots=True)
class Package:
    """An installed distribution; ``commit`` is known where it was installed from a repository."""

    url: str
    version: str
    commit: str | None = None


def installed(path: Path) -> Package | None:
    """Return the distribution that brought the file ``path``; None for a file that none brought.

    An editable installation brings no file: its code lies in a work tree, which git knows.
    """
    root = next((folder for folder in path.parents if folder.name in _FOLDERS), None)
    if root is None:
        return None
    line = f"{path.relative_to(root).as_posix()},"
    for distribution in distributions(path=[str(root)]):
        record = distribution.read_text("RECORD") or ""
        if record.startswith(line) or f"\n{line}" in record:
            return _package(distribution)
    return None


def _package(distribution: Distribution) -> Package:
    name, version = distribution.metadata["Name"], distribution.version
    origin = json.loads(distribution.read_text("direct_url.json") or "{}")
    commit = origin.get("vcs_info", {}).get("commit_id")
    if commit:
        return Package(f"{browsable(origin['url'])}/tree/{commit}", version, commit)
    if origin.get("url"):
        return Package(browsable(origin["url"]), version)
    return Package(f"pkg:pypi/{name.lower().replace('_', '-')}@{version}", version)
