"""A sweep: one parent execution, one child per job in its sequence, and the table at its end.

What a sweep is to do, and how each of its jobs ended, lies in files of the workspace: an interrupted one goes on from them.
"""

from __future__ import annotations

import os
import secrets
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType

from hydra_zen import instantiate
from omegaconf import DictConfig, OmegaConf

from deriva_ml.errors import DerivaMLException
from deriva_ml.execution import liveness
from deriva_ml.execution.configuration import ExecutionConfiguration
from deriva_ml.execution.execution import Execution
from deriva_ml.launch.code import launched
from deriva_ml.launch.composed import choices_of
from deriva_ml.launch.connection import connection_of
from deriva_ml.launch.hydra_main import composition, first_job, main, parse, place_output
from deriva_ml.launch.job import NOT_STARTED
from deriva_ml.launch.launchers import watched
from deriva_ml.launch.run import read_dry_run
from deriva_ml.launch.sweep_jobs import gather, is_running, jobs_in, lose_the_rest, losing, noting, settle
from deriva_ml.launch.sweep_plan import SweepPlan
from deriva_ml.launch.sweep_report import finish, objective_of, optimises, show, table_of
from deriva_ml.launch.table import read_metric
from deriva_ml.launch.task import Task
from deriva_ml.ml import DerivaML
from deriva_ml.settings import HOME_VARIABLE, find_home


def run_sweep(plan: SweepPlan, task: Task, metrics: Sequence[str] = ()) -> bool:
    """Run a new sweep; return whether all jobs were committed.

    Raises:
        DerivaMLConfigurationError: the configuration cannot be composed, or calls what it should not; nothing was recorded.
    """
    overrides = parse(plan.arguments).overrides
    config = composition(plan.config_name, overrides)
    first_job(plan.config_name, overrides)
    task.check(config)
    os.environ[HOME_VARIABLE] = str(find_home())
    plan, task = _seeded(plan, config), replace(task, keeps_values=optimises(config))
    if read_dry_run(config.get("dry_run")):
        return _run_dry(plan, task, metrics, config)
    ml = opened(config)
    parent = _parent(ml, plan, config)
    folder = ml.workspace / "sweeps" / parent.execution_rid
    plan.write(folder)
    print(f"Sweep {parent.execution_rid}: --continue {parent.execution_rid} goes on if it is interrupted.")
    with liveness.holding(folder / "lock", f"Sweep {parent.execution_rid} is running"), parent:
        trouble = _launched(ml, plan, replace(task, parent=parent.execution_rid, folder=folder / "jobs"), folder)
    return finish(parent, folder, metrics, config, trouble)


def continue_sweep(
    plan: SweepPlan, folder: Path, task: Task, metrics: Sequence[str] = (), began_in: Path | None = None
) -> bool:
    """Go on with a sweep: jobs that are committed, or wait for that, stay, the others run again; return whether all are done now.

    ``folder`` is its folder in this workspace, ``began_in`` that of another workspace of this machine where it began.

    Raises:
        DerivaMLBusyError: it is still running.
    """
    rid = folder.name
    config = composition(plan.config_name, parse(plan.arguments).overrides)
    task.check(config)
    os.environ[HOME_VARIABLE] = str(find_home())
    ml, cannot = opened(config), f"Sweep {rid} cannot be continued"
    with liveness.holding((began_in or folder) / "lock", cannot), liveness.holding(folder / "jobs" / "lock", cannot):
        plan.write(folder)
        parent = ml.executions.adopt(rid)  # begun offline, it has its RID afterwards, and its name is still known here
        for said in gather(ml, parent.execution_rid, folder / "jobs"):
            print(said)
        for job in jobs_in(folder / "jobs"):
            settle(ml, job, rid)
        task = replace(task, parent=rid, folder=folder / "jobs", keeps_values=optimises(config), added=plan.added())
        trouble = _launched(ml, plan, task, folder)
    return finish(parent, folder, metrics, config, trouble)


def _seeded(plan: SweepPlan, config: DictConfig) -> SweepPlan:
    """Give a sampler that draws at random a seed: going on with the sweep then draws the same jobs again."""
    sampler = OmegaConf.select(config, "hydra.sweeper.sampler", default=None)
    if not isinstance(sampler, DictConfig) or "seed" not in sampler or sampler.seed is not None:
        return plan
    return plan.with_arguments((f"hydra.sweeper.sampler.seed={secrets.randbelow(2**31)}",))


def opened(config: DictConfig) -> DerivaML:
    """Return the catalog that a composed configuration names."""
    ml_class = instantiate(config.ml_class) if config.get("ml_class") else None
    return connection_of(instantiate(config.deriva_ml)).open(ml_class)


def _parent(ml: DerivaML, plan: SweepPlan, config: DictConfig) -> Execution:
    with launched(config):
        workflow = instantiate(config.workflow)
    configuration = ExecutionConfiguration(
        workflow=workflow,
        description=plan.described(config.description),
        config_choices=choices_of(config.hydra),
        parameters={"sweep": plan.document(ml.workspace)},
    )
    return ml.create_execution(configuration)


def _jobs(plan: SweepPlan, task: Task, folder: Path) -> None:
    place_output(plan.config_name, folder / "hydra")
    with watched(noting(folder / "jobs", task.parent, task.added), losing(folder / "jobs")):
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
    jobs = folder / "jobs"
    with _LauncherTrouble() as trouble:
        _jobs(plan, task, folder)
    while trouble.said and any(is_running(ml, job) for job in jobs_in(jobs)):
        time.sleep(1)
    if trouble.said:
        lose_the_rest(jobs, trouble.said)
    return trouble.said


def _run_dry(plan: SweepPlan, task: Task, metrics: Sequence[str], config: DictConfig) -> bool:
    with tempfile.TemporaryDirectory(prefix="deriva-ml-dry-sweep-") as place:
        folder = Path(place)
        _jobs(plan, replace(task, folder=folder / "jobs"), folder)
        jobs = jobs_in(folder / "jobs")
        wanted = [read_metric(text) for text in metrics]
        show(*table_of(jobs, wanted, objective_of(config, wanted)))
    return all(job.error is None and job.status != NOT_STARTED for job in jobs)
