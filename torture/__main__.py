"""``python -m torture``: every campaign for its share of a given time; one table at the end, and 1 if one found something."""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import platform
import shutil
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import psutil

from torture import broken, scenes, story
from torture.tally import Tally, markdown, table, total

LANES = (
    {
        "kills": 0.25,
        "remote": 0.1,
        "offline": 0.1,
        "requests": 0.1,
        "power": 0.1,
        "wire": 0.15,
        "models": 0.1,
        "interrupts": 0.1,
    },
    {"steps": 1.0},
)
"""Campaigns that run at the same time, each lane on a core of its own, with their shares of the time."""
ALONE = {"crowd": 0.12}
"""What comes afterwards, with its share of all: it wants the whole machine."""
NAMES = [name for lane in (*LANES, ALONE) for name in lane]
ENUMERATED = {"steps", "requests"}
"""Campaigns that know all their points, and can try every one of them."""
PLAYED = {"steps": scenes.SCENES, "requests": scenes.SCENES, "interrupts": scenes.SCENES, "power": scenes.LOSING_POWER}
"""Campaigns that play scenes, and which."""
FOR_AS_LONG_AS_IT_TAKES = 7 * 24 * 3600
Run = Callable[[str, float], Tally]
LATE = 300
"""A campaign that is so many seconds late hangs, and is ended."""


def main() -> int:
    """Run the campaigns."""
    ask = argparse.ArgumentParser(prog="python -m torture", description=__doc__)
    ask.add_argument("--seconds", type=float, default=600, help="how long in all (default 600)")
    ask.add_argument("--seed", type=int, default=int(time.time()), help="for the same random choices again")
    ask.add_argument("--only", choices=NAMES, action="append", help="only this campaign; may be repeated")
    ask.add_argument("--all", action="store_true", help="steps, requests: every point, however long it takes")
    names = list(dict.fromkeys(scene.name for played in PLAYED.values() for scene in played))
    ask.add_argument("--scene", choices=names, help="only this scene, by the campaigns that play it")
    ask.add_argument(
        "--break", dest="broken", choices=broken.BREAKS, help="break a promise on purpose: the judge must notice"
    )
    ask.add_argument("--report", type=Path, help="write the table to this file too, as Markdown")
    asked = ask.parse_args()
    chosen = asked.only or NAMES
    if asked.scene:
        play = [name for name, played in PLAYED.items() if asked.scene in {scene.name for scene in played}]
        if not (chosen := [name for name in chosen if name in play]):
            ask.error(f"{asked.scene!r} is played by {', '.join(play)} only")
    for name, value in ((broken.CHOSEN, asked.broken), (scenes.CHOSEN, asked.scene)):
        os.environ |= {name: value} if value else {}
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    machine = _machine()
    print(f"seed {asked.seed}, {asked.seconds:.0f} seconds, {machine}", flush=True)
    lanes = [lane for lane in LANES if set(lane) & set(chosen)]
    began = time.monotonic()
    end = began + asked.seconds
    meanwhile = end - (sum(share for name, share in ALONE.items() if name in chosen) * asked.seconds if lanes else 0)
    run = partial(_run, seed=asked.seed, everything=asked.all)
    done = [*_together(lanes, chosen, meanwhile, run), *_lane(ALONE, chosen, end, run)]
    everything = total(done)
    everything.seconds = time.monotonic() - began
    print(f"\n{table([*done, everything])}\n\n{_summary(done, everything)}", flush=True)
    if asked.report:
        heading = f"Seed {asked.seed}, {asked.seconds:.0f} seconds, {datetime.now(UTC):%Y-%m-%d}, {machine}."
        asked.report.write_text(f"{heading}\n\n{markdown([*done, everything])}\n\n{_summary(done, everything)}\n")
    return int(bool(everything.problems))


def _together(lanes: list[dict[str, float]], chosen: list[str], end: float, run: Run) -> list[Tally]:
    """Run each lane in a process of its own; return what all of them did."""
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / f"lane-{number}" for number in range(len(lanes))]
        children = []
        for file, lane in zip(files, lanes, strict=True):
            child = os.fork()
            if child == 0:
                code = 1
                try:
                    file.write_text("\n".join(tally.text() for tally in _lane(lane, chosen, end, run)))
                    code = 0
                except BaseException:  # noqa: BLE001 - a child of a fork must not go on as its parent
                    traceback.print_exc()
                finally:
                    sys.stdout.flush()
                    os._exit(code)
            children.append(child)
        for child in children:
            os.waitpid(child, 0)
        return [Tally.read(line) for file in files for line in file.read_text().splitlines()]


def _lane(shares: dict[str, float], chosen: list[str], end: float, run: Run) -> list[Tally]:
    """Run campaigns one after the other, each for its share of what is left: one that is late takes nothing from the end."""
    waiting = {name: share for name, share in shares.items() if name in chosen}
    done = []
    while waiting:
        name, whole = next(iter(waiting)), sum(waiting.values())
        done.append(run(name, max(0.0, end - time.monotonic()) * waiting.pop(name) / whole))
    return done


def _run(name: str, seconds: float, seed: int, everything: bool) -> Tally:
    """Run one campaign in a process of its own, in a folder that is removed unless it found something."""
    work, began = Path(tempfile.mkdtemp(prefix=f"torture-{name}-")).resolve(), time.monotonic()
    kept, trouble = work / "tally.json", work / "trouble.txt"
    all_of_it = everything and name in ENUMERATED
    print(f"{name}: {'all of it' if all_of_it else f'{seconds:.0f} seconds'} in {work}", flush=True)
    campaign = importlib.import_module(f"torture.{name}").campaign
    given = (work, float("inf"), seed) if all_of_it else (work, seconds, seed)
    limit = FOR_AS_LONG_AS_IT_TAKES if all_of_it else int(seconds) + LATE
    story.child(lambda: kept.write_text(campaign(*given).text()), trouble, limit)
    tally = Tally.read(kept.read_text()) if kept.exists() else Tally(name, points=1)
    tally.seconds = time.monotonic() - began
    if not kept.exists():
        tally.blame(name, "stuck", f"the campaign did not end: {trouble.read_text() if trouble.exists() else 'hung'}")
    print(f"{table([tally])}\n", flush=True)
    if not tally.problems:
        shutil.rmtree(work, ignore_errors=True)
    return tally


def _summary(done: list[Tally], everything: Tally) -> str:
    broken = everything.lost + everything.twice + everything.stuck
    notes = [note for each in done for note in each.notes]
    verdict = "no promise was broken" if not broken else f"{broken} promises were broken"
    first = f"{everything.kills:,} kill points, {everything.acknowledged:,} acknowledged items: {verdict}."
    return "\n".join([first, "", *(f"- {note}" for note in notes), *(f"- {each}" for each in everything.problems)])


def _machine() -> str:
    memory = psutil.virtual_memory().total / 2**30
    disk = max(
        (part for part in psutil.disk_partitions() if tempfile.gettempdir().startswith(part.mountpoint)),
        key=lambda part: len(part.mountpoint),
        default=None,
    )
    return (
        f"{platform.system()} {platform.release()}, {platform.machine()}, {os.cpu_count()} cores, {memory:.0f} GiB, "
        f"{disk.fstype if disk else 'unknown'} disk, Python {platform.python_version()}"
    )


if __name__ == "__main__":
    sys.exit(main())
