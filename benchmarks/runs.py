"""Executions in a warm process: an empty run, many staged files, one large file."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import count
from pathlib import Path

from benchmarks import floors
from benchmarks.measure import Figure, median_ms, timed_ms
from deriva_ml import DerivaML


def figures(folder: Path, smoke: bool) -> Iterator[Figure]:
    os.environ["DERIVA_ML_ALLOW_DIRTY"] = "true"
    ml = DerivaML(working_dir=str(folder / "home"))
    ml.create_asset("Thing", comment="what the benchmark stages")
    workflow = ml.create_workflow("bench", "Training", "benchmark")
    plain = floors.plain_table(folder)
    numbers = count()
    sync = median_ms(lambda: floors.insert(plain, next(numbers), 1), 50)

    def empty() -> None:
        with ml.create_execution(workflow=workflow, description="empty") as exe:
            pass
        exe.commit_output_assets()

    yield Figure(
        "empty run, committed", median_ms(empty, 3 if smoke else 15, warm=2), "one durable INSERT", sync, 60, "60 ms"
    )
    yield _staging(ml, workflow, folder, 100 if smoke else 1000)
    yield _large_file(ml, workflow, folder, (4 if smoke else 100) << 20)


def _staging(ml: DerivaML, workflow: object, folder: Path, small: int) -> Figure:
    """Stage ``small`` files, then ten times as many: ten times the time, not a hundred times."""
    source = folder / "thing.txt"
    source.write_text("thing")

    def stage(number: int) -> None:
        with ml.create_execution(workflow=workflow, description="staging") as exe:
            for n in range(number):
                exe.asset_file_path("Thing", str(source), rename_file=f"thing-{n}.txt")

    few = timed_ms(lambda: stage(small))
    many = timed_ms(lambda: stage(10 * small))
    return Figure(f"stage {10 * small:,} files", many, f"10 x {small:,} files", 10 * few, 15 * few, "1.5 x linear")


def _large_file(ml: DerivaML, workflow: object, folder: Path, size: int) -> Figure:
    source, copy = folder / "large.bin", folder / "copy.bin"
    source.write_bytes(os.urandom(size))
    floor = median_ms(lambda: floors.hash_copy_sync(source, copy), 3)

    def commit() -> None:
        source.write_bytes(os.urandom(64) + source.read_bytes()[64:])
        with ml.create_execution(workflow=workflow, description="large") as exe:
            exe.asset_file_path("Thing", str(source))
        nonlocal elapsed
        elapsed = timed_ms(exe.commit_output_assets)

    elapsed = 0.0
    times = []
    for _ in range(3):
        commit()
        times.append(elapsed)
    name = f"commit one {size >> 20} MiB asset"
    return Figure(name, sorted(times)[1], "hash + copy + fsync", floor, 2 * floor, "2 x floor")
