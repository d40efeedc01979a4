"""Hydra's launchers, watched: each job is noted before any starts, and what a cluster lost is answered instead of raised."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus

from deriva_ml.launch.slurm_queue import wait_until_ended

Note = Callable[[int, Sequence[str]], None]
Lost = Callable[[int, str], None]


@contextmanager
def watched(note: Note, lost: Lost) -> Iterator[None]:
    """Note each job that a launcher is handed inside the block (number, overrides), and say each that a cluster lost (number, why).

    Sweepers get their launcher from one method of Hydra's. It is replaced in the class and not in the object, which
    travels to workers.
    """
    logging.getLogger("alembic").setLevel(logging.WARNING)  # optuna's store lists its own plugins
    made = Plugins.instantiate_launcher

    def instantiate_launcher(plugins: Plugins, **given: Any) -> Any:
        return _watching(made(plugins, **given), note, lost)

    Plugins.instantiate_launcher = instantiate_launcher  # type: ignore[assignment,method-assign]
    try:
        yield
    finally:
        Plugins.instantiate_launcher = made  # type: ignore[method-assign]


def _watching(launcher: Any, note: Note, lost: Lost) -> Any:
    launch = launcher.launch

    def noted(job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        for number, overrides in enumerate(job_overrides, initial_job_idx):
            note(number, overrides)
        del launcher.launch  # a launcher travels to its workers, and this leads nowhere from there
        try:
            with _patient(launcher, initial_job_idx, lost):
                returned: Sequence[JobReturn] = launch(job_overrides, initial_job_idx=initial_job_idx)
                return returned
        finally:
            launcher.launch = noted

    launcher.launch = noted
    return launcher


@contextmanager
def _patient(launcher: Any, first: int, lost: Lost) -> Iterator[None]:
    """Let submitit wait for all jobs, also when some are lost; an interruption takes those back that have not ended."""
    if "submitit" not in type(launcher).__module__:
        yield
        return
    import submitit

    handed: list[Any] = []
    map_array = submitit.AutoExecutor.map_array

    def answered(executor: Any, *arguments: Any) -> list[Any]:
        handed.extend(map_array(executor, *arguments))
        return [_Answer(job, number, lost) for number, job in enumerate(handed, first)]

    submitit.AutoExecutor.map_array = answered  # type: ignore[assignment,method-assign]
    try:
        yield
    except BaseException:
        for job in handed:
            if not job.done():
                job.cancel()
        raise
    finally:
        submitit.AutoExecutor.map_array = map_array  # type: ignore[method-assign]


class _Answer:
    """A job on a cluster as Hydra's launcher asks it for its result."""

    def __init__(self, job: Any, number: int, lost: Lost) -> None:
        self._job = job
        self._number = number
        self._lost = lost

    def results(self) -> list[Any]:
        """Return the job's result, the one of a failed job if the cluster lost it."""
        from submitit import SlurmJob
        from submitit.core.utils import UncompletedJobError

        why = wait_until_ended(self._job) if isinstance(self._job, SlurmJob) else None
        if why is None:
            try:
                found: list[Any] = self._job.results()
                return found
            except UncompletedJobError as error:
                why = why_lost(str(error))
        self._lost(self._number, why)
        return [JobReturn(status=JobStatus.COMPLETED, _return_value=None)]


def why_lost(text: str) -> str:
    """Return what a cluster says of a job that it lost: the sentence, without the listing of its output.

    Example:
        >>> why_lost("Job 7 (task: 0) with path /x/7_0_result.pkl\\nhas not produced any output (state: TIMEOUT)\\nNo error stream")
        'Job 7 (task: 0) has not produced any output (state: TIMEOUT)'
    """
    lines = [line.strip() for line in text.strip().splitlines()[:2]]
    return " ".join([lines[0].partition(" with path ")[0], *lines[1:]]) if lines else "the cluster does not say why"
