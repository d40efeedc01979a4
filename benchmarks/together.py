"""Eight processes that record runs in one workspace at the same time, beside what the processors and the disk allow."""

from __future__ import annotations

import os
import resource
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks import floors
from benchmarks.measure import Figure, median_ms, timed_ms
from deriva_ml import DerivaML, Workflow
from torture.disk import Step, Tap, install

PROCESSES, ENOUGH = 8, 0.8


def figures(folder: Path, smoke: bool) -> Iterator[Figure]:
    home, runs = folder / "home", 2 if smoke else 50
    DerivaML(working_dir=home).session.port.close()
    processor = _child(folder, lambda: _processor_ms(home, 3 if smoke else 30))
    syncs = _child(folder, lambda: _syncs(home))
    plain = floors.plain_table(folder)
    numbers = iter(range(1_000))
    sync = median_ms(lambda: floors.insert(plain, next(numbers), 1), 50)
    plain.close()
    measured = _together(home, runs) / (PROCESSES * runs)
    floor = max(processor / (os.cpu_count() or 1), syncs * sync)
    yield Figure(
        f"a run, {PROCESSES} processes at once",
        measured,
        f"the more of: CPU time of one run ÷ cores; its {syncs:.0f} syncs",
        floor,
        floor / ENOUGH,
        f"{ENOUGH} x its throughput",
    )


def _run(ml: DerivaML, name: str) -> None:
    workflow = Workflow(name="same", workflow_type="Training", url="https://example.org/same.py", checksum="same")
    with ml.create_execution(workflow=workflow, description=name) as exe:
        exe.asset_file_path("Execution_Asset", f"{name}.txt").write_text(name)
        exe.log_metrics({"loss": 0.5}, step=1)
    exe.commit_output_assets()


def _together(home: Path, runs: int) -> float:
    """Return the milliseconds that so many runs of each process take, from when all of them have recorded their first one.

    The first run of a process loads code and looks at the environment, once; the floor is that of the runs after it.
    """
    is_ready, ready = os.pipe()
    go_on, gone = os.pipe()

    def several(number: int) -> None:
        os.close(gone)
        ml = DerivaML(working_dir=home)
        _run(ml, f"{number}-first")
        os.write(ready, b"r")
        os.read(go_on, 1)
        for run in range(runs):
            _run(ml, f"{number}-{run}")

    children = [_forked(lambda number=number: several(number)) for number in range(PROCESSES)]
    os.close(ready)
    here = 0
    while said := len(os.read(is_ready, PROCESSES)):
        here += said
        if here == PROCESSES:
            break
    return timed_ms(lambda: _go_on(gone, children))


def _go_on(gone: int, children: list[int]) -> None:
    os.close(gone)
    if any(os.waitpid(child, 0)[1] for child in children):
        raise RuntimeError("A process of the benchmark failed.")


def _processor_ms(home: Path, runs: int) -> float:
    ml = DerivaML(working_dir=home)
    _run(ml, "warm")
    began = resource.getrusage(resource.RUSAGE_SELF)
    for run in range(runs):
        _run(ml, f"alone-{run}")
    ended = resource.getrusage(resource.RUSAGE_SELF)
    return (ended.ru_utime + ended.ru_stime - began.ru_utime - began.ru_stime) * 1000 / runs


def _syncs(home: Path) -> float:
    seen = [0]

    def after(step: Step) -> None:
        seen[0] += step.what.startswith("sync")

    install(Tap(str(home), lambda step: None, after))
    ml = DerivaML(working_dir=home)
    _run(ml, "first")
    seen[0] = 0
    _run(ml, "counted")
    return float(seen[0])


def _child(folder: Path, work: Callable[[], float]) -> float:
    """Return what ``work`` returns in a process of its own: a connection must not be shared with those that come."""
    kept = folder / "answer"
    child = _forked(lambda: kept.write_text(str(work())))
    if os.waitpid(child, 0)[1]:
        raise RuntimeError("A process of the benchmark failed.")
    return float(kept.read_text())


def _forked(work: Callable[[], object]) -> int:
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        work()
        code = 0
    finally:
        os._exit(code)
