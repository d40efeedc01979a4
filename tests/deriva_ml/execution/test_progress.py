"""What a commit tells while it works, and how it is stopped: the callback, the displays, the report."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from deriva_ml import DerivaML, DerivaMLValidationError, UploadProgress, Workflow
from deriva_ml.errors import DerivaMLUploadError
from deriva_ml.execution import Execution, ExecutionStatus, seal
from deriva_ml.execution.progress import Lines, Reach, Telling, chosen
from deriva_ml.execution.report import UploadItem, UploadReport
from deriva_ml.files import BLOCK

S = ExecutionStatus


def staged(lab: DerivaML, workflow: Workflow, names: str = "abc") -> Execution:
    with lab.create_execution(workflow=workflow) as exe:
        for name in names:
            exe.asset_file_path("Image", f"{name}.txt").write_text(name)
    return exe


# ------------------------------------------------------------------------------------------------------- the callback


@pytest.mark.parametrize("phase", ["Staging", "Uploaded"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError, OSError, DerivaMLUploadError("no")], ids=str)
def test_a_callback_that_raises_stops_the_commit_and_the_next_one_goes_on(
    local_lab: DerivaML, workflow: Workflow, phase: str, error: BaseException | type[BaseException]
) -> None:
    exe = staged(local_lab, workflow)

    def stop(step: UploadProgress) -> None:
        if step.phase == phase and step.file_name == "b.txt":
            raise error

    with pytest.raises(error if isinstance(error, type) else type(error)) as stopped:
        exe.commit_output_assets(progress_callback=stop)
    assert f"deriva-ml-upload --execution {exe.rid}" in stopped.value.__notes__[0]
    assert exe.status is S.Pending_Upload
    assert exe.pending_summary().total_pending_files == 3
    report = exe.commit_output_assets()
    assert (report.total_uploaded, exe.status) == (3, S.Uploaded)
    assert len(exe.list_assets("Output")) == len({asset.rid for asset in exe.list_assets("Output")})


def test_a_large_file_is_told_of_while_it_is_copied_and_the_copy_can_be_stopped(
    local_lab: DerivaML, workflow: Workflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seal, "PULSE", BLOCK)
    with local_lab.create_execution(workflow=workflow) as exe:
        exe.asset_file_path("Image", "large.bin").write_bytes(os.urandom(3 * BLOCK + 1))
    seen: list[int] = []

    def stop(step: UploadProgress) -> None:
        seen.append(step.bytes_completed)
        if step.bytes_completed == 2 * BLOCK:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        exe.commit_output_assets(progress_callback=stop)
    assert seen == [BLOCK, 2 * BLOCK]
    assert list((exe.working_dir / "sealed").iterdir()) == []
    told: list[tuple[str, float]] = []
    exe.commit_output_assets(progress_callback=lambda step: told.append((step.phase, round(step.percent_complete))))
    assert told[:4] == [("Staging", 33), ("Staging", 67), ("Staging", 100), ("Staging", 100)]
    assert told[-1] == ("Uploaded", 100)


def test_the_command_that_goes_on_names_the_folder_where_it_is_not_the_usual_one(
    tmp_path: Path, workflow: Workflow
) -> None:
    ml = DerivaML(working_dir=tmp_path / "el se")
    ml.create_asset("Image")
    with pytest.raises(KeyboardInterrupt) as stopped:
        staged(ml, workflow).commit_output_assets(progress_callback=lambda step: exec("raise KeyboardInterrupt"))
    assert f"--working-dir '{tmp_path / 'el se'}'" in stopped.value.__notes__[0]
    ml.session.port.close()


# ------------------------------------------------------------------------------------------------------- the displays

SCRIPT = """
from deriva_ml.execution import progress
from deriva_ml.execution.report import UploadProgress
progress.PATIENCE = 0
with progress.Telling("1-ABC", None) as telling:
    for part in (progress.SEALING, progress.UPLOADING):
        telling.expect(part, 3, 3000)
    for phase in ("Staging", "Uploading", "Uploaded"):
        for name in "abc":
            telling(UploadProgress(name, name, 1000, 1000, phase))
"""


def shown(environment: dict[str, str], *, terminal: bool, before: str = "") -> str:
    """Run a commit's telling in a process of its own; return what it wrote to its error stream."""
    reader, writer = pty.openpty() if terminal else os.pipe()
    variables = {**os.environ, "TERM": "xterm", "COLUMNS": "100", **environment}
    subprocess.run([sys.executable, "-c", before + SCRIPT], stderr=writer, env=variables, check=True, timeout=60)
    os.close(writer)
    text = b""
    try:
        while part := os.read(reader, 65536):
            text += part
    except OSError:  # a terminal that nobody has open any more
        pass
    os.close(reader)
    return text.decode()


def test_without_a_terminal_there_is_a_line_per_step() -> None:
    assert shown({}, terminal=False).splitlines() == [
        "execution 1-ABC: sealing, 3 files, 3,000 bytes",
        "execution 1-ABC: uploading, 3 files, 3,000 bytes",
    ]


def test_a_line_says_where_something_takes_long(capsys: pytest.CaptureFixture[str]) -> None:
    lines = Lines("1-ABC")
    lines.show(Reach("uploading", files=0, of_files=2, done=500, of=2000))
    lines._next["uploading"] = 0.0
    lines.show(Reach("uploading", files=1, of_files=2, done=1500, of=2000))
    lines.show(Reach("recording", done=30_000, of=30_000))
    assert capsys.readouterr().err.splitlines() == [
        "execution 1-ABC: uploading, 1 of 2 files, 1,500 of 2,000 bytes",
        "execution 1-ABC: recording, 30,000 values",
    ]


def test_bytes_of_a_file_under_way_count_once() -> None:
    reach = Reach("uploading", of_files=1, of=100)
    for done, phase in ((40, "Uploading"), (80, "Uploading"), (100, "Uploading"), (100, "Uploaded")):
        assert not reach.over
        reach.take(UploadProgress("a", "a", done, 100, phase))
        assert reach.done == done
    assert reach.over


def test_on_a_terminal_there_is_a_bar() -> None:
    text = shown({}, terminal=True)
    assert "1-ABC uploading" in text
    assert "━" in text
    assert "3/3" in text


def test_in_a_notebook_there_is_a_bar_of_tqdm() -> None:
    text = shown({}, terminal=False, before="import sys; sys.modules['ipykernel'] = sys.modules['IPython'] = sys\n")
    assert "1-ABC uploading: 100%" in text


def test_it_can_be_quiet() -> None:
    assert shown({"DERIVA_ML_PROGRESS": "quiet"}, terminal=True) == ""


def test_a_display_that_there_is_not_is_refused() -> None:
    with pytest.raises(DerivaMLValidationError, match="auto, bar, lines, notebook or quiet"):
        chosen("loud")


def test_a_callback_is_told_instead_of_a_display(capsys: pytest.CaptureFixture[str]) -> None:
    seen: list[UploadProgress] = []
    with Telling("1-ABC", seen.append) as telling:
        telling(UploadProgress("a", "a", 1, 1, "Uploaded"))
    assert [step.file_name for step in seen] == ["a"]
    assert capsys.readouterr().err == ""


# --------------------------------------------------------------------------------------------------------- the report


def test_a_report_says_what_became_of_each_file(local_lab: DerivaML, workflow: Workflow, tmp_path: Path) -> None:
    staged(local_lab, workflow, "a").commit_output_assets()
    grade = local_lab.feature_record_class("Image", "Grade")
    with local_lab.create_execution(workflow=workflow) as exe:
        for name in ("a.txt", "new.txt"):
            exe.asset_file_path("Image", name).write_text(name[0])
        (tmp_path / "twin").mkdir()
        (tmp_path / "twin" / "new.txt").write_text("n")
        twin = exe.asset_file_path("Image", tmp_path / "twin" / "new.txt")
        exe.add_features([grade(Image=twin, Grade="Mild")])
    report = exe.commit_output_assets()
    states = {(item.table, item.file_name): item.state for item in report.items}
    assert states == {
        ("Image", "a.txt"): "reused",
        ("Image", "new.txt"): "uploaded",
        ("Execution_Image_Grade", ""): "uploaded",
    }
    assert len({item.rid for item in report.items if item.file_name == "new.txt"}) == 1
    text = str(report)
    assert "  Image: 3 committed, 1 of them there already" in text
    assert "  Execution_Image_Grade: 1 committed" in text
    assert "<td>Image</td>" in report._repr_html_()


@pytest.mark.parametrize(
    ("tables", "shown"),
    [
        ([("a", "Image"), ("b", "Mask")], ["Image", "Mask"]),
        ([("a", "Image"), ("b", "Image")], ["a/Image", "b/Image"]),
    ],
)
def test_a_schema_is_named_where_it_is_needed(tables: list[tuple[str, str]], shown: list[str]) -> None:
    report = UploadReport(execution_rids=["1-A"], items=[UploadItem("1-A", "Image", "x", "failed", reason="<no>")])
    for schema, table in tables:
        report.count(schema, table, uploaded=1)
    lines = str(report).splitlines()
    assert lines[1:3] == [f"  {name}: 1 committed" for name in shown]
    assert lines[3] == "  Image/x: failed: <no>"
    assert "&lt;no&gt;" in report._repr_html_()


def test_files_that_a_server_refuses_are_named_and_the_others_go_on(
    ml: DerivaML, workflow: Workflow, requests_of: Callable[[DerivaML], list[str]]
) -> None:
    if ml.session.port.links_files:
        ml.create_asset("Image")
        exe = staged(ml, workflow, "a")
        assert [item.state for item in exe.commit_output_assets().items] == ["uploaded"]
        return
    ml.create_asset("Image")
    exe = staged(ml, workflow, "abc")
    md5 = "92eb5ffee6ae2fec3ad71c777531578f"  # of b
    headers = {"content-length": "1", "content-type": "text/plain"}
    ml.session.hatrac("PUT", f"/hatrac/Image/{md5}.b.txt?parents=true", headers=headers, body=b"x")
    with pytest.raises(DerivaMLUploadError, match=r"1 of 3 files .* were not taken") as stopped:
        exe.commit_output_assets()
    assert list(stopped.value.failures) == ["Image/b.txt"]
    sent = requests_of(ml)
    report = ml.commit_pending_executions(execution_rids=[exe.rid])
    assert {item.file_name: item.reason is not None for item in report.items} == {
        "a.txt": False,
        "b.txt": True,
        "c.txt": False,
    }
    assert "domain/Image" in report.per_table
    assert not [each for each in sent if each.startswith("PUT /hatrac") and "b.txt" not in each]
