"""Making room while others work: what was acknowledged at that moment stays, and nobody meets a bare error."""

from __future__ import annotations

import errno
import os
import threading
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

from deriva_ml import DerivaML, DerivaMLException, Workflow
from deriva_ml.errors import DerivaMLStateInconsistency
from deriva_ml.execution.folders import take_away

ROUNDS = 5


class Stager(threading.Thread):
    """Somebody who goes on staging copies, new files and metrics for a run until told to stop; keeps what was acknowledged."""

    def __init__(self, home: Path, rid: str, number: int, sources: Path) -> None:
        super().__init__()
        self.home, self.rid, self.number, self.sources = home, rid, number, sources
        self.files: list[str] = []
        self.metrics = 0
        self.error: Exception | None = None
        self.over = threading.Event()

    def run(self) -> None:
        try:
            exe = DerivaML(working_dir=self.home).resume_execution(self.rid)
            source = self.sources / f"{self.number}.txt"
            while not self.over.is_set():
                name = f"{self.number}-{len(self.files)}"
                source.write_text(name)
                exe.asset_file_path("Image", source, copy_file=True, rename_file=f"{name}.txt")
                self.files.append(f"{name}.txt")
                exe.log_metrics({"at": name})
                self.metrics += 1
                if len(self.files) > 20:
                    break
        except (DerivaMLException, OSError) as error:
            self.error = error


@pytest.mark.parametrize("room", ["clean", "commit", "forget"])
def test_what_is_staged_meanwhile_stays(
    local_lab: DerivaML, home: Path, workflow: Workflow, tmp_path: Path, room: str
) -> None:
    make: dict[str, Callable[[str], object]] = {
        "clean": lambda rid: local_lab.clean_execution_dirs(),
        "commit": lambda rid: local_lab.resume_execution(rid).commit_output_assets(clean_folder=True),
        "forget": lambda rid: local_lab.gc_executions(delete_working_dir=True),
    }
    staged: set[str] = set()
    metrics = refused = 0
    for number in range(ROUNDS):
        with local_lab.create_execution(workflow=workflow) as exe:
            exe.asset_file_path("Image", f"first-{number}.txt").write_text(f"first {number}")
        exe.commit_output_assets(clean_folder=False)
        for scratch in range(30):
            (exe.working_dir / "assets" / f"scratch-{scratch}").touch()
        stager = Stager(home, exe.execution_rid, number, tmp_path)
        stager.start()
        while stager.is_alive() and len(stager.files) < 5:
            make[room](exe.execution_rid)
        stager.over.set()
        stager.join()
        if room == "forget" and stager.error is not None:
            assert isinstance(stager.error, DerivaMLStateInconsistency), repr(stager.error)
            refused += 1
        else:
            assert stager.error is None, traceback.format_exception(stager.error)
        staged.update(stager.files)
        metrics += stager.metrics
    assert local_lab.commit_pending_executions().errors == []
    names = [asset.filename for asset in local_lab.list_assets("Image")]
    assert sorted(staged - set(names)) == []
    assert len(names) == len(set(names))
    logged = [
        line
        for each in local_lab.find_executions()
        for asset in each.list_assets("Output")
        if asset.filename == "metrics.jsonl"
        for line in local_lab.session.hatrac("GET", asset.url).body.splitlines()
    ]
    assert len(logged) == metrics
    assert staged or refused == ROUNDS
    assert local_lab.check(read_data=True).exit_code == 0


def test_nothing_is_taken_away_while_something_waits(local_lab: DerivaML, workflow: Workflow) -> None:
    with local_lab.create_execution(workflow=workflow) as exe:
        path = exe.asset_file_path("Image", "a.txt")
        path.write_text("a")
    exe.commit_output_assets(clean_folder=False)
    store, folder = local_lab.executions.store, exe.working_dir
    exe.log_metrics(loss=0.5)
    assert take_away(store, exe.execution_rid, lambda: [folder], forget=True) is None
    assert path.read_text() == "a"
    exe.commit_output_assets(clean_folder=False)
    aside = take_away(store, exe.execution_rid, lambda: [folder])
    assert aside is not None
    assert [each.is_dir() for each in aside] == [True]  # whoever dies here leaves it to the next who makes room
    local_lab.clean_execution_dirs()
    assert [each.exists() for each in (*aside, folder)] == [False, False]
    assert local_lab.check().findings == []


def test_a_run_that_was_forgotten_takes_nothing_more(local_lab: DerivaML, workflow: Workflow, tmp_path: Path) -> None:
    with local_lab.create_execution(workflow=workflow) as exe:
        pass
    exe.commit_output_assets()
    assert local_lab.gc_executions(delete_working_dir=True) == 1
    (tmp_path / "a.txt").write_text("a")
    for copy in (True, False):
        with pytest.raises(DerivaMLStateInconsistency, match="no record any more"):
            exe.asset_file_path("Image", tmp_path / "a.txt", copy_file=copy)
    with pytest.raises(DerivaMLStateInconsistency, match="no record any more"):
        exe.asset_file_path("Image", "new.txt")
    assert not (local_lab.workspace / "executions" / exe.execution_rid).exists()
    assert local_lab.check().exit_code == 0


def test_folders_on_a_disk_of_their_own_are_tidied_as_well(
    local_lab: DerivaML, workflow: Workflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Path.rename

    def rename(path: Path, target: Path) -> Path:
        if Path(target).parent.name == "removed":
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
        return real(path, target)

    monkeypatch.setattr(Path, "rename", rename)
    with local_lab.create_execution(workflow=workflow) as exe:
        exe.asset_file_path("Image", "a.txt").write_text("a")
    report = exe.commit_output_assets()
    assert [note for note in report.notes if "tidied" in note] == []
    assert [each.name for each in (local_lab.workspace / "executions").rglob("*")] == []
