"""How long a user waits before anything happens: imports, the command, a whole recorded process."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks.measure import Figure, median_ms

RUN = """
from deriva_ml import DerivaML
ml = DerivaML()
workflow = ml.create_workflow("bench", "Training", "one recorded run")
with ml.create_execution(workflow=workflow, description="bench") as exe:
    pass
exe.commit_output_assets()
"""


def figures(folder: Path, smoke: bool) -> Iterator[Figure]:
    repeats = 2 if smoke else 9
    environment = dict(os.environ, DERIVA_ML_HOME=str(folder / "home"), DERIVA_ML_ALLOW_DIRTY="true")
    script = folder / "one_run.py"
    script.write_text(RUN)

    def process(*arguments: str) -> float:
        command = [sys.executable, *arguments]
        return median_ms(
            lambda: subprocess.run(command, env=environment, cwd=folder, check=True, capture_output=True), repeats
        )

    bare = process("-c", "pass")
    yield Figure(
        "import deriva_ml", process("-c", "import deriva_ml"), "bare Python", bare, bare + 100, "bare + 100 ms"
    )
    version = process(str(Path(sys.executable).with_name("deriva-ml")), "--version")
    yield Figure("deriva-ml --version", version, "bare Python", bare, 150, "150 ms")
    whole = process(str(script))
    yield Figure("process: one recorded, committed run", whole, "bare Python", bare, 600, "600 ms")
