"""The project's own configurations and notebooks, run as their users run them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from launch_lab import call, commit, git

from deriva_ml import DerivaML

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A copy of the example in a repository of its own, and its home."""
    folder = tmp_path_factory.mktemp("example")
    project = folder / "project"
    for name in ("configs", "models", "notebooks"):
        shutil.copytree(ROOT / name, project / name, ignore=shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints"))
    shutil.copy(ROOT / "pyproject.toml", project)
    (project / ".gitignore").write_text("__pycache__/\n")
    git(project, "init", "-q")
    commit(project, "the example")
    return project, folder / "home"


def test_the_menu_names_every_entry(place: tuple[Path, Path]) -> None:
    menu = call(*place, "run", "--list-configs").stdout
    assert {"smoke", "long", "quick", "patient", "served", "local_file", "learning_rates", "seeds"} <= set(menu.split())


def test_a_declared_local_file_is_an_input(place: tuple[Path, Path]) -> None:
    project, home = place
    done = call(project, home, "run", "+experiment=smoke", "assets=local_file")
    assert done.returncode == 0, done.stderr
    ml = DerivaML(working_dir=home)
    record = next(iter(ml.find_executions(sort=True)))
    assert [asset.filename for asset in ml.list_execution_assets(record.execution_rid, "Input")] == ["pyproject.toml"]
    assert record.description.startswith("One epoch, to see that everything works")


def test_a_first_run_in_a_notebook(place: tuple[Path, Path]) -> None:
    project, home = place
    done = call(project, home, "run_notebook", "notebooks/first_run.ipynb", "-p", "epochs", "2")
    assert done.returncode == 0, done.stderr
    ml = DerivaML(working_dir=home)
    record = next(iter(ml.find_executions(sort=True)))
    kept = {asset.filename for asset in ml.list_execution_assets(record.execution_rid, "Output")}
    assert {"weights.npz", "accuracy.png", "first_run.ipynb", "first_run.md"} <= kept


def test_a_sweep_is_compared_and_traced(place: tuple[Path, Path]) -> None:
    project, home = place
    swept = call(project, home, "run", "+multirun=learning_rates", "model_config.epochs=2")
    assert swept.returncode == 0, swept.stderr
    done = call(project, home, "run_notebook", "notebooks/compare_sweep.ipynb")
    assert done.returncode == 0, done.stderr
    ml = DerivaML(working_dir=home)
    record = next(iter(ml.find_executions(sort=True)))
    files = {asset.filename: asset for asset in ml.list_execution_assets(record.execution_rid, "Output")}
    assert {"ranking.csv", "comparison.png"} <= set(files)
    lineage = ml.lookup_lineage(files["ranking.csv"].asset_rid)
    sweep = next(run for run in ml.find_executions(sort=True) if run.list_execution_children())
    jobs = {run.execution_rid for run in sweep.list_execution_children()}
    assert len(jobs) == 3 and jobs <= {node.execution.rid for node in lineage.nodes()}
