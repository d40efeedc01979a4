"""The kill loop of the tests, again and again: runs of every size and their recoveries are killed at random moments."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

from torture import story
from torture.tally import Tally

ROUNDS = 40
Size = story.life_story.Size
SIZES = (
    Size(values=300, metrics=10, groups=5, files=6),
    Size(values=40, metrics=30, groups=10, files=3, threads=2, forks=3),
    Size(values=60, metrics=6, groups=3, files=15, bulk=20, more=2),
    Size(values=120, metrics=6, groups=3, files=6, workers=2, threads=1, forks=2),
    Size(values=10, metrics=3, files=3, more=3),
)
"""Many values; many metrics from several threads; many files; workers forked before the threads and while they write; many commits."""


def campaign(work: Path, seconds: float, seed: int) -> Tally:
    """Repeat the loop with other seeds, each on a home of its own, until the time is over."""
    tally = Tally("kill loop")
    end = time.monotonic() + seconds
    while not tally.points or time.monotonic() < end:
        one_home(work / f"home-{seed}", seed, end, tally)
        seed += 1
    tally.kills = tally.points
    return tally


def one_home(home: Path, seed: int, end: float, tally: Tally) -> None:
    """Run the loop on one home, and remove it unless a promise was broken."""
    answer, trouble = home.with_name("answer.json"), home.with_name("trouble.txt")
    answer.unlink(missing_ok=True)

    def loop() -> None:
        answer.write_text(json.dumps(story.kill_loop.loop(home, ROUNDS, seed, SIZES, max(end, time.monotonic() + 2))))

    story.child(loop, trouble, 20 * story.SECONDS)
    if not answer.exists():
        tally.blame(f"seed {seed}", "stuck", f"the loop did not end: {trouble.read_text() if trouble.exists() else ''}")
        tally.point(0)
        return
    found = json.loads(answer.read_text())
    tally.point(found["acknowledged"], found["killed"])
    for kind, problem in found["problems"]:
        tally.blame(f"seed {seed}", kind, problem)
    if found["errors"]:
        tally.blame(f"seed {seed}", "stuck", f"an error that is none of ours: {found['errors']}")
    if not found["problems"] and not found["errors"]:
        shutil.rmtree(home)
        shutil.rmtree(home.with_name(f"{home.name}-sources"), ignore_errors=True)
