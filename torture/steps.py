"""Every step of a reference run fails: by an error of the disk, once or from there on, by a torn write, or by the end of the process."""

from __future__ import annotations

import errno
import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

from deriva_ml.errors import DerivaMLException
from torture import story
from torture.disk import Step, Tap, install
from torture.tally import Tally

ONCE = {"EIO": errno.EIO, "ENOSPC": errno.ENOSPC, "EACCES": errno.EACCES, "EROFS": errno.EROFS}
FROM_HERE = {"full from here": errno.ENOSPC, "read-only from here": errno.EROFS}
KINDS = (*ONCE, *FROM_HERE, "torn", "sync fails", "kill")
SYNCS = ("sync", "sync folder")
GROWS = ("write", "open", "mkdir", "link", "symlink")


def campaign(work: Path, seconds: float, seed: int) -> Tally:
    """Try pairs of step and kind in a random order, each step once before any twice, until the time is over."""
    tally = Tally("every step")
    story.template(work)
    total = _count(work)
    end, tried = time.monotonic() + seconds, set[int]()
    for number, kind in _pairs(total, random.Random(seed)):
        if time.monotonic() > end and tally.points:
            break
        _point(work, number, kind, tally)
        tried.add(number)
        tally.kills += kind == "kill"
    tally.name = f"every step ({total:,} steps x {len(KINDS)} kinds)"
    tally.notes.append(
        f"steps: {len(tried):,} of {total:,} failed at least once, {tally.points:,} pairs of step and kind"
    )
    return tally


def _pairs(total: int, chance: random.Random) -> list[tuple[int, str]]:
    """Return all pairs, in rounds that have each step once, with kinds and steps in a random order."""
    kinds = {number: chance.sample(KINDS, len(KINDS)) for number in range(total)}
    return [
        (number, kinds[number][turn]) for turn in range(len(KINDS)) for number in chance.sample(range(total), total)
    ]


def _count(work: Path) -> int:
    home, told = story.renew(work), work / "steps.txt"

    def run() -> None:
        seen = [0]

        def before(step: Step) -> None:
            seen[0] += 1

        install(Tap(str(home), before, lambda step: None))
        story.live(home)
        told.write_text(str(seen[0]))

    story.child(run, work / "errors.txt")
    if not told.exists():
        raise RuntimeError((work / "errors.txt").read_text())
    return int(told.read_text())


def _point(work: Path, number: int, kind: str, tally: Tally) -> None:
    home, trouble, place = story.renew(work), work / "errors.txt", work / "place.txt"
    trouble.unlink(missing_ok=True)
    place.unlink(missing_ok=True)

    def run() -> None:
        install(Tap(str(home), _failing(number, kind, place), lambda step: None))
        try:
            story.live(home)
        except (DerivaMLException, OSError):
            os._exit(0)  # the error is a clear one

    story.child(run, trouble)
    where = f"step {number} {kind} ({place.read_text() if place.exists() else 'not reached'})"
    if trouble.exists():
        tally.blame(where, "stuck", f"an error that is none of ours: {trouble.read_text()[-800:]}")
    story.judge(home, where, tally)


def _failing(number: int, kind: str, place: Path) -> Callable[[Step], float | None]:
    seen, over = [0], [False]

    def before(step: Step) -> float | None:
        seen[0] += 1
        if seen[0] <= number or over[0]:
            return None
        if seen[0] == number + 1:
            _note(place, step)
        if kind in FROM_HERE:
            return _raise(FROM_HERE[kind], step) if kind[0] == "r" or step.what in GROWS else None
        if kind == "sync fails" and step.what not in SYNCS:
            return None  # the next one does
        over[0] = True
        if kind == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if kind == "torn" and step.what == "write":
            return 0.5
        return _raise(ONCE.get(kind, errno.EIO), step)

    return before


def _note(place: Path, step: Step) -> None:
    descriptor = os.open(place, os.O_CREAT | os.O_WRONLY, 0o600)
    os.write(descriptor, f"{step.what} {step.path.rsplit('/home/', 1)[-1]}".encode())
    os.close(descriptor)


def _raise(code: int, step: Step) -> None:
    raise OSError(code, os.strerror(code), step.path)
