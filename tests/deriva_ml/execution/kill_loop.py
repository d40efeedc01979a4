"""The whole life of runs, killed at random moments, and again while they are recovered: a program of its own.

``python kill_loop.py HOME ROUNDS SEED`` prints one JSON document: what was acknowledged, and every promise that was
broken. Children are forked from a process that has loaded everything and opened nothing.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import json
import os
import random
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from life_story import FORKING, SMALL, Acknowledged, Size, check, items, live, prepare, recover, timed

warnings.simplefilter("ignore")
importlib.import_module("deriva_ml.execution.executions")  # loaded once, so that the children begin at once
ADOPT_ORPHANS = 36
"""prctl: children of a child that was killed become children of this process, which can wait for them."""
STUCK = 120
FOREVER = float("inf")


def forked(work: Callable[[], None], seconds: float | None, report: Path, *, helpers_too: bool = True) -> bool:
    """Run ``work`` in a child, the first of a group; kill it after ``seconds``, its helpers too or not.

    Return whether it ended by itself. One that hangs is ended, and reported.
    """
    child = os.fork()
    if child == 0:
        os.setpgrp()
        signal.alarm(STUCK)
        code = 0
        try:
            work()
        except (Exception, SystemExit):  # noqa: BLE001 - a child of a fork must not go on as its parent
            with report.open("a") as file:
                file.write(traceback.format_exc())
            code = 1
        os._exit(code)
    if seconds is not None:
        time.sleep(seconds)
        with contextlib.suppress(ProcessLookupError):
            (os.killpg if helpers_too else os.kill)(child, signal.SIGKILL)
    status = os.waitpid(child, 0)[1]
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGALRM:
        with report.open("a") as file:
            file.write(f"{work} hangs\n")
    return os.WIFEXITED(status)


def wait_for_orphans(report: Path) -> None:
    """Wait for the helpers whose run was killed; nothing but a kill ends one of them before it is done."""
    with contextlib.suppress(ChildProcessError):
        while True:
            status = os.waitpid(-1, 0)[1]
            if os.WIFSIGNALED(status) and os.WTERMSIG(status) != signal.SIGKILL:
                with report.open("a") as file:
                    file.write(f"a worker whose run was killed ended by {signal.Signals(os.WTERMSIG(status)).name}\n")


def loop(
    home: Path, rounds: int, seed: int, sizes: Sequence[Size] = (SMALL, FORKING), end: float = FOREVER
) -> dict[str, Any]:
    """Kill ``rounds`` runs and their recoveries at random moments, or as many as there is time for; then judge."""
    ctypes.CDLL(None).prctl(ADOPT_ORPHANS, 1, 0, 0, 0)
    home.mkdir(parents=True, exist_ok=True)
    chance, told = random.Random(seed), Acknowledged(home / "acknowledged.jsonl")
    errors, verdict = home / "errors.txt", home / "problems.json"
    killed = rounds_done = 0
    forked(lambda: prepare(home, max(size.values for size in sizes)), None, errors)
    lives = [
        timed(lambda number=-index, size=size: forked(partial(live, home, told, number, size), None, errors))
        for index, size in enumerate(sizes, 1)
    ]
    recovery = timed(lambda: forked(lambda: recover(home), None, errors))
    while rounds_done < rounds and time.monotonic() < end:
        kind = chance.randrange(len(sizes))
        story = partial(live, home, told, rounds_done, sizes[kind])
        killed += not forked(story, chance.uniform(0, lives[kind]), errors, helpers_too=chance.random() < 0.5)
        killed += not forked(partial(recover, home), chance.uniform(0, recovery * 3), errors)
        rounds_done += 1
    wait_for_orphans(errors)
    forked(lambda: recover(home), None, errors)

    def judge() -> None:
        found: list[list[str]] = []
        check(home, told, found)
        verdict.write_text(json.dumps(found))

    forked(judge, None, errors)
    problems = json.loads(verdict.read_text()) if verdict.exists() else [["stuck", "the check did not end"]]
    text = errors.read_text() if errors.exists() else ""
    return {
        "rounds": rounds_done,
        "killed": killed,
        "acknowledged": items(told.read()),
        "problems": problems,
        "errors": text[-6000:],
    }


if __name__ == "__main__":
    print(json.dumps(loop(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))))
