"""The clauses of a complete provenance, for every way in which a run can end: the catalog alone answers them."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from catalog_says import DECLARED, NOTHING, SENTINEL, said_of

from deriva_ml import DerivaML, DerivaMLOfflineError, DerivaMLUploadError, Workflow
from deriva_ml.catalog.port import Response
from deriva_ml.catalog.rows import count, delete, select, update
from deriva_ml.execution import Execution, ExecutionStatus, provenance
from deriva_ml.execution import commit as committing
from deriva_ml.execution.provenance import NO_REASON, recorded
from deriva_ml.names import TableName
from deriva_ml.schema.tables import UNKNOWN_CODE, UNKNOWN_EXECUTION
from deriva_ml.workflow.registry import add_workflow

S = ExecutionStatus
Given = dict[str, Any]
Story = Callable[[DerivaML, Workflow, Given], str]
"""Lets a run live and end, and returns its RID; the run has the inputs given."""


def begun(ml: DerivaML, workflow: Workflow, given: Given) -> Execution:
    exe = ml.create_execution(workflow=workflow, **given)
    exe.execution_start()
    exe.asset_file_path("Mask", "out.txt").write_text("o")
    return exe


def at_its_end(end: Callable[[DerivaML, Execution], object]) -> Story:
    """A run in this process that ends as ``end`` says."""

    def story(ml: DerivaML, workflow: Workflow, given: Given) -> str:
        exe = begun(ml, workflow, given)
        end(ml, exe)
        return exe.rid

    story.__name__ = end.__name__
    return story


def stop(ml: DerivaML, exe: Execution) -> None:
    exe.execution_stop()


def commit(ml: DerivaML, exe: Execution) -> None:
    exe.commit_output_assets()


def make_a_dataset_and_stop(ml: DerivaML, exe: Execution) -> None:
    exe.create_dataset(description="made before any commit")
    exe.execution_stop()


def fail_in_the_block(ml: DerivaML, exe: Execution) -> None:
    with pytest.raises(ZeroDivisionError), exe:
        raise ZeroDivisionError("by hand")


def fail_and_commit(ml: DerivaML, exe: Execution) -> None:
    fail_in_the_block(ml, exe)
    exe.commit_output_assets()


def fail_without_a_reason(ml: DerivaML, exe: Execution) -> None:
    exe.update_status(S.Failed)


def fail_with_blanks(ml: DerivaML, exe: Execution) -> None:
    exe.update_status(S.Failed, " ", error=" \n")


def take_the_reason_away(ml: DerivaML, exe: Execution) -> None:
    exe.update_status(S.Failed, "out of memory")
    exe.update_status(S.Failed, "")


def fail_by_its_record(ml: DerivaML, exe: Execution) -> None:
    ml.lookup_execution(exe.rid).status = S.Failed


def take_the_reason_away_by_its_record(ml: DerivaML, exe: Execution) -> None:
    exe.update_status(S.Failed, "out of memory")
    ml.lookup_execution(exe.rid).update_status(S.Failed, "  ")


def abort_without_a_reason(ml: DerivaML, exe: Execution) -> None:
    exe.abort()


def abort_with_one(ml: DerivaML, exe: Execution) -> None:
    exe.abort("wrong data")


def mark(ml: DerivaML, exe: Execution) -> None:
    exe.execution_stop()
    ml.mark_execution(exe.rid, "Aborted", "the node was reinstalled")


def mark_from_elsewhere(ml: DerivaML, exe: Execution) -> None:
    """By a workspace that does not know the run; that of its machine was lost before it could tell of its end."""
    with exe._run.store.database.transaction() as connection:
        exe._run.store.forget(connection, exe.rid)
    ml.mark_execution(exe.rid, "Failed", "its machine is gone")


def fail_to_upload(ml: DerivaML, exe: Execution) -> None:
    def gone(*_: Any) -> None:
        raise DerivaMLUploadError("the disk went away")

    with pytest.MonkeyPatch.context() as patched, pytest.raises(DerivaMLUploadError):
        patched.setattr(committing, "seal", gone)
        exe.commit_output_assets()


def fail_to_upload_and_commit(ml: DerivaML, exe: Execution) -> None:
    fail_to_upload(ml, exe)
    exe.commit_output_assets()


def leave(code: object) -> Story:
    def story(ml: DerivaML, workflow: Workflow, given: Given) -> str:
        exe = begun(ml, workflow, given)
        with pytest.raises(SystemExit), exe:
            sys.exit(code)  # type: ignore[arg-type]
        return exe.rid

    story.__name__ = f"sys_exit_{code}"
    return story


def in_a_process_that_dies(work: Callable[[DerivaML], Execution]) -> str:
    """Let ``work`` begin a run in a forked child, which then dies; return its RID."""
    reader, writer = os.pipe()
    if (child := os.fork()) == 0:
        try:
            exe = work(DerivaML())  # one that is let go of in order waits for somebody else to begin it
            os.write(writer, exe.rid.encode())
        finally:
            os._exit(1)
    os.waitpid(child, 0)
    os.close(writer)
    with os.fdopen(reader) as told:
        return told.read()


def die(ml: DerivaML, workflow: Workflow, given: Given) -> str:
    rid = in_a_process_that_dies(lambda there: begun(there, workflow, given))
    DerivaML()
    return rid


def die_and_commit(ml: DerivaML, workflow: Workflow, given: Given) -> str:
    rid = die(ml, workflow, given)
    ml.resume_execution(rid).commit_output_assets()
    return rid


def die_and_be_given_up(ml: DerivaML, workflow: Workflow, given: Given) -> str:
    rid = die(ml, workflow, given)
    ml.mark_execution(rid, "Failed", "not worth going on")
    return rid


def never_begin(ml: DerivaML, workflow: Workflow, given: Given) -> str:
    rid = in_a_process_that_dies(lambda there: there.create_execution(workflow=workflow, **given))
    DerivaML()
    return rid


def give_up_before_it_begins(ml: DerivaML, workflow: Workflow, given: Given) -> str:
    exe = ml.create_execution(workflow=workflow, **given)
    exe.abort()
    return exe.rid


def offline(end: Callable[[Execution], object], *, commits: bool) -> Story:
    def story(ml: DerivaML, workflow: Workflow, given: Given) -> str:
        there = DerivaML(mode="offline")
        exe = begun(there, workflow, given)
        end(exe)
        brought = DerivaML().resume_execution(exe.rid)
        if commits:
            brought.commit_output_assets()
        return brought.rid

    story.__name__ = f"offline_{getattr(end, '__name__', 'end')}{'_and_commit' if commits else ''}"
    return story


def carried(ml: DerivaML, workflow: Workflow, given: Given) -> str:
    """Begun offline, sealed, and loaded from the archive by a workspace that knows nothing of it."""
    there = DerivaML(mode="offline")
    exe = begun(there, workflow, given)
    exe.execution_stop()
    bag = exe.seal(ml.workspace.parent / f"{exe.rid}.zip")
    shutil.rmtree(exe.working_dir)
    with exe._run.store.database.transaction() as connection:
        exe._run.store.forget(connection, exe.rid)
    return ml.load_sealed_bag(bag).execution_rids[0]


def a_parent(ml: DerivaML, workflow: Workflow, given: Given) -> str:
    with ml.create_execution(workflow=workflow, **given) as parent:
        with ml.create_execution(workflow=workflow) as child:
            child.asset_file_path("Mask", "out.txt").write_text("child")
        parent.add_nested_execution(child)
        child.commit_output_assets()
        parent.asset_file_path("Mask", "out.txt").write_text("parent")
    parent.commit_output_assets()
    assert said_of(ml.session, child.rid).broken() == []
    return parent.rid


def away_at_its_end(ml: DerivaML, workflow: Workflow, given: Given) -> str:
    """The catalog is out of reach when the run fails; it is told when the run is opened again."""
    exe = begun(ml, workflow, given)
    real = ml.session.port.send

    def send(request: Any) -> Any:
        raise DerivaMLOfflineError("no network")

    ml.session.port.send = send  # type: ignore[method-assign]
    fail_in_the_block(ml, exe)
    ml.session.port.send = real  # type: ignore[method-assign]
    assert said_of(ml.session, exe.rid).status == "Running"
    ml.resume_execution(exe.rid)
    return exe.rid


ENDS: list[tuple[Story, S, str]] = [
    (at_its_end(stop), S.Stopped, ""),
    (at_its_end(make_a_dataset_and_stop), S.Stopped, ""),
    (at_its_end(commit), S.Uploaded, ""),
    (at_its_end(fail_in_the_block), S.Failed, "ZeroDivisionError: by hand"),
    (at_its_end(fail_and_commit), S.Uploaded, "run failed: ZeroDivisionError: by hand"),
    (at_its_end(fail_without_a_reason), S.Failed, NO_REASON),
    (at_its_end(fail_with_blanks), S.Failed, NO_REASON),
    (at_its_end(take_the_reason_away), S.Failed, "out of memory"),
    (at_its_end(fail_by_its_record), S.Failed, NO_REASON),
    (at_its_end(take_the_reason_away_by_its_record), S.Failed, "out of memory"),
    (at_its_end(abort_without_a_reason), S.Aborted, NO_REASON),
    (at_its_end(abort_with_one), S.Aborted, "wrong data"),
    (at_its_end(mark), S.Aborted, "the node was reinstalled"),
    (at_its_end(mark_from_elsewhere), S.Failed, "its machine is gone"),
    (at_its_end(fail_to_upload), S.Failed, "upload failed: the disk went away"),
    (at_its_end(fail_to_upload_and_commit), S.Uploaded, ""),
    (leave(0), S.Stopped, ""),
    (leave(3), S.Failed, "SystemExit: 3"),
    (leave("no data"), S.Failed, "SystemExit: no data"),
    (die, S.Pending_Upload, "ended without closing"),
    (die_and_commit, S.Uploaded, "run ended without closing"),
    (die_and_be_given_up, S.Failed, "not worth going on"),
    (never_begin, S.Aborted, "ended without closing, before the work began"),
    (give_up_before_it_begins, S.Aborted, NO_REASON),
    (offline(Execution.execution_stop, commits=True), S.Uploaded, ""),
    (offline(Execution.execution_stop, commits=False), S.Stopped, ""),
    (offline(Execution.abort, commits=False), S.Aborted, NO_REASON),
    (offline(lambda exe: exe.update_status(S.Failed, "no power"), commits=False), S.Failed, "no power"),
    (carried, S.Uploaded, ""),
    (a_parent, S.Uploaded, ""),
    (away_at_its_end, S.Failed, "ZeroDivisionError: by hand"),
]
NEVER_BEGAN = (never_begin, give_up_before_it_begins)


@pytest.fixture
def inputs(local_lab: DerivaML, workflow: Workflow, tmp_path: Path) -> Given:
    """An input that can be declared offline, too."""
    path = tmp_path / "table.csv"
    path.write_text("1,2")
    return {"assets": [{"path": str(path)}]}


@pytest.mark.parametrize(("story", "state", "reason"), ENDS, ids=lambda value: getattr(value, "__name__", ""))
def test_the_catalog_alone_answers_every_clause(
    local_lab: DerivaML, workflow: Workflow, inputs: Given, story: Story, state: S, reason: str
) -> None:
    for given in ({}, inputs):
        said = said_of(local_lab.session, story(local_lab, workflow, given))
        assert said.broken() == [], said
        assert (said.status, said.reason) == (state, reason)
        assert said.began == (story not in NEVER_BEGAN)
        assert said.inputs == (DECLARED if given else SENTINEL if said.began else NOTHING)
        assert (said.url, said.checksum) == ("https://example.org/train.py", "abc")
        assert ("out.txt" in said.outputs) == (state is S.Uploaded)


@pytest.mark.parametrize(("story", "state", "reason"), ENDS[::6], ids=lambda value: getattr(value, "__name__", ""))
def test_what_is_not_known_of_the_code_is_said_to_be_unknown(
    local_lab: DerivaML, inputs: Given, story: Story, state: S, reason: str
) -> None:
    for number, facts in enumerate(
        ({"url": "https://example.org/a.py"}, {"checksum": "abd"}, {"problems": ["typed by hand"]})
    ):
        name = f"n{number}"
        rid = story(local_lab, Workflow(name=name, workflow_type="Training", **facts), inputs)
        said = said_of(local_lab.session, rid)
        assert said.broken() == []
        assert said.unknown == {"URL", "Checksum"} - {
            each.capitalize() if each == "checksum" else each.upper() for each in facts
        }
        read = local_lab.lookup_execution(rid).workflow
        assert read is not None
        assert (read.name, read.url, read.checksum) == (name, facts.get("url"), facts.get("checksum"))


def test_a_dry_run_leaves_the_catalog_as_it_is(local_lab: DerivaML, workflow: Workflow, inputs: Given) -> None:
    tables = [
        TableName(local_lab.session.ml_schema, name) for name in ("Execution", "Workflow", "File", "File_Execution")
    ]
    before = [count(local_lab.session, table) for table in tables]
    with local_lab.create_execution(workflow=workflow, dry_run=True, **inputs) as exe:
        exe.asset_file_path("Mask", "out.txt").write_text("o")
    exe.commit_output_assets()
    assert [count(local_lab.session, table) for table in tables] == before


def test_the_clauses_are_recorded_at_each_end(local_lab: DerivaML, workflow: Workflow) -> None:
    exe = begun(local_lab, workflow, {})
    exe.execution_stop()
    exe.commit_output_assets()
    assert [(said["end"], said["state"], said["inputs"], said["outputs"], said["missing"]) for said in recorded(exe._run)] == [
        ("finish", "Stopped", provenance.SENTINEL, "1 files and 0 values wait for a commit", []),
        ("committed", "Uploaded", provenance.SENTINEL, "each with its role", []),
    ]  # fmt: skip
    lacking = begun(local_lab, Workflow(name="n", workflow_type="Training", url="https://example.org/a.py"), {})
    lacking.abort()
    assert "no Checksum" in recorded(lacking._run)[-1]["missing"][0]


def test_an_input_that_is_declared_after_the_end_takes_the_sentinels_place(
    local_lab: DerivaML, workflow: Workflow
) -> None:
    source = begun(local_lab, workflow, {})
    source.commit_output_assets()
    for late in (begun(local_lab, workflow, {}), begun(local_lab, workflow, {})):
        late.execution_stop()
        assert said_of(local_lab.session, late.rid).inputs == SENTINEL
        late.download_asset(source.uploaded_assets[0].asset_rid or "")
        late.commit_output_assets()
        assert said_of(local_lab.session, late.rid).inputs == DECLARED
        files = [asset.filename for asset in late.list_assets("Input")]
        assert files == ["out.txt"]


def test_code_that_was_recorded_without_an_address_gains_it(local_lab: DerivaML) -> None:
    """A script that is in no repository yet, and in one later: the same text, the same workflow."""

    def ran(**facts: str) -> str:
        exe = local_lab.create_execution(workflow=Workflow(name="t", workflow_type="Training", **facts))
        return exe.rid

    first = ran(checksum="e69de29")
    assert said_of(local_lab.session, first).unknown == {"URL"}
    second = ran(checksum="e69de29", url="https://example.org/blob/1/t.py", version="1.0")
    third = ran(checksum="e69de29", url="https://example.org/blob/2/t.py", version="2.0")
    fourth = ran(checksum="e69de29")
    workflows = {local_lab.lookup_execution(rid).workflow_rid for rid in (first, second, third, fourth)}
    assert len(workflows) == 1
    found = local_lab.lookup_workflow(workflows.pop() or "")
    assert (found.url, found.checksum, found.version) == ("https://example.org/blob/1/t.py", "e69de29", "1.0")


def test_unrelated_workflows_are_not_merged_by_what_both_lack(local_lab: DerivaML) -> None:
    def ran(**facts: Any) -> str | None:
        exe = local_lab.create_execution(
            workflow=Workflow(name="t", workflow_type="Training", problems=["typed"], **facts)
        )
        return local_lab.lookup_execution(exe.rid).workflow_rid

    rids = [
        ran(),
        ran(),
        ran(checksum="abc1"),
        ran(checksum="abc2"),
        ran(url="https://e.org/x"),
        ran(url="https://e.org/x"),
    ]
    assert len(set(rids)) == 6
    table = TableName(local_lab.session.ml_schema, "Execution")
    (nobody,) = select(local_lab.session, table, {"Description": UNKNOWN_EXECUTION["Description"]})
    assert nobody["Workflow"] not in rids
    assert nobody["Status_Detail"]
    for mark in UNKNOWN_CODE.values():
        with pytest.raises(Exception, match="No workflow has"):
            local_lab.lookup_workflow_by_url(mark)


@pytest.mark.parametrize(
    ("facts", "told"),
    [
        ({"checksum": "k1"}, ("https://e.org/a", "k1")),
        ({"checksum": "k1", "url": "https://e.org/b"}, ("https://e.org/a", None)),  # facts of two codes are never mixed
    ],
)
def test_a_workflow_that_is_named_gains_what_its_code_tells(
    local_lab: DerivaML, facts: dict[str, str], told: tuple[str, str | None]
) -> None:
    known = add_workflow(local_lab.session, Workflow(name="t", workflow_type="Training", url="https://e.org/a"))
    local_lab.create_execution(workflow=Workflow(name="t", workflow_type="Training", workflow_rid=known, **facts))
    found = local_lab.lookup_workflow(known)
    assert (found.url, found.checksum) == told


def test_a_row_of_an_older_catalog_says_what_it_lacks_when_it_is_used_again(local_lab: DerivaML) -> None:
    table = TableName(local_lab.session.ml_schema, "Workflow")
    rid = add_workflow(local_lab.session, Workflow(name="t", workflow_type="Training", checksum="k2"))
    update(local_lab.session, table, [{"RID": rid, "URL": None}], targets=["URL"])
    add_workflow(local_lab.session, Workflow(name="t", workflow_type="Training", checksum="k2"))
    assert select(local_lab.session, table, {"RID": rid})[0]["URL"] == UNKNOWN_CODE["URL"]


def test_what_may_not_be_taken_back_or_filled_in_stands_in_nobodys_way(local_lab: DerivaML, workflow: Workflow) -> None:
    """On a server not everybody may change the row that somebody else has made."""
    exe = begun(local_lab, workflow, {})
    exe.execution_stop()
    add_workflow(local_lab.session, Workflow(name="t", workflow_type="Training", checksum="k3"))
    dataset = begun(local_lab, workflow, {}).create_dataset(description="input")
    real = local_lab.session.port.send

    def send(request: Any) -> Any:
        refused = request.method == "DELETE" or (request.method == "PUT" and "Workflow" in request.path)
        return Response(403, {"content-type": "text/plain"}, b"not yours") if refused else real(request)

    local_lab.session.port.send = send  # type: ignore[method-assign]
    exe.add_input_dataset(dataset.dataset_rid)
    add_workflow(local_lab.session, Workflow(name="t", workflow_type="Training", checksum="k3", url="https://e.org/t"))
    local_lab.session.port.send = real  # type: ignore[method-assign]
    assert said_of(local_lab.session, exe.rid).inputs == DECLARED


def test_a_refused_sentinel_keeps_nobody_from_settling_a_run(local_lab: DerivaML, workflow: Workflow) -> None:
    """The state is what matters; the link is written when the run is opened next."""
    exe = begun(local_lab, workflow, {})
    real = local_lab.session.port.send

    def send(request: Any) -> Any:
        refused = request.method == "POST" and "File_Execution" in request.path
        return Response(403, {"content-type": "text/plain"}, b"not yours") if refused else real(request)

    local_lab.session.port.send = send  # type: ignore[method-assign]
    local_lab.lookup_execution(exe.rid).update_status(S.Failed, "its node is gone")
    exe.abort("given up")
    local_lab.resume_execution(exe.rid)
    local_lab.session.port.send = real  # type: ignore[method-assign]
    said = said_of(local_lab.session, exe.rid)
    assert (said.status, said.reason, said.inputs) == ("Aborted", "given up", NOTHING)
    local_lab.resume_execution(exe.rid)
    assert said_of(local_lab.session, exe.rid).inputs == SENTINEL


def test_the_sentinel_is_linked_where_its_link_was_lost(local_lab: DerivaML, workflow: Workflow) -> None:
    """A power cut took the link that a commit had written, and the store's note of it stayed: the next commit writes it."""
    exe = begun(local_lab, workflow, {})
    exe.commit_output_assets()
    links = TableName(local_lab.session.ml_schema, "File_Execution")
    exe._run.store.database.connection().execute(
        "DELETE FROM journal WHERE step = 'provenance' AND detail LIKE '%finish%'"
    )
    delete(local_lab.session, links, {"Execution": exe.rid})
    exe.asset_file_path("Mask", "more.txt").write_text("m")
    exe.commit_output_assets()
    assert said_of(local_lab.session, exe.rid).inputs == SENTINEL


def test_the_catalog_names_the_sentinels_it_says(local_lab: DerivaML) -> None:
    """Nothing of a healthy catalog is called Failed or Aborted without a reason, the sentinel included."""
    table = TableName(local_lab.session.ml_schema, "Execution")
    without = [
        row["RID"]
        for row in select(local_lab.session, table, {"Status": ["Failed", "Aborted"]})
        if not row["Status_Detail"]
    ]
    assert without == []
