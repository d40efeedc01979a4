"""Power loss: what a scene did to the disk is recorded, and states that the disk may have after a cut are rebuilt and reopened."""

from __future__ import annotations

import pickle
import random
import shutil
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path

from torture import story
from torture.disk import SYNCS, Step, Tap, install
from torture.platter import MOODS, Disk, Event
from torture.scenes import LOSING_POWER, Scene, fitting, told_in
from torture.tally import Tally

Cut = tuple[int, int, str]
"""A scene, how many of its steps had happened, and what was left of those that were not synced."""


def campaign(work: Path, seconds: float, seed: int) -> Tally:
    """Cut the power after each acknowledgement, after each sync, then at any moment, until the time is over."""
    tally, chance = Tally("power loss"), random.Random(seed)
    scenes = fitting(LOSING_POWER, seconds, chance)
    records = [_record(work, scene) for scene in scenes]
    end, seen, cuts = time.monotonic() + seconds, set[str](), Counter[int]()
    for scene, moment, mood in chain(_cuts(records, chance), _any(records, chance)):
        if time.monotonic() > end and tally.points:
            break
        digest = _point(work, scenes[scene], records[scene][:moment], mood, chance, seen, tally)
        cuts[scene] += digest not in seen
        seen.add(digest)
    tally.name = f"power loss ({len(seen):,} different disks)"
    tally.notes = [f"power cuts in {scenes[scene].name}: {count:,} different disks" for scene, count in cuts.items()]
    return tally


def _cuts(records: Sequence[Sequence[Event]], chance: random.Random) -> Iterator[Cut]:
    """Yield the moments at which a promise begins to hold: first the end of each scene, then those after an acknowledgement, after a sync."""
    told, synced = list[Cut](), list[Cut]()
    for scene, events in enumerate(records):
        yield from ((scene, len(events), mood) for mood in MOODS)
        for moment, (what, *_) in enumerate(events, 1):
            if what == "told" or what in SYNCS:
                (told if what == "told" else synced).extend((scene, moment, mood) for mood in MOODS)
    for some in (told, synced):
        yield from chance.sample(some, len(some))


def _any(records: Sequence[Sequence[Event]], chance: random.Random) -> Iterator[Cut]:
    while True:
        scene = chance.randrange(len(records))
        yield scene, chance.randrange(len(records[scene]) + 1), chance.choice(MOODS)


def _record(work: Path, scene: Scene) -> list[Event]:
    """Play a scene undisturbed, and return what it did to the disk and acknowledged."""
    story.template(work, scene)
    home, kept, trouble = story.renew(work, scene), work / "events.pickle", work / "errors.txt"

    def run() -> None:
        events: list[Event] = []

        def note(step: Step) -> None:
            events.append((step.what, step.path, step.facts))

        def acknowledged(kind: str, **facts: object) -> None:
            events.append(("told", kind, facts))

        install(Tap(str(home), lambda step: None, note))
        scene.act(home, acknowledged)
        kept.write_bytes(pickle.dumps(events))

    story.child(run, trouble)
    if not kept.exists():
        raise RuntimeError(trouble.read_text())
    events: list[Event] = pickle.loads(kept.read_bytes())
    kept.unlink()
    return events


def _point(
    work: Path, scene: Scene, events: Sequence[Event], mood: str, chance: random.Random, seen: set[str], tally: Tally
) -> str:
    """Let the events happen to a disk, cut the power, and judge what is left, unless that was judged before."""
    home = work / "home"
    disk = Disk(work / f"template {scene.name}")
    disk.home = str(home)
    told = []
    for event in events:
        if event[0] == "told":
            told.append((event[1], event[2]))
        else:
            disk.happen(event)
    disk.cut(mood, chance)
    digest = f"{scene.name} {disk.digest()} {len(told)}"
    if digest in seen:
        return digest
    shutil.rmtree(home, ignore_errors=True)
    disk.build(home)
    for kind, facts in told:
        told_in(home)(kind, **facts)
    story.judge(home, f"{scene.name}: power cut after {len(events)} steps, {mood}", tally, scene=scene, syncs=False)
    return digest
