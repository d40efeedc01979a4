"""Ctrl-C at every call in our own code: the user goes on in the same process, then another one looks what is there.

Python answers a signal where a function begins, and where one that is not written in Python has returned: there, and at no other
place, a scene is interrupted.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from deriva_ml.errors import DerivaMLException
from torture import story
from torture.scenes import SCENES, Scene, fitting, told_in
from torture.steps import SOURCES
from torture.tally import Tally

OURS = (SOURCES, contextlib.__file__)
"""Our own code, and what enters and leaves its blocks."""
Call = tuple[str, int, str]
"""A call in our own code: its file and line, and whether a function begins there or has returned."""
Point = tuple[int, int]
"""A scene, and how many calls it has made when it is interrupted."""


def campaign(work: Path, seconds: float, seed: int) -> Tally:
    """Interrupt scenes, at calls that were not interrupted before first, until the time is over."""
    chance, tally, end = random.Random(seed), Tally("Ctrl-C"), time.monotonic() + seconds
    scenes = fitting(SCENES, seconds, chance)
    calls = [_calls(work, scene) for scene in scenes]
    for tried, (scene, number) in enumerate(_ordered(calls, chance)):
        if tried and time.monotonic() > end:
            break
        _point(work, scenes[scene], number, calls[scene][number], tally)
    there = len({call for each in calls for call in each})
    tally.name = f"Ctrl-C ({tally.points:,} points, {there:,} calls in {len(scenes)} scenes)"
    return tally


def _calls(work: Path, scene: Scene) -> list[Call]:
    """Return the calls in our own code that a scene makes, in their order."""
    story.template(work, scene)
    home, answer, trouble = story.renew(work, scene), work / "calls.json", work / "trouble.txt"

    def run() -> None:
        found: list[Call] = []
        story.predictable(scene.name)
        _watched(lambda: scene.act(home, told_in(home)), lambda frame, event: found.append(_call(frame, event)))
        answer.write_text(json.dumps([found, sorted(sys.modules)]))

    if story.child(run, trouble):
        raise RuntimeError(f"{scene.name} does not even end undisturbed: {trouble.read_text()}")
    found, modules = json.loads(answer.read_text())
    answer.unlink()
    story.load(modules)
    return [(file, number, event) for file, number, event in found]


def _ordered(scenes: Sequence[Sequence[Call]], chance: random.Random) -> list[Point]:
    """Return all points, in no order, but each call once before any a second time."""
    points = [(scene, number) for scene, calls in enumerate(scenes) for number in range(len(calls))]
    chance.shuffle(points)
    seen, first, again = set[Call](), list[Point](), list[Point]()
    for scene, number in points:
        call = scenes[scene][number]
        (again if call in seen else first).append((scene, number))
        seen.add(call)
    return first + again


def _point(work: Path, scene: Scene, number: int, call: Call, tally: Tally) -> None:
    home, trouble = story.renew(work, scene), work / "errors.txt"
    trouble.unlink(missing_ok=True)

    def run() -> None:
        story.predictable(scene.name)
        with contextlib.suppress(
            KeyboardInterrupt, DerivaMLException, OSError
        ):  # what it was interrupted in may end in a clear error
            _watched(lambda: scene.act(home, told_in(home)), _interrupting(number))
        scene.settle(home)

    status = story.child(run, trouble)
    where = f"{scene.name}: Ctrl-C at call {number:,}, {call[0]}:{call[1]} {call[2]}"
    if trouble.exists():
        tally.blame(where, "stuck", f"the same process cannot go on: {trouble.read_text()[-1500:]}")
    elif status:
        tally.blame(where, "stuck", f"the same process hangs: signal {os.WTERMSIG(status)}")
    story.judge(home, where, tally, scene=scene, settled=not status)
    tally.kills += 1


Told = Callable[[FrameType, str], None]


def _interrupting(number: int) -> Told:
    """Return what interrupts the call with this number, counted from 0, as Ctrl-C does."""
    left = number

    def told(_: FrameType, __: str) -> None:
        nonlocal left
        if left == 0:
            sys.setprofile(None)
            raise KeyboardInterrupt
        left -= 1

    return told


def _watched(work: Callable[[], None], told: Told) -> None:
    """Do ``work``, telling of each moment in our own code at which Python would answer a signal."""

    def profile(frame: FrameType, event: str, _: Any) -> None:
        if event in {"call", "c_return"} and frame.f_code.co_filename.startswith(OURS):
            told(frame, event)

    sys.setprofile(profile)
    try:
        work()
    finally:
        sys.setprofile(None)


def _call(frame: FrameType, event: str) -> Call:
    return frame.f_code.co_filename.removeprefix(SOURCES), frame.f_lineno, event
