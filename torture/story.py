"""What every campaign does to a home: a run from its creation to its last commit, its recovery, and the judgement.

The run, and what is checked of it, are those of the kill loop of the tests.
"""

from __future__ import annotations

import importlib
import json
import os
import shutil
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torture.tally import Tally

TESTS = Path(__file__).parent.parent / "tests"
sys.path.insert(0, str(TESTS / "deriva_ml" / "execution"))
life_story: Any = importlib.import_module("life_story")
kill_loop: Any = importlib.import_module("kill_loop")
SECONDS = 100
SIZE = life_story.Size(values=63, metrics=4, groups=2, files=6, bulk=4)
"""The run of those campaigns that watch one thread of one process."""


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
    child(lambda: life_story.prepare(folder, SIZE.values), work / "prepare.txt")
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
    life_story.live(home, life_story.Acknowledged(home / "acknowledged.jsonl"), 0, SIZE)


def settle(home: Path) -> None:
    """Open the home again, as a user would, and commit all that waits, what a failed run left included."""
    life_story.recover(home)
    ml = life_story.DerivaML(working_dir=home)
    for row in life_story.fetch(ml.session, "/entity/deriva-ml:Execution/Status=Failed"):
        ml.resume_execution(row["RID"]).commit_output_assets()


def judge(home: Path, where: str, tally: Tally, points: int = 1) -> None:
    """Recover the home and count what was promised and is not there."""
    told = life_story.Acknowledged(home / "acknowledged.jsonl")
    verdict, errors = home.parent / "verdict.json", home.parent / "recovery.txt"
    verdict.unlink(missing_ok=True)
    errors.unlink(missing_ok=True)

    def examine() -> None:
        settle(home)
        found: list[list[str]] = []
        life_story.check(home, told, found)
        verdict.write_text(json.dumps(found))

    child(examine, errors)
    if verdict.exists():
        for kind, problem in json.loads(verdict.read_text()):
            tally.blame(where, kind, problem)
    else:
        text = errors.read_text().strip() if errors.exists() else "killed"
        tally.blame(where, "stuck", f"recovery did not end: {text[-1500:]}")
    tally.point(life_story.items(told.read()), points)
