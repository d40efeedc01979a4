"""Executions that ran others while the catalog was away: the links wait, and are sent once both ends are known."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deriva_ml import DerivaML, DerivaMLOfflineError, DerivaMLStateInconsistency, Workflow
from deriva_ml.catalog.rows import delete
from deriva_ml.errors import DerivaMLValidationError
from deriva_ml.execution import ExecutionStatus
from deriva_ml.execution.execution import Execution
from deriva_ml.names import TableName

S = ExecutionStatus
Rows = Callable[..., list[dict[str, Any]]]
LINKS = "Execution_Execution"


def machine(ml: DerivaML, folder: Path) -> DerivaML:
    """Another machine: the same catalog, a workspace that knows nothing."""
    other = DerivaML.__new__(DerivaML)
    other.__dict__ |= {name: value for name, value in ml.__dict__.items() if name != "executions"}
    other.workspace = other.cache_dir = folder
    return other


def ran(ml: DerivaML, workflow: Workflow, name: str, *parents: Execution) -> Execution:
    with ml.create_execution(workflow=workflow, description=name) as exe:
        exe.asset_file_path("Image", f"{name}.txt").write_text(name)
    for parent in parents:
        parent.add_nested_execution(exe, 7)
    return exe


def links(ml: DerivaML, rows: Rows) -> list[tuple[str, str, int | None]]:
    """Who ran whom, by their descriptions, with the sequence number; in order."""
    names = {row["RID"]: row["Description"] for row in rows(ml, "Execution")}
    found = [(names[row["Execution"]], names[row["Nested_Execution"]], row["Sequence"]) for row in rows(ml, LINKS)]
    return sorted(found)


@pytest.fixture
def away(local_lab: DerivaML) -> DerivaML:
    return DerivaML(mode="offline")


@pytest.mark.parametrize("first", ["parent", "child"])
def test_the_link_goes_when_both_ends_are_known(
    local_lab: DerivaML, away: DerivaML, workflow: Workflow, rows: Rows, first: str
) -> None:
    runs = {"parent": ran(away, workflow, "parent")}
    runs["child"] = ran(away, workflow, "child", runs["parent"])
    runs["parent"].add_nested_execution(runs["child"].rid)
    second = "child" if first == "parent" else "parent"
    local_lab.resume_execution(runs[first].rid).commit_output_assets()
    assert links(local_lab, rows) == []
    brought = local_lab.resume_execution(runs[first].rid)
    assert (brought.is_parent(), brought.is_nested()) == (first == "parent", first == "child")
    listed = brought.list_execution_children() + brought.list_execution_parents()
    assert [(record.execution_rid, record.status) for record in listed] == [(runs[second].rid, S.Stopped)]
    local_lab.resume_execution(runs[second].rid).commit_output_assets()
    assert links(local_lab, rows) == [("parent", "child", 7)]
    assert local_lab.commit_pending_executions().errors == []
    local_lab.resume_execution(runs["parent"].rid).add_nested_execution(runs["child"].rid, 7)
    assert links(local_lab, rows) == [("parent", "child", 7)]


def test_one_end_was_there_before(local_lab: DerivaML, away: DerivaML, workflow: Workflow, rows: Rows) -> None:
    online = ran(local_lab, workflow, "online")
    above, below = ran(away, workflow, "above"), ran(away, workflow, "below", away.resume_execution(online.rid))
    above.add_nested_execution(online, 1)
    two = [ran(local_lab, workflow, name) for name in ("first", "second")]
    away.resume_execution(two[0].rid).add_nested_execution(two[1].execution_record)
    online_while_one_waits = ran(local_lab, workflow, "late")
    online_while_one_waits.add_nested_execution(below, 2)
    assert links(local_lab, rows) == []
    assert local_lab.commit_pending_executions().errors == []
    expected = [("above", "online", 1), ("first", "second", None), ("late", "below", 2), ("online", "below", 7)]
    assert links(local_lab, rows) == expected
    assert [
        record.description for record in away.resume_execution(above.rid).list_execution_children(recurse=True)
    ] == [
        "online",
        "below",
    ]


def test_what_is_known_here_is_answered_offline(local_lab: DerivaML, away: DerivaML, workflow: Workflow) -> None:
    parent = ran(away, workflow, "parent")
    children = [ran(away, workflow, f"child {number}") for number in range(3)]
    for number in (2, 0, 1):
        parent.add_nested_execution(children[number], number)
    grandchild = ran(away, workflow, "grandchild", children[1])
    listed = parent.list_execution_children()
    assert [(each.description, each.status) for each in listed] == [(f"child {n}", S.Stopped) for n in range(3)]
    assert listed[0].workflow is not None and listed[0].workflow.url == workflow.url
    assert [each.rid for each in grandchild.list_execution_parents(recurse=True)] == [children[1].rid, parent.rid]
    assert (parent.is_parent(), parent.is_nested()) == (True, False)
    with pytest.raises(DerivaMLValidationError, match="cannot be nested in it"):
        grandchild.add_nested_execution(parent)
    with pytest.raises(DerivaMLValidationError, match="sequence number 2, which stays; 5 was given"):
        parent.add_nested_execution(children[2], 5)
    with pytest.raises(DerivaMLStateInconsistency, match="no record of execution L-1234"):
        parent.add_nested_execution("L-1234")
    parent.add_nested_execution("2-XYZ")
    with pytest.raises(DerivaMLOfflineError, match="knows nothing of execution 2-XYZ but its name"):
        parent.list_execution_children()
    assert parent.is_parent()


@pytest.mark.parametrize("order", [("parent", "child"), ("child", "parent")])
@pytest.mark.parametrize("together", [True, False], ids=["one loader", "two loaders"])
def test_sealed_bags_carry_the_link(
    local_lab: DerivaML,
    away: DerivaML,
    workflow: Workflow,
    rows: Rows,
    tmp_path: Path,
    order: tuple[str, str],
    together: bool,
) -> None:
    parent = ran(away, workflow, "parent")
    bags = {"child": ran(away, workflow, "child", parent).seal(), "parent": parent.seal()}
    loaders = [machine(local_lab, tmp_path / name) for name in ("a", "a" if together else "b")]
    for loader, name in zip(loaders, order, strict=True):
        assert links(local_lab, rows) == []
        assert loader.load_sealed_bag(bags[name]).errors == []
    assert links(local_lab, rows) == [("parent", "child", 7)]
    for loader in loaders:  # the first one had it waiting as well
        assert loader.commit_pending_executions().errors == []
        assert loader.load_sealed_bag(bags["child"]).errors == []
    assert local_lab.commit_pending_executions().errors == []
    assert links(local_lab, rows) == [("parent", "child", 7)]


def test_a_sealed_child_of_what_is_brought_and_of_what_was_there(
    local_lab: DerivaML, away: DerivaML, workflow: Workflow, rows: Rows, tmp_path: Path
) -> None:
    online, parent = ran(local_lab, workflow, "online"), ran(away, workflow, "parent")
    archive = ran(away, workflow, "child", parent, away.resume_execution(online.rid)).seal()
    far = machine(local_lab, tmp_path / "far")
    assert far.load_sealed_bag(archive).errors == []
    assert links(local_lab, rows) == [("online", "child", 7)]
    local_lab.resume_execution(parent.rid).commit_output_assets()
    assert links(local_lab, rows) == [("online", "child", 7)]
    assert far.commit_pending_executions().errors == []  # who holds the link looks whether the parent has come
    assert links(local_lab, rows) == [("online", "child", 7), ("parent", "child", 7)]


def test_what_contradicts_the_catalog_is_reported_and_stays_here(
    local_lab: DerivaML, away: DerivaML, workflow: Workflow, rows: Rows
) -> None:
    one, two, gone = (ran(local_lab, workflow, name) for name in ("one", "two", "gone"))
    away.resume_execution(one.rid).add_nested_execution(two, 1)
    local = ran(away, workflow, "local", away.resume_execution(gone.rid))
    with pytest.raises(DerivaMLValidationError, match="sequence number 1, which stays; 2 was given"):
        one.add_nested_execution(two, 2)
    local_lab.lookup_execution(one.rid).add_nested_execution(two, 2)  # somebody else, elsewhere
    delete(local_lab.session, TableName("deriva-ml", "Execution"), {"RID": gone.rid})
    report = local_lab.commit_pending_executions(execution_rids=[local.rid, one.rid])
    assert report.errors == []
    assert links(local_lab, rows) == [("one", "two", 2)]
    said = "\n".join(report.notes)
    assert f"that {one.rid} ran {two.rid} is not recorded" in said and "the sequence number 2, which stays" in said
    assert f"that {gone.rid} ran" in said and f"The catalog has no execution {gone.rid}." in said
    brought = local_lab.resume_execution(local.rid)
    assert (brought.status, brought.list_execution_parents()) == (S.Uploaded, [])
    assert "is not recorded" in "\n".join(brought.commit_output_assets().notes)
