"""Store and catalog name two states: every pair has its verdict, and what is settled stays settled."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import pytest

from deriva_ml import DerivaML, DerivaMLStateInconsistency, Workflow
from deriva_ml.catalog.rows import update
from deriva_ml.execution import ExecutionStatus, liveness
from deriva_ml.execution.execution import Execution
from deriva_ml.execution.reconcile import PAIRS, Verdict, verdict
from deriva_ml.execution.run import lock_file
from deriva_ml.execution.states import Event, follow
from deriva_ml.names import TableName

S, E = ExecutionStatus, Event

ROADS: dict[ExecutionStatus, tuple[Event, ...]] = {
    S.Created: (),
    S.Running: (E.START,),
    S.Stopped: (E.START, E.FINISH),
    S.Failed: (E.START, E.FAIL),
    S.Pending_Upload: (E.START, E.RECOVER),
    S.Uploaded: (E.START, E.FINISH, E.COMMIT, E.COMMITTED),
    S.Aborted: (E.ABORT,),
}


def passed(road: tuple[Event, ...]) -> list[ExecutionStatus]:
    states = [S.Created]
    for event in road:
        states.append(follow(states[-1], event))
    return states


def test_every_pair_has_a_verdict() -> None:
    assert set(PAIRS) == set(product(S, S))
    for state in S:
        assert verdict(state, state, ()) is Verdict.AGREE
    for here, there in PAIRS:
        if there in (S.Aborted, S.Uploaded):  # an end that others see is never taken back by whoever did not see it
            assert verdict(here, there, {S.Created}) is not Verdict.TELL or here is there


@pytest.mark.parametrize("here", S)
def test_the_catalog_that_lags_on_the_road_is_told(here: ExecutionStatus) -> None:
    for there in passed(ROADS[here])[:-1]:
        assert verdict(here, there, passed(ROADS[here])) is Verdict.TELL


@pytest.fixture
def at(ml: DerivaML, workflow: Workflow) -> Callable[[ExecutionStatus, ExecutionStatus], Execution]:
    """An execution that the store has in one state and the catalog in another."""

    def make(here: ExecutionStatus, there: ExecutionStatus) -> Execution:
        exe = ml.create_execution(workflow=workflow)
        for event in ROADS[here]:
            ml.executions.store.change(exe.rid, event)
        if there is not S.Created:
            row = {"RID": exe.rid, "Status": str(there)}
            update(ml.session, TableName("deriva-ml", "Execution"), [row], targets=["Status"])
        return exe

    return make


def test_resuming_settles_every_pair(ml: DerivaML, at: Callable[[ExecutionStatus, ExecutionStatus], Execution]) -> None:
    for here, there in PAIRS:
        exe = at(here, there)
        store = ml.executions.store
        store.annotate(exe.rid, owner='{"host": "elsewhere"}')
        expected = verdict(here, there, passed(ROADS[here]))
        if expected is Verdict.CONTRADICT:
            with pytest.raises(DerivaMLStateInconsistency, match="deriva-ml mark"):
                ml.resume_execution(exe.rid)
            continue
        resumed = ml.resume_execution(exe.rid)
        assert resumed.status is (there if expected is Verdict.FOLLOW else here), (here, there)
        assert ml.lookup_execution(exe.rid).status is resumed.status
        liveness.release(lock_file(ml.workspace, exe.rid, "run"))
