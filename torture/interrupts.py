"""Ctrl-C at every line of our own code: the user goes on in the same process, then another one looks what is there."""

from __future__ import annotations

import json
import os
import random
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any

from deriva_ml.errors import DerivaMLException
from torture import story
from torture.scenes import SCENES, Scene, fitting, told_in
from torture.steps import SOURCES
from torture.tally import Tally

Line = tuple[str, int]
"""A line of the code: its file and number."""
Point = tuple[int, int]
"""A scene, and how many lines of our own code it has run when it is interrupted."""


def campaign(work: Path, seconds: float, seed: int) -> Tally:
    """Interrupt scenes, at lines that were not interrupted before first, until the time is over."""
    chance, tally, end = random.Random(seed), Tally("Ctrl-C"), time.monotonic() + seconds
    scenes = fitting(SCENES, seconds, chance)
    lines = [_lines(work, scene) for scene in scenes]
    for tried, (scene, number) in enumerate(_ordered(lines, chance)):
        if tried and time.monotonic() > end:
            break
        _point(work, scenes[scene], number, lines[scene][number], tally)
    there = len({line for each in lines for line in each})
    tally.name = f"Ctrl-C ({tally.points:,} of {there:,} lines in {len(scenes)} scenes)"
    return tally


def _lines(work: Path, scene: Scene) -> list[Line]:
    """Return the lines of our own code that a scene runs, in their order."""
    story.template(work, scene)
    home, answer, trouble = story.renew(work, scene), work / "lines.json", work / "trouble.txt"

    def run() -> None:
        found: list[Line] = []
        story.predictable(scene.name)
        _watched(lambda: scene.act(home, told_in(home)), lambda frame: found.append(_line(frame)))
        answer.write_text(json.dumps([found, sorted(sys.modules)]))

    if story.child(run, trouble):
        raise RuntimeError(f"{scene.name} does not even end undisturbed: {trouble.read_text()}")
    found, modules = json.loads(answer.read_text())
    answer.unlink()
    story.load(modules)
    return [(file, number) for file, number in found]


def _ordered(scenes: Sequence[Sequence[Line]], chance: random.Random) -> list[Point]:
    """Return all points, in no order, but each line once before any line a second time."""
    points = [(scene, number) for scene, lines in enumerate(scenes) for number in range(len(lines))]
    chance.shuffle(points)
    seen, first, again = set[Line](), list[Point](), list[Point]()
    for scene, number in points:
        line = scenes[scene][number]
        (again if line in seen else first).append((scene, number))
        seen.add(line)
    return first + again


def _point(work: Path, scene: Scene, number: int, line: Line, tally: Tally) -> None:
    home, trouble = story.renew(work, scene), work / "errors.txt"
    trouble.unlink(missing_ok=True)

    def run() -> None:
        story.predictable(scene.name)
        with suppress(
            KeyboardInterrupt, DerivaMLException, OSError
        ):  # what it was interrupted in may end in a clear error
            _watched(lambda: scene.act(home, told_in(home)), _interrupting(number))
        scene.settle(home)

    status = story.child(run, trouble)
    where = f"{scene.name}: Ctrl-C at line {number:,}, {line[0]}:{line[1]}"
    if trouble.exists():
        tally.blame(where, "stuck", f"the same process cannot go on: {trouble.read_text()[-1500:]}")
    elif status:
        tally.blame(where, "stuck", f"the same process hangs: signal {os.WTERMSIG(status)}")
    story.judge(home, where, tally, scene=scene, syncs=False, settled=not status)
    tally.kills += 1


def _interrupting(number: int) -> Callable[[FrameType], None]:
    """Return what interrupts the line with this number, counted from 0, as Ctrl-C does."""
    left = number

    def told(_: FrameType) -> None:
        nonlocal left
        if left == 0:
            sys.settrace(None)
            raise KeyboardInterrupt
        left -= 1

    return told


def _watched(work: Callable[[], None], told: Callable[[FrameType], None]) -> None:
    """Do ``work``, telling of each line of our own code before this thread runs it."""

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        if event == "line":
            told(frame)
        return trace if frame.f_code.co_filename.startswith(SOURCES) else None

    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(None)


def _line(frame: FrameType) -> Line:
    return frame.f_code.co_filename.removeprefix(SOURCES), frame.f_lineno
