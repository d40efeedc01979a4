"""Executions that were created and never begun: what became of their process decides, as far as it can be known."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from deriva_ml import DerivaML, Workflow
from deriva_ml.execution import ExecutionStatus
from deriva_ml.execution.run import lock_file

S = ExecutionStatus
CREATE = """
import json, os, signal, sys
from deriva_ml import DerivaML, Workflow
ml = DerivaML(mode=sys.argv[1])
exe = ml.create_execution(workflow=Workflow(name="x", workflow_type="Training", url="https://example.org/x.py", checksum="x"))
print(exe.rid, flush=True)
{end}
"""


def created(home: Path, end: str, mode: str = "online") -> str:
    """Create an execution in a process that ends in some way before the work begins; return its name."""
    done = subprocess.run(
        [sys.executable, "-c", CREATE.format(end=end), mode], capture_output=True, text=True, check=False
    )
    return done.stdout.strip()


@pytest.mark.parametrize(
    ("end", "status", "detail"),
    [
        ("os.kill(os.getpid(), signal.SIGKILL)", S.Aborted, "ended without closing, before the work began"),
        ("os.kill(os.getpid(), signal.SIGTERM)", S.Aborted, "ended without closing, before the work began"),
        ("os._exit(1)", S.Aborted, "ended without closing, before the work began"),
        ("", S.Created, ""),
        ("sys.exit(3)", S.Created, ""),
        ("print(1 / 0)", S.Created, ""),
        ("del exe; os.kill(os.getpid(), signal.SIGKILL)", S.Created, ""),
        (
            "ml.resume_execution(exe.rid); os.kill(os.getpid(), signal.SIGKILL)",
            S.Aborted,
            "ended without closing, before the work began",
        ),
        (
            "exe = ml.resume_execution(exe.rid); os.kill(os.getpid(), signal.SIGKILL)",
            S.Aborted,
            "ended without closing, before the work began",
        ),
    ],
)
def test_a_killed_creator_leaves_nothing_to_wait_for(
    local_lab: DerivaML, home: Path, end: str, status: ExecutionStatus, detail: str
) -> None:
    rid = created(home, end)
    found = DerivaML().lookup_execution(rid)
    assert (found.status, found.status_detail or "") == (status, detail)
    assert [snapshot.status for snapshot in local_lab.list_executions()] == [status]


def test_locks_may_be_let_go_of_as_garbage_while_one_is_taken(local_lab: DerivaML, home: Path) -> None:
    """A collection may begin wherever something is made, also where the guard of the locks is held."""
    end = (
        "import gc; from deriva_ml.execution import liveness\n"
        "ring = [exe]; ring.append(ring); del exe, ring\n"
        "with liveness._GUARD: gc.collect()\n"
        "print('went on')"
    )
    code = CREATE.format(end=end)
    done = subprocess.run(
        [sys.executable, "-c", code, "online"], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.stdout.split()[1:] == ["went", "on"], done.stderr


def test_one_that_was_left_in_order_begins_elsewhere(local_lab: DerivaML, home: Path) -> None:
    rid = created(home, "")
    (stale,) = local_lab.find_stale_executions()
    assert (stale.rid, stale.why) == (rid, "its process has ended, and the work never began")
    with local_lab.resume_execution(rid) as exe:
        exe.log_metrics({"loss": 1})
    exe.commit_output_assets()
    assert exe.status is S.Uploaded


def test_one_whose_creator_lives_is_left_alone(local_lab: DerivaML, home: Path) -> None:
    command = [sys.executable, "-c", CREATE.format(end="sys.stdin.read()"), "online"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        rid = child.stdout.readline().strip()
        assert DerivaML().lookup_execution(rid).status is S.Created
        assert local_lab.find_stale_executions() == []
        child.kill()
    assert DerivaML().lookup_execution(rid).status is S.Aborted


def test_what_an_older_version_left_is_left_alone(local_lab: DerivaML, home: Path) -> None:
    """It never emptied its lock files, so that a text says nothing."""
    rid = created(home, "")
    lock_file(local_lab.workspace, rid, "create").write_text(json.dumps({"what": "being created", "pid": 1}))
    assert DerivaML().lookup_execution(rid).status is S.Created


@pytest.mark.parametrize("point", range(1, 12))
def test_a_creation_that_is_killed_at_any_request_is_aborted(
    local_lab: DerivaML, workflow: Workflow, home: Path, rows: Callable[..., list[dict[str, object]]], point: int
) -> None:
    local_lab.create_execution(workflow=workflow).abort("the workflow is there")
    child = os.fork()
    if child == 0:
        port, left = local_lab.session.port, point
        real = port.send

        def send(request: object) -> object:
            nonlocal left
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(request)  # type: ignore[arg-type]

        port.send = send  # type: ignore[method-assign,assignment]
        exe = local_lab.create_execution(workflow=workflow)
        os.kill(os.getpid() if exe else 0, signal.SIGKILL)
    os.waitpid(child, 0)
    DerivaML()
    assert {snapshot.status for snapshot in local_lab.list_executions()} == {S.Aborted}
    states = [row["Status"] for row in rows(local_lab, "Execution") if row["Workflow"] and row["Description"] == ""]
    assert set(states) == {"Aborted"}


def test_offline_it_is_the_same(local_lab: DerivaML, home: Path) -> None:
    killed, left = created(home, "os.kill(os.getpid(), signal.SIGKILL)", "offline"), created(home, "", "offline")
    away = DerivaML(mode="offline")
    assert {each.rid: each.status for each in away.list_executions()} == {killed: S.Aborted, left: S.Created}
    assert local_lab.commit_pending_executions().errors == []
    found = local_lab.lookup_execution(local_lab.resume_execution(killed).rid)
    assert (found.status, found.status_detail) == (S.Aborted, "ended without closing, before the work began")
