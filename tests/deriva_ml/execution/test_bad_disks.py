"""Disks that are full or read-only: one clear error each, and nothing lost."""

from __future__ import annotations

import errno
import os
import resource
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deriva_ml import DerivaML, DerivaMLReadOnlyError, DerivaMLUploadError, Workflow
from deriva_ml.execution import ExecutionStatus
from deriva_ml.execution.execution import Execution

S = ExecutionStatus
Rows = Callable[..., list[dict[str, Any]]]


def staged(lab: DerivaML, workflow: Workflow) -> Execution:
    with lab.create_execution(workflow=workflow) as exe:
        exe.asset_file_path("Image", "a.txt").write_text("a" * 100_000)
        exe.log_metrics({"loss": 1})
    return exe


def test_a_disk_that_is_full_while_sealing_loses_nothing(
    local_lab: DerivaML, workflow: Workflow, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    exe = staged(local_lab, workflow)

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr("deriva_ml.execution.seal.copy_hashed", full)
        with pytest.raises(DerivaMLUploadError, match=r"No space left on device(?s:.)*Nothing staged is lost"):
            exe.commit_output_assets()
    assert exe.status is S.Failed
    assert exe.error is not None
    assert "No space left" in exe.error
    assert exe.commit_output_assets().total_uploaded == 2
    assert [row["Length"] for row in rows(local_lab, "Image")] == [100_000]
    assert local_lab.lookup_execution(exe.rid).status is S.Uploaded


def test_a_small_disk_that_is_really_full(local_lab: DerivaML, workflow: Workflow, rows: Rows, tmp_path: Path) -> None:
    """The sealed folder lies on a file system of 64 KiB."""
    small = tmp_path / "small"
    small.mkdir()
    if os.system(f"mount -t tmpfs -o size=64k tmpfs {small} 2>/dev/null"):
        exe = staged(local_lab, workflow)
        assert exe.commit_output_assets().total_uploaded == 2  # nobody may mount here: the other test says the rest
        return
    try:
        exe = staged(local_lab, workflow)
        (exe.working_dir / "sealed").rmdir()
        (exe.working_dir / "sealed").symlink_to(small)
        with pytest.raises(DerivaMLUploadError, match="No space left"):
            exe.commit_output_assets()
        (exe.working_dir / "sealed").unlink()
        assert exe.commit_output_assets().total_uploaded == 2
        assert [row["Length"] for row in rows(local_lab, "Image")] == [100_000]
    finally:
        os.system(f"umount {small}")


def test_a_workspace_that_cannot_be_written_is_refused_clearly(
    local_lab: DerivaML, workflow: Workflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.rmtree(local_lab.workspace)
    local_lab.workspace.write_text("a file where the folder should be")
    with pytest.raises(DerivaMLReadOnlyError, match="cannot be"):
        local_lab.create_execution(workflow=workflow)


def test_a_file_that_grows_while_it_is_read_is_not_sealed(
    local_lab: DerivaML, workflow: Workflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    exe = staged(local_lab, workflow)
    from deriva_ml.execution import seal

    real = seal.copy_hashed

    def while_writing(source: Path, target: Path, **how: Any) -> Any:
        digest = real(source, target, **how)
        with source.open("a") as file:
            file.write("more")
        return digest

    with monkeypatch.context() as patch:
        patch.setattr(seal, "copy_hashed", while_writing)
        with pytest.raises(DerivaMLUploadError, match="was written to while it was read"):
            exe.commit_output_assets()
    exe.commit_output_assets()
    assert exe.status is S.Uploaded


def test_a_disk_that_fails_below_the_store_is_said_clearly(local_lab: DerivaML, workflow: Workflow) -> None:
    """Beyond its limit no file of this process can be written, which SQLite takes for an error of the disk."""
    exe = local_lab.create_execution(workflow=workflow)
    exe.execution_start()
    exe.log_metrics({"loss": 1}, step=1)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(DerivaMLReadOnlyError, match=r"The disk that holds .*store.sqlite failed.*is there"):
            exe.log_metrics({"loss": 2}, step=2)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    exe.log_metrics({"loss": 2}, step=2)
    assert [line["step"] for line in exe.metrics] == [1, 2]


@pytest.mark.parametrize("end", [Execution.execution_stop, Execution.commit_output_assets])
def test_what_was_written_is_on_the_disk_before_a_state_says_so(
    local_lab: DerivaML, workflow: Workflow, monkeypatch: pytest.MonkeyPatch, end: Callable[[Execution], object]
) -> None:
    """Else a power cut between the two would leave a run that waits for ever for a file that is gone."""
    exe = local_lab.create_execution(workflow=workflow)
    exe.execution_start()
    path = exe.asset_file_path("Image", "a.txt")
    path.write_text("a")
    states: list[str] = []
    real = os.fsync

    def synced(descriptor: int) -> None:
        if Path(f"/proc/self/fd/{descriptor}").readlink() == path:
            states.append(exe.status)
        real(descriptor)

    monkeypatch.setattr(os, "fsync", synced)
    end(exe)
    assert states[0] == S.Running


def test_a_run_whose_files_cannot_be_brought_to_the_disk_fails(
    local_lab: DerivaML, workflow: Workflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with pytest.raises(OSError, match="Input/output error"), local_lab.create_execution(workflow=workflow) as exe:
        exe.asset_file_path("Image", "a.txt").write_text("a")
        monkeypatch.setattr("deriva_ml.execution.staging.sync", refused)
    assert exe.status is S.Failed
    monkeypatch.undo()
    assert exe.commit_output_assets().total_uploaded == 1


def test_a_linked_file_is_on_the_disk_when_it_is_registered(
    local_lab: DerivaML, workflow: Workflow, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Registering acknowledges the bytes of a file that exists, and its user may have written it a moment ago."""
    synced: list[Path] = []
    real = os.fsync

    def note(descriptor: int) -> None:
        synced.append(Path(f"/proc/self/fd/{descriptor}").readlink())
        real(descriptor)

    sources = [elsewhere / name for name in "ab"]
    for source in sources:
        source.write_text(source.name)
    (elsewhere / "link").symlink_to(sources[0])
    exe = local_lab.create_execution(workflow=workflow)
    exe.execution_start()
    monkeypatch.setattr(os, "fsync", note)
    exe.asset_file_paths("Image", [*sources, elsewhere / "link"])
    assert {*sources, elsewhere} <= {*synced}
    synced.clear()
    exe.asset_file_path("Mask", sources[1])
    assert sources[1] not in synced  # it is the same as before


def test_a_failure_that_could_not_be_written_down_is_not_forgotten(local_lab: DerivaML, workflow: Workflow) -> None:
    """The commit that follows when the disk is well again writes it down first; nobody takes the run for one that ended well."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        with pytest.raises(ValueError, match="no convergence"), local_lab.create_execution(workflow=workflow) as exe:
            exe.log_metrics({"loss": 1}, step=1)
            resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
            raise ValueError("no convergence")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert exe.status is S.Running
    local_lab.resume_execution(exe.execution_rid).commit_output_assets()
    record = local_lab.lookup_execution(exe.execution_rid)
    assert (record.status, record.status_detail) == (S.Uploaded, "run failed: ValueError: no convergence")
