"""What git knows of a file, asked of real repositories."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from deriva_ml.workflow import git
from deriva_ml.workflow.git import GitUnknown


class Repository:
    """A repository with one commit of ``train.py``."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir(parents=True)
        self.git("init", "-q", "-b", "main")
        self.git("config", "user.email", "a@example.org")
        self.git("config", "user.name", "A")
        self.script = root / "src" / "train.py"
        self.script.parent.mkdir()
        self.script.write_text("print('train')\n")
        self.commit()

    def git(self, *arguments: str) -> str:
        return subprocess.run(
            ["git", "-C", str(self.root), *arguments], check=True, capture_output=True, text=True
        ).stdout.strip()

    def commit(self) -> str:
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", "a step")
        return self.git("rev-parse", "HEAD")


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    return Repository(tmp_path / "project")


def test_a_clean_tree_is_known_by_commit_remote_and_checksum(repository: Repository) -> None:
    repository.git("remote", "add", "origin", "git@github.com:org/repo.git")
    tree = git.tree_of(repository.script)
    head = repository.git("rev-parse", "HEAD")
    assert (tree.root, tree.commit, tree.branch, tree.dirty) == (repository.root, head, "main", ())
    assert git.address(tree, repository.script) == f"https://github.com/org/repo/blob/{head}/src/train.py"
    checksum = git.file_checksum(tree, repository.script)
    assert (
        checksum
        == repository.git("rev-parse", "HEAD:src/train.py")
        == git.content_checksum(repository.script.read_bytes())
    )


def test_every_kind_of_change_is_dirty(repository: Repository) -> None:
    (repository.root / "kept.txt").write_text("1")
    (repository.root / "moved.txt").write_text("some text that stays the same when it moves")
    repository.commit()
    repository.script.write_text("changed\n")
    (repository.root / "kept.txt").write_text("2")
    repository.git("add", "kept.txt")
    repository.git("mv", "moved.txt", "other name.txt")
    (repository.root / "new ü.py").write_text("")
    assert set(git.tree_of(repository.script).dirty) == {"src/train.py", "kept.txt", "other name.txt", "new ü.py"}


@pytest.mark.parametrize("name", ["outputs/a.txt", "findings/x/y.txt", ".scratch/z", "mine/a"])
def test_changes_that_do_not_matter_do_not_count(repository: Repository, name: str) -> None:
    (repository.root / name).parent.mkdir(parents=True)
    (repository.root / name).write_text("")
    assert git.tree_of(repository.script, (*git.IGNORED_PREFIXES, "mine/")).dirty == ()


def test_caches_count_once_somebody_has_committed_them(repository: Repository) -> None:
    for cache in ("src/__pycache__/train.cpython-311.pyc", ".ipynb_checkpoints/a-checkpoint.ipynb"):
        (repository.root / cache).parent.mkdir()
        (repository.root / cache).write_text("1")
    assert git.tree_of(repository.script).dirty == ()
    repository.commit()
    (repository.root / "src/__pycache__/train.cpython-311.pyc").write_text("2")
    assert git.tree_of(repository.script).dirty == ("src/__pycache__/train.cpython-311.pyc",)


def test_a_merge_conflict_is_dirty(repository: Repository) -> None:
    repository.git("checkout", "-q", "-b", "other")
    repository.script.write_text("theirs\n")
    repository.commit()
    repository.git("checkout", "-q", "main")
    repository.script.write_text("ours\n")
    repository.commit()
    subprocess.run(["git", "-C", str(repository.root), "merge", "-q", "other"], capture_output=True, check=False)
    assert git.tree_of(repository.script).dirty == ("src/train.py",)


def test_a_repository_without_a_commit_has_no_address(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    script = tmp_path / "a.py"
    script.write_text("")
    tree = git.tree_of(script)
    assert (tree.commit, git.address(tree, script), tree.dirty) == (None, None, ("a.py",))


def test_no_repository_is_unknown(tmp_path: Path) -> None:
    with pytest.raises(GitUnknown, match="not a git repository"):
        git.tree_of(tmp_path)


def test_git_that_is_not_installed_is_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(GitUnknown, match="not installed"):
        git.tree_of(tmp_path)


def test_another_repository_in_the_environment_is_not_asked(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    assert git.tree_of(repository.script).root == repository.root


@pytest.mark.parametrize(
    ("remote", "expected"),
    [
        ("https://github.com/org/repo.git", "https://github.com/org/repo"),
        ("https://github.com/org/repo/", "https://github.com/org/repo"),
        ("https://me:ghp_secret@github.com/org/repo.git", "https://github.com/org/repo"),
        ("https://token@host:8443/org/repo", "https://host:8443/org/repo"),
        ("git@github.com:org/repo.git", "https://github.com/org/repo"),
        ("github.com:org/repo", "https://github.com/org/repo"),
        ("ssh://git@host.org:2222/org/repo.git", "https://host.org/org/repo"),
        ("git://host.org/repo.git", "https://host.org/repo"),
        ("https://host/org/repo.git?private_token=secret", "https://host/org/repo"),
        ("/srv/git/repo.git", "file:///srv/git/repo"),
        ("/srv/our git/repo.git", "file:///srv/our%20git/repo"),
        ("file:///srv/git/repo.git", "file:///srv/git/repo"),
    ],
)
def test_a_remote_is_written_for_browsers_and_without_credentials(remote: str, expected: str) -> None:
    assert git.browsable(remote) == expected


def test_a_tree_without_a_remote_is_addressed_by_its_place(repository: Repository) -> None:
    tree = git.tree_of(repository.script)
    assert git.address(tree, repository.script) == f"file://{repository.root}/blob/{tree.commit}/src/train.py"
    with pytest.raises(GitUnknown, match="outside"):
        git.address(tree, repository.root.parent / "other.py")
