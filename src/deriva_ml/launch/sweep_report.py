"""The end of a sweep: a table of its jobs, shown, and kept with the parent; and which of them did best."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from deriva_ml.execution.execution import Execution
from deriva_ml.files import write_whole
from deriva_ml.launch.job import COMMITTED, WAITS, Job
from deriva_ml.launch.settlement import is_offline
from deriva_ml.launch.sweep_jobs import jobs_in
from deriva_ml.launch.table import Chosen, aligned, best_of, cell, chosen_metrics, markdown, read_metric

_NOT_KEPT = ("file", "parent", "keeps_value")


@dataclass(frozen=True, slots=True)
class Objective:
    """What a sweep optimises: a metric by its name, or what the model function returns where ``metric`` is None."""

    direction: str
    metric: str | None = None

    def of(self, job: Job) -> Any:
        """Return the job's value."""
        return job.value if self.metric is None else job.metrics.get(self.metric)

    @property
    def name(self) -> str:
        """How the table calls it."""
        return self.metric or "value"


def objective_of(config: DictConfig, wanted: Sequence[Chosen]) -> Objective | None:
    """Return what the jobs are ranked by: the first wanted metric with a direction, else what the sweeper optimises."""
    named = next((chosen for chosen in wanted if chosen.direction), None)
    if named is not None and named.direction:
        return Objective(named.direction, named.name)
    direction = OmegaConf.select(config, "hydra.sweeper.direction", default=None)
    if not optimises(config) or not isinstance(direction, str):
        return None
    return Objective("max" if direction.lower().startswith("max") else "min")


def optimises(config: DictConfig) -> bool:
    """Return whether the sweeper chooses jobs by what earlier ones returned."""
    return OmegaConf.select(config, "hydra.sweeper.direction", default=None) is not None


def table_of(
    jobs: Sequence[Job], wanted: Sequence[Chosen], objective: Objective | None
) -> tuple[list[list[Any]], list[str], str]:
    """Return the rows, their head, and the sentence about the best job."""
    names = chosen_metrics((job.metrics for job in jobs), [chosen.name for chosen in wanted])
    with_value = objective is not None and objective.metric is None
    ended = {job.number or 0: objective.of(job) for job in jobs if objective and job.error is None}
    best = best_of(ended, objective.direction) if objective else None
    rows = [
        [
            f"{job.number} *" if best is not None and job.number == best else job.number,
            job.rid,
            job.status,
            ", ".join(job.overrides),
            *([job.value] if with_value else []),
            *(job.metrics.get(name) for name in names),
        ]
        for job in jobs
    ]
    head = ["job", "execution", "status", "overrides", *(["value"] if with_value else []), *names]
    if objective is None or best is None:
        return rows, head, ""
    winner = next(job for job in jobs if job.number == best)
    found = f"{objective.name} {cell(objective.of(winner))}, the {objective.direction}imum"
    return rows, head, f"Best: job {best}, execution {winner.rid}, with {found}. {', '.join(winner.overrides)}"


def finish(parent: Execution, folder: Path, metrics: Sequence[str], config: DictConfig, trouble: str) -> bool:
    """Commit the parent with the table of its jobs, and show it; return whether all of them are committed, or offline wait for it."""
    jobs = jobs_in(folder / "jobs")
    wanted = [read_metric(text) for text in metrics]
    rows, head, best = table_of(jobs, wanted, objective_of(config, wanted))
    failed = [job for job in jobs if job.status not in (COMMITTED, WAITS)]
    _keep(parent, jobs, markdown(rows, head), best)
    if not is_offline(parent):
        parent.commit_output_assets()
    committed = (
        f"{len(jobs) - len(failed)} of {len(jobs)} jobs {'wait for the catalog' if is_offline(parent) else 'committed'}"
    )
    if failed:
        parent.update_status(parent.status, f"{committed}; {_reasons(failed)}")
    show(rows, head, best)
    for job in failed:
        print(f"job {job.number}, {job.status}: {(job.error or 'it does not say why').splitlines()[0]}")
    print(f"Sweep {parent.execution_rid}: {committed}.")
    if is_offline(parent):
        print("Offline: `deriva-ml upload` commits the sweep and its jobs when the catalog is back.")
    if failed:
        print(f"deriva-ml-run --continue {parent.execution_rid} runs the others again.", file=sys.stderr)
    return not failed and not trouble


def show(rows: Sequence[Sequence[Any]], head: Sequence[str], best: str) -> None:
    """Print the table, and the sentence about the best job."""
    print(aligned(rows, head))
    if best:
        print(best)


def _keep(parent: Execution, jobs: Sequence[Job], table: str, best: str) -> None:
    listed = [{name: value for name, value in vars(job).items() if name not in _NOT_KEPT} for job in jobs]
    content = json.dumps({"jobs": listed, "best": best or None}, indent=1, default=str)
    for name, description, text in (
        ("sweep.json", "The sweep's jobs", content),
        ("sweep.md", "The sweep's table", f"{table}\n\n{best}".rstrip() + "\n"),
    ):
        path = parent.asset_file_path("Execution_Metadata", name, description=description)
        write_whole(path, text.encode())  # offline no commit follows that would bring it to the disk


def _reasons(failed: Sequence[Job]) -> str:
    return "; ".join(f"job {job.number}: {job.error or job.status}" for job in failed)[:1000]
