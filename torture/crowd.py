"""Many processes at once on one home: 64 that begin where nothing is yet, then eight that record run after run, and a reader.

Each of the 64 forks a worker while another of its threads writes.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from deriva_ml import DerivaML, Workflow
from torture import story
from torture.disk import Step, Tap, install
from torture.tally import Tally

CROWD, WORKERS, RUNS, ALONE = 64, 8, 200, 20
METRICS = 5
Measure = Callable[[Any, str, Sequence[int]], None]
RECORDING = 0.7
"""The share of the time in which workers record; the judge needs the rest."""
LEAST = 10.0
"""Seconds that the workers have, however long the crowd took."""


def campaign(work: Path, seconds: float, seed: int, crowd: int = CROWD) -> Tally:
    """Let a crowd begin on a fresh home, then workers record runs there beside a reader; again until the time is over."""
    tally = Tally(f"many processes ({crowd} on a fresh home, then {WORKERS} x {RUNS} runs)")
    began, number = time.monotonic(), 0
    end = began + seconds
    while not number or time.monotonic() + (time.monotonic() - began) / number < end:  # there is time for one more
        _home(work / f"home-{number}", crowd, end, tally)
        number += 1
    return tally


def _home(home: Path, crowd: int, end: float, tally: Tally) -> None:
    _together(home, [partial(_runs, home, f"crowd-{index}", 1, end, _forking) for index in range(crowd)], tally)
    alone = _alone(home)
    began = time.monotonic()
    end = max(began + (end - began) * RECORDING, began + LEAST)
    told = home / "acknowledged.jsonl"
    before = len(story.life_story.Acknowledged(told).read())
    workers = [partial(_runs, home, f"worker-{index}", RUNS, end) for index in range(WORKERS)]
    _together(home, [*workers, partial(_read, home, end)], tally, WORKERS)
    runs = len(story.life_story.Acknowledged(told).read()) - before
    tally.notes.append(_speed(runs / (time.monotonic() - began), alone))
    verdict, trouble = home.with_name("verdict.json"), home.with_name("trouble.txt")
    verdict.unlink(missing_ok=True)
    story.child(lambda: verdict.write_text(json.dumps(_judged(home))), trouble, 300)
    if not verdict.exists():
        tally.blame(str(home), "stuck", f"the judgement did not end: {trouble.read_text() if trouble.exists() else ''}")
        return
    found = json.loads(verdict.read_text())
    tally.point(found["acknowledged"], 0)
    for kind, problem in found["problems"]:
        tally.blame(str(home), kind, problem)
    if not found["problems"]:
        shutil.rmtree(home)


def _together(home: Path, works: list[Callable[[], None]], tally: Tally, ends: int | None = None) -> None:
    """Let all begin at once, each in a process; when the first ``ends`` have ended, the others are told to stop."""
    stop = home.with_name("stop")
    stop.unlink(missing_ok=True)
    children = []
    for index, work in enumerate(works):
        child = os.fork()
        if child == 0:
            os._exit(int(story.child(work, home.with_name(f"trouble-{index}.txt"), 600) != 0))
        children.append(child)
    for index, child in enumerate(children):
        if index == ends:
            stop.touch()
        if os.waitpid(child, 0)[1]:
            trouble = home.with_name(f"trouble-{index}.txt")
            said = trouble.read_text()[-1500:] if trouble.exists() else "hung"
            tally.blame(f"process {index} of {len(works)}", "stuck", said)
        tally.point(0)


def _measure(exe: Any, name: str, steps: Iterable[int]) -> None:
    for step in steps:
        exe.log_metrics({"step": step, "name": name}, step=step)


def _forking(exe: Any, name: str, steps: Sequence[int]) -> None:
    """Measure in two threads, one of which lets a forked worker do it."""
    with ThreadPoolExecutor(1) as thread:
        writing = thread.submit(_measure, exe, name, steps[1::2])
        report = exe.working_dir / "worker.txt"
        if story.child(lambda: _measure(exe, name, steps[::2]), report):
            raise RuntimeError(f"a worker ended with {report.read_text() if report.exists() else 'its alarm'}")
        writing.result()


def _runs(home: Path, name: str, runs: int, end: float, measure: Measure = _measure) -> None:
    ml = DerivaML(working_dir=home)
    told = story.life_story.Acknowledged(home / "acknowledged.jsonl")
    for run in range(runs):
        if run and time.monotonic() > end:
            return
        _run(ml, f"{name}-{run}", measure)
        told("run", name=f"{name}-{run}")


def _run(ml: DerivaML, name: str, measure: Measure = _measure) -> None:
    workflow = Workflow(name="same", workflow_type="Training", url="https://example.org/same.py", checksum="same")
    with ml.create_execution(workflow=workflow, description=name) as exe:
        exe.asset_file_path("Execution_Asset", f"{name}.txt").write_text(name)
        measure(exe, name, range(METRICS))
    exe.commit_output_assets()


def _read(home: Path, end: float) -> None:
    """Read until the others have ended: what was there stays there, and states only go forward."""
    ml = DerivaML(working_dir=home)
    seen: set[str] = set()
    while not home.with_name("stop").exists() and time.monotonic() < end + story.SECONDS:
        uploaded = {run.execution_rid for run in ml.find_executions(status="Uploaded")}
        if seen - uploaded:
            raise AssertionError(f"runs that were Uploaded and are not: {sorted(seen - uploaded)}")
        seen = uploaded
        time.sleep(0.1)


def _judged(home: Path) -> dict[str, Any]:
    """Look for every run that was acknowledged: its row, its file with its bytes, its metrics; each once."""
    ml = DerivaML(working_dir=home)
    names = [each["name"] for each in story.life_story.Acknowledged(home / "acknowledged.jsonl").read()]
    runs = {run.description: run for run in ml.find_executions(status="Uploaded")}
    rows = Counter(run.description for run in ml.find_executions())
    problems = [["stuck", str(run.description)] for run in ml.find_executions() if run.status != "Uploaded"]
    if [workflow.name for workflow in ml.find_workflows()].count("same") != 1:
        problems.append(["twice", "the workflow"])
    for name in names:
        if rows[name] != 1:
            problems.append(["twice" if rows[name] else "lost", name])
            continue
        outputs = ml.list_execution_assets(runs[name].execution_rid, "Output") if name in runs else []
        contents = [ml.session.hatrac("GET", each.url).body for each in outputs if each.filename == f"{name}.txt"]
        if contents != [name.encode()]:
            problems.append(["twice" if len(contents) > 1 else "lost", f"the file of {name}: {contents}"])
        lines = [ml.session.hatrac("GET", each.url).body for each in outputs if each.filename == "metrics.jsonl"]
        steps = [json.loads(line)["step"] for line in b"".join(lines).splitlines()]
        if sorted(steps) != list(range(METRICS)):
            problems.append(["lost" if len(set(steps)) < METRICS else "twice", f"the metrics of {name}: {steps}"])
    return {"acknowledged": len(names) * (2 + METRICS), "problems": problems}


# ---------------------------------------------------------------------------------------------------------------- speed


def _alone(home: Path) -> dict[str, float]:
    """Return what one run costs in a process that is alone: seconds of the processor, syncs, and seconds of one sync."""
    kept = home.with_name("alone.json")

    def measure() -> None:
        syncs = [0]

        def after(step: Step) -> None:
            syncs[0] += step.what.startswith("sync")

        ml = DerivaML(working_dir=home)
        for number in range(ALONE):
            _run(ml, f"warm-{number}")
        began = resource.getrusage(resource.RUSAGE_SELF)
        for number in range(ALONE):
            _run(ml, f"alone-{number}")
        ended = resource.getrusage(resource.RUSAGE_SELF)
        processor = ended.ru_utime + ended.ru_stime - began.ru_utime - began.ru_stime
        install(Tap(str(home), lambda step: None, after))
        _run(DerivaML(working_dir=home), "counted")
        kept.write_text(json.dumps({"cpu": processor / ALONE, "syncs": syncs[0], "sync": _sync_seconds(home)}))

    kept.unlink(missing_ok=True)
    story.child(measure, home.with_name("trouble.txt"), 300)
    found: dict[str, float] = json.loads(kept.read_text())
    return found


def _sync_seconds(home: Path) -> float:
    path, times = home.with_name("synced"), []
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR)
    os.pwrite(descriptor, bytes(1 << 20), 0)
    os.fsync(descriptor)
    for number in range(100):
        began = time.perf_counter()
        os.pwrite(descriptor, bytes([number]) * 4096, 4096 * number)
        os.fdatasync(descriptor)
        times.append(time.perf_counter() - began)
    os.close(descriptor)
    return statistics.median(times)


def _speed(found: float, alone: dict[str, float]) -> str:
    processors = (os.cpu_count() or 1) / alone["cpu"]
    disk = 1 / (alone["syncs"] * alone["sync"])
    floor = min(processors, disk)
    return (
        f"{WORKERS} processes: {found:.1f} runs/s, {found / floor:.2f} of the floor (cores ÷ CPU time of one run: {processors:.1f}; "
        f"{alone['syncs']:.0f} syncs of {alone['sync'] * 1000:.2f} ms a run, one after the other: {disk:.1f})"
    )
