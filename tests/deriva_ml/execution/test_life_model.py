"""Any order of calls, crashes included, against a model of a dozen lines: states, files and metrics agree at each step."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from deriva_ml import DerivaML, InvalidTransitionError, Workflow
from deriva_ml.errors import DerivaMLValidationError
from deriva_ml.execution import ExecutionStatus, liveness
from deriva_ml.execution.run import lock_file
from deriva_ml.execution.states import COMMITTABLE, TRANSITIONS

S = ExecutionStatus


class Life(RuleBasedStateMachine):
    """One execution of a catalog that all examples share."""

    ml: DerivaML
    count = 0

    def __init__(self) -> None:
        super().__init__()
        self.exe = self.ml.create_execution(
            workflow=Workflow(name="m", workflow_type="Training", url="https://example.org/m", checksum="m")
        )
        self.state = S.Created
        self.staged: set[str] = set()
        self.committed: set[str] = set()
        self.metrics = 0

    def goes(self, target: S, call: Callable[[], object]) -> None:
        """``call`` leads to ``target`` where the table has the edge, and is refused where it has not."""
        if target in TRANSITIONS[self.state].values():
            call()
            self.state = target
        else:
            try:
                call()
            except InvalidTransitionError:
                return
            raise AssertionError(f"{self.state} -> {target} was not refused")

    @rule()
    def start(self) -> None:
        if self.state is not S.Running:  # a running one holds its lock, which is another error
            self.goes(S.Running, self.exe.execution_start)

    @rule()
    def stop(self) -> None:
        self.goes(S.Stopped, self.exe.execution_stop)

    @rule()
    def give_up(self) -> None:
        if self.state is not S.Aborted:
            self.goes(S.Aborted, self.exe.abort)

    @rule(wanted=st.sampled_from(sorted(S)))
    def name_a_state(self, wanted: S) -> None:
        if wanted == self.state:
            self.exe.update_status(wanted, "a message")
        elif wanted not in (S.Running, S.Uploaded):
            self.goes(wanted, lambda: self.exe.update_status(wanted, "a reason"))

    @rule()
    def stage(self) -> None:
        Life.count += 1
        name = f"file{Life.count}.txt"
        if self.takes(lambda: self.exe.asset_file_path("Execution_Asset", name).write_text(name)):
            self.staged.add(name)

    @rule()
    def measure(self) -> None:
        self.metrics += self.takes(lambda: self.exe.log_metrics({"n": self.metrics}, step=self.metrics))

    def takes(self, call: Callable[[], object]) -> bool:
        """``call`` stages something, and is refused where nothing would ever be committed; tell whether it was taken."""
        if self.state is not S.Aborted:
            call()
            return True
        with pytest.raises(DerivaMLValidationError, match="is Aborted"):
            call()
        return False

    @precondition(lambda self: self.state in COMMITTABLE)
    @rule(clean=st.booleans())
    def commit(self, clean: bool) -> None:
        self.exe.commit_output_assets(clean_folder=clean)
        self.committed |= self.staged
        self.staged.clear()
        self.state = S.Uploaded

    @rule()
    def crash_and_resume(self) -> None:
        liveness.release(lock_file(self.ml.workspace, self.exe.rid, "run"))
        self.exe = self.ml.resume_execution(self.exe.rid)
        if self.state is S.Running:
            self.state = S.Pending_Upload

    @invariant()
    def the_store_and_the_catalog_agree_with_the_model(self) -> None:
        assert self.exe.status is self.state
        assert self.ml.lookup_execution(self.exe.rid).status is self.state
        assert len(self.exe.metrics) == self.metrics

    def teardown(self) -> None:
        names = [
            asset.filename
            for asset in self.ml.list_execution_assets(self.exe.rid, "Output")
            if asset.asset_table == "Execution_Asset"
        ]
        assert sorted(names) == sorted(self.committed)
        liveness.release(lock_file(self.ml.workspace, self.exe.rid, "run"))


def test_any_order_of_calls_agrees_with_the_model() -> None:
    with tempfile.TemporaryDirectory() as folder:
        Life.ml = DerivaML(working_dir=Path(folder) / "home")
        Life.TestCase.settings = settings(
            max_examples=20, stateful_step_count=15, deadline=None, suppress_health_check=list(HealthCheck)
        )
        Life.TestCase("runTest").debug()
        assert Life.count
        Life.ml.session.port.close()
