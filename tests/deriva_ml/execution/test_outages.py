"""The server goes away in the middle of a run, loses an answer or refuses: the run goes on, and the catalog learns of all of it later."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import pytest
from wire_lab import Wire

from deriva_ml import DerivaML, Workflow
from deriva_ml.catalog import session
from deriva_ml.catalog.port import Request, Response
from deriva_ml.errors import DerivaMLException, DerivaMLOfflineError, DerivaMLUploadError
from deriva_ml.execution import ExecutionStatus

S = ExecutionStatus


@pytest.fixture
def wire(served_lab: DerivaML, served_ml: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Wire]:
    """A wire to the laboratory's server, which can be cut."""
    monkeypatch.setattr(session, "PAUSES", (0.01,))
    address = urlsplit(served_ml)
    made = Wire(address.hostname or "", address.port or 0)
    yield made
    made.close()


def through(wire: Wire, lab: DerivaML) -> DerivaML:
    wire.cut_after = None
    return DerivaML(wire.host, lab.catalog_id, credential={})


def in_catalog(lab: DerivaML, rid: str) -> tuple[ExecutionStatus, str]:
    record = lab.lookup_execution(rid)
    return record.status, record.status_detail


def test_a_run_goes_on_when_its_server_goes_away(wire: Wire, served_lab: DerivaML, workflow: Workflow) -> None:
    ml = through(wire, served_lab)
    grade = ml.feature_record_class("Image", "Grade")
    with ml.create_execution(workflow=workflow) as exe:
        wire.cut_after = 0
        image = exe.asset_file_path("Image", "a.txt", asset_types=["Derived"])
        image.write_text("a")
        exe.add_features([grade(Image=image, Grade="Mild")])
        exe.log_metrics(loss=0.5)
        exe.update_status("Running", "still here")
    with pytest.raises(DerivaMLUploadError):
        exe.commit_output_assets()
    wire.cut_after = None
    assert exe.commit_output_assets().total_uploaded == 3
    assert in_catalog(served_lab, exe.rid)[0] == S.Uploaded


@pytest.mark.parametrize("end", ["fails", "is aborted", "stops", "cannot be created"])
def test_what_the_catalog_could_not_be_told_is_told_at_the_next_opening(
    wire: Wire, served_lab: DerivaML, workflow: Workflow, end: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ml = through(wire, served_lab)
    if end == "cannot be created":
        real = ml.session.port.send

        def away_after_the_row(request: Request) -> Response:
            answer = real(request)
            if request.method == "POST" and "/entity/deriva-ml:Execution?" in request.path:
                wire.cut_after = 0
            return answer

        monkeypatch.setattr(ml.session.port, "send", away_after_the_row)
        with pytest.raises(DerivaMLException):
            ml.create_execution(workflow=workflow)
        rid = ml.list_executions()[0].rid
    else:
        exe = ml.create_execution(workflow=workflow)
        rid = exe.rid
        exe.execution_start()
        wire.cut_after = 0
        ends = {"fails": lambda: exe._run.fail(ValueError("boom")), "is aborted": lambda: exe.abort("no more")}
        ends.get(end, exe.execution_stop)()
    here = ml.list_executions()[0].status
    assert in_catalog(served_lab, rid)[0] in (S.Created, S.Running)
    through(wire, served_lab)
    told, detail = in_catalog(served_lab, rid)
    assert told == here
    assert {"fails": "boom", "is aborted": "no more", "cannot be created": "creation failed"}.get(end, "") in detail


def test_what_the_catalog_knows_is_asked_for_once(
    wire: Wire, served_lab: DerivaML, workflow: Workflow, requests_of: Callable[[DerivaML], list[str]]
) -> None:
    ml = through(wire, served_lab)
    for _ in range(3):
        exe = ml.create_execution(workflow=workflow)
        exe.abort("no more")
        exe._run.store.annotate(exe.rid, catalog_status="Created")  # as after a kill between the two
    sent = requests_of(ml)
    ml.commit_pending_executions()
    assert len([each for each in sent if "deriva-ml:Execution/" in each]) == 1
    sent.clear()
    ml.commit_pending_executions()
    assert not [each for each in sent if "deriva-ml:Execution/" in each]


@pytest.mark.parametrize("when", ["before the effect", "after the effect"])
@pytest.mark.parametrize("which", [1, 2, 3, 4])
def test_a_state_whose_answer_is_lost_once_is_read_back(
    served_lab: DerivaML, workflow: Workflow, monkeypatch: pytest.MonkeyPatch, when: str, which: int
) -> None:
    monkeypatch.setattr(session, "PAUSES", (0.01,))
    served_lab.session.pauses = (0.01,)
    real, seen = served_lab.session.port.send, [0]

    def send(request: Request) -> Response:
        if "deriva-ml:Execution/RID,o0:=Status" not in request.path:
            return real(request)
        seen[0] += 1
        answer = real(request) if seen[0] != which or when == "after the effect" else None
        if seen[0] == which or answer is None:
            raise DerivaMLOfflineError("the answer is lost", doubtful=True)
        return answer

    monkeypatch.setattr(served_lab.session.port, "send", send)
    with served_lab.create_execution(workflow=workflow) as exe:
        exe.asset_file_path("Image", "a.txt").write_text("a")
    assert exe.commit_output_assets().total_uploaded == 1
    assert seen[0] > which
    assert (exe.status, in_catalog(served_lab, exe.rid)) == (S.Uploaded, (S.Uploaded, ""))


@pytest.mark.parametrize("status", [403, 409, 412])
def test_a_commit_that_is_refused_at_its_first_word_fails_with_the_reason(
    served_lab: DerivaML, workflow: Workflow, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    with served_lab.create_execution(workflow=workflow) as exe:
        exe.asset_file_path("Image", "a.txt").write_text("a")
    real = served_lab.session.port.send

    def refuse(request: Request) -> Response:
        return Response(status, {}, b"no") if request.method in ("POST", "PUT") else real(request)

    with monkeypatch.context() as patched:
        patched.setattr(served_lab.session.port, "send", refuse)
        with pytest.raises(DerivaMLUploadError, match=rf"{status}(?s:.)*goes on where this stopped"):
            exe.commit_output_assets()
    assert exe.status is S.Failed
    assert str(status) in (exe.error or "")
    assert exe.commit_output_assets().total_uploaded == 1


# ------------------------------------------------------------------------------------------- values about rows that are gone


def test_values_about_rows_that_are_not_there_are_named_before_anything_is_sent(
    lab: DerivaML, workflow: Workflow, committed: Callable[..., object], rows: Callable[..., list[dict[str, str]]]
) -> None:
    committed(lab, one="1")
    target = rows(lab, "Image", Filename="one.txt")[0]["RID"]
    grade, mask = lab.feature_record_class("Image", "Grade"), lab.feature_record_class("Image", "Segmentation")
    with lab.create_execution(workflow=workflow) as exe:
        exe.asset_file_path("Mask", "sent.txt").write_text("s")
        exe.add_features([grade(Image="9-NONE", Grade="Mild"), grade(Image=target, Grade="Mild")])
        exe.add_features([mask(Image=target, Mask="9-GONE")])
    for _ in range(2):
        with pytest.raises(DerivaMLUploadError) as refused:
            exe.commit_output_assets()
        assert "1 row of Image that the catalog does not have: 9-NONE" in str(refused.value)
        assert f"discard_features('Image', 'Segmentation', ['{target}'])" in str(refused.value)
    assert rows(lab, "Mask") == []
    assert exe.discard_features("Image", "Grade", ["9-NONE"]) == 1
    assert exe.discard_features("Image", "Segmentation", target) == 1
    exe.add_features([mask(Image=target, Mask=exe.asset_file_path("Mask", "sent.txt"))])
    assert exe.commit_output_assets().total_uploaded == 3
    assert len(rows(lab, "Execution_Image_Grade", Execution=exe.rid)) == 1


def test_only_values_that_wait_are_taken_back(local_lab: DerivaML, workflow: Workflow) -> None:
    grade = local_lab.feature_record_class("Image", "Grade")
    with local_lab.create_execution(workflow=workflow) as exe:
        images = [exe.asset_file_path("Image", f"{name}.txt") for name in "ab"]
        for image in images:
            image.write_text(image.name)
        exe.add_features([grade(Image=image, Grade="Mild") for image in images])
        with pytest.raises(DerivaMLException, match="about 9-NONE waits"):
            exe.discard_features("Image", "Grade", [images[0], "9-NONE"])
        assert exe.discard_features("Image", "Grade", images[:1]) == 1
        exe.add_features([grade(Image=images[0], Grade="Severe")])
    exe.commit_output_assets()
    with pytest.raises(DerivaMLException, match="waits for a commit"):
        exe.discard_features("Image", "Grade", [exe.uploaded_assets["Image"][0].asset_rid])
