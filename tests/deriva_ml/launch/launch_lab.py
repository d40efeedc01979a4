"""A small project as users have one: configurations, a model function, git; and its commands run as users run them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

CONFIGS = """
from hydra_zen import builds, make_config, store
from deriva_ml import DerivaMLConfig
from deriva_ml.execution import BaseConfig, Workflow, create_model_config, multirun_config, notebook_config
from models.digits import train

store(builds(DerivaMLConfig, populate_full_signature=True), group="deriva_ml", name="default_deriva")
store([], group="datasets", name="default_dataset")
store([], group="assets", name="default_asset")
store(builds(Workflow, name="digits", workflow_type="Training", populate_full_signature=True), group="workflow", name="default_workflow")
store(builds(train, populate_full_signature=True, zen_partial=True), group="model_config", name="default_model")
store(builds(train, epochs=1, populate_full_signature=True, zen_partial=True), group="model_config", name="quick")
RootConfig = create_model_config(description="digits")
store(RootConfig, name="deriva_model")
multirun_config("lr_sweep", ["model_config.lr=0.1,0.01"], "Which learning rate?")
notebook_config("analysis")
"""
EXPERIMENTS = """
from hydra_zen import make_config, store
from configs import RootConfig

store(
    make_config(hydra_defaults=["_self_", {"override /model_config": "quick"}], description="a fast one", bases=(RootConfig,)),
    group="experiment", package="_global_", name="fast",
)
"""
MODEL = """
import os
import time


def train(epochs=5, lr=0.1, fail=False, wait=0.0, ml_instance=None, execution=None):
    execution.asset_file_path("Execution_Asset", "weights.txt").write_text(f"{lr} {epochs}")
    execution.log_metrics({"accuracy": lr * epochs}, step=epochs)
    if os.environ.get("DIE_AT") == str(lr):
        os.kill(os.getpid(), 9)
    time.sleep(wait or float(os.environ.get("WAIT", "0")))
    if fail == "exit":
        raise SystemExit(3)
    if fail:
        raise ValueError("the loss is not finite")
    return lr * epochs
"""
BEGIN = "from deriva_ml.execution import run_notebook\nml, execution, config = run_notebook({name})"
STAGE = 'execution.asset_file_path("Execution_Asset", "result.txt").write_text("a result")'
IDENTITY = ("-c", "user.name=t", "-c", "user.email=t@localhost")


def write_project(folder: Path) -> Path:
    """Write the project into ``folder`` and commit it; return the folder."""
    for name, text in {
        "configs/__init__.py": CONFIGS,
        "configs/experiments.py": EXPERIMENTS,
        "models/__init__.py": "",
        "models/digits.py": MODEL,
        ".gitignore": "__pycache__/\n",
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    git(folder, "init", "-q")
    commit(folder, "the project")
    return folder


def write_notebook(path: Path, *cells: str, kernel: str | None = None) -> Path:
    """Write a notebook of code cells; one that begins with ``# parameters`` is tagged, one with ``#:`` is Markdown."""
    listed = []
    for number, cell in enumerate(cells):
        text = cell.startswith("#:")
        facts = {"id": f"c{number}", "metadata": {}, "source": cell.removeprefix("#:").strip()}
        facts |= {"cell_type": "markdown"} if text else {"cell_type": "code", "execution_count": None, "outputs": []}
        if cell.startswith("# parameters"):
            facts["metadata"] = {"tags": ["parameters"]}
        listed.append(facts)
    metadata = {} if kernel is None else {"kernelspec": {"name": kernel, "display_name": kernel, "language": "python"}}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"cells": listed, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}))
    return path


def git(folder: Path, *arguments: str) -> str:
    """Return what git says in ``folder``."""
    return subprocess.run(["git", *IDENTITY, *arguments], cwd=folder, check=True, capture_output=True, text=True).stdout


def commit(folder: Path, message: str) -> None:
    """Commit everything in ``folder``."""
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", message)


def call(
    project: Path, home: Path, command: str, *arguments: str, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run one of the launchers in the project, as a process of its own."""
    run, environment = _as_typed(home, command, arguments, variables)
    return subprocess.run(run, cwd=project, env=environment, capture_output=True, text=True, timeout=100)


MANY = """
import json, os, runpy, sys, tempfile
import deriva_ml.launch.command, deriva_ml.launch.hydra_main, deriva_ml.launch.run  # what every call would load

def answer(command, arguments):
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        child = os.fork()
        if child == 0:
            os.dup2(out.fileno(), 1)
            os.dup2(err.fileno(), 2)
            sys.argv = [command, *arguments]
            runpy.run_module(f"deriva_ml.cli.{command}", run_name="__main__", alter_sys=True)
            sys.exit()
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        out.seek(0), err.seek(0)
        return code, out.read().decode(), err.read().decode()

answers = [answer(sys.argv[1], arguments) for arguments in json.loads(sys.argv[2])]
print(json.dumps(answers))
"""


def call_each(project: Path, home: Path, command: str, calls: list[list[str]]) -> list[tuple[int, str, str]]:
    """Run one of the launchers for each list of arguments, each in a process of its own, forked from one that has loaded it.

    Return the exit code, the output and the errors of each.
    """
    _, environment = _as_typed(home, command, (), {})
    words = [sys.executable, "-c", MANY, command, json.dumps(calls)]
    done = subprocess.run(words, cwd=project, env=environment, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    return [(code, out, err) for code, out, err in json.loads(done.stdout)]


def start(project: Path, home: Path, command: str, *arguments: str, **variables: str) -> subprocess.Popen[str]:
    """Start one of the launchers, and do not wait for it."""
    run, environment = _as_typed(home, command, arguments, variables)
    return subprocess.Popen(
        run, cwd=project, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def _as_typed(
    home: Path, command: str, arguments: tuple[str, ...], variables: dict[str, str]
) -> tuple[list[str], dict[str, str]]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("DERIVA_ML")}
    environment |= {"DERIVA_ML_HOME": str(home), "HOME": str(home.parent), **variables}
    return [sys.executable, "-m", f"deriva_ml.cli.{command}", *arguments], environment
