"""The launchers beside Hydra and papermill alone: the same configuration, the same function, nothing recorded."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks.measure import Figure, median_ms

CONFIGS = """
from hydra_zen import builds, store
from deriva_ml.execution import Workflow, create_model_config
from models.empty import empty

store(builds(empty, populate_full_signature=True, zen_partial=True), group="model_config", name="default_model")
store(builds(Workflow, name="empty", workflow_type="Training"), group="workflow", name="default_workflow")
store(create_model_config(), name="deriva_model")
"""
MODEL = "def empty(number=0, ml_instance=None, execution=None):\n    return 0.0\n"
PLAIN = """
import hydra
from deriva_ml.launch.registration import load_configs

load_configs("configs")


@hydra.main(version_base="1.3", config_path=None, config_name="deriva_model")
def main(config):
    return 0.0


main()
"""
NOTEBOOK = """
import papermill

papermill.execute_notebook("empty.ipynb", "out.ipynb", kernel_name="python3", progress_bar=False)
"""
CELL = '{"cells": [{"cell_type": "code", "id": "c", "metadata": {}, "execution_count": null, "outputs": [], "source": %s}], '
REST = '"metadata": {"kernelspec": {"name": "python3", "language": "python", "display_name": "p"}}, "nbformat": 4, "nbformat_minor": 5}'
BEGIN = '"from deriva_ml.execution import run_notebook\\\\nml, execution, config = run_notebook()"'


def figures(folder: Path, smoke: bool) -> Iterator[Figure]:
    """Yield the figures of the launchers."""
    _write(folder)
    repeats, jobs = (1, 2) if smoke else (5, 100)
    environment = dict(os.environ, DERIVA_ML_HOME=str(folder / "home"), DERIVA_ML_ALLOW_DIRTY="true")

    def process(*arguments: str, times: int = repeats) -> float:
        command = [sys.executable, *arguments]
        return median_ms(
            lambda: subprocess.run(command, env=environment, cwd=folder, check=True, capture_output=True), times
        )

    bare = process("-c", "pass")
    yield Figure("deriva-ml-run --help", process("-m", "deriva_ml.cli.run", "-h"), "bare Python", bare, 500, "500 ms")
    plain = process("plain.py")
    run = process("-m", "deriva_ml.cli.run")
    yield Figure("deriva-ml-run, empty model", run, "plain Hydra", plain, 1.5 * plain + 500, "1.5 x Hydra + 500 ms")
    sweep = ("-m", f"model_config.number=range({jobs})")
    once = 1
    plain_sweep = process("plain.py", *sweep, "hydra.sweep.dir=plain", times=once)
    ours = process("-m", "deriva_ml.cli.run", *sweep, times=once)
    yield Figure(
        f"a sweep of {jobs} empty jobs, per job",
        (ours - run) / jobs, "Hydra's basic launcher", (plain_sweep - plain) / jobs, (plain_sweep - plain) / jobs + 100,
        "Hydra + 100 ms",
    )  # fmt: skip
    papermill = process("papermill_alone.py")
    notebook = process("-m", "deriva_ml.cli.run_notebook", "recorded.ipynb")
    yield Figure("deriva-ml-run-notebook", notebook, "papermill alone", papermill, papermill + 1000, "papermill + 1 s")


def _write(folder: Path) -> None:
    for name, text in {
        "configs/__init__.py": CONFIGS,
        "models/__init__.py": "",
        "models/empty.py": MODEL,
        "plain.py": PLAIN,
        "papermill_alone.py": NOTEBOOK,
        "empty.ipynb": CELL % '"1 + 1"' + REST,
        "recorded.ipynb": CELL % BEGIN.replace("\\\\", "\\") + REST,
    }.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
