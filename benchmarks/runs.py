"""Executions in a warm process: an empty run, many staged files, one large file."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import apsw

from benchmarks import floors
from benchmarks.measure import Figure, median_ms, timed_ms
from deriva_ml import DerivaML
from deriva_ml.catalog.rows import insert
from deriva_ml.names import TableName


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
        "empty run, committed", median_ms(empty, 3 if smoke else 15, warm=2), "one durable INSERT", sync, 25, "25 ms"
    )
    yield _metrics(ml, workflow, 10 if smoke else 1000, lambda: floors.insert(plain, next(numbers), 1))
    yield from _features(ml, workflow, plain, next(numbers), 100 if smoke else 100_000)
    yield _assets(ml, workflow, folder, 10 if smoke else 1000)
    yield _staging(ml, workflow, folder, 100 if smoke else 1000)
    yield _large_file(ml, workflow, folder, (4 if smoke else 100) << 20)


def _metrics(ml: DerivaML, workflow: object, number: int, insert: Callable[[], None]) -> Figure:
    """Log one by one; beside as many plain inserts, into a log that has its full length."""
    _, floor = (timed_ms(lambda: [insert() for _ in range(number)]) for _ in range(2))
    with ml.create_execution(workflow=workflow, description="metrics") as exe:
        exe.log_metrics({"loss": 1.0}, step=-1)

        def log() -> None:
            for step in range(number):
                exe.log_metrics({"loss": step / 10}, step=step)

        found = timed_ms(log)
    return Figure(f"{number:,} metrics, one by one", found, f"{number:,} durable INSERTs", floor, 150, "150 ms")


def _features(ml: DerivaML, workflow: object, plain: apsw.Connection, start: int, number: int) -> Iterator[Figure]:
    """Stage and commit one value for each of ``number`` rows that are there already."""
    ml.create_vocabulary("Grade")
    ml.add_term("Grade", "Mild", "hardly visible")
    ml.create_feature("Thing", "Severity", terms=["Grade"])
    md5 = "d41d8cd98f00b204e9800998ecf8427e"
    things = ({"URL": f"/hatrac/{n}", "Filename": f"{n}", "Length": 1, "MD5": md5} for n in range(number))
    rows = insert(ml.session, TableName("domain", "Thing"), things)
    record = ml.feature_record_class("Thing", "Severity")
    values = [record(Thing=row["RID"], Grade="Mild") for row in rows]
    floor, name = timed_ms(lambda: floors.insert(plain, start, number)), f"one INSERT of {number:,} rows"
    with ml.create_execution(workflow=workflow, description="features") as exe:
        yield Figure(
            f"stage {number:,} feature values", timed_ms(lambda: exe.add_features(values)), name, floor, 1000, "1 s"
        )
    yield Figure(f"commit {number:,} feature values", timed_ms(exe.commit_output_assets), name, floor, 4000, "4 s")


def _assets(ml: DerivaML, workflow: object, folder: Path, number: int) -> Figure:
    """Register, stage and commit small files."""
    sources, copies = folder / "small", folder / "copies"
    sources.mkdir()
    copies.mkdir()
    for n in range(number):
        (sources / f"{n}.bin").write_bytes(os.urandom(1024))
    floor = timed_ms(lambda: [floors.hash_copy_sync(each, copies / each.name) for each in sources.iterdir()])

    def whole() -> None:
        with ml.create_execution(workflow=workflow, description="assets") as exe:
            exe.asset_file_paths("Thing", sorted(sources.iterdir()))
        exe.commit_output_assets()

    name = f"register, stage and commit {number:,} files of 1 KiB"
    return Figure(name, timed_ms(whole), "hash + copy + fsync of each", floor, 1500, "1.5 s")


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
    return Figure(name, sorted(times)[1], "hash + copy + fsync", floor, 1.5 * floor, "1.5 x floor")
