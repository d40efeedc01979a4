"""What every campaign does with a scene: a home as it was before, a child in which something happens, and the judgement.

The run, and what is checked of it, are those of the kill loop of the tests.
"""

from __future__ import annotations

import functools
import importlib
import json
import mimetypes
import os
import random
import shutil
import signal
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from deriva_ml import files
from deriva_ml.catalog import objects
from deriva_ml.execution import seal
from torture import broken
from torture.disk import bring_nothing_to_the_disk
from torture.scenes import SCENES, Problems, Scene, life_story, told_in
from torture.tally import Tally

kill_loop: Any = importlib.import_module("kill_loop")
SECONDS = 100
A_RUN = SCENES[0]


def child(work: Callable[[], Any], report: Path, seconds: int = SECONDS) -> int:
    """Run ``work`` in a forked child; return its status as of ``os.wait``. One that hangs is killed."""
    number = os.fork()
    if number == 0:
        signal.alarm(seconds)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # what fails on purpose is not news
        broken.apply()
        code = 0
        try:
            work()
        except BaseException:  # noqa: BLE001 - a child of a fork must not go on as its parent
            report.write_text(traceback.format_exc())
            code = 1
        os._exit(code)
    return os.waitpid(number, 0)[1]


def load(modules: Sequence[str]) -> None:
    """Load here, once, what a child had to load: each of the next ones would do so by itself."""
    mimetypes.init()
    for name in modules:
        with suppress(ImportError):
            importlib.import_module(name)


def predictable(seed: str) -> None:
    """Let this process draw the same random names as any other with this seed, and use one thread: so it takes the same steps."""
    files.AT_ONCE = seal.AT_ONCE = objects.AT_ONCE = 1
    os.urandom = random._urandom = random.Random(seed).randbytes  # type: ignore[attr-defined]


def template(work: Path, scene: Scene = A_RUN) -> Path:
    """Make the home in which a scene begins, to be copied for each point; made once."""
    kept, folder, trouble = work / f"template {scene.name}", work / "home", work / "prepare.txt"
    if not kept.exists():
        shutil.rmtree(folder, ignore_errors=True)
        if child(lambda: scene.prepare(folder), trouble):
            raise RuntimeError(trouble.read_text() if trouble.exists() else f"{scene.name} could not be prepared")
        folder.rename(kept)
    return kept


def renew(work: Path, scene: Scene = A_RUN) -> Path:
    """Put a fresh copy of the template at the one place where homes are."""
    home = work / "home"
    shutil.rmtree(home, ignore_errors=True)
    shutil.copytree(work / f"template {scene.name}", home, symlinks=True)
    return home


def judge(
    home: Path,
    where: str,
    tally: Tally,
    points: int = 1,
    scene: Scene = A_RUN,
    *,
    syncs: bool = True,
    settled: bool = False,
) -> None:
    """Recover the home, unless it is settled, and count what was promised and is not there.

    Without ``syncs`` nothing is brought to the disk meanwhile.
    """
    verdict, errors = home.parent / "verdict.json", home.parent / "recovery.txt"
    verdict.unlink(missing_ok=True)
    errors.unlink(missing_ok=True)

    def examine() -> None:
        if not syncs:
            bring_nothing_to_the_disk()
        verdict.write_text(json.dumps(examined(home, scene, settled)))

    child(examine, errors)
    if verdict.exists():
        for kind, problem in json.loads(verdict.read_text()):
            tally.blame(where, kind, problem)
    else:
        text = errors.read_text().strip() if errors.exists() else "killed"
        tally.blame(where, "stuck", f"recovery did not end: {text[-1500:]}")
    tally.point(life_story.items(told_in(home).read()), points)


def examined(home: Path, scene: Scene, settled: bool = False) -> Problems:
    """Do what a user does after the scene was broken off, unless that is done, and return every promise that was not kept.

    The home is opened once, for all of it.
    """
    life_story.DerivaML = functools.cache(life_story.DerivaML)
    problems: Problems = []
    if scene.look is not None:
        scene.look(home, told_in(home), problems)
    if not settled:
        scene.settle(home)
    scene.check(home, told_in(home), problems)
    return problems + _changed_sources(home.with_name(f"{home.name}-sources"))


def _changed_sources(folder: Path) -> Problems:
    """The user's own files are what they were."""
    files = folder.glob("*.bin") if folder.is_dir() else ()
    return [
        ["lost", f"the user's file {file.name}"]
        for file in files
        if file.read_bytes() != life_story.content_of(file.name)
    ]
