"""What git knows of a file: repository, commit, remote, uncommitted changes, blob checksum.

Asks the ``git`` program; takes no lock, runs no hook, and reads no repository that the environment points at instead.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from deriva_ml.environment.redact import strip_credentials
from deriva_ml.names import encode

IGNORED_PREFIXES = ("findings/", "outputs/", ".scratch/")
_CACHES = {"__pycache__", ".ipynb_checkpoints"}  # written by Python and Jupyter at every run: never the user's own
_SECONDS = 30
_MISLEADING = {"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_OBJECT_DIRECTORY", "GIT_COMMON_DIR"}
_OBJECT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_SCP_ADDRESS = re.compile(r"^(?:[^@/\s]+@)?(?P<host>[^:/\s]+):(?P<path>(?!//)\S+)$")


@dataclass(frozen=True, slots=True)
class Tree:
    """A work tree as git sees it. ``commit`` is None before the first one; ``remote`` is without credentials."""

    root: Path
    commit: str | None
    branch: str | None
    remote: str | None
    dirty: tuple[str, ...]
    held: Path | None = None
    """The file that was asked for, resolved, where the last commit has one of its name; None leaves that open."""


class GitUnknown(Exception):
    """Git cannot say; the text tells why. Callers record it."""


def run(folder: Path, *arguments: str) -> str:
    """Return what ``git`` prints.

    Raises:
        GitUnknown: it is not installed, failed, or took too long.
    """
    environment = {name: value for name, value in os.environ.items() if name not in _MISLEADING}
    command = ["git", "-c", "core.fsmonitor=false", "-C", str(folder), *arguments]
    try:
        done = subprocess.run(
            command,
            env={**environment, "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"},
            capture_output=True,
            timeout=_SECONDS,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except FileNotFoundError as error:
        raise GitUnknown("git is not installed") from error
    except (OSError, subprocess.SubprocessError) as error:
        raise GitUnknown(f"git could not be asked: {error}") from error
    if done.returncode != 0:
        raise GitUnknown(
            done.stderr.decode(errors="replace").strip().removeprefix("fatal: ") or f"git {arguments[0]} failed"
        )
    return done.stdout.decode(errors="surrogateescape")


def tree_of(path: Path, ignored: Iterable[str] = IGNORED_PREFIXES) -> Tree:
    """Return the work tree that holds ``path``; changes below the ``ignored`` prefixes do not count.

    Raises:
        GitUnknown: there is none, or git cannot say.
    """
    folder, wanted = (path, []) if path.is_dir() else (path.parent, [f"HEAD:./{path.name}"])
    found = run(folder, "rev-parse", "--revs-only", "--show-toplevel", *wanted).rstrip(
        "\n"
    )  # without what is not there
    top, _, last = found.rpartition("\n")
    held = bool(top and _OBJECT.fullmatch(last))
    root = Path(top if held else found)
    lines = run(root, "status", "--porcelain=v2", "--branch", "--untracked-files=all", "-z").split("\0")
    facts = dict(line[2:].split(" ", 1) for line in lines if line.startswith("# "))
    commit = facts.get("branch.oid")
    return Tree(
        root=root,
        commit=None if commit in (None, "(initial)") else commit,
        branch=facts.get("branch.head"),
        remote=_remote(root),
        dirty=tuple(name for name in _changed(lines) if not name.startswith(tuple(ignored))),
        held=folder.resolve() / path.name if held else None,
    )


def _changed(lines: Sequence[str]) -> list[str]:
    """Return the paths that ``git status --porcelain=v2 -z`` lists, caches that no commit holds apart."""
    found: list[str] = []
    original_follows = False
    for line in lines:
        if original_follows:
            original_follows = False
        elif line.startswith("1 "):
            found.append(line.split(" ", 8)[8])
        elif line.startswith("2 "):
            found.append(line.split(" ", 9)[9])
            original_follows = True
        elif line.startswith("u "):
            found.append(line.split(" ", 10)[10])
        elif line.startswith("? ") and _CACHES.isdisjoint(line[2:].split("/")):
            found.append(line[2:])
    return found


def _remote(root: Path) -> str | None:
    try:
        text = run(root, "config", "--get-regexp", r"^remote\..*\.url$")
    except GitUnknown:  # git config fails when there is no remote
        return None
    urls = dict(line.split(" ", 1) for line in text.splitlines() if " " in line)
    return browsable(urls.get("remote.origin.url", next(iter(urls.values()), ""))) or None


def browsable(address: str) -> str:
    """Return the address of a repository as a browser wants it, without credentials.

    Example:
        >>> browsable("git@github.com:org/repo.git"), browsable("https://me:token@host/org/repo.git")
        ('https://github.com/org/repo', 'https://host/org/repo')
        >>> browsable("https://host/org/repo.git?private_token=secret"), browsable("/srv/my repo.git")
        ('https://host/org/repo', 'file:///srv/my%20repo')
    """
    given = strip_credentials(address.strip())
    local = given.startswith(("/", "file:"))
    plain = (given if local else re.split("[?#]", given)[0]).removesuffix("/").removesuffix(".git")
    for scheme in ("ssh://", "git://", "git+ssh://"):
        if plain.startswith(scheme):
            host, _, path = plain.removeprefix(scheme).partition("/")
            return f"https://{host.partition(':')[0]}/{path}"
    if plain.startswith("/"):
        return Path(plain).as_uri()
    short = None if "://" in plain else _SCP_ADDRESS.match(plain)
    return f"https://{short['host']}/{short['path'].lstrip('/')}" if short else plain


def address(tree: Tree, path: Path) -> str | None:
    """Return the URL of the file ``path`` at the tree's commit; None before the first commit."""
    if tree.commit is None:
        return None
    base = tree.remote or tree.root.as_uri()
    return f"{base}/blob/{tree.commit}/{'/'.join(encode(part) for part in inside(tree, path).parts)}"


def inside(tree: Tree, path: Path) -> Path:
    """Return where in the repository the file lies, links followed.

    Raises:
        GitUnknown: outside of it.
    """
    try:
        return path.resolve().relative_to(tree.root.resolve())
    except ValueError as error:
        raise GitUnknown(f"{path} lies outside the repository {tree.root}") from error


def is_committed(tree: Tree, path: Path) -> bool:
    """Return whether the tree's commit holds the file, be it changed since or not; that git lists no change does not say so.

    Git is silent of files that it ignores.
    """
    if tree.commit is None or path.resolve() == tree.held:
        return tree.commit is not None
    try:
        run(tree.root, "cat-file", "-e", f"{tree.commit}:{inside(tree, path).as_posix()}")
    except GitUnknown:
        return False
    return True


def changed(tree: Tree, path: Path) -> tuple[str, ...]:
    """Return what differs from the commit; the file itself is among it where no commit holds it."""
    if is_committed(tree, path) or not path.resolve().is_relative_to(tree.root.resolve()):
        return tree.dirty
    name = inside(tree, path).as_posix()
    return tree.dirty if name in tree.dirty else (name, *tree.dirty)


def file_checksum(tree: Tree, path: Path) -> str:
    """Return git's own checksum of the file's content, as the repository's filters and hash make it.

    Raises:
        GitUnknown: git cannot say.
    """
    return run(tree.root, "hash-object", "--", str(path.resolve())).strip()


def content_checksum(content: bytes) -> str:
    """Return the checksum that git gives a blob of this content.

    Example:
        >>> content_checksum(b"")
        'e69de29bb2d1d6434b8b29ae775ad8c2e48c5391'
    """
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
