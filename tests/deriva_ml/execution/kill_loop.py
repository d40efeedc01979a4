"""The whole life of runs, killed at random moments, and again while they are recovered: a program of its own.

``python kill_loop.py HOME ROUNDS SEED`` prints one JSON document: what was acknowledged, and every promise that was
broken. Children are forked from a process that has loaded everything and opened nothing.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import random
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path

from deriva_ml import DerivaML, Workflow
from deriva_ml.catalog.rows import fetch, select
from deriva_ml.execution.states import ExecutionStatus
from deriva_ml.names import TableName

warnings.simplefilter("ignore")
FEATURES = 4


class Acknowledged:
    """An append-only file: one line for each thing that returned."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __call__(self, kind: str, **facts: object) -> None:
        with self.path.open("a") as file:
            file.write(json.dumps({"kind": kind, **facts}) + "\n")

    def read(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.path.read_text().splitlines()] if self.path.exists() else []


def prepare(home: Path) -> None:
    ml = DerivaML(working_dir=home)
    ml.create_asset("Picture")
    ml.create_asset("Mask")
    ml.create_vocabulary("Grade")
    ml.add_term("Grade", "Mild", "hardly visible")
    ml.create_feature("Picture", "Severity", terms=["Grade"], assets=["Mask"])
    with ml.create_execution(
        workflow=Workflow(name="prepare", workflow_type="Ingest", url="https://example.org/prepare.py", checksum="p")
    ) as exe:
        for number in range(FEATURES):
            exe.asset_file_path("Picture", f"target-{number}.txt").write_text(f"target {number}")
    exe.commit_output_assets()


def live(home: Path, told: Acknowledged, number: int) -> None:
    """One run from its creation to two commits, acknowledging each thing that returns."""
    ml = DerivaML(working_dir=home)
    targets = [
        row["RID"]
        for row in select(ml.session, TableName("domain", "Picture"), columns=["RID", "Filename"])
        if row["Filename"].startswith("target")
    ]
    record = ml.feature_record_class("Picture", "Severity")
    source = home / f"source-{number}.txt"
    source.write_text(f"existing {number}")
    exe = ml.create_execution(
        workflow=Workflow(name="kill", workflow_type="Training", url="https://example.org/kill.py", checksum="k"),
        description=f"round {number}",
        parameters={"round": number},
    )
    rid = exe.execution_rid
    told("created", rid=rid)
    with exe:
        exe.log_params({"late": number})
        told("param", rid=rid, name="late", value=number)
        for step in range(3):
            exe.log_metrics({"loss": step / 10}, step=step)
            told("metric", rid=rid, step=step)
        exe.asset_file_path("Picture", source, copy_file=True)
        told("asset", rid=rid, name=source.name, md5=_md5(f"existing {number}"))
        exe.asset_file_path("Picture", source, rename_file=f"linked-{number}.txt")
        told("asset", rid=rid, name=f"linked-{number}.txt", md5=_md5(f"existing {number}"))
        written = exe.asset_file_path("Mask", f"new-{number}.txt")
        written.write_text(f"new {number}")
        for target in targets:
            exe.add_features([record(Picture=target, Grade="Mild", Mask=written)])
            told("feature", rid=rid, target=target)
        exe.update_status(ExecutionStatus.Running, "nearly done")
    told("asset", rid=rid, name=f"new-{number}.txt", md5=_md5(f"new {number}"))
    exe.commit_output_assets()
    told("committed", rid=rid)
    exe.asset_file_path("Picture", f"more-{number}.txt").write_text(f"more {number}")
    exe.commit_output_assets()
    told("asset", rid=rid, name=f"more-{number}.txt", md5=_md5(f"more {number}"))


def _md5(text: str) -> str:
    return hashlib.md5(text.encode()).hexdigest()


def recover(home: Path) -> None:
    """Open the catalog again and commit everything that waits."""
    ml = DerivaML(working_dir=home)
    report = ml.commit_pending_executions()
    unexpected = [error for error in report.errors if "no file was written" not in error]
    if unexpected:  # a file registered after a commit and never written is the one thing that needs its user
        raise AssertionError(unexpected)


def check(home: Path, told: Acknowledged, problems: list[str]) -> None:
    """Everything acknowledged is in the catalog, once; nobody is Running; every file is whole."""
    ml = DerivaML(working_dir=home)
    acknowledged = told.read()
    for row in fetch(ml.session, "/entity/deriva-ml:Execution"):
        if row["Status"] in ("Running", "Pending_Upload", "Stopped"):
            problems.append(f"execution {row['RID']} is {row['Status']}")
    for rid in {each["rid"] for each in acknowledged}:
        _check_run(ml, str(rid), [each for each in acknowledged if each["rid"] == rid], problems)


def _check_run(ml: DerivaML, rid: str, acknowledged: list[dict[str, object]], problems: list[str]) -> None:
    kinds = {each["kind"] for each in acknowledged}
    record = ml.lookup_execution(rid)
    outputs = [asset for asset in ml.list_execution_assets(rid, "Output") if asset.asset_table in ("Picture", "Mask")]
    if not [asset for asset in ml.list_execution_assets(rid, "Output") if asset.filename == "configuration.json"]:
        problems.append(f"{rid}: configuration.json is missing")
    if kinds == {"created"} and record.status in ("Created", "Uploaded", "Aborted"):
        return
    if record.status != "Uploaded":
        problems.append(f"{rid}: {record.status} after recovery, having acknowledged {sorted(kinds)}")
    for each in acknowledged:
        if (
            each["kind"] == "asset"
            and [asset.md5 for asset in outputs if asset.filename == each["name"]].count(str(each["md5"])) != 1
        ):
            problems.append(
                f"{rid}: asset {each['name']} is there {[asset.md5 for asset in outputs if asset.filename == each['name']]}"
            )
    rows = select(ml.session, TableName("domain", "Execution_Picture_Severity"), {"Execution": rid})
    for each in acknowledged:
        if each["kind"] == "feature" and len([row for row in rows if each["target"] in row.values()]) != 1:
            problems.append(f"{rid}: feature of {each['target']} is not there once")
    _check_logged(ml, rid, acknowledged, problems)


def _check_logged(ml: DerivaML, rid: str, acknowledged: list[dict[str, object]], problems: list[str]) -> None:
    exe = ml.resume_execution(rid)
    steps = [line["step"] for line in exe.metrics]
    for each in acknowledged:
        if each["kind"] == "metric" and steps.count(each["step"]) != 1:
            problems.append(f"{rid}: metric of step {each['step']} is there {steps.count(each['step'])} times")
        if each["kind"] == "param" and exe.parameters.get(str(each["name"])) != each["value"]:
            problems.append(f"{rid}: parameter {each['name']} is {exe.parameters.get(str(each['name']))}")
    if any(each["kind"] == "metric" for each in acknowledged):
        files = [asset.filename for asset in exe.list_assets("Output") if asset.filename == "metrics.jsonl"]
        if len(files) != 1:
            problems.append(f"{rid}: {len(files)} metrics files in the catalog")


def forked(work: Callable[[], None], seconds: float | None, report: Path) -> bool:
    """Run ``work`` in a child; kill it after ``seconds``. Return whether it ended by itself."""
    child = os.fork()
    if child == 0:
        code = 0
        try:
            work()
        except (Exception, SystemExit):  # noqa: BLE001 - a child of a fork must not go on as its parent
            with report.open("a") as file:
                file.write(traceback.format_exc())
            code = 1
        os._exit(code)
    if seconds is not None:
        time.sleep(seconds)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    return os.WIFEXITED(status)


def timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def main(home: Path, rounds: int, seed: int) -> None:
    home.mkdir(parents=True, exist_ok=True)
    importlib.import_module("deriva_ml.execution.executions")  # loaded once, so that the children begin at once
    chance = random.Random(seed)
    told = Acknowledged(home / "acknowledged.jsonl")
    errors, problems = home / "errors.txt", list[str]()
    killed = 0
    forked(lambda: prepare(home), None, errors)
    life = timed(lambda: forked(lambda: live(home, told, -1), None, errors))
    recovery = timed(lambda: forked(lambda: recover(home), None, errors))
    for number in range(rounds):
        killed += not forked(partial(live, home, told, number), chance.uniform(0, life), errors)
        killed += not forked(partial(recover, home), chance.uniform(0, recovery * 3), errors)
    forked(lambda: recover(home), None, errors)

    def judge() -> None:
        found: list[str] = []
        check(home, told, found)
        (home / "problems.json").write_text(json.dumps(found))

    forked(judge, None, errors)
    verdict = home / "problems.json"
    problems += json.loads(verdict.read_text()) if verdict.exists() else ["the check did not end"]
    text = errors.read_text() if errors.exists() else ""
    print(
        json.dumps(
            {
                "rounds": rounds,
                "killed": killed,
                "acknowledged": len(told.read()),
                "problems": problems,
                "errors": text[-6000:],
            }
        )
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
