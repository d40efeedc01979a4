"""A sweep: one parent execution, one child per job in its sequence, and the table at its end.

What a sweep is to do, and how each of its jobs ended, lies in files of the workspace: an interrupted one goes on from them.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any

from hydra_zen import instantiate
from omegaconf import DictConfig

from deriva_ml.errors import DerivaMLBusyError, DerivaMLException, DerivaMLNotFoundError
from deriva_ml.execution import liveness
from deriva_ml.execution.configuration import ExecutionConfiguration
from deriva_ml.execution.execution import Execution
from deriva_ml.execution.states import ExecutionStatus
from deriva_ml.files import write_whole
from deriva_ml.launch.code import launched
from deriva_ml.launch.composed import choices_of
from deriva_ml.launch.connection import connection_of
from deriva_ml.launch.hydra_main import composition, main, parse, place_output
from deriva_ml.launch.job import RUNS, Job, read_job
from deriva_ml.launch.run import read_dry_run
from deriva_ml.launch.settlement import commit_and_fail
from deriva_ml.launch.table import aligned, chosen_metrics, markdown
from deriva_ml.launch.task import COMMITTED, Task
from deriva_ml.ml import DerivaML
from deriva_ml.rid import check_rid
from deriva_ml.settings import HOME_VARIABLE, find_home


@dataclass(frozen=True, slots=True)
class SweepPlan:
    """What a sweep runs: enough to go on with it in another process."""

    configs: str
    config_name: str
    arguments: tuple[str, ...]
    overrides: tuple[str, ...]
    description: str = ""
    folder: str = ""

    def write(self, folder: Path) -> None:
        """Keep the plan in the sweep's folder."""
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(folder / "sweep.json", json.dumps(asdict(self), indent=1).encode())


def read_plan(rid: str, home: Path) -> tuple[SweepPlan, Path]:
    """Return the plan of the sweep that the execution ``rid`` records, and its folder.

    Raises:
        DerivaMLNotFoundError: no workspace of this home knows it.
    """
    found = sorted(home.glob(f"workspaces/*/sweeps/{check_rid(rid)}/sweep.json"))
    if not found:
        raise DerivaMLNotFoundError(
            f"No workspace of {home} knows a sweep {rid}: --continue takes the RID of a sweep's parent, where the sweep ran."
        )
    facts = json.loads(found[0].read_text())
    facts |= {name: tuple(facts[name]) for name in ("arguments", "overrides")}
    return SweepPlan(**facts), found[0].parent


def run_sweep(plan: SweepPlan, task: Task, metrics: Sequence[str] = ()) -> bool:
    """Run a new sweep; return whether all jobs were committed.

    Raises:
        DerivaMLConfigurationError: the configuration cannot be composed, or calls what it should not; nothing was recorded.
    """
    config = composition(plan.config_name, parse(plan.arguments).overrides)
    task.check(config)
    os.environ[HOME_VARIABLE] = str(find_home())
    if read_dry_run(config.get("dry_run")):
        return _run_dry(plan, task, metrics)
    ml = _opened(config)
    parent = _parent(ml, plan, config)
    folder = ml.workspace / "sweeps" / parent.execution_rid
    plan.write(folder)
    print(f"Sweep {parent.execution_rid}: --continue {parent.execution_rid} goes on if it is interrupted.")
    with liveness.holding(folder / "lock", f"Sweep {parent.execution_rid} is running"), parent:
        trouble = _launched(ml, plan, replace(task, parent=parent.execution_rid, folder=folder / "jobs"), folder)
    return _finish(parent, folder, metrics, trouble)


def continue_sweep(plan: SweepPlan, folder: Path, task: Task, metrics: Sequence[str] = ()) -> bool:
    """Go on with a sweep: jobs that are committed stay, the others run again; return whether all are committed now.

    Raises:
        DerivaMLBusyError: it is still running.
    """
    rid = folder.name
    config = composition(plan.config_name, parse(plan.arguments).overrides)
    task.check(config)
    os.environ[HOME_VARIABLE] = str(find_home())
    ml = _opened(config)
    with liveness.holding(folder / "lock", f"Sweep {rid} cannot be continued"):
        parent = ml.resume_execution(rid)
        for job in _read(folder / "jobs"):
            _settle(ml, job, rid)
        trouble = _launched(ml, plan, replace(task, parent=rid, folder=folder / "jobs"), folder)
    return _finish(parent, folder, metrics, trouble)


def _opened(config: DictConfig) -> DerivaML:
    ml_class = instantiate(config.ml_class) if config.get("ml_class") else None
    return connection_of(instantiate(config.deriva_ml)).open(ml_class)


def _parent(ml: DerivaML, plan: SweepPlan, config: DictConfig) -> Execution:
    with launched(config):
        workflow = instantiate(config.workflow)
    described = f"{plan.description or config.description} [sweep: {', '.join(plan.overrides)}]"
    configuration = ExecutionConfiguration(
        workflow=workflow,
        description=described,
        config_choices=choices_of(config.hydra),
        parameters={"sweep": list(plan.overrides)},
    )
    return ml.create_execution(configuration)


def _jobs(plan: SweepPlan, task: Task, folder: Path) -> None:
    place_output(plan.config_name, folder / "hydra")
    main(task, plan.config_name, plan.arguments)


class _LauncherTrouble:
    """What a launcher says of jobs that it lost: noted, because the others are not lost with them."""

    said = ""

    def __enter__(self) -> _LauncherTrouble:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        lost = isinstance(error, Exception) and not isinstance(error, DerivaMLException)
        if lost and error is not None:
            self.said = f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}"
            print(f"The launcher lost a job. {self.said}", file=sys.stderr)
        return lost


def _launched(ml: DerivaML, plan: SweepPlan, task: Task, folder: Path) -> str:
    """Run the jobs; return what the launcher said of those that it lost, once no other is still running."""
    with _LauncherTrouble() as trouble:
        _jobs(plan, task, folder)
    while trouble.said and any(_is_running(ml, job) for job in _read(folder / "jobs")):
        time.sleep(1)
    return trouble.said


def _is_running(ml: DerivaML, job: Job) -> bool:
    return bool(job.rid) and job.status == RUNS and ml.resume_execution(str(job.rid)).status is ExecutionStatus.Running


def _settle(ml: DerivaML, job: Job, parent: str) -> None:
    """What an interrupted job left is committed, then it is Failed; one that was committed in its last moment stays."""
    if job.rid is None or job.status == COMMITTED:
        return
    execution = ml.resume_execution(job.rid)
    if execution.status is ExecutionStatus.Running:
        raise DerivaMLBusyError(f"Job {job.number} of sweep {parent}, execution {job.rid}, is still running.")
    if execution.status is ExecutionStatus.Uploaded:
        job.status = COMMITTED
        job.write()
    elif execution.status is ExecutionStatus.Pending_Upload:
        commit_and_fail(execution, f"interrupted; job {job.number} of sweep {parent} ran again")
    elif execution.status in (ExecutionStatus.Created, ExecutionStatus.Stopped):
        _abort(execution, f"interrupted; job {job.number} of sweep {parent} ran again")


def _abort(execution: Execution, reason: str) -> None:
    if execution.status is ExecutionStatus.Stopped:
        commit_and_fail(execution, reason)
    else:
        execution.abort(reason)


def _run_dry(plan: SweepPlan, task: Task, metrics: Sequence[str]) -> bool:
    with tempfile.TemporaryDirectory(prefix="deriva-ml-dry-sweep-") as place:
        folder = Path(place)
        _jobs(plan, replace(task, folder=folder / "jobs"), folder)
        jobs = _read(folder / "jobs")
        print(aligned(*_table(jobs, metrics)))
    return all(job.error is None for job in jobs)


def _finish(parent: Execution, folder: Path, metrics: Sequence[str], trouble: str) -> bool:
    """Commit the parent with the table of its jobs; return whether all of them are committed."""
    jobs = _read(folder / "jobs")
    rows, head = _table(jobs, metrics)
    failed = [job for job in jobs if job.status != COMMITTED]
    facts = {
        "jobs": [{name: value for name, value in vars(job).items() if name not in ("file", "parent")} for job in jobs]
    }
    parent.asset_file_path("Execution_Metadata", "sweep.json", description="The sweep's jobs").write_text(
        json.dumps(facts, indent=1, default=str)
    )
    parent.asset_file_path("Execution_Metadata", "sweep.md", description="The sweep's table").write_text(
        markdown(rows, head) + "\n"
    )
    parent.commit_output_assets()
    if failed:
        parent.update_status(
            parent.status, f"{len(jobs) - len(failed)} of {len(jobs)} jobs committed; {_reasons(failed)}"
        )
    print(aligned(rows, head))
    print(f"Sweep {parent.execution_rid}: {len(jobs) - len(failed)} of {len(jobs)} jobs committed.")
    if failed:
        print(f"deriva-ml-run --continue {parent.execution_rid} runs the others again.", file=sys.stderr)
    return not failed and not trouble


def _reasons(failed: Sequence[Job]) -> str:
    return "; ".join(f"job {job.number}: {job.error or job.status}" for job in failed)[:1000]


def _read(folder: Path) -> list[Job]:
    """Return the jobs that left their facts, in order."""
    jobs = [read_job(file) for file in folder.glob("*.json")] if folder.is_dir() else []
    return sorted(jobs, key=lambda job: job.number or 0)


def _table(jobs: Sequence[Job], wanted: Sequence[str]) -> tuple[list[list[Any]], list[str]]:
    names = chosen_metrics((job.metrics for job in jobs), wanted)
    rows = [
        [job.number, job.rid, job.status, ", ".join(job.overrides), *(job.metrics.get(name) for name in names)]
        for job in jobs
    ]
    return rows, ["job", "execution", "status", "overrides", *names]
