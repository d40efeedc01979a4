"""The state machine of executions, edge by edge."""

from __future__ import annotations

from itertools import product

import pytest

from deriva_ml.errors import DerivaMLValidationError, InvalidTransitionError
from deriva_ml.execution.state_machine import InvalidTransitionError as AliasedError
from deriva_ml.execution.state_store import ExecutionStatus as AliasedStatus
from deriva_ml.execution.states import (
    INCOMPLETE,
    TRANSITIONS,
    Event,
    ExecutionStatus,
    allowed,
    event_towards,
    follow,
    status_named,
)

S = ExecutionStatus
EDGES = {
    (S.Created, S.Running),
    (S.Created, S.Aborted),
    (S.Running, S.Stopped),
    (S.Running, S.Failed),
    (S.Running, S.Pending_Upload),
    (S.Running, S.Aborted),
    (S.Stopped, S.Pending_Upload),
    (S.Stopped, S.Aborted),
    (S.Pending_Upload, S.Uploaded),
    (S.Pending_Upload, S.Failed),
    (S.Failed, S.Pending_Upload),
    (S.Failed, S.Aborted),
    (S.Uploaded, S.Pending_Upload),
}


def test_the_table_has_seven_states_and_exactly_these_thirteen_edges() -> None:
    assert set(TRANSITIONS) == set(S)
    assert {(state, target) for state, row in TRANSITIONS.items() for target in row.values()} == EDGES
    assert len(EDGES) == 13


@pytest.mark.parametrize(("current", "target"), list(product(S, S)), ids=lambda state: str(state))
def test_a_user_may_name_the_states_that_an_edge_leads_to_and_no_others(current: S, target: S) -> None:
    if current == target:
        assert event_towards(current, target) is None
    elif (current, target) in EDGES:
        event = event_towards(current, target)
        assert event is not None
        assert follow(current, event) is target
    else:
        with pytest.raises(InvalidTransitionError) as refused:
            event_towards(current, target, "1-ABC")
        assert (refused.value.current, refused.value.target, refused.value.rid) == (current, target, "1-ABC")
        assert refused.value.allowed == tuple(str(state) for state in allowed(current))


@pytest.mark.parametrize(("current", "event"), list(product(S, Event)), ids=lambda value: str(value))
def test_an_event_leads_where_the_table_says_or_nowhere(current: S, event: Event) -> None:
    if event in TRANSITIONS[current]:
        assert (current, follow(current, event)) in EDGES
    else:
        with pytest.raises(InvalidTransitionError):
            follow(current, event)


def test_aborted_is_final_and_says_so() -> None:
    with pytest.raises(InvalidTransitionError, match="it is final"):
        follow(S.Aborted, Event.COMMIT)


def test_an_unknown_state_is_refused_with_the_ones_that_there_are() -> None:
    assert status_named("Running") is S.Running
    with pytest.raises(DerivaMLValidationError, match="Pending_Upload"):
        status_named("Done")


def test_incomplete_are_all_but_the_two_ends() -> None:
    assert set(S) - set(INCOMPLETE) == {S.Uploaded, S.Aborted}


def test_the_names_that_guides_use_are_the_same_things() -> None:
    assert AliasedStatus is S
    assert AliasedError is InvalidTransitionError
