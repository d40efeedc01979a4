"""Many processes at once on one home: 64 that begin where nothing is yet, then eight that record run after run."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections import Counter
from pathlib import Path

from deriva_ml import DerivaML, Workflow
from torture import story

CROWD, WORKERS = 64, 8


def campaign(work: Path, seconds: float, seed: int, crowd: int = CROWD) -> story.Tally:
    """Let a crowd begin on a fresh home; then let workers record runs until the time is over."""
    tally = story.Tally(f"many processes ({crowd} on a fresh home, then {WORKERS})")
    end = time.monotonic() + seconds
    home = work / "home"
    _together(home, work, crowd, 0.0, tally)
    _together(home, work, WORKERS, end, tally)
    story.child(lambda: _judge(home, work, tally), work / "errors.txt")
    verdict = work / "verdict.json"
    if not verdict.exists():
        tally.blame("judgement", f"did not end: {(work / 'errors.txt').read_text()}")
        return tally
    found = json.loads(verdict.read_text())
    tally.acknowledged, tally.lost, tally.twice, tally.stuck = (found[k] for k in ("told", "lost", "twice", "stuck"))
    tally.problems += found["problems"]
    shutil.rmtree(home)
    return tally


def _together(home: Path, work: Path, number: int, end: float, tally: story.Tally) -> None:
    children = []
    for index in range(number):
        child = os.fork()
        if child == 0:
            os._exit(
                story.child(lambda index=index: _runs(home, f"{number}-{index}", end), work / f"e{number}-{index}", 300)
                != 0
            )  # type: ignore[misc]
        children.append(child)
    for index, child in enumerate(children):
        tally.points += 1
        if os.waitpid(child, 0)[1]:
            trouble = work / f"e{number}-{index}"
            tally.blame(f"process {index} of {number}", trouble.read_text()[-1500:] if trouble.exists() else "killed")


def _runs(home: Path, name: str, end: float) -> None:
    ml = DerivaML(working_dir=home)
    run = 0
    while run == 0 or time.monotonic() < end:
        workflow = Workflow(name="same", workflow_type="Training", url="https://example.org/same.py", checksum="same")
        with ml.create_execution(workflow=workflow, description=f"{name} {run}") as exe:
            exe.asset_file_path("Execution_Asset", f"{name}-{run}.txt").write_text(f"{name} {run}")
            exe.log_metrics({"run": run}, step=run)
        exe.commit_output_assets()
        story.kill_loop.Acknowledged(home / "acknowledged.jsonl")("run", name=f"{name} {run}", file=f"{name}-{run}.txt")
        run += 1


def _judge(home: Path, work: Path, tally: story.Tally) -> None:
    ml = DerivaML(working_dir=home)
    told = story.kill_loop.Acknowledged(home / "acknowledged.jsonl").read()
    runs = Counter(run.description for run in ml.find_executions(status="Uploaded"))
    files = Counter(asset.filename for asset in ml.list_assets("Execution_Asset"))
    same = [workflow.name for workflow in ml.find_workflows()].count("same")
    seen = [(runs[str(each["name"])], files[str(each["file"])]) for each in told]
    found = {
        "told": 2 * len(told),
        "lost": tally.lost + sum(pair.count(0) for pair in seen),
        "twice": sum(count > 1 for pair in seen for count in pair) + (same > 1),
        "stuck": len(list(ml.find_executions(status="Running"))),
        "problems": [f"{same} workflows for one"] if same != 1 else [],
    }
    (work / "verdict.json").write_text(json.dumps(found))
