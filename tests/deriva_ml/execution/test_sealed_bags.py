"""Sealed bags: from the machine that ran to the one that reaches the catalog, exactly once, whatever the archive holds."""

from __future__ import annotations

import multiprocessing
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bagit  # type: ignore[import-untyped]
import pytest

from deriva_ml import DerivaML, DerivaMLIntegrityError, DerivaMLStateInconsistency, UploadReport, Workflow
from deriva_ml.bag.archive import pack, unpack
from deriva_ml.errors import DerivaMLValidationError, InvalidTransitionError
from deriva_ml.execution import ExecutionStatus
from deriva_ml.execution.execution import Execution

S = ExecutionStatus
Rows = Callable[..., list[dict[str, Any]]]
TABLES = (
    "Image",
    "Mask",
    "Execution_Metadata",
    "Image_Execution",
    "Execution_Image_Grade",
    "Execution_Image_Segmentation",
)


def ran(ml: DerivaML, workflow: Workflow, image: str) -> Execution:
    """A run that made files and values which refer to each other."""
    with ml.create_execution(workflow=workflow, description="far away", parameters={"lr": 0.1}) as exe:
        exe.asset_file_path("Image", "scan 1.txt", Subject="s1").write_text("one")
        mask = exe.asset_file_path("Mask", "mask.txt")
        mask.write_text("mask")
        exe.log_metrics({"loss": 0.5}, step=1)
        grade, segmentation = (ml.feature_record_class("Image", name) for name in ("Grade", "Segmentation"))
        exe.add_features([grade(Image=image, Grade="Mild")])
        exe.add_features([segmentation(Image=image, Mask=mask)])
    return exe


@pytest.fixture
def sealed(
    lab: DerivaML, workflow: Workflow, committed: Callable[..., Execution], rows: Rows
) -> tuple[Execution, Path]:
    committed(lab, x="an image")
    exe = ran(lab, workflow, rows(lab, "Image")[0]["RID"])
    return exe, exe.seal()


def machine(ml: DerivaML, folder: Path) -> DerivaML:
    """Another machine: the same catalog, a workspace that knows nothing."""
    other = DerivaML.__new__(DerivaML)
    other.__dict__ |= {name: value for name, value in ml.__dict__.items() if name != "executions"}
    other.workspace = other.cache_dir = folder
    return other


def contents(ml: DerivaML, rows: Rows) -> dict[str, list[tuple[str, ...]]]:
    """What the catalog holds, without what differs from one time to the next."""
    hidden = {"RCT", "RMT", "RCB", "RMB"}
    return {
        table: sorted(
            tuple(f"{name}={row[name]}" for name in sorted(row) if name not in hidden) for row in rows(ml, table)
        )
        for table in TABLES
    }


def test_what_is_sealed_here_is_committed_there(
    lab: DerivaML, sealed: tuple[Execution, Path], tmp_path: Path, rows: Rows
) -> None:
    exe, archive = sealed
    assert exe.status is S.Stopped
    far = machine(lab, tmp_path / "far")
    report = far.load_sealed_bag(archive)
    assert (report.execution_rids, report.errors) == ([exe.rid], [])
    record = lab.lookup_execution(exe.rid)
    assert (record.status, record.description) == (S.Uploaded, "far away")
    (mask,) = rows(lab, "Mask")
    assert {row["Filename"] for row in rows(lab, "Image")} == {"x.txt", "scan 1.txt"}
    assert [row["Mask"] for row in rows(lab, "Execution_Image_Segmentation", Execution=exe.rid)] == [mask["RID"]]
    assert [row["Grade"] for row in rows(lab, "Execution_Image_Grade", Execution=exe.rid)] == ["Mild"]
    names = {asset.filename for asset in lab.list_execution_assets(exe.rid, "Output")}
    assert {"scan 1.txt", "mask.txt", "metrics.jsonl"} < names

    once = contents(lab, rows)
    assert far.load_sealed_bag(archive).errors == []
    assert machine(lab, tmp_path / "third").load_sealed_bag(archive).errors == []
    again = lab.resume_execution(exe.rid)
    again.commit_output_assets()
    assert again.status is S.Uploaded
    assert contents(lab, rows) == once


def test_a_loader_that_stops_anywhere_is_followed_by_another(
    local_lab: DerivaML, workflow: Workflow, committed: Callable[..., Execution], tmp_path: Path, rows: Rows
) -> None:
    """Every request of a load fails once, on a machine of its own; the last loader finds nothing missing and nothing twice."""
    committed(local_lab, x="an image")
    image = rows(local_lab, "Image")[0]["RID"]
    archive = ran(local_lab, workflow, image).seal(tmp_path / "run.zip")
    real, port, points = local_lab.session.port.send, local_lab.session.port, 0
    left = 0

    def send(request: Any) -> Any:
        nonlocal left
        left -= request.method not in ("GET", "HEAD")
        if left < 0:
            if points % 2:  # every other time the effect is there, and the answer is not
                real(request)
            raise KeyboardInterrupt
        return real(request)

    port.send = send  # type: ignore[method-assign]
    while left <= 0:
        left, points = points, points + 1
        try:
            machine(local_lab, tmp_path / f"m{points}").load_sealed_bag(archive)
            break
        except KeyboardInterrupt:
            continue
    port.send = real  # type: ignore[method-assign]
    assert points > 10
    once = contents(local_lab, rows)
    assert [len(once[table]) for table in TABLES if table != "Execution_Metadata"] == [2, 1, 2, 1, 1]
    assert sum("bag-" in str(row) for row in once["Execution_Metadata"]) == 1
    machine(local_lab, tmp_path / "last").load_sealed_bag(archive)
    assert contents(local_lab, rows) == once


def test_any_validator_takes_it(sealed: tuple[Execution, Path], tmp_path: Path) -> None:
    folder = unpack(sealed[1], _made(tmp_path / "open"))
    bagit.Bag(str(folder)).validate()
    done = subprocess.run(
        [sys.executable, "-m", "bdbag.bdbag_cli", "--validate", "full", str(sealed[1])],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_more_is_sealed_later_and_a_failed_run_too(
    local_lab: DerivaML, workflow: Workflow, tmp_path: Path, rows: Rows
) -> None:
    with pytest.raises(ZeroDivisionError), local_lab.create_execution(workflow=workflow) as exe:
        exe.asset_file_path("Image", "a.txt").write_text("a")
        print(1 / 0)
    first = exe.seal()
    exe.asset_file_path("Image", "b.txt").write_text("b")
    second = exe.seal()
    far = machine(local_lab, tmp_path / "far")
    for archive in (second, first):
        far.load_sealed_bag(archive)
    record = local_lab.lookup_execution(exe.rid)
    assert (record.status, record.status_detail) == (S.Uploaded, "run failed: ZeroDivisionError: division by zero")
    assert sorted(row["Filename"] for row in rows(local_lab, "Image")) == ["a.txt", "b.txt"]


def test_what_was_corrected_between_two_seals_is_not_dropped_without_a_word(
    local_lab: DerivaML, workflow: Workflow, committed: Callable[..., Execution], tmp_path: Path, rows: Rows
) -> None:
    committed(local_lab, x="an image", y="another")
    images = sorted(row["RID"] for row in rows(local_lab, "Image"))
    grade = local_lab.feature_record_class("Image", "Grade")
    with local_lab.create_execution(workflow=workflow) as exe:
        exe.add_features([grade(Image=image, Grade="Mild") for image in images])
        path = exe.asset_file_path("Image", "scan.txt", Subject="s1")
        path.write_text("scan")
    first = exe.seal()
    path.metadata = {"Subject": "s2"}
    path.set_asset_types(["Derived"])
    exe.discard_features("Image", "Grade", images[:1])
    exe.add_features([grade(Image=images[0], Grade="Severe")])
    second = exe.seal()
    wanted = [
        "Image/scan.txt was in the catalog already, as RID, where Subject is 's1': that stays, and 's2' is not recorded",
        f"the value of Grade for {images[0]}: the catalog has Grade 'Mild' for this execution, which stays, and 'Severe' is not recorded",
    ]

    def not_recorded(report: UploadReport) -> list[str]:
        return [re.sub(r"as [^ ]+, where", "as RID, where", note) for note in report.notes if "is not recorded" in note]

    def said(ml: DerivaML, archive: Path) -> list[str]:
        return not_recorded(ml.load_sealed_bag(archive))

    far = machine(local_lab, tmp_path / "far")
    assert said(far, first) == []
    (scan,) = [row["RID"] for row in rows(local_lab, "Image", Filename="scan.txt")]
    assert said(far, second) == wanted
    types = {row["Asset_Type"] for row in rows(local_lab, "Image_Asset_Type", Image=scan)}
    assert "Derived" in types
    assert said(far, second) == []
    assert wanted[1] in (local_lab.lookup_execution(exe.rid).status_detail or "")
    assert said(machine(local_lab, tmp_path / "third"), second) == wanted
    assert said(far, first) == wanted[1:]
    report = exe.commit_output_assets()
    assert not_recorded(report) == wanted
    assert {row["Grade"] for row in rows(local_lab, "Execution_Image_Grade", Execution=exe.rid)} == {"Mild"}


def test_what_cannot_be_sealed_or_loaded_is_said(
    local_lab: DerivaML, workflow: Workflow, home: Path, fresh_home: Path, tmp_path: Path
) -> None:
    exe = local_lab.create_execution(workflow=workflow)
    with pytest.raises(InvalidTransitionError):
        exe.seal()
    exe.execution_start()
    archive = exe.seal(tmp_path / "run.zip")
    with pytest.raises(DerivaMLValidationError, match="exists"):
        exe.seal(archive)
    with pytest.raises(DerivaMLValidationError, match="dry run"):
        local_lab.create_execution(workflow=workflow, dry_run=True).seal()
    shutil.copytree(fresh_home, tmp_path / "another")
    stranger = DerivaML(working_dir=tmp_path / "another")
    with pytest.raises(DerivaMLStateInconsistency, match="Choose the one that it was made for: its folder with --home"):
        stranger.load_sealed_bag(archive)
    stranger.session.port.close()
    with pytest.raises(DerivaMLIntegrityError, match="no archive"):
        local_lab.load_sealed_bag(tmp_path / "nowhere.zip")


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _flip(archive: Path) -> None:
    """Change one byte of a payload, and the archive's own checksum with it."""
    folder = unpack(archive, _made(archive.parent / "flipped"))
    (target,) = folder.rglob("scan 1.txt")
    target.write_bytes(b"two")
    archive.unlink()
    pack(folder, archive)


def _cut(archive: Path) -> None:
    os.truncate(archive, archive.stat().st_size // 2)


def _add(
    name: str, mode: int = stat.S_IFREG | 0o644, content: bytes = b"x", kind: int = zipfile.ZIP_STORED
) -> Callable[[Path], None]:
    def change(archive: Path) -> None:
        with zipfile.ZipFile(archive, "a") as target:
            entry = zipfile.ZipInfo(name)
            entry.external_attr, entry.compress_type = mode << 16, kind
            target.writestr(entry, content)

    return change


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (_flip, "md5 is"),
        (_cut, "not a whole zip archive"),
        (_add("/etc/passwd"), "absolute"),
        (_add("../out.txt"), "climbs out"),
        (_add("bag/../../out.txt"), "climbs out"),
        (_add("bag/link", stat.S_IFLNK | 0o777, b"/etc/passwd"), "link or device"),
        (_add("bag/pipe", stat.S_IFIFO | 0o644), "link or device"),
        (_add("bag/disk", stat.S_IFBLK | 0o644), "link or device"),
        (_add("bag/bomb", content=bytes(20_000_000), kind=zipfile.ZIP_DEFLATED), "bytes packed into"),
        (_add("another/file"), "does not hold one folder"),
        (_add("bag\\file"), "backslash"),
        (lambda archive: archive.write_text("no archive"), "not a whole zip archive"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_hostile_or_damaged_archive_changes_nothing(
    local_lab: DerivaML, workflow: Workflow, tmp_path: Path, rows: Rows, harm: Callable[[Path], None], said: str
) -> None:
    with local_lab.create_execution(workflow=workflow) as exe:
        exe.asset_file_path("Image", "scan 1.txt").write_text("one")
    archive = exe.seal(tmp_path / "run.zip")
    harm(archive)
    far = machine(local_lab, tmp_path / "far")
    with pytest.raises(DerivaMLIntegrityError, match=said):
        far.load_sealed_bag(archive)
    assert rows(local_lab, "Image") == []
    assert (local_lab.lookup_execution(exe.rid).status, list((tmp_path / "far" / "incoming").iterdir())) == (
        S.Stopped,
        [],
    )
    assert not (tmp_path / "out.txt").exists()


def test_two_loaders_at_once_are_as_one(local_lab: DerivaML, workflow: Workflow, tmp_path: Path, rows: Rows) -> None:
    with local_lab.create_execution(workflow=workflow) as exe:
        for number in range(20):
            exe.asset_file_path("Image", f"{number}.txt").write_text(str(number))
    archive = exe.seal()
    fork = multiprocessing.get_context("fork")
    loaders = [fork.Process(target=_load, args=(local_lab, tmp_path / f"far{number}", archive)) for number in range(3)]
    for loader in loaders:
        loader.start()
    for loader in loaders:
        loader.join(60)
    for number in range(2):  # whoever met another in the middle loads it again
        machine(local_lab, tmp_path / f"far{number}").load_sealed_bag(archive)
    assert len(rows(local_lab, "Image")) == len(rows(local_lab, "Image_Execution")) == 20
    assert local_lab.lookup_execution(exe.rid).status is S.Uploaded


def _loader(ml: DerivaML, archive: Path, told: Path) -> int:
    """Fork a process that loads a bag into this workspace, and return it once it waits in the middle."""
    child = os.fork()
    if child == 0:

        def send(request: Any) -> Any:
            told.write_text("here")
            signal.pause()

        ml.session.port.send = send  # type: ignore[method-assign]
        try:
            ml.load_sealed_bag(archive)
        finally:
            os._exit(1)
    while not told.exists():
        time.sleep(0.01)
    told.unlink()
    return child


@pytest.mark.parametrize("broom", ["load_sealed_bag", "clean_execution_dirs", "gc_executions"])
def test_what_a_killed_loader_had_unpacked_is_removed_and_a_living_one_keeps_it(
    local_lab: DerivaML, workflow: Workflow, tmp_path: Path, broom: str
) -> None:
    with local_lab.create_execution(workflow=workflow) as exe:
        exe.asset_file_path("Image", "a.txt").write_text("a")
    archive = exe.seal(tmp_path / "run.zip")
    incoming, locks = local_lab.workspace / "incoming", local_lab.workspace / "locks"
    loaders = [_loader(local_lab, archive, tmp_path / "told") for _ in range(2)]
    unpacked = sorted(incoming.rglob("a.txt"))

    def sweep() -> list[Path]:
        getattr(local_lab, broom)(*([archive] if broom == "load_sealed_bag" else []))
        return sorted(incoming.rglob("a.txt"))

    assert (len(unpacked), sweep()) == (2, unpacked)
    for left, child in zip((1, 0), loaders, strict=True):
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        assert len(sweep()) == left
    assert (list(incoming.iterdir()), list(locks.glob("*.incoming"))) == ([], [])


def _load(ml: DerivaML, folder: Path, archive: Path) -> None:
    machine(ml, folder).load_sealed_bag(archive)
