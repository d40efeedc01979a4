"""Sweeps: a parent and its children in sequence, failures beside successes, interruption and continuation, other launchers."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from catalog_says import said_of
from launch_lab import call, write_project

from deriva_ml import DerivaML, Workflow
from deriva_ml.catalog.rows import select
from deriva_ml.launch.job import Job
from deriva_ml.launch.sweep_jobs import settle
from deriva_ml.launch.sweep_plan import content_of, plan_in_workspace
from deriva_ml.names import TableName


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The project and its home; one catalog for all tests of this file."""
    folder = tmp_path_factory.mktemp("sweep")
    return write_project(folder / "project"), folder / "home"


def parent_in(done: subprocess.CompletedProcess[str]) -> str:
    found = re.search(r"^Sweep (\S+):", done.stdout, re.MULTILINE)
    assert found, done.stderr
    return found[1]


def children(home: Path, parent: str) -> list[tuple[int, str]]:
    """The sequence number and status of each child."""
    ml = DerivaML(working_dir=home)
    links = select(
        ml.session, TableName(ml.ml_schema, "Execution_Execution"), {"Execution": parent}, sort=("Sequence",)
    )
    for rid in (parent, *(row["Nested_Execution"] for row in links)):
        assert said_of(ml.session, rid).broken() == []
    return [(row["Sequence"], str(ml.lookup_execution(row["Nested_Execution"]).status)) for row in links]


def test_a_named_sweep_is_a_parent_with_children_in_sequence(place: tuple[Path, Path]) -> None:
    project, home = place
    done = call(project, home, "run", "+multirun=lr_sweep", "model_config.epochs=2", "--metric", "accuracy")
    assert done.returncode == 0, done.stderr
    parent = parent_in(done)
    assert children(home, parent) == [(0, "Uploaded"), (1, "Uploaded")]
    ml = DerivaML(working_dir=home)
    record = ml.lookup_execution(parent)
    assert str(record.status) == "Uploaded"
    assert record.description == "Which learning rate?"
    names = {asset.filename for asset in ml.list_execution_assets(parent, "Output")}
    assert {"sweep.json", "sweep.md"} <= names
    described = [child.description for child in record.list_execution_children()]
    assert described[1] == "digits [overrides: model_config.lr=0.01, model_config.epochs=2] [Job 1]"
    (folder,) = home.glob(f"workspaces/*/sweeps/{parent}")
    jobs = [json.loads(file.read_text()) for file in sorted((folder / "jobs").glob("*.json"))]
    assert [job["metrics"]["accuracy"] for job in jobs] == [0.2, 0.02]
    table = done.stdout.splitlines()
    head = next(n for n, line in enumerate(table) if line.startswith("job "))
    assert table[head].split() == ["job", "execution", "status", "overrides", "accuracy"]
    assert table[head + 1].split()[-1] == "0.2" and table[head + 2].split()[-1] == "0.02"


def test_a_failing_job_does_not_lose_its_siblings(place: tuple[Path, Path]) -> None:
    project, home = place
    done = call(project, home, "run", "-m", "model_config.fail=true,exit,false", "model_config.epochs=3")
    assert done.returncode == 1
    assert "the loss is not finite" in done.stderr and "--continue" in done.stderr
    parent = parent_in(done)
    assert children(home, parent) == [(0, "Failed"), (1, "Failed"), (2, "Uploaded")]
    record = DerivaML(working_dir=home).lookup_execution(parent)
    assert "1 of 3 jobs committed" in str(record.status_detail)
    assert record.description == "digits [overrides: model_config.fail=true,exit,false, model_config.epochs=3]"


def test_what_is_committed_stays_whatever_the_others_are_given(place: tuple[Path, Path]) -> None:
    project, home = place
    parent = parent_in(call(project, home, "run", "-m", "model_config.fail=true,false"))
    for more in (["model_config.epochs=2"], []):
        again = call(project, home, "run", "--continue", parent, *more)
        assert again.returncode == 1 and "1 of 2 jobs committed" in again.stdout, again.stderr
        shutil.rmtree(home / "workspaces")
    assert sorted(children(home, parent)) == [(0, "Failed")] * 3 + [(1, "Uploaded")]


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("model_config.epocs=1,2", "model_config.epochs=1,2?"),
        ("model_config=quick,quik", "Did you mean model_config=quick?"),
    ],
)
def test_a_sweep_over_what_is_not_there_is_refused_before_it_is_recorded(
    place: tuple[Path, Path], wrong: str, right: str
) -> None:
    project, home = place
    before = len(list(DerivaML(working_dir=home).find_executions()))
    done = call(project, home, "run", "-m", wrong)
    assert done.returncode == 1 and right in done.stderr
    assert len(list(DerivaML(working_dir=home).find_executions())) == before


def test_an_interrupted_sweep_goes_on_where_it_stopped(place: tuple[Path, Path]) -> None:
    project, home = place
    overrides = ["-m", "model_config.lr=0.31,0.32,0.33"]
    died = call(project, home, "run", *overrides, DIE_AT="0.32")
    assert died.returncode == -9
    parent = parent_in(died)
    for other in ("model_config.lr=0.5", "model_config.epochs=1,2"):
        refused = call(project, home, "run", "--continue", parent, other)
        assert refused.returncode == 1 and f"{other} would change the jobs" in refused.stderr
    went_on = call(project, home, "run", "--continue", parent)
    assert went_on.returncode == 0, went_on.stderr
    assert "3 of 3 jobs committed" in went_on.stdout
    found = children(home, parent)
    assert [number for number, status in found if status == "Uploaded"] == [0, 1, 2]
    assert [number for number, status in found if status == "Failed"] == [1]
    assert str(DerivaML(working_dir=home).lookup_execution(parent).status) == "Uploaded"
    before = len(found)
    again = call(project, home, "run", "--continue", parent)
    assert again.returncode == 0 and len(children(home, parent)) == before


def test_a_sweep_that_nobody_ran_cannot_be_continued(place: tuple[Path, Path]) -> None:
    done = call(*place, "run", "--continue", "9-ZZZZ")
    assert done.returncode == 1 and "9-ZZZZ" in done.stderr and "Traceback" not in done.stderr


def test_a_dry_sweep_records_nothing(place: tuple[Path, Path]) -> None:
    project, home = place
    before = len(list(DerivaML(working_dir=home).find_executions()))
    done = call(project, home, "run", "-m", "model_config.lr=0.1,0.2", "dry_run=true")
    assert done.returncode == 0, done.stderr
    assert "model_config.lr=0.2" in done.stdout
    assert len(list(DerivaML(working_dir=home).find_executions())) == before


def test_jobs_that_were_lost_or_never_started_are_in_the_table_and_run_again(place: tuple[Path, Path]) -> None:
    project, home = place
    jobs = ["-m", "model_config.lr=0.51,0.52,0.53,0.54", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]
    done = call(project, home, "run", *jobs, DIE_AT="0.51", WAIT="60")
    assert done.returncode == 1 and "0 of 4 jobs committed" in done.stdout
    parent = parent_in(done)
    assert re.search(r"^0 +\S+ +interrupted +model_config.lr=0.51$", done.stdout, re.MULTILINE)
    assert re.search(r"^3 +not started +model_config.lr=0.54$", done.stdout, re.MULTILINE)
    assert "job 3, not started: TerminatedWorkerError" in done.stdout
    went_on = call(project, home, "run", "--continue", parent)
    assert went_on.returncode == 0, went_on.stderr
    assert [number for number, status in children(home, parent) if status == "Uploaded"] == [0, 1, 2, 3]


def test_a_sweep_goes_on_from_what_the_catalog_alone_tells(place: tuple[Path, Path]) -> None:
    project, home = place
    died = call(project, home, "run", "-m", "model_config.lr=0.71,0.72,0.73", DIE_AT="0.72")
    assert died.returncode == -9
    parent = parent_in(died)
    shutil.rmtree(home / "workspaces")
    went_on = call(project, home, "run", "--continue", parent)
    assert went_on.returncode == 0, went_on.stderr
    assert "did not begin in this workspace" in went_on.stdout and "3 of 3 jobs committed" in went_on.stdout
    assert sorted(children(home, parent)) == [(0, "Uploaded"), (1, "Failed"), (1, "Uploaded"), (2, "Uploaded")]
    assert "3.55" in went_on.stdout  # what the finished job measured, read from the catalog
    ml = DerivaML(working_dir=home)
    assert str(ml.lookup_execution(parent).status) == "Uploaded"


def test_optuna_chooses_the_jobs_and_an_interrupted_search_goes_on_with_the_same_ones(place: tuple[Path, Path]) -> None:
    project, home = place
    search = ["hydra/sweeper=optuna", "hydra/sweeper/sampler=random", "hydra.sweeper.sampler.seed=7"]
    search += ["hydra.sweeper.n_trials=5", "hydra.sweeper.n_jobs=1", "hydra.sweeper.direction=maximize"]
    died = call(
        project,
        home,
        "run",
        "-m",
        *search,
        "model_config.lr=choice(0.1,0.2)",
        "model_config.epochs=choice(1,-1)",
        DIE_AT="0.2",
    )
    assert died.returncode == -9
    parent = parent_in(died)
    shutil.rmtree(home / "workspaces")
    went_on = call(project, home, "run", "--continue", parent, "--metric", "accuracy")
    assert went_on.returncode == 0, went_on.stderr
    found = children(home, parent)
    uploaded = [number for number, status in found if status == "Uploaded"]
    assert uploaded == [0, 1, 2, 3, 4] and len(found) == 6
    best = re.search(r"^Best: job (\d), execution (\S+), with value 0.2, the maximum", went_on.stdout, re.MULTILINE)
    assert best and re.search(rf"^{best[1]} \* +{best[2]} +Uploaded +model_config.lr=0.2", went_on.stdout, re.MULTILINE)


def test_an_offline_sweep_is_interrupted_goes_on_and_is_committed_later(place: tuple[Path, Path]) -> None:
    project, home = place
    ml = DerivaML(working_dir=home)
    away = [
        "-m",
        "model_config.lr=0.81,0.82",
        "deriva_ml.mode=offline",
        "hydra/launcher=joblib",
        "hydra.launcher.n_jobs=2",
    ]
    before = len(list(ml.find_executions()))
    died = call(project, home, "run", *away, DIE_AT="0.82", WAIT="60")
    assert died.returncode == 1 and "0 of 2 jobs wait for the catalog" in died.stdout, died.stderr
    local = parent_in(died)
    went_on = call(project, home, "run", "--continue", local)
    assert went_on.returncode == 0, went_on.stderr
    assert f"Sweep {local}: 2 of 2 jobs wait for the catalog." in went_on.stdout
    assert re.search(r"^0 +L-\S+ +waits +model_config.lr=0.81 +4.05", went_on.stdout, re.MULTILINE)
    assert len(list(ml.find_executions())) == before
    assert ml.commit_pending_executions().errors == []
    parent = ml.resume_execution(local)
    uploaded = [number for number, status in children(home, parent.rid) if status == "Uploaded"]
    assert (
        sorted(set(uploaded)) == [0, 1] and uploaded.count(1) == 2
    )  # the one that died, and the one that took its place
    assert "4.05" in content_of(ml, next(each for each in parent.list_assets() if each.filename == "sweep.md")).decode()
    found = plan_in_workspace(parent.rid, home)  # by its RID as well
    assert found is not None and found[1].name == local


def test_a_job_that_waited_is_committed_by_whoever_goes_on_online(place: tuple[Path, Path], tmp_path: Path) -> None:
    home = place[1]
    ml, away = DerivaML(working_dir=home), DerivaML(working_dir=home, mode="offline")
    ended, workflow = [], Workflow(name="digits", workflow_type="Training", url="https://example.org/digits.py")
    for name in ("well", "badly"):
        exe = away.create_execution(workflow=workflow, description=name)
        with contextlib.suppress(ValueError), exe:
            exe.asset_file_path("Execution_Asset", f"{name}.txt").write_text(name)
            if name == "badly":
                raise ValueError("the loss is not finite")
        job = Job(number=len(ended), parent="P", file=tmp_path / f"{name}.json", rid=exe.rid)
        job.ended(exe, offline=True)
        settle(away, job, "P")
        ended.append(job)
    assert [(job.status, job.is_done(())) for job in ended] == [("waits", True), ("Failed", False)]
    for job in ended:
        settle(ml, job, "P")
    records = [ml.resume_execution(str(job.rid)).execution_record for job in ended]
    assert [str(record.status) for record in records if record] == ["Uploaded", "Failed"]
    assert [len(record.list_assets("Output")) > 0 for record in records if record] == [True, True]
    assert ended[0].status == "Uploaded" and ml.commit_pending_executions().execution_rids == []
    assert not any(str(job.rid).startswith("L-") for job in ended)
    ml.resume_execution(str(ended[1].rid)).commit_output_assets()  # what somebody commits does not make it end well
    settle(ml, ended[1], "P")
    assert (ended[1].status, str(ml.lookup_execution(str(ended[1].rid)).status)) == ("Failed", "Failed")
