"""The story that every campaign tells: a run from its creation to its last commit, its recovery, and the judgement.

Each thing that has returned is acknowledged in an append-only file; the judge looks for every one of them in the catalog.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from deriva_ml import DerivaML, Workflow
from deriva_ml.asset.asset import Asset
from deriva_ml.catalog.rows import fetch, insert, select
from deriva_ml.execution.states import ExecutionStatus
from deriva_ml.names import TableName

PICTURES = TableName("domain", "Picture")
VALUES = TableName("domain", "Execution_Picture_Severity")
GROUP = 20
Problem = list[str]
"""``["lost" | "twice" | "stuck", what was found]``"""


@dataclass(frozen=True, slots=True)
class Size:
    """How much a run does: feature values, metrics one by one and in groups, files, and who helps the main thread.

    ``workers`` are forked before the ``threads`` begin and ``forks`` while they write, one after the other, by another thread.
    """

    values: int = 4
    metrics: int = 3
    groups: int = 0
    files: int = 3
    bulk: int = 0
    threads: int = 0
    workers: int = 0
    forks: int = 0
    more: int = 1


SMALL = Size()
FORKING = Size(values=6, threads=1, forks=2)
STUCK = 100
"""Seconds after which a worker is ended by its alarm, which is told as what it is."""


class Acknowledged:
    """An append-only file: one line for each thing that returned, written at once."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __call__(self, kind: str, **facts: object) -> None:
        file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        os.write(file, json.dumps({"kind": kind, **facts}).encode() + b"\n")
        os.close(file)

    def read(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.path.read_text().splitlines()] if self.path.exists() else []


def items(acknowledged: Sequence[dict[str, Any]]) -> int:
    """Return how many things were acknowledged: each value of a batch is one."""
    batches = {"params": "values", "metrics": "values", "features": "targets"}
    return sum(len(each[batches[each["kind"]]]) if each["kind"] in batches else 1 for each in acknowledged)


def prepare(home: Path, values: int = SMALL.values) -> None:
    ml = DerivaML(working_dir=home)
    ml.create_asset("Picture")
    ml.create_asset("Mask")
    ml.create_vocabulary("Grade")
    ml.add_term("Grade", "Mild", "hardly visible")
    ml.create_feature("Picture", "Severity", terms=["Grade"], assets=["Mask"])
    targets = (
        {"URL": f"/hatrac/{n}", "Filename": f"target-{n}.txt", "Length": 1, "MD5": _md5(b"t")} for n in range(values)
    )
    insert(ml.session, PICTURES, targets)


# --------------------------------------------------------------------------------------------------------------- a run


def live(home: Path, told: Any, number: int, size: Size = SMALL) -> None:
    """One run from its creation to its last commit, acknowledging each thing that returns."""
    ml = DerivaML(working_dir=home)
    rows = select(ml.session, PICTURES, columns=["RID", "Filename"])
    targets = sorted(row["RID"] for row in rows if row["Filename"].startswith("target"))[: size.values]
    targets, kept = targets[size.forks :], targets[: size.forks]
    exe = ml.create_execution(
        workflow=Workflow(name="kill", workflow_type="Training", url="https://example.org/kill.py", checksum="k"),
        description=f"round {number}",
        parameters={"round": number},
    )
    told("created", rid=exe.rid)
    part = _Part(ml, exe, told, home.with_name(f"{home.name}-sources"), number)
    helpers = size.workers + size.threads
    with exe:
        exe.log_params({"late": number, "size": str(size)})
        told("params", rid=exe.rid, values={"late": number, "size": str(size)})
        written = part.register(0, size)
        with _workers(part, size, written[0], targets[1 :: helpers + 1]):
            shares = [targets[index :: helpers + 1] for index in range(size.workers + 1, helpers + 1)]
            with ThreadPoolExecutor(size.threads + 1) as threads:
                others = [
                    threads.submit(part.record, index + 1 + size.workers, size, written[0], share)
                    for index, share in enumerate(shares)
                ]
                if size.forks:
                    others.append(threads.submit(_fork_meanwhile, part, size, written[0], kept, helpers + 1))
                part.record(0, size, written[0], targets[0 :: helpers + 1])
                for other in others:
                    other.result()
        exe.update_status(ExecutionStatus.Running, "nearly done")
    for path in written:
        part.tell(path.name, path.read_bytes())
    for step in range(size.more):
        exe.commit_output_assets(clean_folder=bool(step % 2))
        told("committed", rid=exe.rid)
        name = f"more-{step}-{number}.txt"
        exe.asset_file_path("Picture", name).write_text(f"more {name}")
        exe.commit_output_assets()
        part.tell(name, f"more {name}".encode())


@dataclass(frozen=True, slots=True)
class _Part:
    """What one thread or worker of a run does, under numbers of its own."""

    ml: DerivaML
    exe: Any
    told: Any
    sources: Path
    number: int

    def register(self, who: int, size: Size) -> list[Path]:
        """Register files in every way; those to be written are returned, and acknowledged when the block is left."""
        written = [self.exe.asset_file_path("Mask", f"new-{who}-{self.number}.txt")]
        written[0].write_text(f"new {who} {self.number}")
        for index in range(size.files):
            name = f"file-{who}-{index}-{self.number}.bin"
            if index % 3 == 2:
                written.append(self.exe.asset_file_path("Picture", name))
                written[-1].write_bytes(content_of(name))
                continue
            source = self._source(name)
            self.exe.asset_file_path("Picture", source, copy_file=index % 3 == 0)
            self.tell(name, source.read_bytes())
        together = [self._source(f"bulk-{who}-{index}-{self.number}.bin") for index in range(size.bulk)]
        if together:
            self.exe.asset_file_paths("Picture", together)
            for source in together:
                self.tell(source.name, source.read_bytes())
        return written

    def record(self, who: int, size: Size, mask: Path, targets: Sequence[str]) -> None:
        """Log metrics one by one and in groups, and values in batches that double in size."""
        for step in range(size.metrics):
            self._measure(who * 100_000 + step, {"loss": step / 10})
        for group in range(size.groups):
            self._measure(who * 100_000 + 50_000 + group, {f"m{n}": n * group for n in range(GROUP)})
        record, batch, rest = self.ml.feature_record_class("Picture", "Severity"), 1, list(targets)
        while rest:
            now, rest, batch = rest[:batch], rest[batch:], batch * 2
            self.exe.add_features([record(Picture=target, Grade="Mild", Mask=mask) for target in now])
            self.told("features", rid=self.exe.rid, targets=now)

    def help(self, who: int, size: Size, mask: Path, targets: Sequence[str]) -> None:
        """Do a worker's part; of its files, only those that exist are acknowledged, as only the run's block can sync others."""
        source = self._source(f"worker-{who}-{self.number}.bin")
        self.exe.asset_file_path("Picture", source, copy_file=True)
        self.tell(source.name, source.read_bytes())
        self.record(who, size, mask, targets)

    def tell(self, name: str, content: bytes) -> None:
        self.told("asset", rid=self.exe.rid, name=name, md5=_md5(content), length=len(content))

    def _measure(self, step: int, values: dict[str, float]) -> None:
        self.exe.log_metrics(values, step=step)
        self.told("metrics", rid=self.exe.rid, step=step, values=values)

    def _source(self, name: str) -> Path:
        """Return a file of the user's, outside the home."""
        self.sources.mkdir(exist_ok=True)
        path = self.sources / name
        if not path.exists():
            path.write_bytes(content_of(name))
        return path


@contextmanager
def _workers(part: _Part, size: Size, mask: Path, targets: Sequence[str]) -> Iterator[None]:
    """Forked workers that record with the block, as those of a data loader do; now and then one of them is killed."""
    children = [
        _forked(lambda index=index: part.help(index + 1, size, mask, targets[index :: size.workers]))
        for index in range(size.workers)
    ]
    yield
    victim = children[0] if children and part.number % 4 == 0 else None
    if victim is not None:
        os.kill(victim, signal.SIGKILL)
    for child in children:
        _await(child, may_die=child == victim)


def _fork_meanwhile(part: _Part, size: Size, mask: Path, targets: Sequence[str], first: int) -> None:
    """Fork workers that record a little, while other threads write."""
    few = replace(size, metrics=2, groups=0)
    for index in range(size.forks):
        _await(_forked(lambda index=index: part.help(first + index, few, mask, targets[index : index + 1])))


def _forked(work: Callable[[], None]) -> int:
    child = os.fork()
    if child == 0:
        signal.alarm(STUCK)
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return child


def _await(child: int, *, may_die: bool = False) -> None:
    status = os.waitpid(child, 0)[1]
    if status and not may_die:
        raise AssertionError(f"a worker ended with {status}")


def content_of(name: str) -> bytes:
    """Return the bytes of a file: a few to some hundred thousand, different for each name."""
    return name.encode() * (1, 40, 700, 6000)[int(_md5(name.encode())[:4], 16) % 4]


def _md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


# ------------------------------------------------------------------------------------------------------------- recovery


def recover(home: Path) -> None:
    """Open the catalog again and commit everything that waits."""
    ml = DerivaML(working_dir=home)
    report = ml.commit_pending_executions()
    unexpected = [error for error in report.errors if "no file was written" not in error]
    if unexpected:  # a file registered after a commit and never written is the one thing that needs its user
        raise AssertionError(unexpected)


# ------------------------------------------------------------------------------------------------------------ judgement


def check(home: Path, told: Acknowledged, problems: list[Problem]) -> None:
    """Everything acknowledged is in the catalog, once and whole; nobody is Running; equal code is one workflow."""
    ml = DerivaML(working_dir=home)
    for row in fetch(ml.session, "/entity/deriva-ml:Execution"):
        if row["Status"] in ("Running", "Pending_Upload", "Stopped"):
            problems.append(["stuck", f"execution {row['RID']} is {row['Status']}"])
    if len([each for each in ml.find_workflows() if each.name == "kill"]) > 1:
        problems.append(["twice", "the workflow"])
    runs: dict[str, list[dict[str, Any]]] = {}
    for each in told.read():
        runs.setdefault(each["rid"], []).append(each)
    for rid, acknowledged in runs.items():
        _check_run(ml, rid, acknowledged, problems)


def _check_run(ml: DerivaML, rid: str, acknowledged: list[dict[str, Any]], problems: list[Problem]) -> None:
    status = ml.lookup_execution(rid).status
    outputs = ml.list_execution_assets(rid, "Output")
    names = Counter(asset.filename for asset in outputs)
    if names["configuration.json"] != 1:
        problems.append([_missing_or_twice(names["configuration.json"]), f"{rid}: configuration.json"])
    if len(acknowledged) == 1 and status in ("Created", "Uploaded", "Aborted"):
        return
    if status != "Uploaded":
        problems.append(["stuck", f"{rid}: {status} after recovery"])
    kinds = {kind: [each for each in acknowledged if each["kind"] == kind] for kind in ("asset", "features", "metrics")}
    _check_assets(ml, rid, kinds["asset"], [a for a in outputs if a.asset_table in ("Picture", "Mask")], problems)
    _check_features(ml, rid, [target for each in kinds["features"] for target in each["targets"]], problems)
    _check_metrics(ml, rid, kinds["metrics"], [a for a in outputs if a.filename == "metrics.jsonl"], problems)
    found = ml.resume_execution(rid).parameters
    for each in acknowledged:
        lost = (
            {name for name in each["values"] if found.get(name) != each["values"][name]}
            if each["kind"] == "params"
            else ()
        )
        problems += [["lost", f"{rid}: parameter {name}"] for name in lost]


def _missing_or_twice(number: int) -> str:
    return "twice" if number else "lost"


def _check_assets(
    ml: DerivaML, rid: str, told: list[dict[str, Any]], outputs: Sequence[Asset], problems: list[Problem]
) -> None:
    for name, number in Counter(asset.filename for asset in outputs).items():
        if number > 1:
            problems.append(["twice", f"{rid}: asset {name} is there {number} times"])
    by_name = {asset.filename: asset for asset in outputs}
    for each in told:
        found = by_name.get(each["name"])
        if found is None:
            problems.append(["lost", f"{rid}: asset {each['name']}"])
            continue
        content = ml.session.hatrac("GET", found.url).body
        if (_md5(content), len(content), found.md5) != (each["md5"], each["length"], each["md5"]):
            problems.append(["lost", f"{rid}: the bytes of {each['name']}: {len(content)}, MD5 {_md5(content)}"])


def _check_features(ml: DerivaML, rid: str, targets: Sequence[str], problems: list[Problem]) -> None:
    rows = Counter(row["Picture"] for row in select(ml.session, VALUES, {"Execution": rid}))
    wrong = {target: rows[target] for target in targets if rows[target] != 1}
    wrong |= {target: number for target, number in rows.items() if number > 1}
    problems += [
        [_missing_or_twice(number), f"{rid}: value of {target}: {number} times"] for target, number in wrong.items()
    ]


def _check_metrics(
    ml: DerivaML, rid: str, told: list[dict[str, Any]], files: Sequence[Asset], problems: list[Problem]
) -> None:
    text = b"".join(ml.session.hatrac("GET", file.url).body for file in files).decode()
    lines = [json.loads(line) for line in text.splitlines()]
    counts, values = Counter(line["step"] for line in lines), {line.pop("step"): line for line in lines}
    for each in told:
        if values.get(each["step"]) != each["values"]:
            problems.append(["lost", f"{rid}: metric of step {each['step']}: {values.get(each['step'])}"])
    problems += [["twice", f"{rid}: metric of step {step}"] for step, number in counts.items() if number > 1]


def timed(work: Any) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
