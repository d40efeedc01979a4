"""The next version of a project: fetch its tags, make the next one, push it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from deriva_ml.errors import DerivaMLConfigurationError
from deriva_ml.workflow import git


@dataclass(frozen=True, slots=True, order=True)
class Version:
    """A released version of three numbers."""

    major: int
    minor: int
    patch: int

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}"


def bumped(version: Version, part: str) -> Version:
    """Return the version after ``version``.

    Example:
        >>> str(bumped(Version(1, 2, 3), "minor"))
        '1.3.0'
    """
    if part == "major":
        return Version(version.major + 1, 0, 0)
    if part == "minor":
        return Version(version.major, version.minor + 1, 0)
    return Version(version.major, version.minor, version.patch + 1)


def newest(tags: list[str], prefix: str) -> Version | None:
    """Return the newest released version among tags; development and other tags do not count.

    Example:
        >>> str(newest(["v1.2.0", "v1.10.0", "v2.0.0rc1", "old"], "v"))
        '1.10.0'
    """
    pattern = re.compile(re.escape(prefix) + r"(\d+)\.(\d+)\.(\d+)$")
    found = [Version(*map(int, match.groups())) for tag in tags if (match := pattern.match(tag))]
    return max(found, default=None)


@dataclass(frozen=True, slots=True)
class Bump:
    """What a bump does: the tag before, the tag after, and the steps as git takes them."""

    before: str | None
    after: str
    steps: tuple[tuple[str, ...], ...]


def plan(folder: Path, part: str, *, prefix: str = "v", start: str = "0.1.0") -> Bump:
    """Return what bumping ``part`` would do; nothing is changed but the tags that are fetched.

    Raises:
        DerivaMLConfigurationError: no repository, uncommitted changes, no commit, or the remote does not answer.
    """
    if not re.fullmatch(r"\d+\.\d+\.\d+", start):
        raise DerivaMLConfigurationError(f"A first version has three numbers, as in 0.1.0; START is {start!r}.")
    tree = _clean_tree(folder)
    remote = _remote(tree.root)
    if remote:
        _git(tree.root, "fetch", "--quiet", "--tags", remote)
    version = newest(_git(tree.root, "tag", "--list").split(), prefix)
    after = f"{prefix}{bumped(version, part) if version else start}"
    steps: list[tuple[str, ...]] = [("tag", "--annotate", after, "--message", f"Version {after}")]
    if remote:
        branch = () if tree.branch in (None, "(detached)") else ("HEAD",)
        steps.append(("push", "--quiet", "--atomic", remote, *branch, f"refs/tags/{after}"))
    return Bump(f"{prefix}{version}" if version else None, after, tuple(steps))


def perform(folder: Path, bump: Bump) -> None:
    """Take the steps; a tag that cannot be pushed is taken back.

    Raises:
        DerivaMLConfigurationError: git refuses a step.
    """
    tag, *more = bump.steps
    _git(folder, *tag)
    for step in more:
        try:
            _git(folder, *step)
        except DerivaMLConfigurationError:
            _git(folder, "tag", "--delete", bump.after)
            raise


def _clean_tree(folder: Path) -> git.Tree:
    try:
        tree = git.tree_of(folder, ())
    except git.GitUnknown as error:
        raise DerivaMLConfigurationError(f"{folder} is in no git repository: {error}.") from error
    if tree.commit is None:
        raise DerivaMLConfigurationError(f"{tree.root} has no commit to tag yet.")
    if tree.dirty:
        listed = ", ".join(tree.dirty[:10])
        raise DerivaMLConfigurationError(
            f"Uncommitted changes ({listed}): a version names a commit, so commit or undo them first."
        )
    return tree


def _remote(root: Path) -> str | None:
    remotes = _git(root, "remote").split()
    return "origin" if "origin" in remotes else next(iter(remotes), None)


def _git(folder: Path, *arguments: str) -> str:
    try:
        return git.run(folder, *arguments)
    except git.GitUnknown as error:
        raise DerivaMLConfigurationError(f"git {arguments[0]} failed: {error}") from error
