"""The command line: one sentence for each mistake, the right exit code, and a catalog where it was asked for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import requests
from click.testing import CliRunner

from deriva_ml.cli.main import COMMANDS, group


def run(*arguments: str, cwd: Path, home: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("DERIVA_ML")}
    environment["HOME"] = str(cwd)
    if home:
        environment["DERIVA_ML_HOME"] = str(home)
    command = [sys.executable, "-m", "deriva_ml.cli.main", *arguments]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
    done = run("init", "--here", "--json", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert Path(json.loads(done.stdout)["home"]) == folder / ".deriva-ml"
    return folder


def test_a_project_catalog_ignores_itself_in_git(project: Path) -> None:
    status = subprocess.run(["git", "status", "--porcelain"], cwd=project, capture_output=True, text=True, check=True)
    assert status.stdout == ""


def test_init_twice_changes_nothing(project: Path) -> None:
    again = run("init", "--here", "--json", cwd=project)
    assert again.returncode == 0 and json.loads(again.stdout)["home"] == str(project / ".deriva-ml")


def test_the_nearest_project_catalog_is_found_from_below(project: Path) -> None:
    below = project / "a" / "b"
    below.mkdir(parents=True, exist_ok=True)
    done = run("status", cwd=below)
    assert done.returncode == 0 and "No execution yet" in done.stdout


def test_the_first_use_makes_the_users_own_catalog(tmp_path: Path) -> None:
    assert run("init", cwd=tmp_path).returncode == 0
    assert (tmp_path / ".deriva-ml").is_dir()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["show", "9-ZZZZ"], "9-ZZZZ"),
        (["show", "not a rid"], "RID"),
        (["lineage", "9-ZZZZ"], "9-ZZZZ"),
        (["get", "9-ZZZZ"], "9-ZZZZ"),
        (["status", "--catalog", "77"], "77"),
        (["status", "--host", "http://localhost:1"], "localhost:1"),
    ],
)
def test_a_mistake_is_answered_by_one_sentence(project: Path, arguments: list[str], said: str) -> None:
    done = run(*arguments, cwd=project)
    assert done.returncode == 1
    assert done.stderr.startswith("Error: ") and said in done.stderr
    assert "Traceback" not in done.stderr and "Unexpected" not in done.stderr


@pytest.mark.parametrize("arguments", [["shwo"], ["status", "--limit", "0"], ["init", "--here", "--home", "x"]])
def test_wrong_usage_exits_with_two(project: Path, arguments: list[str]) -> None:
    done = run(*arguments, cwd=project)
    assert done.returncode == 2 and "Traceback" not in done.stderr


def test_the_demo_names_what_is_missing(tmp_path: Path) -> None:
    blocked = "import sys; sys.modules['sklearn'] = None; from deriva_ml.cli.main import main; sys.argv = ['deriva-ml', 'demo']; main()"
    done = subprocess.run([sys.executable, "-c", blocked], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1
    assert "scikit-learn" in done.stderr and "deriva-ml[demo]" in done.stderr
    assert not (tmp_path / "demo").exists()


def test_serve_finds_or_makes_the_catalog_that_the_library_opens(tmp_path: Path) -> None:
    environment = dict(os.environ, DERIVA_ML_HOME=str(tmp_path / "home"))
    command = [sys.executable, "-m", "deriva_ml.cli.main", "serve", "--open", "--port", "0"]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as served:
        assert served.stdout is not None
        address = served.stdout.readline().strip()
        answer = requests.get(f"{address}/ermrest/catalog/1/schema", timeout=20)
        served.terminate()
    assert served.returncode == 0
    assert {"deriva-ml", "domain"} <= set(answer.json()["schemas"])


def test_the_help_of_all_commands_fits_a_screen_of_80_by_24() -> None:
    lines = CliRunner().invoke(group, ["--help"]).output.splitlines()
    assert len(lines) <= 24 and max(map(len, lines)) <= 79
    assert {line.split()[0] for line in lines[4:]} == set(COMMANDS)


def test_a_wrong_command_is_answered_by_the_nearest() -> None:
    done = CliRunner().invoke(group, ["stats"])
    assert done.exit_code == 2 and "Did you mean status?" in done.output
