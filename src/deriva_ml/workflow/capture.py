"""The code that is running: its URL at the commit, its checksum, its version, and what of that is not known.

In this order: a container image, an address set by a launcher, git. Capturing never fails; it says what is missing.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, replace
from pathlib import Path

from deriva_ml.workflow import git
from deriva_ml.workflow.container import image
from deriva_ml.workflow.notebook import notebook_checksum
from deriva_ml.workflow.package import installed
from deriva_ml.workflow.source import Source, caller
from deriva_ml.workflow.version import project_version

_SHOWN = 10


class DirtyTreeWarning(UserWarning):
    """The work tree has uncommitted changes: the recorded URL does not show the code that runs."""


@dataclass(frozen=True, slots=True)
class Code:
    """What is known of the code. ``dirty`` is None where nobody can say; ``problems`` tells what is missing and why."""

    url: str | None = None
    checksum: str | None = None
    version: str | None = None
    commit: str | None = None
    dirty: bool | None = None
    dirty_paths: tuple[str, ...] = ()
    is_notebook: bool = False
    git_root: Path | None = None
    problems: tuple[str, ...] = ()


LAUNCHED: ContextVar[Code | None] = ContextVar("LAUNCHED", default=None)
"""The code that a launcher in this process runs, which no frame of the stack shows yet."""


def capture(allow_dirty: bool = False) -> Code:
    """Return what is known of the code that called; warns where the work tree has uncommitted changes."""
    variables = os.environ
    built = image(variables)
    if built is not None and built.checksum:
        return Code(built.url, built.checksum, built.version, built.commit, dirty=False)
    if variables.get("DERIVA_ML_WORKFLOW_URL"):
        return _set_by_launcher(variables)
    code = LAUNCHED.get() or of_source(caller(), allow_dirty)
    if built is None:
        return code
    return Code(
        built.url or code.url,
        code.checksum if code.git_root else None,  # nobody can say which image it was: no run shares its workflow
        built.version or code.version,
        code.commit,
        code.dirty,
        code.dirty_paths,
        code.is_notebook,
        code.git_root,
        code.problems,
    )


def _set_by_launcher(variables: Mapping[str, str]) -> Code:
    url = variables["DERIVA_ML_WORKFLOW_URL"]
    checksum = variables.get("DERIVA_ML_WORKFLOW_CHECKSUM") or None
    notebook = variables.get("DERIVA_ML_NOTEBOOK_PATH")
    bare = Code(url, checksum, is_notebook=bool(notebook) or url.endswith(".ipynb"))
    if not notebook:
        return bare
    try:
        tree = git.tree_of(Path(notebook), _ignored())
    except git.GitUnknown:  # the launcher knew the address, so a missing repository takes nothing away
        return bare
    version, dirty = project_version(tree.root, tree.commit, bool(tree.dirty)), git.changed(tree, Path(notebook))
    return replace(bare, version=version, commit=tree.commit, dirty=bool(dirty), dirty_paths=dirty, git_root=tree.root)


def of_source(source: Source, allow_dirty: bool = False) -> Code:
    """Return what is known of the code in one file."""
    path = source.path
    if path is None:
        return Code(is_notebook=source.is_notebook, problems=(f"The code is not known: {source.reason}.",))
    package = installed(path)
    if package is not None:
        checksum = git.content_checksum(path.read_bytes())
        return Code(package.url, checksum, package.version, package.commit, dirty=None, is_notebook=source.is_notebook)
    try:
        tree = git.tree_of(path, _ignored())
    except git.GitUnknown as error:
        return _without_repository(source, path, f"{path} is in no git repository that can be read: {error}.")
    return _in_tree(tree, source, path, allow_dirty)


def _in_tree(tree: git.Tree, source: Source, path: Path, allow_dirty: bool) -> Code:
    problems: list[str] = []
    url = checksum = None
    try:
        url = git.address(tree, path)
        checksum = _notebook_checksum(path) if source.is_notebook else git.file_checksum(tree, path)
    except git.GitUnknown as error:
        problems.append(f"The checksum of {path} is not known: {error}.")
    if tree.remote is None:
        problems.append(f"The repository {tree.root} has no remote: the URL is local to this machine.")
    if url is not None and not git.is_committed(tree, path):
        url = path.absolute().as_uri()
        problems.append(f"{path} is not in the commit: the URL is that of the file on this machine.")
    if tree.commit is None:
        problems.append(f"The repository {tree.root} has no commit yet.")
    version = project_version(tree.root, tree.commit, bool(tree.dirty)) if tree.commit else None
    dirty = git.changed(tree, path)
    code = Code(
        url, checksum, version, tree.commit, bool(dirty), dirty, source.is_notebook, tree.root, tuple(problems)
    )  # fmt: skip
    if code.dirty and not (allow_dirty or dirty_allowed()):
        warnings.warn(dirty_sentence(path, code), DirtyTreeWarning, stacklevel=_outside())
    return code


def _without_repository(source: Source, path: Path, reason: str) -> Code:
    """No commit, no URL, and nobody can say whether anything changed; the content still has git's checksum."""
    try:
        checksum = _notebook_checksum(path) if source.is_notebook else git.content_checksum(path.read_bytes())
    except (OSError, git.GitUnknown) as error:
        return Code(is_notebook=source.is_notebook, problems=(reason, f"Its checksum is not known either: {error}."))
    return Code(checksum=checksum, is_notebook=source.is_notebook, problems=(reason,))


def _notebook_checksum(path: Path) -> str:
    """Return the checksum of a notebook; the runner of this one has found it out already."""
    known = os.environ.get("DERIVA_ML_WORKFLOW_CHECKSUM")
    return known if known and os.environ.get("DERIVA_ML_NOTEBOOK_PATH") == str(path) else notebook_checksum(path)


def dirty_allowed() -> bool:
    """Return whether the environment says that uncommitted changes need no warning."""
    return os.environ.get("DERIVA_ML_ALLOW_DIRTY", "").strip().lower() in {"true", "1", "yes"}


def _ignored() -> tuple[str, ...]:
    more = os.environ.get("DERIVA_ML_DIRTY_CHECK_IGNORE", "")
    return (*git.IGNORED_PREFIXES, *(prefix for prefix in more.split(":") if prefix))


def dirty_sentence(path: Path, code: Code) -> str:
    """Return what to say of a work tree with uncommitted changes."""
    shown = ", ".join(code.dirty_paths[:_SHOWN]) + (" …" if len(code.dirty_paths) > _SHOWN else "")
    url = "the recorded URL shows the last commit, not the code that runs"
    if code.url == path.absolute().as_uri():
        url = "no commit holds the code that runs, and the recorded URL is that of the file on this machine"
    elif code.commit is None:
        url = "no URL is recorded before the first commit"
    return (
        f"The work tree of {path} has uncommitted changes ({shown}): {url}. "
        "Commit first; DERIVA_ML_ALLOW_DIRTY=true silences this."
    )


def _outside() -> int:
    """Return the stack level of the user's code, so that the warning points at it."""
    level, frame = 1, sys._getframe(1)
    while frame is not None and frame.f_globals.get("__name__", "").split(".")[0] in {"deriva_ml", "pydantic"}:
        level, frame = level + 1, frame.f_back  # type: ignore[assignment]
    return level
