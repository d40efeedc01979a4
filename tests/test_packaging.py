"""A stranger can build and use it: from an unpacked archive without git, as a wheel, outside the checkout."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build a wheel from an archive of the working files that has no git metadata; return where it is installed."""
    folder = tmp_path_factory.mktemp("packaging")
    archive = folder / "source.tar"
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    with tarfile.open(archive, "w") as tar:
        for name in listed.stdout.splitlines():
            if (ROOT / name).is_file() and name.split("/")[0] in ("src", "pyproject.toml", "README.md", "LICENSE"):
                tar.add(ROOT / name, name)
    source = folder / "source"
    with tarfile.open(archive) as tar:
        tar.extractall(source, filter="data")
    environment = {key: value for key, value in os.environ.items() if not key.startswith("SETUPTOOLS_SCM")}
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder / "dist", source]
    subprocess.run(build, check=True, capture_output=True, env=environment, cwd=folder)
    (wheel,) = (folder / "dist").glob("*.whl")
    target = folder / "installed"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", target, wheel]
    subprocess.run(pip, check=True, capture_output=True, cwd=folder)
    with zipfile.ZipFile(wheel) as contents:
        (target / "names.txt").write_text("\n".join(contents.namelist()))
    return target


def run(installed: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = dict(os.environ, PYTHONPATH=str(installed))
    environment.pop("DERIVA_ML_HOME", None)
    command = [sys.executable, "-m", "deriva_ml.cli.main", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


def test_the_wheel_holds_both_packages_and_their_types(installed: Path) -> None:
    names = set((installed / "names.txt").read_text().splitlines())
    assert {"deriva_ml/py.typed", "deriva_local/py.typed", "deriva_ml/demo/train.py"} <= names


def test_the_installed_command_says_its_version(installed: Path, tmp_path: Path) -> None:
    done = run(installed, tmp_path, "--version")
    assert re.fullmatch(r"deriva-ml \d+\.\d+.*\n", done.stdout), done.stderr


def test_the_demo_runs_outside_the_checkout(installed: Path, tmp_path: Path) -> None:
    done = run(installed, tmp_path, "demo")
    assert done.returncode == 0, done.stdout + done.stderr
    accuracy = re.search(r"never saw: ([\d.]+)%", done.stdout)
    assert accuracy and float(accuracy[1]) > 90
    assert all(name in done.stdout for name in ("Ingest digits", "Train digits", "Evaluate digits"))

    home = str(tmp_path / "demo" / ".deriva-ml")
    predictions = re.search(r"predictions (\S+)", done.stdout)
    assert predictions
    shown = run(installed, tmp_path, "show", predictions[1], "--home", home, "--json")
    assert json.loads(shown.stdout)["rid"] == predictions[1], shown.stderr
    lineage = json.loads(run(installed, tmp_path, "lineage", predictions[1], "--home", home, "--json").stdout)
    assert lineage["executions_visited"] == 3 and lineage["walked_complete"]
    got = run(installed, tmp_path, "get", predictions[1], "--home", home, "--to", str(tmp_path / "got"))
    assert got.returncode == 0, got.stderr
    (file,) = (tmp_path / "got").rglob("predictions.csv")
    assert len(file.read_text().splitlines()) == 360
    status = json.loads(run(installed, tmp_path, "status", "--home", home, "--json").stdout)
    assert [row["status"] for row in status] == ["Uploaded"] * 3
