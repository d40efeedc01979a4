"""Workers forked while other threads of the run write, stage and commit: none of them hangs, and nothing of theirs is lost."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from deriva_ml import DerivaML, ExecutionStatus, Workflow
from deriva_ml.execution.execution import Execution
from deriva_ml.feature import record

FORKS = 16
SECONDS = 20
"""So long a worker may take; one that hangs is ended by its alarm."""


def forked(work: Callable[[], object]) -> int:
    """Do ``work`` in a forked child; return how that ended, 0 for well."""
    child = os.fork()
    if child == 0:
        signal.alarm(SECONDS)
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return os.waitpid(child, 0)[1]


@contextmanager
def busily(*works: Callable[[int], object]) -> Iterator[None]:
    """Repeat each work in a thread of its own for as long as the block runs; what goes wrong there ends it."""
    stop, errors = threading.Event(), list[BaseException]()

    def repeat(work: Callable[[int], object]) -> None:
        try:
            for number in count():
                if stop.is_set():
                    return
                work(number)
        except BaseException as error:
            errors.append(error)
            raise

    threads = [threading.Thread(target=repeat, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join(SECONDS)
    assert not errors
    assert not [thread for thread in threads if thread.is_alive()]


class Run:
    """One run with all that its threads and workers do to it, each under numbers of its own."""

    def __init__(self, lab: DerivaML, exe: Execution, other: Execution, folder: Path) -> None:
        self.lab, self.exe, self.other, self.folder = lab, exe, other, folder
        self.steps: list[int] = []

    def measure(self, number: int) -> None:
        self.exe.log_metrics({"loss": number}, step=number)
        self.steps.append(number)

    def stage(self, number: int) -> None:
        self.exe.asset_file_path("Image", self.source(f"thread-{number}"), copy_file=bool(number % 2))

    def commit(self, number: int) -> None:
        for index in range(4):
            self.other.asset_file_path("Image", self.source(f"other-{number}-{index}"))
        self.other.commit_output_assets()

    def load(self, step: int) -> None:
        signal.alarm(SECONDS)
        self.exe.log_metrics({"loss": 0}, step=step)

    def source(self, name: str) -> Path:
        path = self.folder / name
        path.write_text(name)
        return path

    def help(self, number: int) -> None:
        """A worker's part: it logs, stages, reads, forks on, or opens the catalog anew."""
        self.exe.log_metrics({"loss": number}, step=-number)
        self.exe.asset_file_path("Image", self.source(f"worker-{number}"), copy_file=True)
        if number % 4 == 1:
            assert forked(lambda: self.exe.log_metrics({"loss": number}, step=-1000 - number)) == 0
        if number % 4 == 2:
            self.lab.list_assets("Image")
        if number % 8 == 3:
            again = DerivaML(self.lab.host_name, self.lab.catalog_id, credential={})
            assert again.lookup_execution(self.exe.rid).status == "Running"


def test_lines_of_metrics_keep_the_order_in_which_processes_and_threads_wrote_them(
    lab: DerivaML, workflow: Workflow
) -> None:
    with lab.create_execution(workflow=workflow) as exe:
        again = lab.resume_execution(exe.rid)
        for turn in range(0, 20, 4):
            exe.log_metrics({"n": turn})
            assert forked(lambda turn=turn: exe.log_metrics({"n": turn + 1})) == 0
            again.log_metrics({"n": turn + 2})
            thread = threading.Thread(target=exe.log_metrics, args=({"n": turn + 3},))
            thread.start()
            thread.join()
    assert [line["n"] for line in exe.metrics] == list(range(20))


def test_nobody_forks_while_a_record_class_is_made(
    local_lab: DerivaML, workflow: Workflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """pydantic holds locks meanwhile, which a child of a fork would wait for for ever; a lock that a fork copies stands for them."""
    real, lock, inside = record.create_model, threading.Lock(), threading.Event()

    def slowly(*given: Any, **more: Any) -> Any:
        with lock:
            inside.set()
            time.sleep(0.3)
            return real(*given, **more)

    monkeypatch.setattr(record, "create_model", slowly)
    maker = threading.Thread(target=local_lab.feature_record_class, args=("Image", "Grade"))
    maker.start()
    inside.wait(SECONDS)
    assert forked(lambda: local_lab.feature_record_class("Image", "Grade")) == 0
    maker.join()


def test_workers_are_forked_while_threads_write(lab: DerivaML, workflow: Workflow, elsewhere: Path) -> None:
    with lab.create_execution(workflow=workflow) as other:
        pass
    exe = lab.create_execution(workflow=workflow)
    run = Run(lab, exe, other, elsewhere)
    fork = multiprocessing.get_context("fork")

    def loader(number: int) -> None:
        """A thread that is not the main one forks too, as a data loader in the background does."""
        worker = fork.Process(target=run.load, args=(-100_000 - number,))
        worker.start()
        worker.join(SECONDS)
        assert worker.exitcode == 0
        run.steps.append(-100_000 - number)

    with exe, busily(run.measure, run.stage, run.commit, loader):
        ends = [forked(lambda number=number: run.help(number)) for number in range(1, FORKS + 1)]
    assert ends == [0] * FORKS
    assert exe.status is ExecutionStatus.Stopped
    steps = [*run.steps, *range(-FORKS, 0), *(-1000 - number for number in range(1, FORKS + 1, 4))]
    assert Counter(line["step"] for line in exe.metrics) == Counter(steps)
    exe.commit_output_assets()
    names = [asset.filename for each in (exe, other) for asset in lab.list_execution_assets(each.rid, "Output")]
    assert {path.name for path in elsewhere.iterdir()} <= set(names)
    assert len([name for name in names if name.startswith(("thread", "worker", "other"))]) == len(
        list(elsewhere.iterdir())
    )


PROGRAM = """
    import os, sys
    from deriva_ml import DerivaML, Workflow
    workflow = Workflow(name="Train", workflow_type="Training", url="https://example.org/train.py", checksum="abc")
    ml = DerivaML()
    dry = ml.create_execution(workflow=workflow, dry_run=True)
    with ml.create_execution(workflow=workflow) as exe:
        for how in (sys.exit, lambda: sys.exit(3), lambda: 1 / 0):
            child = os.fork()
            if child == 0:
                sys.stderr = open(os.devnull, "w")
                how()
            os.waitpid(child, 0)
        print(exe.status, dry.working_dir.parent.parent.joinpath("store.sqlite").exists())
        dry.log_metrics({"loss": 1})
    print(exe.status)
"""


def test_a_worker_that_leaves_the_block_ends_nothing(local_lab: DerivaML) -> None:
    """By ``sys.exit`` or an exception: only the process that entered the block ends the run, or clears a dry one away."""
    program = [sys.executable, "-c", textwrap.dedent(PROGRAM)]
    done: Any = subprocess.run(program, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split() == ["Running", "True", "Stopped"]
