"""Whatever door a run comes in by, its workflow is the code that was written: script, module, package, prompt, any work tree."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deriva_ml.workflow.capture import Code, dirty_sentence

MAKE = """
import json
from deriva_ml import Workflow

def main():
    made = Workflow(name="Train", workflow_type="Training")
    print(json.dumps({"url": made.url, "checksum": made.checksum, "commit": made.commit, "dirty": made.dirty, "problems": made.problems}))
"""
IDENTITY = ["-c", "user.name=a", "-c", "user.email=a@localhost", "-c", "protocol.file.allow=always"]
REMOTE = "git@example.org:org/repo.git"


def git(root: Path, *arguments: str) -> str:
    command = ["git", *IDENTITY, "-C", str(root), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def repository(root: Path, remote: str | None = REMOTE) -> Path:
    """A repository with a package whose module makes a workflow."""
    (root / "train").mkdir(parents=True)
    (root / "train" / "__init__.py").write_text("")
    (root / "train" / "fit.py").write_text(f"{MAKE}\nif __name__ == '__main__':\n    main()\n")
    git(root, "init", "-q", "-b", "main")
    if remote:
        git(root, "remote", "add", "origin", remote)
    git(root, "add", "-A")
    git(root, "commit", "-qm", "a step")
    return root


def told_by(command: list[str], cwd: Path, text: str | None = None, **variables: str) -> dict[str, Any]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("DERIVA_M")}
    done = subprocess.run(
        command, cwd=cwd, env={**environment, **variables}, input=text, capture_output=True, text=True, check=True
    )
    return {**json.loads(done.stdout.splitlines()[-1]), "said": done.stderr}


def plain(root: Path) -> Path:
    return repository(root / "plain")


def worktree(root: Path) -> Path:
    git(repository(root / "first"), "worktree", "add", "-q", "-b", "side", str(root / "second"))
    return root / "second"


def detached(root: Path) -> Path:
    tree = repository(root / "detached")
    git(tree, "checkout", "-q", "--detach")
    return tree


def submodule(root: Path) -> Path:
    inner, outer = repository(root / "inner"), repository(root / "outer", "https://example.org/org/outer.git")
    git(outer, "submodule", "add", "-q", str(inner), "parts")
    git(outer / "parts", "remote", "set-url", "origin", REMOTE)
    return outer / "parts"


@pytest.mark.parametrize("tree", [plain, worktree, detached, submodule])
def test_every_kind_of_work_tree_is_known_by_its_own_commit(tree: Callable[[Path], Path], tmp_path: Path) -> None:
    root = tree(tmp_path)
    head = git(root, "rev-parse", "HEAD")
    told = told_by([sys.executable, "train/fit.py"], root)
    assert told["url"] == f"https://example.org/org/repo/blob/{head}/train/fit.py"
    assert told["checksum"] == git(root, "rev-parse", "HEAD:train/fit.py")
    assert told["commit"] == head and told["problems"] == []


@pytest.mark.parametrize("command", [["-m", "train.fit"], ["-c", "from train.fit import main; main()"]])
def test_a_module_is_known_by_its_file(command: list[str], tmp_path: Path) -> None:
    root = repository(tmp_path / "project")
    told = told_by([sys.executable, *command], root)
    assert str(told["url"]).endswith("/train/fit.py") and told["problems"] == []


def test_without_a_remote_the_address_is_the_file_and_said_to_be_local(tmp_path: Path) -> None:
    root = repository(tmp_path / "project", None)
    told = told_by([sys.executable, "train/fit.py"], root)
    assert told["url"] == f"file://{root}/blob/{git(root, 'rev-parse', 'HEAD')}/train/fit.py"
    assert "has no remote" in " ".join(told["problems"])


@pytest.mark.parametrize(
    "name",
    ["new.py", "ignored.py", "outputs/mine.py", "link.py"],
    ids=["untracked", "ignored", "outputs", "link to it"],
)
def test_a_script_that_no_commit_holds_has_no_address_in_one(name: str, tmp_path: Path) -> None:
    root = repository(tmp_path / "project")
    (root / ".gitignore").write_text("ignored.py\n")
    (root / "outputs").mkdir()
    (root / "link.py").symlink_to("ignored.py")
    git(root, "add", ".gitignore", "link.py")
    git(root, "commit", "-qm", "another step")
    (root / name).write_text(f"{MAKE}\nmain()\n")
    told = told_by([sys.executable, name], root)
    real = (root / name).resolve()
    assert told["url"].startswith("file:///") and told["url"].endswith(f"/project/{name}")
    assert f"{root / name} is not in the commit" in " ".join(told["problems"])
    assert (told["checksum"], told["dirty"]) == (git(root, "hash-object", str(real)), True)
    assert (
        f"uncommitted changes ({real.relative_to(root).as_posix()}): no commit holds the code that runs" in told["said"]
    )


def test_what_is_committed_is_known_through_a_link_as_well(tmp_path: Path) -> None:
    root = repository(tmp_path / "project")
    (root / "link.py").symlink_to("train/fit.py")
    git(root, "add", "link.py")
    git(root, "commit", "-qm", "another step")
    told = told_by([sys.executable, "link.py"], root)
    assert told["url"] == f"https://example.org/org/repo/blob/{git(root, 'rev-parse', 'HEAD')}/train/fit.py"
    assert (told["problems"], told["dirty"]) == ([], False)


def test_what_is_typed_in_has_no_file(tmp_path: Path) -> None:
    root = repository(tmp_path / "project")
    told = told_by([sys.executable, "-i", "-q"], root, f"{MAKE}\n\nmain()\n")
    assert told["url"] is None and "typed in" in " ".join(told["problems"])


def test_an_installed_package_is_known_by_its_distribution(tmp_path: Path) -> None:
    site = tmp_path / "lib" / "site-packages"
    (site / "train-1.2.dist-info").mkdir(parents=True)
    (site / "train.py").write_text(MAKE)
    (site / "train-1.2.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: train\nVersion: 1.2\n")
    (site / "train-1.2.dist-info" / "RECORD").write_text("train.py,,\ntrain-1.2.dist-info/METADATA,,\n")
    script = tmp_path / "train"
    script.write_text("import sys\nfrom train import main\nsys.exit(main())\n")
    told = told_by([sys.executable, str(script)], tmp_path, PYTHONPATH=str(site))
    assert told["url"] == "pkg:pypi/train@1.2" and told["checksum"]


def test_a_launcher_may_say_which_code_it_is(tmp_path: Path) -> None:
    root = repository(tmp_path / "project")
    said = {"DERIVA_ML_WORKFLOW_URL": "https://example.org/blob/1/n.ipynb", "DERIVA_ML_WORKFLOW_CHECKSUM": "abc"}
    told = told_by([sys.executable, "train/fit.py"], root, **said)
    assert (told["url"], told["checksum"]) == ("https://example.org/blob/1/n.ipynb", "abc")


def test_a_notebook_may_be_named_by_a_relative_path() -> None:
    code = Code(url="https://example.org/n.ipynb", commit="c", dirty=True, dirty_paths=("n.ipynb",))
    assert "the recorded URL shows the last commit" in dirty_sentence(Path("n.ipynb"), code)
