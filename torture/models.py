"""Any order of calls against plain Python models: the life of a run, processes that die included, and the embedded catalog."""

from __future__ import annotations

import importlib
import os
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import hypothesis
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule, run_state_machine_as_test

from deriva_local.service.app import Service
from deriva_ml import DerivaML
from deriva_ml.execution import liveness
from deriva_ml.execution.run import lock_file
from torture import scenes, story
from torture.tally import Tally

sys.path.insert(0, str(scenes.TESTS / "deriva_local" / "conformance"))
life_model: Any = importlib.import_module("test_life_model")
catalog_model: Any = importlib.import_module("test_kit_fuzz")
EXAMPLES, STEPS = 6, 40
ENDS_BY_ITSELF = 0


class Life(life_model.Life):  # type: ignore[misc]
    """A life in which processes die: what they acknowledged is there when the next one looks, once."""

    tally: Tally

    @precondition(lambda self: self.state is not life_model.S.Aborted)
    @rule(acts=st.lists(st.sampled_from(["measure", "stage"]), min_size=1, max_size=6), dies_after=st.integers(0, 6))
    def another_process_goes_on_and_dies(self, acts: list[str], dies_after: int) -> None:
        liveness.release(lock_file(self.ml.workspace, self.exe.rid, "run"))
        names = [f"file{life_model.Life.count + number}.txt" for number in range(1, len(acts) + 1)]
        life_model.Life.count += len(acts)
        done = _acts_of_another_process(partial(self._act, acts, names), dies_after)
        self.exe = self.ml.resume_execution(self.exe.rid)
        if self.state is life_model.S.Running:
            self.state = life_model.S.Pending_Upload
        self.metrics += acts[:done].count("measure")
        self.staged |= {name for act, name in list(zip(acts, names, strict=True))[:done] if act == "stage"}

    def _act(self, acts: list[str], names: list[str], told: Callable[[], None]) -> None:
        exe = self.ml.resume_execution(self.exe.rid)
        measured = self.metrics
        for act, name in zip(acts, names, strict=True):
            if act == "stage":
                source = self.ml.workspace / name
                source.write_text(name)
                exe.asset_file_path("Execution_Asset", source, copy_file=True)
            else:
                exe.log_metrics({"n": measured}, step=measured)
                measured += 1
            told()

    def teardown(self) -> None:
        super().teardown()
        self.tally.point(self.metrics + len(self.committed))


class Catalog(catalog_model.Catalog):  # type: ignore[misc]
    """The model of the embedded catalog, counted."""

    tally: Tally

    def teardown(self) -> None:
        super().teardown()
        rows = sum(len(rows) for rows in self.rows.values())
        self.tally.point(rows + sum(len(rows) for _, _, tables in self.seen for rows in tables.values()))


def campaign(work: Path, seconds: float, seed: int) -> Tally:
    """Let hypothesis try examples of both machines, some of each in turn, until the time is over."""
    tally = Tally("models (lives with dying processes; the embedded catalog)")
    Life.tally = Catalog.tally = tally
    end = time.monotonic() + seconds
    while not tally.points or (time.monotonic() < end and not tally.problems):
        for place, examples in ((_lives, EXAMPLES), (_catalogs, 2 * EXAMPLES)):
            folder = work / f"{place.__name__}-{seed}"
            try:
                place(folder, examples, seed)
            except Exception:  # noqa: BLE001 - whatever the model finds is told
                tally.blame(f"{place.__name__} seed {seed}", "lost", traceback.format_exc()[-3000:])
            else:
                shutil.rmtree(folder)
        seed += 1
    return tally


def _lives(folder: Path, examples: int, seed: int) -> None:
    life_model.Life.ml = DerivaML(working_dir=folder / "home")
    try:
        _try(Life, examples, seed)
    finally:
        life_model.Life.ml.session.port.close()


def _catalogs(folder: Path, examples: int, seed: int) -> None:
    service = Service(folder / "store")
    try:
        _try(lambda: Catalog(service), examples, seed)
    finally:
        service.close()


def _try(machine: Callable[[], Any], examples: int, seed: int) -> None:
    hypothesis.seed(seed)(machine)
    wanted = settings(
        max_examples=examples,
        stateful_step_count=STEPS,
        deadline=None,
        database=None,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(machine, settings=wanted)


def _acts_of_another_process(act: Callable[[Callable[[], None]], None], dies_after: int) -> int:
    """Let a forked process act; it dies right after so many acts. Return how many it acknowledged."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(story.SECONDS)
        left = [dies_after]

        def told() -> None:
            os.write(write, b".")
            left[0] -= 1
            if left[0] <= 0:
                os.kill(os.getpid(), signal.SIGKILL)

        code = 1
        try:
            act(told)
            code = ENDS_BY_ITSELF
        except BaseException:  # noqa: BLE001 - a child of a fork must not go on as its parent
            os.write(write, traceback.format_exc().encode())
        os._exit(code)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        said = pipe.read()
    status = os.waitpid(child, 0)[1]
    if os.WIFEXITED(status) and os.WEXITSTATUS(status) != ENDS_BY_ITSELF:
        raise AssertionError(f"another process ended with {said.decode()}")
    return len(said)
