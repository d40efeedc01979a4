"""Every step of every scene fails: by an error of the disk, once or from there on, by a torn write, or by the end of the process."""

from __future__ import annotations

import errno
import gc
import math
import os
import pickle
import random
import re
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

from deriva_ml.errors import DerivaMLException
from torture import story
from torture.again import patient
from torture.disk import READS, Step, Tap, install
from torture.scenes import SCENES, Scene, fitting, told_in
from torture.tally import Tally, total

ERRORS = {name: getattr(errno, name) for name in ("EIO", "ENOSPC", "EACCES", "EPERM", "EMFILE")}
FULL, READ_ONLY, TORN, KILL, AGAIN = "full from here", "read-only from here", "torn", "kill", ", and again"
NEW, GONE = (FULL, READ_ONLY, KILL), (READ_ONLY, KILL)
KINDS = {
    "write": (TORN, TORN + AGAIN, *NEW),
    "sync": ("EIO", "EIO" + AGAIN, KILL),
    "sync folder": ("EIO", "EIO" + AGAIN, KILL),
    "open": ("EACCES", "ENOSPC" + AGAIN, *NEW),
    "mkdir": ("EACCES" + AGAIN, *NEW),
    "link": ("EPERM", "EIO" + AGAIN, *NEW),
    "symlink": ("EPERM" + AGAIN, *NEW),
    "unlink": ("EIO" + AGAIN, *GONE),
    "replace": ("EIO" + AGAIN, *GONE),
    "truncate": ("EIO" + AGAIN, *GONE),
    "look": ("EMFILE" + AGAIN,),
    "read": ("EIO" + AGAIN,),
}
"""What can go wrong with each kind of step, each difference once: a disk is full from the first step on that needs room, and a kill
between two changes is a kill before the second."""
OPENED = ("EACCES", "EMFILE" + AGAIN, READ_ONLY)
"""The same for the opening of a file that is there, to write to it."""
INSIDE = (KILL,)
"""The same for a write of SQLite that follows another one to the same file: an error means to it what it meant at the first one."""
SAME = {"remove": "unlink", "rmdir": "unlink", "rename": "replace"}
GROWS = {"write", "open", "mkdir", "link", "symlink"}
CHANGES = {*KINDS, *SAME} - {"look", "read"}
DEPTH = 4
"""So many lines of our own code tell one place from another."""
SOURCES = f"{Path(__file__).parent.parent / 'src'}/"


Pair = tuple[int, int, str]
"""A scene, a step of it, and what goes wrong with that."""


@dataclass(frozen=True, slots=True)
class Place:
    """One step of a scene: what can go wrong with it, which code does it, and whether SQLite is in the middle of something.

    ``number`` counts those that change something, or those that only read.
    """

    number: int
    reads: bool
    kinds: tuple[str, ...]
    site: tuple[str, ...]
    inner: bool


def campaign(work: Path, seconds: float, seed: int) -> Tally:
    """Try pairs of step and kind, those that differ most first, until the time is over.

    Without an end of the time, all of them are tried, by as many processes as there are cores.
    """
    chance = random.Random(seed)
    scenes = fitting(SCENES, seconds, chance)
    places = [_places(work, scene) for scene in scenes]
    pairs = _ordered(places, chance)
    parts = (os.cpu_count() or 1) if math.isinf(seconds) else 1
    end = time.monotonic() + seconds
    works = [partial(_try, work / f"part-{part}", scenes, places, pairs[part::parts], end) for part in range(parts)]
    done = _at_once(works, work)
    tally = total([each for each, _ in done])
    tried = [pair for _, some in done for pair in some]
    steps, tried_steps = sum(map(len, places)), len({pair[:2] for pair in tried})
    tally.name = f"every step ({tried_steps:,} of {steps:,} steps, {len(tried):,} of {len(pairs):,} pairs)"
    tally.notes = [
        f"steps of {scene.name}: {_told(number, places[number], pairs, tried)}" for number, scene in enumerate(scenes)
    ]
    return tally


def _told(scene: int, places: Sequence[Place], pairs: Sequence[Pair], tried: Sequence[Pair]) -> str:
    mine, done = ([pair for pair in some if pair[0] == scene] for some in (pairs, tried))
    steps = {pair[1] for pair in done}
    outside = [pair for pair in mine if not places[pair[1]].inner]
    left = len(set(outside) - set(done))
    return (
        f"{len(steps):,} of {len(places):,} steps, {len(done):,} of {len(mine):,} pairs with what can go wrong; outside of SQLite's writing "
        f"{len(outside) - left:,} of {len(outside):,}"
    )


# ------------------------------------------------------------------------------------------------------ what there is


def kinds_of(step: Step) -> tuple[str, ...]:
    """Return what can go wrong with a step."""
    what = SAME.get(step.what, step.what)
    there = step.facts.get("there")
    if what == "open" and there:
        return OPENED
    if (what == "mkdir" and there) or (what == "unlink" and not there):  # nothing changes, whatever the disk is like
        return ()
    return KINDS[what]


def _places(work: Path, scene: Scene) -> list[Place]:
    """Play a scene undisturbed, and return its steps."""
    story.template(work, scene)
    home, answer, trouble = story.renew(work, scene), work / "places.pickle", work / "errors.txt"
    places: list[Place] = []
    numbers = {reads: count() for reads in (True, False)}

    def before(step: Step) -> None:
        inner = bool(step.facts.get("goes on"))
        kinds, reads = INSIDE if inner else kinds_of(step), step.what in READS
        site = (step.what, *_kind_of_file(step.path), *_site())
        places.append(Place(next(numbers[reads]), reads, kinds, site, inner))

    def run() -> None:
        story.predictable(scene.name)
        install(Tap(str(home), before, lambda step: None, syncs=False, reads=True))
        scene.act(home, told_in(home))
        answer.write_bytes(pickle.dumps((places, sorted(sys.modules))))

    story.child(run, trouble)
    if not answer.exists():
        raise RuntimeError(trouble.read_text())
    found, modules = pickle.loads(answer.read_bytes())
    answer.unlink()
    story.load(modules)
    return list(found)


def _kind_of_file(path: str) -> tuple[str, ...]:
    """Return what kind of file a path is: its name and folder, without what differs from one to the next."""
    parts = [re.sub(r"[0-9a-f]{2,}|[0-9A-Z]{2,}|\d+", "*", part) for part in path.split("/")[-2:]]
    return tuple(parts)


def _site() -> tuple[str, ...]:
    """Return where in our own code this is done, the innermost first."""
    frame, found = sys._getframe(), []
    while frame is not None and len(found) < DEPTH:
        if frame.f_code.co_filename.startswith(SOURCES):
            found.append(f"{frame.f_code.co_filename[len(SOURCES) :]}:{frame.f_lineno}")
        frame = frame.f_back  # type: ignore[assignment]
    return tuple(found)


def _ordered(scenes: Sequence[Sequence[Place]], chance: random.Random) -> list[Pair]:
    """Return all pairs: first all kinds at one step of each place in the code, then at the rest, last inside of SQLite's writing."""
    seen, turns = set[tuple[str, ...]](), list[tuple[int, float, Pair]]()
    for scene, places in enumerate(scenes):
        for step in chance.sample(range(len(places)), len(places)):
            place = places[step]
            turn = 0 if place.site not in seen else 2 if place.inner else 1
            seen.add(place.site)
            turns += [(turn, chance.random(), (scene, step, kind)) for kind in place.kinds]
    return [pair for _, _, pair in sorted(turns)]


# ------------------------------------------------------------------------------------------------------- what happens


def _at_once(works: Sequence[Callable[[], object]], work: Path) -> list[Any]:
    """Do all works at the same time, each in a child; return what they returned."""
    if len(works) == 1:
        return [works[0]()]
    answers = [work / f"answer-{number}.pickle" for number in range(len(works))]
    for answer, each in zip(answers, works, strict=True):
        if os.fork() == 0:
            try:
                answer.write_bytes(pickle.dumps(each()))
            finally:
                os._exit(0)
    for _ in works:
        os.wait()
    return [pickle.loads(answer.read_bytes()) for answer in answers]


def _try(
    work: Path, scenes: Sequence[Scene], places: Sequence[Sequence[Place]], pairs: Sequence[Pair], end: float
) -> tuple[Tally, list[Pair]]:
    """Try pairs until the time is over; return what came of it, and which they were."""
    tally, tried = Tally("every step"), list[Pair]()
    work.mkdir()
    gc.freeze()  # what is here already is looked at by no child
    for pair in pairs:
        if time.monotonic() > end and tally.points:
            break
        scene, step, kind = pair
        story.template(work, scenes[scene])
        _point(work, scenes[scene], places[scene][step], kind, tally)
        tried.append(pair)
    return tally, tried


def _point(work: Path, scene: Scene, at: Place, kind: str, tally: Tally) -> None:
    home, trouble, place = story.renew(work, scene), work / "errors.txt", work / "place.txt"
    trouble.unlink(missing_ok=True)
    place.unlink(missing_ok=True)

    def run() -> None:
        if kind.endswith(AGAIN):
            patient()
        story.predictable(scene.name)
        before = _failing(at.number, at.reads, kind, place)
        install(Tap(str(home), before, lambda step: None, syncs=False, reads=at.reads))
        with suppress(DerivaMLException, OSError):  # the error is a clear one
            scene.act(home, told_in(home))

    status = story.child(run, trouble)
    tally.kills += os.WIFSIGNALED(status)
    where = f"{scene.name}: {'reading' if at.reads else 'step'} {at.number} {kind} ({place.read_text() if place.exists() else 'not reached'})"
    if trouble.exists():
        tally.blame(where, "stuck", f"an error that is none of ours: {trouble.read_text()[-1500:]}")
    elif os.WIFSIGNALED(status) and kind != KILL:
        tally.blame(where, "stuck", f"it was ended by signal {os.WTERMSIG(status)}")
    story.judge(home, where, tally, scene=scene, syncs=False)


def _failing(number: int, reads: bool, kind: str, place: Path) -> Callable[[Step], float | None]:
    """Return what lets the step with this number fail, counted from 0."""
    numbers, what = count(), kind.removesuffix(AGAIN)

    def before(step: Step) -> float | None:
        if (step.what in READS) != reads:
            return None
        now = next(numbers)
        if now < number:
            return None
        if now == number:
            _note(place, step)
        if what == FULL:
            return _raise(errno.ENOSPC, step) if step.what in GROWS and not step.facts.get("there") else None
        if what == READ_ONLY:
            return _raise(errno.EROFS, step) if step.what in CHANGES and kinds_of(step) else None
        if now > number:
            return None
        if what == KILL:
            os.kill(os.getpid(), signal.SIGKILL)
        if what == TORN and step.what == "write":
            return 0.5
        return _raise(ERRORS.get(what, errno.EIO), step)

    return before


def _note(place: Path, step: Step) -> None:
    descriptor = os.open(place, os.O_CREAT | os.O_WRONLY, 0o600)
    os.write(descriptor, f"{step.what} {step.path.rsplit('/home/', 1)[-1]}".encode())
    os.close(descriptor)


def _raise(code: int, step: Step) -> None:
    raise OSError(code, os.strerror(code), step.path)
