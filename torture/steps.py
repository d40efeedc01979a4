"""Every step of a reference run fails once: by an error of the disk, by a torn write, or by the end of the process."""

from __future__ import annotations

import errno
import os
import random
import signal
import time
from pathlib import Path

from deriva_ml.errors import DerivaMLException
from torture import story
from torture.disk import Step, Tap, install

KINDS = ("EIO", "ENOSPC", "EACCES", "torn", "full from here", "kill")


def campaign(work: Path, seconds: float, seed: int) -> story.Tally:
    """Try pairs of step and kind in a random order until the time is over, or all were tried."""
    tally = story.Tally("every step")
    story.template(work)
    total = _count(work)
    pairs = [(number, kind) for number in range(total) for kind in KINDS]
    random.Random(seed).shuffle(pairs)
    end = time.monotonic() + seconds
    for number, kind in pairs:
        if time.monotonic() > end:
            break
        _point(work, number, kind, tally)
    tally.name = f"every step ({total} steps x {len(KINDS)} kinds)"
    return tally


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


def _point(work: Path, number: int, kind: str, tally: story.Tally) -> None:
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
        tally.blame(where, f"an error that is none of ours: {trouble.read_text()[-800:]}")
    story.judge(home, where, tally)


def _failing(number: int, kind: str, place: Path) -> story.Callable[[Step], float | None]:
    seen = [0]
    codes = {"EIO": errno.EIO, "ENOSPC": errno.ENOSPC, "EACCES": errno.EACCES}

    def before(step: Step) -> float | None:
        seen[0] += 1
        at = seen[0] - 1
        if at == number:
            descriptor = os.open(place, os.O_CREAT | os.O_WRONLY, 0o600)
            os.write(descriptor, f"{step.what} {step.path.rsplit('/home/', 1)[-1]}".encode())
            os.close(descriptor)
        if at < number or (at > number and kind != "full from here"):
            return None
        if kind == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if kind == "full from here":
            return _raise(errno.ENOSPC, step) if step.what in ("write", "open", "mkdir", "link", "symlink") else None
        if kind == "torn":
            return 0.5 if step.what == "write" else _raise(errno.EIO, step)
        return _raise(codes[kind], step)

    return before


def _raise(code: int, step: Step) -> float | None:
    raise OSError(code, os.strerror(code), step.path)
