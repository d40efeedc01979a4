"""``deriva-ml check``: every seeded corruption is found and weighed, and nothing healthy is called sick."""

from __future__ import annotations

import json
import os
import shutil
import uuid
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from damages import CASES, FATAL, MACHINE, USER, Case
from places import Place, alive, change, flip, half, remove, text, workflow, zeros

from deriva_ml import DerivaML
from deriva_ml.catalog.rows import delete
from deriva_ml.check.findings import CheckReport, Weight
from deriva_ml.check.remedies import FOLDER
from deriva_ml.cli.check import command
from deriva_ml.execution import liveness
from deriva_ml.execution.create import CREATING
from deriva_ml.execution.store import SCHEMA_STEPS
from deriva_ml.names import TableName


def wrong(report: CheckReport) -> list[str]:
    return [finding.kind for finding in report.findings if finding.weight]


def test_there_are_enough_corruptions() -> None:
    assert len(CASES) >= 140
    assert len({case.kind for case in CASES}) >= 75


def test_the_page_of_findings_names_each_under_whoever_puts_it_right() -> None:
    text = (Path(__file__).parents[3] / "docs" / "reference" / "check.md").read_text()
    parts = dict(part.split("\n", 1) for part in text.split("\n## "))
    pages = {MACHINE: "Put right by `--repair`", USER: "Put right by you, with one command", FATAL: "Fatal"}
    missing = [(case.kind, case.by) for case in CASES if f"`{case.kind}`" not in parts[pages[case.by]]]
    assert not missing


@pytest.mark.parametrize("case", CASES, ids=[f"{number}-{case.kind}" for number, case in enumerate(CASES)])
def test_a_corruption_is_found_weighed_and_repaired(place: Place, case: Case) -> None:
    """What a machine puts right is whole afterwards, and what was damaged is still there; all else is left as it is."""
    case.damage(place)
    look = place.check if case.home else place.check_workspace
    report = look()
    found = {(finding.kind, finding.weight, finding.remedy is not None) for finding in report.findings}
    weight = Weight.FATAL if case.by == FATAL else Weight.REPAIRABLE
    assert (case.kind, weight, case.by == MACHINE) in found, report.render()
    assert report.exit_code == weight, report.render()
    assert all(finding.advice or finding.remedy for finding in report.findings), report.render()
    if case.by != MACHINE:
        return
    before = contents(place.workspace)
    repairs = place.repair(report)
    assert all(repair.done for repair in repairs), list(map(str, repairs))
    again = look()
    assert wrong(again) == [], again.render()
    assert not before - contents(place.workspace), "something was deleted"
    assert place.repair(again) == []


def contents(folder: Path) -> Counter[bytes]:
    """Return what the files of a folder hold, whatever their names; not the databases, locks, and the lists that follow the store."""
    ours = ("store.sqlite", "asset-manifest", "schema-cache")
    files = [
        path for path in folder.rglob("*") if path.is_file() and not path.is_symlink() and path.parent.name != "locks"
    ]
    return Counter(path.read_bytes() for path in files if not path.name.startswith(ours) or FOLDER in path.parts)


@pytest.mark.parametrize("read_data", [False, True])
def test_a_healthy_home_is_called_so(healthy: Place, read_data: bool) -> None:
    report = healthy.check(read_data)
    healthy.close()
    assert (report.findings, report.exit_code) == ([], 0), report.render()
    assert {"databases", "executions", "files", "workspaces"} <= set(report.looked_at)
    assert report.looked_at["executions"] == 3


# ------------------------------------------------------------------------------------------------------ logs of databases


STORE, CATALOG = "workspaces/embedded__1/store.sqlite", "catalog/catalogs/1/catalog.sqlite"


@pytest.mark.parametrize(
    ("database", "act"),
    [(STORE, remove), (STORE, half), (STORE, zeros), (STORE, flip), (CATALOG, text("")), (CATALOG, flip)],
    ids=["gone", "cut", "zeros", "a bit", "empty, the catalog's", "a bit, the catalog's"],
)
def test_a_log_that_lacks_what_was_committed_is_found(
    killed_place: Place, database: str, act: Callable[[Path], object]
) -> None:
    """SQLite would take it for an empty one. Looking does not hide it."""
    path = killed_place.home / database
    act(path.with_name(f"{path.name}-wal"))
    for _ in range(2):
        found = {(finding.kind, finding.weight, finding.where) for finding in killed_place.check().findings}
        assert ("store-log", Weight.FATAL, str(path)) in found


def test_a_process_that_was_killed_leaves_whole_logs(killed_place: Place) -> None:
    assert wrong(killed_place.check()) == ["dead"]


def test_a_log_that_is_removed_after_all_was_closed_costs_nothing(place: Place) -> None:
    for path in place.home.rglob("*.sqlite-wal"):
        path.unlink()
    assert place.check().findings == []


# -------------------------------------------------------------------------------------------------------- no false alarm


def test_every_stage_of_a_run_is_healthy(opened: DerivaML, tmp_path: Path) -> None:
    """No alarm while it is made, runs, fails, is committed, cleaned, forgotten, and while a damaged one is repaired."""
    source = tmp_path / "mine.txt"
    source.write_text("mine")

    def fine() -> None:
        assert opened.check(read_data=True).findings == []

    exe = opened.create_execution(workflow=workflow())
    fine()
    with exe:
        exe.asset_file_path("Image", "unwritten.txt")
        exe.asset_file_path("Image", str(source))
        exe.asset_file_path("Image", "best.txt").symlink_to(source)  # as a training loop does
        source.write_text("mine, written again")
        fine()
        exe.asset_file_path("Image", "unwritten.txt").write_text("now")
    fine()
    exe.commit_output_assets(clean_folder=True)
    fine()
    later = exe.asset_file_path("Image", "later.txt")
    assert wrong(opened.check()) == []  # registered after the block, and about to be written
    later.write_text("later")
    exe.commit_output_assets(clean_folder=True)
    fine()
    with pytest.raises(ZeroDivisionError), opened.create_execution(workflow=workflow()) as failed:
        failed.asset_file_path("Image", "never.txt")
        print(1 / 0)
    fine()
    opened.create_execution(workflow=workflow()).abort("no need")
    opened.commit_pending_executions()
    fine()
    gone = next(each for each in opened.list_execution_assets(exe.rid, "Output") if each.filename == "unwritten.txt")
    for table in ("Image_Execution", "Image_Asset_Type"):
        delete(opened.session, TableName("domain", table), {"Image": gone.asset_rid})
    assert (
        delete(opened.session, TableName("domain", "Image"), {"RID": gone.asset_rid}) == 1
    )  # by its owner, not by chance
    fine()
    opened.gc_executions()
    fine()


def test_a_run_in_another_process_is_left_alone(place: Place) -> None:
    """Neither a check nor a repair disturbs it, whatever else is damaged in its workspace."""
    process = alive(place.home)
    assert process.stdin is not None
    assert process.stdout is not None
    rid = process.stdout.readline().strip()
    assert place.check().findings == []
    flip(place.some("cache/assets/*_*/a.txt"))
    (place.folder(rid) / "asset-manifest.json").write_text("{")
    report = place.check()
    repairs = place.repair(report)
    assert [repair.done for repair in repairs] == [False, False], list(map(str, repairs))
    assert sorted(wrong(place.check())) == ["cache-bytes", "manifest-torn"]
    process.communicate("\n")
    assert process.returncode == 0  # it ended in order
    assert all(repair.done for repair in place.repair(place.check()))


def test_what_users_put_beside_our_files_is_theirs(place: Place) -> None:
    for name in ("notes.txt", "executions/notes.txt", "executions/old stuff/assets/x", "cache/.DS_Store", "cache/bags/.DS_Store",
                 "cache/bags/mine/x", "cache/assets/mine.txt", "cache/assets/.DS_Store", "locks/.DS_Store", "sealed-bags/mine.zip",
                 f"executions/{place.stopped}/scratch/x", f"executions/{place.stopped}/assets/Image/beside.txt",
                 f"executions/{place.done}/sealed/mine", "locks/mine/x", "store.sqlite.bak"):  # fmt: skip
        path = place.workspace / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("mine")
    shutil.copytree(place.folder(place.stopped), place.folder(f"{place.stopped} (copy)"), symlinks=True)
    shutil.copytree(place.folder(place.stopped), place.folder(f"{place.stopped}-2"), symlinks=True)
    (place.home / "catalog" / "mine.sqlite").write_text("mine")
    (place.home / "readme.txt").write_text("mine")
    assert place.check().findings == []


def test_a_store_that_its_maker_was_killed_over_is_healthy(place: Place) -> None:
    empty = place.home / "workspaces" / "example.org__1"
    empty.mkdir()
    (empty / "store.sqlite").write_bytes(b"")
    other = place.home / "workspaces" / "example.org__2"
    other.mkdir()
    change(other / "store.sqlite", "PRAGMA journal_mode=WAL")
    assert place.check().findings == []


def test_an_execution_that_is_just_being_created_is_no_stranger(place: Place) -> None:
    """The files that describe it are written before the store knows it; a process that died then has left them."""
    (place.folder("9-NEW") / "sealed").mkdir(parents=True)
    (place.folder("9-NEW") / "sealed" / "configuration.json").write_text("{}")
    path = place.workspace / "locks" / "9-NEW.create"
    lock = liveness.take(path, "creating", stage=CREATING)
    assert place.check_workspace().findings == []
    said = path.read_bytes()
    lock.release()
    path.write_bytes(said)
    report = place.check_workspace()
    assert [(finding.kind, finding.weight) for finding in report.findings] == [("execution-left", Weight.NOTE)]


def test_a_check_upgrades_nothing(place: Place) -> None:
    old = place.home / "workspaces" / "example.org__1"
    old.mkdir()
    change(old / "store.sqlite", f"{SCHEMA_STEPS[0]}; PRAGMA user_version = 1")
    report = place.check()
    assert [(finding.kind, finding.weight) for finding in report.findings] == [("store-older", Weight.NOTE)]
    assert report.exit_code == 0
    assert report.render().splitlines()[-1].startswith("All whole.")
    assert place.check().findings == report.findings


def test_looking_changes_nothing_that_a_dead_holder_left(killed_place: Place) -> None:
    """What the lock file says tells later how the run may have ended."""
    said = {path: path.read_bytes() for path in (killed_place.workspace / "locks").iterdir() if path.is_file()}
    assert any(said.values())
    killed_place.check()
    assert {path: path.read_bytes() for path in said} == said


def test_a_check_in_the_process_of_a_run_lets_go_of_no_lock(opened: DerivaML) -> None:
    """Closing a second descriptor of a database would let go of SQLite's locks on it."""
    exe = opened.create_execution(workflow=workflow())
    exe.execution_start()
    before = locks_held(opened.workspace.parent.parent)
    assert before
    assert opened.check(read_data=True).findings == []
    assert before - locks_held(opened.workspace.parent.parent) == set()


def locks_held(home: Path) -> set[tuple[str, ...]]:
    """Return this process's locks on files of a home as the system lists them, inode and range: not what other tests left."""
    files = {str(path.stat().st_ino) for path in home.rglob("*")}
    lines = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
    ours = (line for line in lines if line[-4] == str(os.getpid()) and line[-3].rpartition(":")[2] in files)
    return {(line[-3], line[-2], line[-1]) for line in ours}


def test_a_living_run_is_not_called_dead(opened: DerivaML) -> None:
    exe = opened.create_execution(workflow=workflow())
    exe.execution_start()
    assert opened.check().findings == []
    liveness.release(opened.workspace / "locks" / f"{exe.rid}.run")
    assert [finding.kind for finding in opened.check().findings] == ["dead"]


@pytest.mark.parametrize("read_data", [False, True])
def test_the_files_of_a_catalogs_assets_are_examined_on_both_roads(ml: DerivaML, read_data: bool) -> None:
    ml.create_asset("Image")
    with ml.create_execution(workflow=workflow()) as exe:
        for name in ("kept.txt", "gone.txt"):
            exe.asset_file_path("Image", name).write_text(str(uuid.uuid4()))  # a server keeps what other tests sent
    exe.commit_output_assets()
    report = ml.check(read_data=read_data)
    assert (report.findings, report.looked_at["assets"] or report.looked_at["objects"]) != ([], 0), report.render()
    assert report.exit_code == 0, report.render()
    gone = next(asset for asset in exe.list_assets("Output") if asset.filename == "gone.txt")
    ml.session.hatrac("DELETE", gone.url)
    findings = {(finding.kind, finding.where) for finding in ml.check(read_data=True).findings}
    assert findings == {("asset-gone", f"domain:Image {gone.rid}")}


# ----------------------------------------------------------------------------------------------------------- the command


def run(*arguments: object) -> tuple[int, str, str]:
    done = CliRunner().invoke(command, [str(each) for each in arguments])
    return done.exit_code, done.stdout, done.stderr


def test_the_command_says_it_and_exits_accordingly(place: Place) -> None:
    code, said, _ = run("--home", place.home, "--read-data")
    assert (code, "All whole. Looked at: " in said) == (0, True)
    place.sql("UPDATE executions SET duration = -1 WHERE rid = '{done}'")
    code, said, _ = run("--home", place.home, "--json")
    document = json.loads(said)
    assert (code, [finding["kind"] for finding in document["findings"]]) == (1, ["duration"])
    assert document["findings"][0]["repair"]
    place.sql("UPDATE executions SET mode = 'x' WHERE rid = '{done}'")
    code, said, _ = run("--home", place.home)
    assert (code, said.splitlines()[0].split()[0]) == (2, "fatal")


def test_a_place_without_anything_is_said_to_be_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("x")
    assert run("--home", tmp_path) == (
        0,
        f"{tmp_path} holds neither a catalog nor a workspace of deriva-ml: nothing to check.\n",
        "",
    )
    assert run("--home", tmp_path / "nowhere") == (2, "", f"Error: There is no folder {tmp_path / 'nowhere'}.\n")
    code, said, _ = run("--home", tmp_path / "file")
    assert (code, "it is not a folder" in said) == (2, True)
    monkeypatch.setenv("DERIVA_ML_HOME", str(tmp_path / "not yet"))
    assert run() == (0, f"There is no folder {tmp_path / 'not yet'} yet: nothing to check.\n", "")
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]


@pytest.mark.parametrize("part", ["workspaces/embedded__1", "catalog"])
def test_whoever_names_a_part_of_a_home_is_told_the_home(place: Place, part: str) -> None:
    code, _, told = run("--home", place.home / part)
    assert code == 2
    assert told.endswith(f"--home {place.home}.\n")


def test_what_may_not_be_read_is_said_to_be_so(place: Place, healthy: Place) -> None:
    """The owner of a machine reads everything, so somebody else looks; what it takes to look is loaded before."""
    assert healthy.check().findings == []
    healthy.close()
    secret = place.folder(place.sealed) / "sealed"
    for path in (place.store, secret):
        path.chmod(0)
    for folder in [place.home, *place.home.parents]:
        if folder.stat().st_uid == os.getuid():
            folder.chmod(folder.stat().st_mode | 0o055)
    reader, writer = os.pipe()
    if (child := os.fork()) == 0:
        try:
            if os.getuid() == 0:
                os.setuid(65534)
            said = [
                (each.kind, int(each.weight), each.where) for each in place.check_workspace().findings if each.weight
            ]
            os.write(writer, json.dumps(said).encode())
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    for path in (place.store, secret):
        path.chmod(0o755)
    assert json.loads(os.read(reader, 10_000)) == [["unreadable", 1, str(place.store)]]
