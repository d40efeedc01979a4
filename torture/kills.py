"""The kill loop of the tests, again and again: runs and their recoveries are killed at random moments."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

from torture import story

ROUNDS = 50


def campaign(work: Path, seconds: float, seed: int, rounds: int = ROUNDS) -> story.Tally:
    """Repeat the loop with other seeds, each on a home of its own, until the time is over."""
    tally = story.Tally("kill loop")
    end = time.monotonic() + seconds
    while not tally.points or time.monotonic() < end:
        command = [sys.executable, str(story.kill_loop.__file__), str(work / f"home-{seed}"), str(rounds), str(seed)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            tally.blame(f"seed {seed}", f"did not end: {done.stderr[-1500:]}")
            tally.points += 1
        else:
            found = json.loads(done.stdout.splitlines()[-1])
            tally.points += found["killed"]
            tally.acknowledged += found["acknowledged"]
            for problem in found["problems"]:
                tally.blame(f"seed {seed}", problem)
            if found["errors"]:
                tally.problems.append(f"seed {seed}: {found['errors']}")
        seed += 1
    return tally
