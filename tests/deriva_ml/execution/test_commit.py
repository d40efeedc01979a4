"""Committing what a run has staged, by both roads: everything once, whatever comes in between."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deriva_ml import DerivaML, DerivaMLBusyError, DerivaMLUploadError, DerivaMLValidationError, Workflow
from deriva_ml.bag.read import Bag
from deriva_ml.bag.verify import verify
from deriva_ml.catalog import objects
from deriva_ml.catalog.port import Request, Response
from deriva_ml.check.findings import Weight
from deriva_ml.errors import DerivaMLOfflineError
from deriva_ml.execution import ExecutionStatus
from deriva_ml.execution.execution import Execution
from deriva_ml.execution.report import UploadProgress
from deriva_ml.execution.run import Run
from deriva_ml.files import hash_file

S = ExecutionStatus
Rows = Callable[..., list[dict[str, Any]]]


def stage(lab: DerivaML, workflow: Workflow, **files: str) -> Execution:
    with lab.create_execution(workflow=workflow) as exe:
        for name, text in files.items():
            exe.asset_file_path("Image", f"{name}.txt", description=f"about {name}", Subject=f"S-{name}").write_text(
                text
            )
    return exe


def test_files_become_assets_with_their_facts(lab: DerivaML, workflow: Workflow, rows: Rows, tmp_path: Path) -> None:
    with lab.create_execution(workflow=workflow) as exe:
        path = exe.asset_file_path(
            "Image", "scan 1.txt", asset_types=["Derived"], description="a **scan**", Subject="S1", Size=7
        )
        path.write_text("pixels")
        exe.asset_file_path("Mask", "mask.txt", asset_types=[]).write_text("")
    report = exe.commit_output_assets()
    assert report.execution_rids == [exe.rid]
    assert (report.total_uploaded, report.total_failed, report.errors) == (2, 0, [])
    assert report.per_table == {
        "domain/Image": {"uploaded": 1, "failed": 0},
        "domain/Mask": {"uploaded": 1, "failed": 0},
    }
    image, mask = exe.uploaded_assets
    assert (path.asset_rid, image.asset_rid, image.file_name) == (image.asset_rid,) * 2 + ("scan 1.txt",)
    assert exe.uploaded_assets["Mask"] == [mask]

    (row,) = rows(lab, "Image")
    wanted = {
        "RID": image.asset_rid,
        "Filename": "scan 1.txt",
        "Length": 6,
        "Description": "a **scan**",
        "Subject": "S1",
        "Size": 7,
    }
    assert {name: row[name] for name in wanted} == wanted
    digest = objects.get(lab.session, row["URL"], tmp_path / "back", md5=row["MD5"])
    assert (digest.md5, (tmp_path / "back").read_text()) == (row["MD5"], "pixels")
    assert row["URL"] == f"/hatrac/Image/{row['MD5']}.scan%201.txt"
    assert {link["Asset_Type"] for link in rows(lab, "Image_Asset_Type")} == {"Derived", "Output_File"}
    assert {link["Asset_Type"] for link in rows(lab, "Mask_Asset_Type")} == {"Output_File"}
    assert [link["Asset_Role"] for link in rows(lab, "Image_Execution")] == ["Output"]
    assert {asset.rid for asset in exe.list_assets(asset_role="Output")} >= {image.asset_rid, mask.asset_rid}


NAMES = ["My Model", "Bild ü", "100%", "O'Brien", "a?b#c;d:e,f", "a/b"]


def test_a_table_of_any_name_holds_files(lab: DerivaML, workflow: Workflow) -> None:
    for name in NAMES:
        lab.create_asset(name)
    with lab.create_execution(workflow=workflow) as exe:
        for name in NAMES:
            exe.asset_file_path(name, f"{name.replace('/', '-')}.txt").write_text(name)
    exe.commit_output_assets()
    made = [asset.asset_rid for name in NAMES for asset in exe.uploaded_assets[name]]
    with lab.create_execution(workflow=workflow, assets=made) as reader:
        assert {name: reader.asset_paths[name][0].read_text() for name in NAMES} == {name: name for name in NAMES}


def test_directional_types_may_be_given_and_count_once(lab: DerivaML, workflow: Workflow, rows: Rows) -> None:
    with lab.create_execution(workflow=workflow) as exe:
        exe.asset_file_path("Image", "a.txt", asset_types=["Output_File", "Derived"]).write_text("a")
    exe.commit_output_assets()
    assert sorted(link["Asset_Type"] for link in rows(lab, "Image_Asset_Type")) == ["Derived", "Output_File"]


def test_feature_values_follow_their_files(
    lab: DerivaML, workflow: Workflow, rows: Rows, committed: Callable[..., Execution]
) -> None:
    earlier = committed(lab, a="one", b="two")
    images = [str(asset.asset_rid) for asset in earlier.uploaded_assets]
    grade, segmentation = lab.feature_record_class("Image", "Grade"), lab.feature_record_class("Image", "Segmentation")
    with lab.create_execution(workflow=workflow) as exe:
        assert exe.add_features([grade(Image=rid, Grade="Mild") for rid in images]) == 2
        mask = exe.asset_file_path("Mask", "mask.txt")
        mask.write_text("mask")
        assert exe.add_features([segmentation(Image=images[0], Mask=mask)]) == 1
        assert exe.add_features([segmentation(Image=images[1], Mask=str(mask))]) == 1
        assert exe.add_features([]) == 0
        assert rows(lab, "Execution_Image_Grade") == []
    report = exe.commit_output_assets()
    assert report.per_table["domain/Execution_Image_Grade"] == {"uploaded": 2, "failed": 0}
    values = rows(lab, "Execution_Image_Grade")
    assert {(row["Image"], row["Grade"], row["Execution"], row["Feature_Name"]) for row in values} == {
        (rid, "Mild", exe.rid, "Grade") for rid in images
    }
    assert {(row["Image"], row["Mask"]) for row in rows(lab, "Execution_Image_Segmentation")} == {
        (rid, mask.asset_rid) for rid in images
    }


def test_every_problem_of_feature_values_is_told_at_once(
    lab: DerivaML, workflow: Workflow, committed: Callable[..., Execution]
) -> None:
    (image,) = committed(lab, a="one").uploaded_assets
    grade, segmentation = lab.feature_record_class("Image", "Grade"), lab.feature_record_class("Image", "Segmentation")
    rid = str(image.asset_rid)
    with lab.create_execution(workflow=workflow) as exe:
        with pytest.raises(DerivaMLValidationError) as refused:
            exe.add_features(
                [
                    grade(Image="not a rid", Grade="Mild"),
                    grade(Image=rid, Grade="Awful"),
                    grade(Image=rid, Grade="Mild", Execution="1-ELSE"),
                ]
            )
        for part in ("3 problems|4 problems", "not a rid", "Awful", "1-ELSE", "2 values"):
            assert any(word in str(refused.value) for word in part.split("|")), part
        with pytest.raises(DerivaMLValidationError, match="neither a file that this execution has registered"):
            exe.add_features([segmentation(Image=rid, Mask="/not/registered.png")])
        with pytest.raises(DerivaMLValidationError, match="One call takes values of one feature"):
            exe.add_features([grade(Image=rid, Grade="Mild"), segmentation(Image=rid, Mask=rid)])
        with pytest.raises(DerivaMLValidationError, match="not dict"):
            exe.add_features([{"Image": rid, "Grade": "Mild"}])
        assert exe.pending_summary().total_pending_rows == 0
        exe.add_features([grade(Image=rid, Grade="Mild")])
        with pytest.raises(DerivaMLValidationError, match="already"):
            exe.add_features([grade(Image=rid, Grade="Severe")])
    exe.commit_output_assets()
    with pytest.raises(DerivaMLValidationError, match="already"):
        exe.add_features([grade(Image=rid, Grade="Severe")])


def test_a_commit_can_be_called_again_for_more(lab: DerivaML, workflow: Workflow, rows: Rows) -> None:
    exe = stage(lab, workflow, a="one")
    exe.commit_output_assets()
    assert exe.commit_output_assets().total_uploaded == 0
    exe.asset_file_path("Image", "a.txt").write_text("two")
    exe.asset_file_path("Image", "b.txt").write_text("three")
    report = exe.commit_output_assets()
    assert report.total_uploaded == 2
    assert exe.status is S.Uploaded
    assert [row["Length"] for row in rows(lab, "Image")] == [3, 3, 5]
    assert [asset.file_name for asset in exe.uploaded_assets] == ["a.txt", "a.txt", "b.txt"]
    states = [step[2] for step in lab.executions.store.history(exe.rid)]
    assert states[-4:] == ["Pending_Upload", "Uploaded", "Pending_Upload", "Uploaded"]


def test_equal_files_are_one_asset_however_often_they_are_committed(
    lab: DerivaML, workflow: Workflow, rows: Rows, elsewhere: Path
) -> None:
    first = stage(lab, workflow, a="same")
    first.commit_output_assets()
    second = stage(lab, workflow, a="same", b="other")
    report = second.commit_output_assets()
    one, two = first.uploaded_assets[0], second.uploaded_assets[0]
    assert one.asset_rid == two.asset_rid
    assert report.notes == [f"Image/a.txt was in the catalog already, as {one.asset_rid}"]
    assert len(rows(lab, "Image")) == 2
    assert {link["Execution"] for link in rows(lab, "Image_Execution", Image=one.asset_rid)} == {first.rid, second.rid}

    for folder in ("x", "y"):
        (elsewhere / folder).mkdir()
        (elsewhere / folder / "twin.txt").write_text("twins")
    with lab.create_execution(workflow=workflow) as third:
        for folder in ("x", "y"):
            third.asset_file_path("Image", elsewhere / folder / "twin.txt")
    third.commit_output_assets()
    assert len({asset.asset_rid for asset in third.uploaded_assets}) == 1
    assert len(rows(lab, "Image", Filename="twin.txt")) == 1


def test_a_catalog_that_keeps_one_role_for_each_asset_is_told_of(lab: DerivaML, workflow: Workflow, rows: Rows) -> None:
    """As older catalogs are made: an asset cannot be both input and output of one execution, and the second role is lost."""
    links = "/schema/domain/table/Image_Execution/key"
    lab.session.request("DELETE", f"{links}/Image,Execution,Asset_Role")
    lab.session.request("POST", links, json={"unique_columns": ["Image", "Execution"]})
    lab.session.refresh()
    earlier = stage(lab, workflow, a="same")
    earlier.commit_output_assets()
    rid = earlier.uploaded_assets[0].asset_rid
    with lab.create_execution(workflow=workflow, assets=[str(rid)]) as exe:
        exe.asset_file_path("Image", "a.txt").write_text("same")
    report = exe.commit_output_assets()
    assert any(f"{rid} is an input of this execution" in note for note in report.notes)
    assert [link["Asset_Role"] for link in rows(lab, "Image_Execution", Execution=exe.rid)] == ["Input"]


def test_a_missing_file_is_an_error_before_anything_is_sent(
    lab: DerivaML, workflow: Workflow, rows: Rows, elsewhere: Path
) -> None:
    source = elsewhere / "gone.txt"
    source.write_text("soon gone")
    with lab.create_execution(workflow=workflow) as exe:
        exe.asset_file_path("Image", "there.txt").write_text("there")
        exe.asset_file_path("Image", "never.txt")
        exe.asset_file_path("Image", source)
    source.unlink()
    with pytest.raises(DerivaMLUploadError) as refused:
        exe.commit_output_assets()
    assert "Image/never.txt: it was registered, and no file was written" in str(refused.value)
    assert f"Image/gone.txt: the registered file {source} is not there any more (put it back, or" in str(refused.value)
    assert exe.status is S.Stopped
    assert rows(lab, "Image") == []
    source.write_text("back again")
    exe.asset_file_path("Image", "never.txt").write_text("at last")
    assert exe.commit_output_assets().total_uploaded == 3


def test_a_file_that_has_rotted_while_it_waited_is_not_committed(local_lab: DerivaML, workflow: Workflow) -> None:
    exe = stage(local_lab, workflow, a="as the run left it", b="whole")
    path = exe.working_dir / "assets" / "Image" / "a.txt"
    left = path.stat()
    with path.open("r+b") as file:
        file.write(b"A")
    os.utime(path, ns=(left.st_atime_ns, left.st_mtime_ns))
    with pytest.raises(DerivaMLUploadError, match=r"a\.txt: .* nobody wrote to it: the disk has damaged it"):
        exe.commit_output_assets()
    assert local_lab.list_assets("Image") == []

    path.write_text("written again by the user")
    exe.commit_output_assets()
    assert {asset.filename for asset in local_lab.list_assets("Image")} == {"a.txt", "b.txt"}


def test_a_copy_is_known_by_its_checksum_from_its_registration_on(
    local_lab: DerivaML, workflow: Workflow, tmp_path: Path
) -> None:
    (tmp_path / "a.txt").write_text("as it was copied")
    exe = local_lab.create_execution(workflow=workflow)
    exe.execution_start()
    path = Path(exe.asset_file_path("Image", tmp_path / "a.txt", copy_file=True))
    path.write_text("As it was copied")
    exe.execution_stop()
    assert [finding.kind for finding in local_lab.check(read_data=True).findings] == ["staged-bytes"]
    with pytest.raises(DerivaMLUploadError, match="the disk has damaged it"):
        exe.commit_output_assets()
    exe.asset_file_path("Image", tmp_path / "a.txt", copy_file=True)
    exe.commit_output_assets()
    (asset,) = local_lab.list_assets("Image")
    assert exe.download_asset(asset.rid, update_catalog=False).read_text() == "as it was copied"


def test_a_file_that_the_run_left_and_that_is_gone_is_missed(local_lab: DerivaML, workflow: Workflow) -> None:
    exe = stage(local_lab, workflow, a="as the run left it")
    path = exe.working_dir / "assets" / "Image" / "a.txt"
    path.unlink()
    assert [(finding.kind, finding.weight) for finding in local_lab.check().findings] == [
        ("staged-bytes", Weight.FATAL)
    ]
    with pytest.raises(DerivaMLUploadError, match=r"the file that the run left at .* is gone"):
        exe.commit_output_assets()


def test_whoever_dies_while_a_folder_is_tidied_leaves_nothing_half(
    local_lab: DerivaML, workflow: Workflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    exe, real = stage(local_lab, workflow, a="a"), shutil.rmtree

    def half(path: Path, **how: Any) -> None:
        if (path / "bag" / "data").exists():
            real(path / "bag" / "data")
            raise KeyboardInterrupt
        real(path, **how)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(shutil, "rmtree", half)
        exe.commit_output_assets()
    assert exe.status is ExecutionStatus.Uploaded
    assert local_lab.check(read_data=True).findings == []
    exe.asset_file_path("Image", "more.txt", Subject="s").write_text("more")
    exe.commit_output_assets()
    assert not list((local_lab.workspace / "removed").iterdir())


@pytest.mark.parametrize("again", [False, True])
def test_a_file_may_be_written_after_the_end_of_the_run(local_lab: DerivaML, workflow: Workflow, again: bool) -> None:
    exe = stage(local_lab, workflow, a="as the run left it")
    path = exe.working_dir / "assets" / "Image" / "a.txt"
    if again:
        assert exe.asset_file_path("Image", "a.txt") == path
    path.write_text("more")
    changed = [finding.kind for finding in local_lab.check(read_data=True).findings if finding.weight]
    assert changed == ([] if again else ["staged-changed"])
    exe.commit_output_assets()
    (asset,) = local_lab.list_assets("Image")
    assert exe.download_asset(asset.rid, update_catalog=False).read_text() == "more"
    assert [finding for finding in local_lab.check(read_data=True).findings if finding.weight] == []


def test_metadata_that_a_column_needs_is_asked_for_before_anything_is_sent(
    lab: DerivaML, workflow: Workflow, rows: Rows
) -> None:
    with lab.create_execution(workflow=workflow) as exe:
        path = exe.asset_file_path("Scan", "a.txt")
        path.write_text("a")
        exe.asset_file_path("Scan", "b.txt").write_text("b")
    with pytest.raises(
        DerivaMLUploadError, match=r"(?s)Scan/a\.txt: the column Device.*Scan/b\.txt: the column Device"
    ):
        exe.commit_output_assets()
    path.metadata = {"Device": "D1"}
    exe.asset_file_path("Scan", "b.txt", Device="D2")
    exe.commit_output_assets()
    assert {row["Device"] for row in rows(lab, "Scan")} == {"D1", "D2"}


def test_progress_is_told_for_each_file(lab: DerivaML, workflow: Workflow) -> None:
    exe = stage(lab, workflow, a="one", b="two!")
    told: list[UploadProgress] = []
    exe.commit_output_assets(progress_callback=told.append)
    for name, size in (("a.txt", 3), ("b.txt", 4)):
        mine = [step for step in told if step.file_name == name]
        assert mine[0].phase == "Staging"
        assert mine[-1].phase == "Uploaded"
        assert mine[-1].bytes_total == size
        assert mine[-1].percent_complete == 100


# ----------------------------------------------------------------------------------------------------------- failures


class Weather:
    """Lets requests through to the port, until it is told to fail the n-th that writes."""

    def __init__(self, ml: DerivaML, monkeypatch: pytest.MonkeyPatch) -> None:
        self.left: int | None = None
        self.after = False
        real = ml.session.port.send

        def send(request: Request) -> Response:
            if request.method in ("GET", "HEAD") or self.left is None:
                return real(request)
            self.left -= 1
            if self.left >= 0:
                return real(request)
            if self.after and self.left == -1:
                real(request)
            raise DerivaMLOfflineError("The cable is out.")

        monkeypatch.setattr(ml.session.port, "send", send)
        monkeypatch.setattr(ml.session.port, "send_together", lambda requests: list(map(send, requests)))


@pytest.mark.parametrize("after", [False, True], ids=["before it took effect", "after it took effect"])
def test_a_commit_that_fails_at_any_request_goes_on_where_it_stopped(
    local_lab: DerivaML, workflow: Workflow, rows: Rows, monkeypatch: pytest.MonkeyPatch, after: bool
) -> None:
    """The n-th writing request fails, for every n, with everything after it; then the cable is back."""
    lab = local_lab
    weather = Weather(lab, monkeypatch)
    weather.after = after
    grade, segmentation = lab.feature_record_class("Image", "Grade"), lab.feature_record_class("Image", "Segmentation")
    setup = stage(lab, workflow, target="target")
    setup.commit_output_assets()
    target = str(setup.uploaded_assets[0].asset_rid)
    failures = 0
    for number in range(100):
        with lab.create_execution(workflow=workflow) as exe:
            exe.asset_file_path("Image", f"a{number}.txt").write_text(f"a {number}")
            mask = exe.asset_file_path("Mask", f"m{number}.txt")
            mask.write_text(f"m {number}")
            exe.add_features([grade(Image=target, Grade="Mild")])
            exe.add_features([segmentation(Image=target, Mask=mask)])
        weather.left = number
        try:
            exe.commit_output_assets()
        except DerivaMLUploadError:
            failures += 1
        finished = weather.left >= 0
        weather.left = None
        if finished:
            break
        assert exe.status is S.Failed
        resumed = lab.resume_execution(exe.rid)
        resumed.commit_output_assets()
        record = lab.lookup_execution(exe.rid)
        assert (resumed.status, record.status, record.status_detail) == (S.Uploaded, S.Uploaded, "")
        assert len(rows(lab, "Image", Filename=f"a{number}.txt")) == 1
        (mask_row,) = rows(lab, "Mask", Filename=f"m{number}.txt")
        assert [row["Mask"] for row in rows(lab, "Execution_Image_Segmentation", Execution=exe.rid)] == [
            mask_row["RID"]
        ]
        assert len(rows(lab, "Execution_Image_Grade", Execution=exe.rid)) == 1
        assert len(rows(lab, "Image_Execution", Execution=exe.rid)) == 1
    assert failures >= 10
    assert finished


def test_a_large_upload_that_is_cut_goes_on_at_the_last_chunk(
    remote_ml: DerivaML, workflow: Workflow, rows: Rows, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(objects, "CHUNK", 65_536)
    monkeypatch.setattr(objects, "CHUNKED_ABOVE", 65_536)
    monkeypatch.setattr(objects, "AT_ONCE", 1)
    with remote_ml.create_execution(workflow=workflow) as exe:
        exe.asset_file_path("Execution_Asset", "large.bin").write_bytes(bytes(range(256)) * 2_000)
    sent: list[str] = []
    cable = ["out"]
    real = remote_ml.session.port.send

    def send(request: Request) -> Response:
        if request.method == "PUT" and ";upload/" in request.path:
            if len(sent) == 3 and cable == ["out"]:
                raise DerivaMLOfflineError("The cable is out.")
            sent.append(request.path.rpartition("/")[2])
        return real(request)

    monkeypatch.setattr(remote_ml.session.port, "send", send)
    with pytest.raises(DerivaMLUploadError, match="The cable is out"):
        exe.commit_output_assets()
    assert sent == ["0", "1", "2"]
    cable.clear()
    remote_ml.resume_execution(exe.rid).commit_output_assets()
    assert sent[3:] == ["3", "4", "5", "6", "7"]
    (row,) = rows(remote_ml, "Execution_Asset")
    assert objects.get(remote_ml.session, row["URL"], tmp_path / "back").md5 == row["MD5"]


def test_a_run_goes_on_while_the_catalog_is_out_of_reach(
    local_lab: DerivaML, workflow: Workflow, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    lab = local_lab
    exe = lab.create_execution(workflow=workflow)
    weather = Weather(lab, monkeypatch)
    weather.left = 0
    with exe:
        exe.update_status(S.Running, "nobody hears this yet")
        exe.log_metrics({"loss": 1})
        exe.asset_file_path("Image", "a.txt").write_text("a")
    assert "could not be told" in caplog.text
    assert exe.status is S.Stopped
    with pytest.raises(DerivaMLUploadError, match="The cable is out"):
        exe.commit_output_assets()
    weather.left = None
    assert lab.lookup_execution(exe.rid).status is S.Created
    exe.commit_output_assets()
    record = lab.lookup_execution(exe.rid)
    assert record.status is S.Uploaded
    assert record.start_time is not None


def test_a_run_that_failed_while_the_catalog_was_out_of_reach_is_told_at_the_next_opening(
    local_lab: DerivaML, workflow: Workflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has nothing to commit, so that nobody would ever resume it: for the catalog it would be Running for ever."""
    exe = local_lab.create_execution(workflow=workflow)
    exe.execution_start()
    with monkeypatch.context() as wire:
        Weather(local_lab, wire).left = 0
        with pytest.raises(ZeroDivisionError), exe:
            raise ZeroDivisionError("mistake")
    assert local_lab.lookup_execution(exe.rid).status is S.Running
    assert local_lab.list_executions()[0].sync_pending
    opened = DerivaML()
    record = opened.lookup_execution(exe.rid)
    assert (record.status, record.status_detail) == (S.Failed, "ZeroDivisionError: mistake")
    assert not opened.list_executions()[0].sync_pending


def test_an_end_that_the_catalog_was_told_is_not_told_again(local_lab: DerivaML, workflow: Workflow) -> None:
    with pytest.raises(ZeroDivisionError), local_lab.create_execution(workflow=workflow):
        raise ZeroDivisionError
    assert local_lab.executions.store.untold() == {}


def test_an_execution_whose_creation_fails_is_aborted_with_the_reason(
    local_lab: DerivaML, workflow: Workflow, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = local_lab
    lab.add_workflow(workflow)
    weather = Weather(lab, monkeypatch)
    aborted = 0
    for number in range(20):
        weather.left = number
        try:
            lab.create_execution(workflow=workflow, description=f"try {number}")
        except DerivaMLOfflineError:
            aborted += 1
        if weather.left >= 0:
            break
        weather.left = None
        for snapshot in lab.list_executions():
            assert snapshot.status is S.Aborted
            assert snapshot.error is not None
            assert "The cable is out" in snapshot.error
            recorded = (
                lab.resume_execution(snapshot.rid).status if rows(lab, "Execution", RID=snapshot.rid) else S.Aborted
            )
            assert recorded is S.Aborted
    assert aborted >= 5
    weather.left = None
    assert lab.executions.store.select("status = 'Created'")


def test_whoever_looks_between_the_two_ends_of_a_commit_takes_nothing_from_it(
    local_lab: DerivaML, workflow: Workflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The catalog is Uploaded a moment before the store is, and a process that is opened then follows the catalog."""
    exe = stage(local_lab, workflow, a="one")
    real, seen = Run.completed_in_catalog, list[ExecutionStatus]()

    def completed(run: Run, *given: Any) -> float:
        seconds = real(run, *given)
        seen.append(DerivaML().resume_execution(exe.rid).status)
        return seconds

    monkeypatch.setattr(Run, "completed_in_catalog", completed)
    assert exe.commit_output_assets().errors == []
    assert seen == [S.Uploaded]
    assert (exe.status, exe.pending_summary().has_pending) == (S.Uploaded, False)
    assert exe.commit_output_assets().total_uploaded == 0


def test_the_second_committer_is_told_who_and_since_when(local_lab: DerivaML, workflow: Workflow) -> None:
    exe = stage(local_lab, workflow, a="one")
    refused: list[str] = []

    def meanwhile(step: UploadProgress) -> None:
        with pytest.raises(DerivaMLBusyError) as busy:
            local_lab.resume_execution(exe.rid).commit_output_assets()
        refused.append(str(busy.value))

    exe.commit_output_assets(progress_callback=meanwhile)
    assert refused
    assert "process" in refused[0]
    assert " since 20" in refused[0]
    assert exe.status is S.Uploaded


# --------------------------------------------------------------------------------------------------------- what is left


def test_the_folder_is_cleaned_of_what_the_catalog_has_and_nothing_else(
    local_lab: DerivaML, workflow: Workflow, elsewhere: Path
) -> None:
    source = elsewhere / "mine.txt"
    source.write_text("mine")
    with local_lab.create_execution(workflow=workflow) as exe:
        exe.asset_file_path("Image", source)
        exe.asset_file_path("Image", "a.txt").write_text("a")
        folder = exe.working_dir
        (folder / "scratch.txt").write_text("the user's own")
    exe.commit_output_assets()
    assert [path.name for path in folder.iterdir()] == ["scratch.txt"]
    assert source.read_text() == "mine"
    second = stage(local_lab, workflow, b="b")
    folder = second.working_dir
    second.commit_output_assets(clean_folder=True)
    assert not folder.exists()


def test_a_kept_folder_has_the_bag_of_the_commit_and_a_receipt(
    local_lab: DerivaML, workflow: Workflow, tmp_path: Path
) -> None:
    setup = stage(local_lab, workflow, target="t")
    setup.commit_output_assets()
    grade = local_lab.feature_record_class("Image", "Grade")
    with local_lab.create_execution(workflow=workflow) as exe:
        path = exe.asset_file_path("Image", "a.txt", Subject="S1")
        path.write_text("bytes")
        exe.add_features([grade(Image=str(setup.uploaded_assets[0].asset_rid), Grade="Mild")])
    exe.commit_output_assets(clean_folder=False)
    folder = exe.working_dir / "commit" / "bag"
    verify(folder)
    bag = Bag(folder)
    assert bag.tables() == [
        ("domain", "Execution_Image_Grade"),
        ("domain", "Image"),
        ("domain", "Image_Asset_Type"),
        ("domain", "Image_Execution"),
    ]
    (row,) = bag.rows("domain", "Image")
    assert (row["RID"], row["Filename"], row["Subject"], row["Size"]) == (path.asset_rid, "a.txt", "S1", None)
    copied = folder / "data" / "assets" / "Image" / str(path.asset_rid) / "a.txt"
    assert hash_file(copied).md5 == row["MD5"]
    assert (
        json.loads((exe.working_dir / "commit" / "receipt-1.json").read_text())["per_table"]["domain/Image"]["uploaded"]
        == 1
    )
    entries = json.loads((exe.working_dir / "asset-manifest.json").read_text())["assets"]
    assert (entries["Image/a.txt"]["status"], entries["Image/a.txt"]["rid"]) == ("uploaded", path.asset_rid)


def test_a_store_that_is_gone_is_rebuilt_from_the_manifest(local_lab: DerivaML, workflow: Workflow, rows: Rows) -> None:
    with local_lab.create_execution(workflow=workflow) as exe:
        exe.asset_file_path("Image", "a.txt", Subject="S1", description="kept").write_text("a")
    workspace = local_lab.workspace
    for path in workspace.glob("store.sqlite*"):
        path.unlink()
    shutil.rmtree(workspace / "locks")
    again = DerivaML()
    resumed = again.resume_execution(exe.rid)
    resumed.commit_output_assets()
    (row,) = rows(again, "Image")
    assert (row["Subject"], row["Description"]) == ("S1", "kept")
    again.session.port.close()
