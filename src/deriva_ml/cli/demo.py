"""``deriva-ml demo``: three recorded runs on real images, in a folder that it makes, traced to the raw data."""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import click

from deriva_ml.cli.init import OWN_NAME, make_project_home
from deriva_ml.cli.options import open_catalog
from deriva_ml.errors import DerivaMLConfigurationError, DerivaMLExecutionError

SCRIPTS = ("digits.py", "ingest.py", "train.py", "evaluate.py")
NEEDED = {"sklearn": "scikit-learn", "PIL": "pillow", "matplotlib": "matplotlib"}


@click.command("demo")
@click.option(
    "--dir",
    "folder",
    metavar="DIR",
    default="demo",
    show_default=True,
    help="The folder to make, with a number added if it exists.",
)
def command(folder: str) -> None:
    """Ingest 1,797 handwritten digits, train on them, evaluate, and trace the predictions to the raw images."""
    check_extra()
    start = time.monotonic()
    place = make_project(Path(folder))
    click.echo(f"A project with its own catalog: {place}\n")
    run = Runner(place)
    datasets = {match[1]: (match[2], match[3]) for match in run("ingest.py", r"dataset (\w+) (\S+) (\S+)")}
    (training,) = run("train.py", r"model (\S+)", *datasets["Training"])
    results = run("evaluate.py", r"(accuracy|predictions|picture) (\S+)", *datasets["Testing"], training[1])
    found = {match[1]: match[2] for match in results}
    click.echo()
    click.echo(summary(place, found, time.monotonic() - start))


def check_extra() -> None:
    """Refuse to start without the libraries of the demo.

    Raises:
        DerivaMLConfigurationError: some are missing; the message holds the command that installs them.
    """
    missing = [name for module, name in NEEDED.items() if importlib.util.find_spec(module) is None]
    if missing:
        raise DerivaMLConfigurationError(
            f"The demo needs {', '.join(missing)}: {sys.executable} -m pip install 'deriva-ml[demo]'"
        )


def make_project(folder: Path) -> Path:
    """Make a git repository that holds the three scripts and a catalog of its own; return its folder."""
    place = next(free for free in _numbered(folder) if not free.exists()).absolute()
    place.mkdir(parents=True)
    for name in SCRIPTS:
        (place / name).write_text((files("deriva_ml.demo") / name).read_text())
    (place / ".gitignore").write_text("/images/\n__pycache__/\n")
    make_project_home(place)
    identity = ("-c", "user.name=deriva-ml demo", "-c", "user.email=demo@localhost", "-c", "commit.gpgsign=false")
    for arguments in (("init", "-q"), ("add", "."), (*identity, "commit", "-q", "-m", "The demo's scripts")):
        subprocess.run(["git", *arguments], cwd=place, check=True)
    return place


def _numbered(folder: Path) -> Iterator[Path]:
    yield folder
    number = 2
    while True:
        yield folder.with_name(f"{folder.name}-{number}")
        number += 1


class Runner:
    """Runs one of the project's scripts as a user would, shows its lines, and returns those that match."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.environment = {key: value for key, value in os.environ.items() if key != "DERIVA_ML_HOME"}

    def __call__(self, script: str, pattern: str, *arguments: str) -> list[re.Match[str]]:
        click.echo(f"$ python {script} {shlex.join(arguments)}")
        process = subprocess.Popen(
            [sys.executable, script, *arguments],
            cwd=self.place,
            env=self.environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        matches = []
        for line in process.stdout:
            click.echo(f"  {line}", nl=False)
            if match := re.fullmatch(pattern, line.strip()):
                matches.append(match)
        if process.wait():
            raise DerivaMLExecutionError(
                f"{script} ended with exit code {process.returncode}; its output is above, its record in {self.place / OWN_NAME}."
            )
        return matches


def summary(place: Path, found: dict[str, str], seconds: float) -> str:
    """Return what was recorded, the lineage tree, and the commands to look further."""
    ml = open_catalog(str(place / OWN_NAME))
    runs = [f"  {run.execution_rid:8} {run.status!s:10} {run.description}" for run in ml.find_executions(sort=True)]
    predictions = found["predictions"]
    home = os.path.relpath(place / OWN_NAME)
    commands = [_command_line(verb, rid, home) for verb, rid in _next_steps(found)]
    return "\n".join(
        [
            f"Accuracy on digits that training never saw: {float(found['accuracy']):.1%} ({seconds:.0f} s in all).",
            "\nExecutions in the catalog, newest first:",
            *runs,
            f"\nWhere {predictions} (predictions.csv) comes from:\n",
            str(ml.lookup_lineage(predictions)),
            "\nLook further:",
            *(f"  {line}" for line in commands),
        ]
    )


def _next_steps(found: dict[str, str]) -> list[tuple[str, str]]:
    return [("show", found["predictions"]), ("lineage", found["picture"]), ("get", found["picture"])]


def _command_line(verb: str, rid: str, home: str) -> str:
    program = "deriva-ml" if shutil.which("deriva-ml") else os.path.relpath(sys.argv[0])
    return shlex.join([program, verb, rid, "--home", home])
