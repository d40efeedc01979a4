"""The guide of the first hour: its files are written, its commands run, in their order, as a reader would."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from launch_lab import write_notebook

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "guide" / "first-hour.md"
BLOCK = re.compile(r'^```(?:(?P<sh>sh)|python title="(?P<file>[^"]+)")\n(?P<text>.*?)^```$', re.MULTILINE | re.DOTALL)
VERBS = {
    "deriva-ml": "main",
    "deriva-ml-run": "run",
    "deriva-ml-run-notebook": "run_notebook",
    "deriva-ml-install-kernel": "install_kernel",
    "bump-version": "bump_version",
}


class Reader:
    """Somebody who types what the guide says, and puts in the RIDs that were printed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bin = folder / "bin"
        self.bin.mkdir()
        self.rid = self.sweep = ""
        self.said = ""
        self._make_commands()
        kept = {name: value for name, value in os.environ.items() if not name.startswith("DERIVA_ML")}
        identity = {f"GIT_{who}_{what}": "t@localhost" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        self.environment = {**kept, **identity, "PATH": f"{self.bin}:{os.environ['PATH']}", "HOME": str(folder)}
        self.environment["JUPYTER_DATA_DIR"] = str(folder / "jupyter")

    def _make_commands(self) -> None:
        """Put the commands of this checkout on the path, under the names that installing gives them."""
        for name, module in VERBS.items():
            self._script(name, f'exec "{sys.executable}" -m deriva_ml.cli.{module} "$@"')
        self._script("pip", f'exec "{sys.executable}" -m pip --quiet "$@"')

    def _script(self, name: str, line: str) -> None:
        (self.bin / name).write_text(f"#!/bin/sh\n{line}\n")
        (self.bin / name).chmod(0o755)

    def write(self, cells: dict[str, list[str]], file: str, text: str) -> None:
        """Save a file; the blocks of a notebook are its cells."""
        target = self.folder / file
        if file.endswith(".ipynb"):
            cells.setdefault(file, []).append(text)
            write_notebook(target, *cells[file])
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)

    def type(self, line: str) -> None:
        """Run one line of the guide."""
        about_sweep = "--continue" in line or "-p sweep" in line
        line = re.sub(r"\bRID\b", self.sweep if about_sweep else self.rid, line)
        line = re.sub(r"\bCOMMIT\b", "HEAD~1", line)
        line = line.replace(
            "pip install './deriva-ml[", f"pip install --dry-run --no-deps --no-index --no-build-isolation '{ROOT}["
        )
        here = line.startswith("git init")
        done = subprocess.run(
            ["bash", "-c", line], cwd=self.folder, env=self.environment, capture_output=True, text=True
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
        self.said = done.stdout
        if here:
            self.folder = self.folder / "my-project"
        if found := re.search(r"^Execution (\S+): Uploaded", done.stdout, re.MULTILINE):
            self.rid = found[1]
        if found := re.search(r"^Sweep (\S+):", done.stdout, re.MULTILINE):
            self.sweep = found[1]


@pytest.mark.timeout(300)
def test_a_new_users_first_hour(tmp_path: Path) -> None:
    reader = Reader(tmp_path)
    cells: dict[str, list[str]] = {}
    typed = []
    for block in BLOCK.finditer(PAGE.read_text()):
        if block["file"]:
            reader.write(cells, block["file"], block["text"])
            continue
        for line in block["text"].splitlines():
            command = line.partition("  #")[0].strip()
            reader.type(command)
            typed.append(command)
    assert {line.split()[0] for line in typed} >= set(VERBS)
    assert reader.said.strip() == "no version -> v0.1.0 (there is no remote to push it to)"


def test_every_command_of_the_guide_is_in_a_block_that_runs() -> None:
    fenced = re.findall(r"^```(\S*)", PAGE.read_text(), re.MULTILINE)
    assert set(fenced) <= {"", "sh", "python", "text"}
