"""Many processes begin on a home that does not exist yet; none fails, and equal code is one workflow."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

from deriva_ml import DerivaML, Workflow

PROCESSES, RUNS, SECONDS = 8, 2, 100


def several_runs(home: str, number: int) -> None:
    ml = DerivaML(working_dir=home)
    for run in range(RUNS):
        workflow = Workflow(name="same", workflow_type="Training", url="https://example.org/same.py", checksum="same")
        with ml.create_execution(workflow=workflow, description=f"{number} {run}") as exe:
            exe.asset_file_path("Execution_Asset", f"{number}-{run}.txt").write_text(f"{number} {run}")
            exe.log_metrics({"number": number}, step=run)
        exe.commit_output_assets()


def test_many_processes_on_a_fresh_home(home: Path) -> None:
    context = multiprocessing.get_context("fork")
    children = [context.Process(target=several_runs, args=(str(home), number)) for number in range(PROCESSES)]
    for child in children:
        child.start()
    for child in children:
        child.join(SECONDS)
    assert [child.exitcode for child in children] == [0] * PROCESSES
    ml = DerivaML(working_dir=home)
    uploaded = {run.description for run in ml.find_executions(status="Uploaded")}
    assert uploaded == {f"{number} {run}" for number in range(PROCESSES) for run in range(RUNS)}
    assert [workflow.name for workflow in ml.find_workflows()].count("same") == 1
    assert len(ml.list_assets("Execution_Asset")) == PROCESSES * RUNS
    ml.session.port.close()
