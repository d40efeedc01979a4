"""``deriva-ml check --repair``: killed at any step it goes on, it says what it did, and leaves alone what is not its own."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
from pathlib import Path

import pytest
from click.testing import CliRunner
from damages import CASES
from places import Place, half, killed, restore, text

from deriva_ml import DerivaML, DerivaMLUploadError, Workflow
from deriva_ml.check.home import check_home, session_to_repair
from deriva_ml.check.remedies import FOLDER
from deriva_ml.check.repair import repair
from deriva_ml.cli.check import command
from deriva_ml.files import hash_file
from torture.disk import Step, Tap, install

SOME = {"store-index", "duration", "download", "manifest-torn", "staged-no-link", "sealed-bytes", "receipt", "cache-bytes", "sealed-bag",
        "schema-cache", "lock", "lock-text", "dead"}  # fmt: skip
"""Damages that go together; for each the first case that a machine repairs."""


def run(*arguments: object) -> tuple[int, str, str]:
    done = CliRunner().invoke(command, [str(each) for each in arguments])
    return done.exit_code, done.stdout, done.stderr


def damage(place: Place) -> None:
    for kind in sorted(SOME):
        next(case for case in CASES if (case.kind, case.by) == (kind, "machine")).damage(place)


def mend(home: Path) -> list[str]:
    """Check and repair, as the command does."""
    report = check_home(home, read_data=True)
    told = repair(report.remedies, lambda workspace: session_to_repair(home, workspace), read_data=True)
    return [str(each) for each in told]


def killed_at(home: Path, number: int) -> bool:
    """Repair in a process that is killed before its n-th step to the disk; return whether it was."""
    left = number

    def before(step: Step) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)

    child = os.fork()
    if child == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        install(Tap(str(home), before, lambda step: None))
        mend(home)
        os._exit(0)
    return os.waitpid(child, 0)[1] == signal.SIGKILL


def test_killed_at_any_step_it_goes_on(place: Place) -> None:
    """A repair is killed at its first step, the next one a few steps later, and so on, until one gets through."""
    damage(place)
    staged = place.folder(place.sealed) / "assets" / "Mask" / "b.txt"
    number, deaths = 0, 0
    while killed_at(place.home, number):
        number, deaths = number + 1 + number // 4, deaths + 1
        assert not place.check_workspace().is_fatal
    assert deaths > 10
    mend(place.home)  # a process that was killed may itself have left a dead run's lock, say
    report = place.check()
    assert report.exit_code == 0, report.render()
    place.close()
    ml = DerivaML(working_dir=place.home)
    ml.resume_execution(place.sealed).commit_output_assets(clean_folder=False)
    ml.resume_execution(place.stopped).commit_output_assets()
    found = {
        asset.filename: asset
        for rid in (place.sealed, place.stopped)
        for asset in ml.list_execution_assets(rid, "Output")
    }
    assert {"b.txt", "c.txt", "linked.txt", "copied.txt", "metrics.jsonl"} <= set(found)
    assert found["b.txt"].md5 == hash_file(staged).md5


def live(home: Path, beside: Path) -> None:
    """A run from its creation to its second commit."""
    ml = DerivaML(working_dir=home, clean_execution_dir=False)
    workflow = Workflow(name="x", workflow_type="Training", url="https://e.org/x", checksum="x")
    with ml.create_execution(workflow=workflow, parameters={"lr": 0.1}) as exe:
        exe.asset_file_path("Image", "new.txt").write_text("new")
        exe.asset_file_path("Image", str(beside))
        exe.asset_file_path("Image", str(beside), copy_file=True, rename_file="copy.txt")
        exe.log_metrics({"loss": 1.0})
    exe.commit_output_assets()
    exe.asset_file_path("Image", str(beside), copy_file=True, rename_file="more.txt")
    exe.commit_output_assets(clean_folder=True)


def steps_of(home: Path, number: int, beside: Path) -> int:
    """Live in a process that is killed before its n-th step to the disk; return how many steps it took."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        taken = 0

        def before(step: Step) -> None:
            nonlocal taken
            taken += 1
            if taken > number:
                os.kill(os.getpid(), signal.SIGKILL)

        install(Tap(str(home), before, lambda step: None))
        live(home, beside)
        os.write(writer, str(taken).encode())
        os._exit(0)
    os.close(writer)
    os.waitpid(child, 0)
    with os.fdopen(reader) as told:
        return int(told.read() or number)


def test_a_process_that_was_killed_alarms_nobody(place: Place, healthy: Place, tmp_path: Path) -> None:
    """At whatever step it dies: nothing is called lost, and all that it left half-way is put right."""
    beside = tmp_path / "mine.txt"
    beside.write_text("mine")
    chance, total = random.Random(), steps_of(place.home, 1_000_000, beside)
    assert total > 100
    for number in [chance.randrange(total) for _ in range(6)]:
        restore(place.home, healthy.home)
        steps_of(place.home, number, beside)
        report = place.check()
        assert not report.is_fatal, f"killed at step {number}: {report.render()}"
        place.repair(report)
        again = place.check()
        assert again.exit_code == 0, f"killed at step {number}: {again.render()}"
        place.close()


def test_each_repair_is_told_in_a_line_and_the_exit_code_is_of_what_is_left(place: Place) -> None:
    manifest = place.folder(place.stopped) / "asset-manifest.json"
    half(manifest)
    torn = manifest.read_bytes()
    place.sql("UPDATE executions SET owner = '{}'")  # its program has ended: nobody will write this any more
    place.sql("UPDATE entries SET sha256 = NULL, length = NULL WHERE key = 'Image/c.txt'")
    (place.folder(place.stopped) / "assets" / "Image" / "c.txt").unlink()
    code, said, _ = run("--home", place.home, "--repair")
    lines = said.splitlines()
    aside = place.workspace / FOLDER / "executions" / place.stopped / "asset-manifest.json"
    assert lines[0].split(maxsplit=1) == [
        "repaired", f"execution {place.stopped}: {manifest} is written anew from the store; what was there is now {aside}",
    ]  # fmt: skip
    assert aside.read_bytes() == torn
    assert (code, lines[1].split()[0], "never written" in lines[1]) == (1, "repairable", True)
    assert lines[2].split()[0] == "note"  # what was set aside is remembered
    assert lines[3].startswith("1 finding, 0 of them fatal. Looked at: ")
    manifest.write_text("{")
    run("--home", place.home, "--repair")
    assert aside.with_name(f"{aside.name}.2").read_text() == "{"
    (place.folder(place.stopped) / "assets" / "Image" / "c.txt").write_text("c")
    assert run("--home", place.home, "--repair")[0] == 0


def test_a_dry_run_says_what_would_be_done(place: Place) -> None:
    damage(place)
    names = listing(place.home)
    code, said, _ = run("--home", place.home, "--read-data", "--repair", "--dry-run")
    assert code == 1
    assert sum(line.startswith("would ") for line in said.splitlines()) >= len(SOME)
    assert listing(place.home) == names
    assert run("--home", place.home, "--dry-run")[0] == 2


def listing(folder: Path) -> list[str]:
    """Return all names in a folder but those that SQLite makes when it reads."""
    return sorted(str(path) for path in folder.rglob("*") if not path.name.endswith(("-shm", "-wal")))


def test_what_is_fatal_stays_as_it_is(place: Place) -> None:
    """Beside a store that is gone nothing is rebuilt: who has a backup of it puts it back first."""
    for path in place.workspace.glob("store.sqlite*"):
        path.unlink()
    code, said, _ = run("--home", place.home, "--repair", "--json")
    document = json.loads(said)
    assert (code, document["repairs"]) == (2, [])
    assert {finding["kind"] for finding in document["findings"]} == {"store-gone", "unrecorded"}
    assert not place.store.exists()
    ml = DerivaML(working_dir=place.home)  # as the advice says, where there is none
    for rid in (place.sealed, place.stopped):
        ml.resume_execution(rid)
    assert place.check().exit_code == 0


def test_a_run_of_a_server_is_settled_with_that_server(place: Place, tmp_path: Path) -> None:
    """Of a dead run the catalog has to be told; where nobody names the server, the run is left, and the command is said."""
    rid = killed(place.home)
    remote = place.home / "workspaces" / "example.org__1"
    shutil.move(place.workspace, remote)
    cache = remote / "schema-cache.json"
    cache.write_text(cache.read_text().replace('"hostname": "embedded"', '"hostname": "example.org"'))
    code, said, _ = run("--home", place.home, "--repair")
    assert code == 1
    assert f"deriva-ml resume {rid} --host" in said.splitlines()[0]
    text("not an archive")(next((remote / "sealed-bags").glob("*.zip")))
    code, said, _ = run("--home", place.home, "--repair")
    assert "sealed again as" in said, said  # for that nobody need be asked


def test_a_commit_does_not_replace_a_file_that_took_the_place_of_a_link(
    opened: DerivaML, own_place: Place, tmp_path: Path
) -> None:
    """A program that writes beside and renames puts a file there: it may be the only one."""
    staged = next(path for path in own_place.folder(own_place.stopped).rglob("linked.txt"))
    staged.unlink()
    staged.write_text("written by a program")
    exe = opened.resume_execution(own_place.stopped)
    with pytest.raises(DerivaMLUploadError, match="is a file now"):
        exe.commit_output_assets()
    assert staged.read_text() == "written by a program"
    assert run("--home", own_place.home, "--repair")[0] == 0
    assert (
        own_place.workspace / FOLDER / "executions" / own_place.stopped / "assets" / "Image" / "linked.txt"
    ).read_text() == "written by a program"
    assert exe.commit_output_assets().errors == []


def test_a_receipt_that_was_set_aside_costs_no_other_one(opened: DerivaML, own_place: Place) -> None:
    exe = opened.resume_execution(own_place.done)
    commit = own_place.folder(own_place.done) / "commit"
    exe.asset_file_path("Image", "second.txt").write_text("2")
    exe.commit_output_assets(clean_folder=False)
    second = (commit / "receipt-2.json").read_bytes()
    (commit / "receipt-1.json").write_text("{")
    assert run("--home", own_place.home, "--repair")[0] == 0
    exe.asset_file_path("Image", "third.txt").write_text("3")
    exe.commit_output_assets(clean_folder=False)
    assert (commit / "receipt-2.json").read_bytes() == second
    assert (commit / "receipt-3.json").is_file()


def test_a_run_whose_lock_file_was_removed_is_not_taken_for_dead(opened: DerivaML) -> None:
    """By no check, no repair and no later opening, while its process may be alive."""
    exe = opened.create_execution(
        workflow=Workflow(name="x", workflow_type="Training", url="https://e.org/x", checksum="x")
    )
    exe.execution_start()
    (opened.workspace / "locks" / f"{exe.rid}.run").unlink()
    assert [finding.kind for finding in opened.check().findings] == ["lock-gone"]
    assert run("--home", opened.working_dir, "--repair")[0] == 1
    child = os.fork()
    if child == 0:
        DerivaML(working_dir=opened.working_dir)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert exe.status == "Running"
