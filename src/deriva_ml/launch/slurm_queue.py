"""What Slurm's queue says of a job, where no accounting does: without it, submitit would wait for a cancelled job for ever."""

from __future__ import annotations

import subprocess
import time
from typing import Any

_SECONDS = 30
_PAUSE = 1.0
_ENOUGH = 5
"""How often a job has to be missed: its result may be on its way through a network folder."""


def wait_until_ended(job: Any) -> str | None:
    """Wait until a job of Slurm has ended; return why, if it ended without a result and submitit cannot know."""
    missed = 0
    while not job.done():
        state = left_queue(str(job.job_id)) if str(job.state) == "UNKNOWN" else None
        missed = 0 if state is None else missed + 1
        if state is not None and missed == _ENOUGH:
            return f"Job {job.job_id} left Slurm's queue without a result (state: {state})"
        time.sleep(_PAUSE)
    return None


def left_queue(job_id: str) -> str | None:
    """Return the last state of a job that is in the queue no more; None if it is, or nobody can say."""
    if _asked(job_id):
        return None
    return _asked(job_id, "-t", "all") or "forgotten"


def _asked(job_id: str, *more: str) -> str:
    command = ["squeue", "-h", "-j", job_id, "-o", "%T", *more]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
    except (OSError, subprocess.SubprocessError):
        return "cannot be asked"
    if done.returncode != 0:
        return "" if "Invalid job id" in done.stderr else "cannot be asked"
    return done.stdout.strip()
