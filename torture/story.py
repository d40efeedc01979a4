"""What every campaign does to a home: one run from its creation to two commits, its recovery, and the judgement.

The run, and what is checked of it, are those of the kill loop of the tests.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import shutil
import signal
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "deriva_ml" / "execution"))
kill_loop = importlib.import_module("kill_loop")
importlib.import_module("deriva_ml.execution.executions")
SECONDS = 100


@dataclass
class Tally:
    """What a campaign did."""

    name: str
    points: int = 0
    acknowledged: int = 0
    lost: int = 0
    twice: int = 0
    stuck: int = 0
    problems: list[str] = field(default_factory=list)

    def blame(self, where: str, problem: str) -> None:
        """Count a broken promise."""
        shown = re.search(r"is there (\[.*\]|\d+ times)", problem)
        if (
            "after recovery" in problem
            or " is Running" in problem
            or "did not end" in problem
            or "is Stopped" in problem
        ):
            self.stuck += 1
        elif shown and shown[1] not in ("[]", "0 times"):
            self.twice += 1
        else:
            self.lost += 1
        self.problems.append(f"{where}: {problem}")


def child(work: Callable[[], Any], report: Path, seconds: int = SECONDS) -> int:
    """Run ``work`` in a forked child; return its status as of ``os.wait``. One that hangs is killed."""
    number = os.fork()
    if number == 0:
        signal.alarm(seconds)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # what fails on purpose is not news
        code = 0
        try:
            work()
        except BaseException:  # noqa: BLE001 - a child of a fork must not go on as its parent
            report.write_text(traceback.format_exc())
            code = 1
        os._exit(code)
    return os.waitpid(number, 0)[1]


def template(work: Path) -> Path:
    """Make a home with what the run needs, to be copied for each point."""
    folder = work / "home"
    child(lambda: kill_loop.prepare(folder), work / "prepare.txt")
    if (work / "prepare.txt").exists():
        raise RuntimeError((work / "prepare.txt").read_text())
    kept = work / "template"
    folder.rename(kept)
    return kept


def renew(work: Path) -> Path:
    """Put a fresh copy of the template at the one place where homes are."""
    home = work / "home"
    shutil.rmtree(home, ignore_errors=True)
    shutil.copytree(work / "template", home, symlinks=True)
    return home


def live(home: Path) -> None:
    """Live one run; what the disk or the wire refuse ends it, as it would end a user's."""
    kill_loop.live(home, kill_loop.Acknowledged(home / "acknowledged.jsonl"), 0)


def settle(home: Path) -> None:
    """Open the home again, as a user would, and commit all that waits, what a failed run left included."""
    kill_loop.recover(home)
    ml = kill_loop.DerivaML(working_dir=home)
    for row in kill_loop.fetch(ml.session, "/entity/deriva-ml:Execution/Status=Failed"):
        ml.resume_execution(row["RID"]).commit_output_assets()


def judge(home: Path, where: str, tally: Tally) -> None:
    """Recover the home and count what was promised and is not there."""
    told = kill_loop.Acknowledged(home / "acknowledged.jsonl")
    tally.points += 1
    tally.acknowledged += len(told.read())
    verdict, errors = home.parent / "verdict.json", home.parent / "recovery.txt"
    verdict.unlink(missing_ok=True)
    errors.unlink(missing_ok=True)

    def examine() -> None:
        settle(home)
        found: list[str] = []
        kill_loop.check(home, told, found)
        verdict.write_text(json.dumps(found))

    child(examine, errors)
    if not verdict.exists():
        text = errors.read_text().strip() if errors.exists() else "killed"
        tally.blame(where, f"recovery did not end: {text[-1500:]}")
        return
    for problem in json.loads(verdict.read_text()):
        tally.blame(where, problem)
