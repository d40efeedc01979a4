"""A workflow is the calling code: what is recorded of it, and how it is found again in the catalog."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
import setuptools_scm
from pydantic import ValidationError

from deriva_ml import DerivaML, DerivaMLInvalidTerm, DerivaMLNotFoundError, DerivaMLWorkflowError, Workflow
from deriva_ml.workflow import registry
from deriva_ml.workflow.capture import DirtyTreeWarning, of_source
from deriva_ml.workflow.container import image
from deriva_ml.workflow.notebook import notebook_checksum
from deriva_ml.workflow.source import Source
from deriva_ml.workflow.version import project_version

SCRIPT = """
import json, sys, warnings
with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    from deriva_ml import Workflow
    made = Workflow(name="Train", workflow_type="Training")
print(json.dumps({**made.model_dump(mode="json"), "told": [str(each.message) for each in told if "Dirty" in each.category.__name__]}))
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with a committed script that makes a workflow."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    for name in ("DERIVA_ML_ALLOW_DIRTY", "DERIVA_ML_WORKFLOW_URL", "DERIVA_MCP_IN_DOCKER"):
        monkeypatch.delenv(name, raising=False)
    root = tmp_path / "project"
    root.mkdir()
    (root / "train.py").write_text(SCRIPT)
    git(root, "init", "-q", "-b", "main")
    git(root, "config", "user.email", "a@example.org")
    git(root, "config", "user.name", "A")
    git(root, "remote", "add", "origin", "https://me:secret@example.org/org/repo.git")
    commit(root)
    return root


def git(root: Path, *arguments: str) -> str:
    return subprocess.run(
        ["git", "-C", str(root), *arguments], check=True, capture_output=True, text=True
    ).stdout.strip()


def commit(root: Path) -> None:
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", "a step")


def captured(script: Path, cwd: Path | None = None) -> dict[str, object]:
    done = subprocess.run(
        [sys.executable, str(script)], cwd=cwd, capture_output=True, text=True, check=True, timeout=60
    )
    found: dict[str, object] = json.loads(done.stdout)
    return found


def test_a_clean_script_is_recorded_at_its_commit(project: Path) -> None:
    git(project, "tag", "v1.2.0")
    found = captured(project / "train.py", cwd=project.parent)
    head = git(project, "rev-parse", "HEAD")
    assert found["url"] == f"https://example.org/org/repo/blob/{head}/train.py"
    assert found["checksum"] == git(project, "rev-parse", "HEAD:train.py")
    assert (found["version"], found["commit"], found["dirty"], found["git_root"]) == (
        "1.2.0",
        head,
        False,
        str(project),
    )
    assert (found["problems"], found["told"], found["is_notebook"]) == ([], [], False)


def test_a_dirty_tree_is_warned_of_and_recorded(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / "train.py").write_text(SCRIPT + "# changed\n")
    found = captured(project / "train.py")
    assert found["dirty"] is True
    assert found["checksum"] == git(project, "hash-object", "train.py") != git(project, "rev-parse", "HEAD:train.py")
    (warning,) = found["told"]  # type: ignore[misc]
    assert "uncommitted changes (train.py)" in warning
    monkeypatch.setenv("DERIVA_ML_ALLOW_DIRTY", "true")
    quiet = captured(project / "train.py")
    assert (quiet["dirty"], quiet["told"]) == (True, [])


def test_no_repository_is_unknown_and_never_clean(tmp_path: Path) -> None:
    script = tmp_path / "alone.py"
    script.write_text(SCRIPT)
    found = captured(script)
    assert (found["url"], found["commit"], found["dirty"], found["version"]) == (None, None, None, None)
    assert found["checksum"] is not None
    assert "in no git repository" in str(found["problems"])


def test_a_repository_without_a_commit_has_no_version_and_makes_no_noise(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    (tmp_path / "train.py").write_text("x = 1\n")
    with pytest.warns(DirtyTreeWarning, match="no URL is recorded before the first commit"):
        code = of_source(Source(tmp_path / "train.py"))
    assert (code.version, code.commit, code.dirty) == (None, None, True)
    assert (caplog.text, capfd.readouterr().err) == ("", "")


def test_code_without_a_file_is_unknown(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True, cwd=tmp_path, timeout=60
    )
    found = json.loads(done.stdout)
    assert (found["url"], found["checksum"], found["dirty"]) == (None, None, None)
    assert "typed in or made at run time" in str(found["problems"])


def test_the_caller_is_this_file_however_deep_the_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DERIVA_ML_ALLOW_DIRTY", "true")
    made = (lambda: Workflow(name="x", workflow_type=["Training"]))()
    assert str(made.url or made.problems).count("test_workflow.py") == 1


def test_a_launcher_may_say_where_the_code_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DERIVA_ML_WORKFLOW_URL", "https://example.org/nb.ipynb")
    monkeypatch.setenv("DERIVA_ML_WORKFLOW_CHECKSUM", "123")
    made = Workflow(name="x", workflow_type="Training")
    assert (made.url, made.checksum, made.is_notebook) == ("https://example.org/nb.ipynb", "123", True)


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        (
            {"IMAGE_NAME": "ghcr.io/o/r", "IMAGE_DIGEST": "sha256:1", "GIT_COMMIT": "abc", "VERSION": "1.0"},
            ("ghcr.io/o/r@sha256:1", "sha256:1", "1.0"),
        ),
        ({"IMAGE_NAME": "ghcr.io/o/r", "GIT_COMMIT": "abc"}, ("ghcr.io/o/r@abc", "abc", None)),
        ({"IMAGE_NAME": "ghcr.io/o/r"}, ("ghcr.io/o/r", None, None)),
        ({"IMAGE_DIGEST": "sha256:1"}, (None, "sha256:1", None)),
    ],
)
def test_a_container_image_is_known_by_its_variables(
    variables: dict[str, str], expected: tuple[str | None, ...]
) -> None:
    named = {f"DERIVA_MCP_{name}": value for name, value in variables.items()}
    found = image({**named, "DERIVA_MCP_IN_DOCKER": "true"})
    assert found is not None
    assert (found.url, found.checksum, found.version) == expected
    assert image(named) is None
    assert image({**named, "DERIVA_MCP_IN_DOCKER": "false"}) is None


def test_a_run_in_a_container_is_recorded_by_its_image(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"IN_DOCKER": "true", "IMAGE_NAME": "ghcr.io/o/r", "IMAGE_DIGEST": "sha256:1"}.items():
        monkeypatch.setenv(f"DERIVA_MCP_{name}", value)
    made = Workflow(name="x", workflow_type="Training")
    assert (made.url, made.checksum) == ("ghcr.io/o/r@sha256:1", "sha256:1")


def test_a_container_that_does_not_say_which_shares_no_workflow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DERIVA_MCP_IN_DOCKER", "true")
    script = tmp_path / "train.py"
    script.write_text(RECORD)
    done = [run_script(script, tmp_path / "home") for _ in range(2)]
    assert [facts["checksum"] for facts in done] == [None, None]
    assert done[0]["rid"] != done[1]["rid"]


RECORD = """
import json
import os
from deriva_ml import DerivaML

ml = DerivaML()
workflow = ml.create_workflow("Train", "Training", "the same code")
rid = ml.add_workflow(workflow)
print(json.dumps({"rid": rid, "url": workflow.url, "checksum": workflow.checksum}))
"""


def run_script(script: Path, home: Path) -> dict[str, Any]:
    environment = {**os.environ, "DERIVA_ML_HOME": str(home)}
    command = [sys.executable, script]
    done = subprocess.run(command, cwd=script.parent, env=environment, check=True, capture_output=True, text=True)
    return dict(json.loads(done.stdout))


def test_eight_processes_that_start_at_once_share_one_workflow(project: Path, tmp_path: Path) -> None:
    script = project / "train.py"
    script.write_text(RECORD)
    git(project, "commit", "-qam", "it records")
    home = tmp_path / "home"
    DerivaML(working_dir=home)
    environment = {**os.environ, "DERIVA_ML_HOME": str(home)}
    command = [sys.executable, str(script)]
    started = [
        subprocess.Popen(command, cwd=project, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(8)
    ]
    told = [json.loads(process.communicate(timeout=100)[0]) for process in started]
    assert len({facts["rid"] for facts in told}) == 1 and told[0]["checksum"]
    found = [row for row in DerivaML(working_dir=home).find_workflows() if row.checksum == told[0]["checksum"]]
    assert [row.rid for row in found] == [told[0]["rid"]]


def test_two_that_both_saw_nothing_write_one_row(ml: DerivaML) -> None:
    one, other = coded(checksum="both"), coded("Another name", checksum="both")
    rids = {registry._insert(ml.session, workflow, None) for workflow in (one, other)}
    assert len(rids) == 1


def notebook(path: Path, source: str, output: str) -> Path:
    cell = {"cell_type": "code", "execution_count": 3, "id": "a", "metadata": {}, "source": [source]}
    outputs = [{"output_type": "stream", "name": "stdout", "text": [output]}]
    path.write_text(
        json.dumps({"cells": [{**cell, "outputs": outputs}], "metadata": {}, "nbformat": 4, "nbformat_minor": 5})
    )
    return path


def test_running_a_notebook_again_is_no_change_of_it(tmp_path: Path) -> None:
    first, again, other = (
        notebook(tmp_path / f"{n}.ipynb", *cell) for n, cell in enumerate([("x", "1"), ("x", "2"), ("y", "1")])
    )
    assert notebook_checksum(first) == notebook_checksum(again) != notebook_checksum(other)
    assert Workflow.get_url_and_checksum(first) == ("", notebook_checksum(first))


@pytest.mark.parametrize(
    "steps",
    [[], ["tag v1.2.0"], ["tag 1.2.0"], ["tag v1.2.0", "commit"], ["tag v1.2.9", "commit", "commit"], ["tag v1.2", "commit"],
     ["tag v1.2.0rc1", "commit"], ["tag release-7", "commit"], ["tag words"], ["tag v1.0.0", "change"], ["change"], ["tag v1.0.0", "new"],
     ["tag v1.0.0", "tag v1.1.0"], ["tag v01.002.0"]],
    ids=" ".join,
)  # fmt: skip
def test_the_version_is_what_setuptools_scm_says(project: Path, steps: list[str]) -> None:
    for number, step in enumerate(steps):
        what, _, name = step.partition(" ")
        if what == "tag":
            git(project, "tag", name)
        elif what == "change":
            (project / "train.py").write_text("changed")
        else:
            (project / f"more{number}.py").write_text("")
        if what == "commit":
            commit(project)
    head, dirty = git(project, "rev-parse", "HEAD"), bool(git(project, "status", "--porcelain"))
    assert project_version(project, head, dirty) == setuptools_scm.get_version(root=str(project))
    assert project_version(project, head, False) == setuptools_scm.get_version(root=str(project))


def test_the_version_in_pyproject_comes_first_and_its_rules_are_followed(project: Path) -> None:
    git(project, "tag", "v2.0.0")
    (project / "pyproject.toml").write_text('[project]\nname = "x"\nversion = "3.1"\n')
    assert project_version(project, None, True) == "3.1"
    (project / "pyproject.toml").write_text(
        '[tool.setuptools_scm]\nversion_scheme = "no-guess-dev"\nlocal_scheme = "no-local-version"\n'
    )
    commit(project)
    assert Workflow.get_dynamic_version(project) == "2.0.0.post1.dev1"
    (project / "pyproject.toml").write_text("not toml [")
    assert project_version(project, "x", True) is not None


def test_a_version_that_cannot_be_told_is_none(tmp_path: Path) -> None:
    assert project_version(tmp_path / "nothing", None, False) is None


# --------------------------------------------------------------------------------------------------------- the catalog


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DERIVA_ML_ALLOW_DIRTY", "true")


def coded(name: str = "Train", checksum: str | None = "abc", types: list[str] | None = None) -> Workflow:
    return Workflow(
        name=name,
        workflow_type=types or ["Training"],
        url="https://example.org/train.py",
        checksum=checksum,
        version="1.0",
    )


def test_equal_code_is_one_workflow(ml: DerivaML) -> None:
    first = ml.add_workflow(coded())
    assert ml.add_workflow(coded("Another name")) == first
    assert ml.add_workflow(coded(checksum="other")) != first
    assert ml.add_workflow(coded(checksum=None)) != ml.add_workflow(coded(checksum=None))
    found = ml.lookup_workflow(first)
    assert (found.name, found.url, found.checksum, found.version, found.workflow_type) == (
        "Train",
        "https://example.org/train.py",
        "abc",
        "1.0",
        ["Training"],
    )
    assert (
        ml.lookup_workflow_by_url("abc").rid == ml.lookup_workflow_by_url("https://example.org/train.py").rid == first
    )
    assert ml.add_workflow(found) == first


def test_workflows_are_listed_newest_first(ml: DerivaML) -> None:
    made = [ml.add_workflow(coded(f"w{n}", f"c{n}", ["Training", "Testing"])) for n in range(3)]
    listed = ml.find_workflows(sort=True)
    assert [workflow.rid for workflow in listed][:3] == made[::-1]
    assert listed[0].workflow_types == ["Testing", "Training"]


def test_create_workflow_checks_the_types_and_writes_nothing(ml: DerivaML, quiet: None) -> None:
    before = len(ml.find_workflows())
    made = ml.create_workflow("Mine", ["Training", "Analysis"], "what it does")
    assert (made.workflow_type, made.description, made.rid) == (["Training", "Analysis"], "what it does", None)
    assert str(made.url or made.problems).count("test_workflow.py") == 1
    with pytest.raises(DerivaMLInvalidTerm, match="Did you mean 'Training'"):
        ml.create_workflow("Mine", "Trainin")
    assert len(ml.find_workflows()) == before


def test_what_is_assigned_is_written_through(ml: DerivaML) -> None:
    ml.add_workflow(coded())
    found = ml.lookup_workflow_by_url("abc")
    found.description = "better words"
    found.add_workflow_type("Testing")
    found.remove_workflow_type("Training")
    again = ml.lookup_workflow_by_url("abc")
    assert (again.description, again.workflow_type) == ("better words", ["Testing"])
    with pytest.raises(DerivaMLInvalidTerm):
        found.workflow_type = ["Nonsense"]
    with pytest.raises(DerivaMLWorkflowError, match="has no type"):
        found.remove_workflow_type("Ingest")


def test_what_is_not_there_is_an_error(ml: DerivaML, quiet: None) -> None:
    for look in (lambda: ml.lookup_workflow("1-NONE"), lambda: ml.lookup_workflow_by_url("nowhere")):
        with pytest.raises(DerivaMLNotFoundError, match="find_workflows"):
            look()
    with pytest.raises(DerivaMLInvalidTerm):
        ml.add_workflow(coded(checksum="x", types=["Nonsense"]))
    with pytest.raises(ValidationError):
        Workflow(name="x", workflow_type="Training", nonsense=1)  # type: ignore[call-arg]


def test_a_workflow_by_name_of_its_code_can_be_run_again(ml: DerivaML) -> None:
    rid = ml.add_workflow(coded())
    exe = ml.create_execution(workflow="abc")
    assert exe.workflow_rid == rid
    with warnings.catch_warnings():
        warnings.simplefilter("error", DirtyTreeWarning)
        assert ml.create_execution(workflow=ml.lookup_execution(exe.rid).workflow).workflow_rid == rid
