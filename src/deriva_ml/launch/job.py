"""A job as the launcher follows it: which execution records it, how it ended, what it measured."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from deriva_ml.execution.execution import Execution
from deriva_ml.execution.states import ExecutionStatus
from deriva_ml.files import write_whole
from deriva_ml.launch.failures import traceback_of

NOT_STARTED = "not started"
RUNS = "running"
INTERRUPTED = "interrupted"
COMMITTED = "Uploaded"
WAITS = "waits"
"""It has ended well offline, and its execution waits for the catalog."""
RETURN_VALUE = "return_value"
ANY_OVERRIDES = ("(not known)",)
"""What a job was started with, where the catalog no longer tells."""


@dataclass
class Job:
    """One run of a model function. In a sweep its facts are kept in a file, so that other processes can read them."""

    overrides: tuple[str, ...] = ()
    number: int | None = None
    parent: str | None = None
    file: Path | None = None
    rid: str | None = None
    status: str = NOT_STARTED
    error: str | None = None
    metrics: dict[str, Any] = field(default_factory=dict)
    value: Any = None
    keeps_value: bool = False

    def follow(self, execution: Execution) -> None:
        """Note which execution records the job."""
        self.rid, self.status = execution.execution_rid, RUNS
        self.write()

    @contextmanager
    def measuring(self, execution: Execution) -> Iterator[None]:
        """Note the last value of each metric, however the block ends."""
        try:
            yield
        finally:
            self.metrics = last_metrics([*execution.metrics, *_written(execution.working_dir)])
            self.metrics.pop(RETURN_VALUE, None)

    def is_done(self, overrides: Sequence[str]) -> bool:
        """Return whether this is the job with these overrides, recorded and committed, or offline waiting to be.

        It may have had more: what ``--continue`` added.
        """
        had = f", {', '.join(self.overrides)}, "
        same = self.overrides == ANY_OVERRIDES or all(f", {text}, " in had for text in overrides)
        return same and self.status in (COMMITTED, WAITS) and self.parent is not None

    def returned(self, value: Any, execution: Execution) -> None:
        """Note what the model function returned; for a sweeper that asks for it, among the metrics as well."""
        self.value = value
        if self.keeps_value and isinstance(value, int | float) and math.isfinite(value):
            execution.log_metrics({RETURN_VALUE: value})

    def ended(self, execution: Execution, offline: bool) -> None:
        """Note where the execution is now."""
        waits = offline and self.number is not None and execution.status is ExecutionStatus.Stopped
        self.status = WAITS if waits else str(execution.status)

    def write(self) -> None:
        """Keep the facts in the job's file, if it has one."""
        if self.file is not None:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            facts = {name: value for name, value in vars(self).items() if name not in ("file", "value")}
            facts["value"] = self.value if isinstance(self.value, int | float | str | list | tuple | None) else None
            write_whole(self.file, json.dumps(facts, default=str).encode())

    def __enter__(self) -> Job:
        """Begin to follow."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        """Note how the job ended. In a sweep its failure is a fact to be noted and does not stop the siblings."""
        failed = isinstance(error, Exception | SystemExit)
        if error is not None:
            self.status = "Failed" if failed else INTERRUPTED
            self.error = f"{type(error).__name__}: {error}"
        self.write()
        survives = self.number is not None and failed
        if survives and error is not None:
            print(f"Job {self.number} failed.\n{traceback_of(error)}", file=sys.stderr)
        elif isinstance(error, SystemExit) and self.rid is not None:
            print(f"Execution {self.rid} is Failed: the model ended by sys.exit({error.code!r}).", file=sys.stderr)
        return survives


_CURRENT: ContextVar[Job | None] = ContextVar("job", default=None)


@contextmanager
def following(job: Job) -> Iterator[Job]:
    """Say that what runs inside the block is ``job``."""
    token = _CURRENT.set(job)
    try:
        yield job
    finally:
        _CURRENT.reset(token)


def current_job() -> Job:
    """Return the job that the launcher follows; one of its own for a run that nobody launched."""
    return _CURRENT.get() or Job()


def read_job(file: Path) -> Job:
    """Return the job that a file tells of."""
    facts = json.loads(file.read_text())
    return Job(**{**facts, "overrides": tuple(facts["overrides"]), "file": file})


def last_metrics(records: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the last value of each metric.

    Example:
        >>> last_metrics([{"step": 0, "loss": 1.0}, {"step": 1, "loss": 0.5, "accuracy": 0.9}])
        {'loss': 0.5, 'accuracy': 0.9}
    """
    found: dict[str, Any] = {}
    for record in records:
        for name, value in record.items():
            if name not in ("step", "epoch") and isinstance(value, int | float) and not isinstance(value, bool):
                found[name] = value if math.isfinite(value) else str(value)
    return found


def _written(folder: Path) -> list[dict[str, Any]]:
    """Return the records of the metrics files that the model wrote itself; lines that are no JSON objects are its own business."""
    found = []
    for file in sorted((folder / "assets").rglob("*metrics*.jsonl")):
        for line in file.read_text(errors="replace").splitlines():
            try:
                record = json.loads(line)
            except ValueError:
                continue
            if isinstance(record, dict):
                found.append(record)
    return found
