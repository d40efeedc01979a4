"""``bump-version``: the next tag, pushed; refusals before anything is changed."""

from __future__ import annotations

from pathlib import Path

import pytest
from launch_lab import call, commit, git

from deriva_ml.launch.version_bump import newest


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A repository with a remote, one commit on both."""
    folder = tmp_path / "project"
    folder.mkdir()
    git(tmp_path, "init", "-q", "-b", "main", "--bare", "remote.git")
    git(folder, "init", "-q", "-b", "main")
    git(folder, "remote", "add", "origin", str(tmp_path / "remote.git"))
    git(folder, "config", "user.name", "t")
    git(folder, "config", "user.email", "t@localhost")
    (folder / "a.txt").write_text("a")
    commit(folder, "first")
    git(folder, "push", "-q", "-u", "origin", "main")
    return folder


def bump(project: Path, *arguments: str, **variables: str) -> str:
    done = call(project, project.parent / "home", "bump_version", *arguments, **variables)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_versions_follow_each_other_and_are_pushed(project: Path) -> None:
    assert bump(project) == "no version -> v0.1.0\n"
    for part, expected in [("patch", "v0.1.1"), ("minor", "v0.2.0"), ("major", "v1.0.0")]:
        (project / part).write_text(part)
        commit(project, part)
        assert expected in bump(project, part)
    remote = project.parent / "remote.git"
    assert git(remote, "tag", "--list").split() == ["v0.1.0", "v0.1.1", "v0.2.0", "v1.0.0"]
    assert git(remote, "rev-parse", "main") == git(project, "rev-parse", "HEAD")


def test_tags_that_others_pushed_count(project: Path) -> None:
    other = project.parent / "other"
    git(project.parent, "clone", "-q", "remote.git", "other")
    git(other, "tag", "--annotate", "v3.4.5", "--message", "theirs")
    git(other, "push", "-q", "--tags")
    assert bump(project, "minor") == "v3.4.5 -> v3.5.0\n"


def test_a_dry_run_changes_nothing(project: Path) -> None:
    said = bump(project, "patch", "--dry-run", START="2.0.0", PREFIX="release-")
    assert "would run: git tag" in said and "would run: git push" in said and "release-2.0.0" in said
    assert git(project, "tag", "--list") == ""


def test_uncommitted_changes_are_refused(project: Path) -> None:
    (project / "a.txt").write_text("changed")
    done = call(project, project.parent / "home", "bump_version")
    assert done.returncode == 1 and "a.txt" in done.stderr and "commit" in done.stderr
    assert git(project, "tag", "--list") == ""


def test_a_tag_that_cannot_be_pushed_is_taken_back(project: Path) -> None:
    git(project, "config", "remote.origin.pushurl", "/nowhere")
    done = call(project, project.parent / "home", "bump_version")
    assert done.returncode == 1 and "push" in done.stderr
    assert git(project, "tag", "--list") == ""


def test_outside_a_repository_is_refused(tmp_path: Path) -> None:
    done = call(tmp_path, tmp_path / "home", "bump_version")
    assert done.returncode == 1 and "no git repository" in done.stderr


@pytest.mark.parametrize(
    ("tags", "expected"),
    [([], "None"), (["v1.2", "x"], "None"), (["v0.9.9", "v0.10.0", "v1.0.0-rc1"], "0.10.0"), (["1.0.0"], "None")],
)
def test_the_newest_version_among_tags(tags: list[str], expected: str) -> None:
    assert str(newest(tags, "v")) == expected


def test_a_tree_without_branch_or_remote_is_tagged_all_the_same(project: Path) -> None:
    git(project, "checkout", "-q", "--detach")
    git(project, "commit", "-q", "--allow-empty", "-m", "aside")
    before = git(project.parent / "remote.git", "rev-parse", "main")
    assert "no version -> v0.1.0" in bump(project)
    remote = project.parent / "remote.git"
    assert git(remote, "tag", "--list").split() == ["v0.1.0"] and git(remote, "rev-parse", "main") == before
    git(project, "remote", "remove", "origin")
    assert bump(project, "minor") == "v0.1.0 -> v0.2.0 (there is no remote to push it to)\n"
    assert (
        bump(project, START="2.0.0", PREFIX="data-") == "no version -> data-2.0.0 (there is no remote to push it to)\n"
    )


def test_a_first_version_that_is_none_is_refused(project: Path) -> None:
    done = call(project, project.parent / "home", "bump_version", START="1.2")
    assert done.returncode == 1 and "three numbers" in done.stderr
