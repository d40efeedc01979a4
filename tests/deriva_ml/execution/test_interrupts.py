"""Ctrl-C at any moment: whoever is interrupted goes on afterwards, and no other thread notices."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from deriva_ml import DerivaML, Workflow
from deriva_ml.execution import ExecutionStatus, create
from deriva_ml.execution.states import Event
from deriva_ml.execution.store import ExecutionStore

S = ExecutionStatus

CROWD = """
import json, os, signal, sys, threading, time
from deriva_ml import DerivaML, Workflow

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may ignore it for what runs in the background
home = sys.argv[1]
ml = DerivaML(working_dir=home)
workflow = Workflow(name="w", workflow_type="Training", url="https://example.org/w.py", checksum="w")
over, wrong, kept = threading.Event(), [], []


def work(number):
    mine, round_ = DerivaML(working_dir=home), 0
    try:
        while not over.is_set():
            with mine.create_execution(workflow=workflow) as exe:
                name = f"{number}-{round_}.txt"
                exe.asset_file_path("Image", name).write_text(name)
                exe.log_metrics(loss=0.5)
            exe.commit_output_assets()
            kept.append(name)
            round_ += 1
    except BaseException as error:
        wrong.append(repr(error))


threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
for thread in threads:
    thread.start()
hits = 0
for number in range(40):
    timer = threading.Timer(0.003 + 0.0011 * number, os.kill, (os.getpid(), signal.SIGINT))
    try:
        timer.start()
        with ml.create_execution(workflow=workflow) as exe:
            exe.log_metrics(loss=0.5)
        exe.commit_output_assets()
        timer.join()
        time.sleep(0.01)
    except KeyboardInterrupt:
        hits += 1
over.set()
for thread in threads:
    thread.join()
with ml.create_execution(workflow=workflow) as exe:
    exe.asset_file_path("Image", "last.txt").write_text("last")
exe.commit_output_assets()
print(json.dumps({"hits": hits, "wrong": wrong, "kept": [*kept, "last.txt"]}))
"""


LOGGERS = """
import json, os, signal, sys, threading, time
from deriva_ml import DerivaML, Workflow

signal.signal(signal.SIGINT, signal.default_int_handler)
ml = DerivaML(working_dir=sys.argv[1])
workflow = Workflow(name="w", workflow_type="Training", url="https://example.org/w.py", checksum="w")
exe = ml.create_execution(workflow=workflow)
exe.execution_start()
over, wrong, kept = threading.Event(), [], []


def log(who, number):
    exe.log_metrics({"at": f"{who}-{number}"})
    kept.append(f"{who}-{number}")


def work(who):
    number = 0
    try:
        while not over.is_set():
            log(who, number)
            number += 1
    except BaseException as error:
        wrong.append(repr(error))


threads = [threading.Thread(target=work, args=(who,)) for who in "abc"]
for thread in threads:
    thread.start()
hits = number = 0
end = time.monotonic() + 1
while time.monotonic() < end:
    timer = threading.Timer(0.0002 * (number % 50), os.kill, (os.getpid(), signal.SIGINT))
    try:
        timer.start()
        for _ in range(20):
            number += 1
            log("main", number)
        timer.join()
        time.sleep(0.001)
    except KeyboardInterrupt:
        hits += 1
try:
    time.sleep(0.1)
except KeyboardInterrupt:
    hits += 1
over.set()
for thread in threads:
    thread.join()
exe.execution_stop()
exe.commit_output_assets()
print(json.dumps({"hits": hits, "wrong": wrong, "kept": kept}))
"""


def told_by(script: str, home: Path) -> Any:
    done = subprocess.run(
        [sys.executable, "-c", script, home], capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["wrong"] == []
    assert told["hits"] > 5
    return told


def test_what_threads_log_while_one_is_interrupted_is_there_once(local_lab: DerivaML, home: Path) -> None:
    told = told_by(LOGGERS, home)
    (asset,) = (each for each in local_lab.list_assets("Execution_Metadata") if each.filename == "metrics.jsonl")
    lines = [json.loads(line)["at"] for line in local_lab.session.hatrac("GET", asset.url).body.splitlines()]
    assert len(lines) == len(set(lines))
    assert sorted(set(told["kept"]) - set(lines)) == []


def test_a_thread_that_is_interrupted_keeps_nobody_from_writing(local_lab: DerivaML, home: Path) -> None:
    told = told_by(CROWD, home)
    names = [asset.filename for asset in local_lab.list_assets("Image")]
    assert sorted(set(told["kept"]) - set(names)) == []
    assert len(names) == len(set(names))
    assert local_lab.commit_pending_executions().errors == []


@pytest.mark.parametrize("event", [Event.START, Event.FINISH])
@pytest.mark.parametrize("known", [False, True], ids=["before the store knows", "after it"])
def test_a_run_that_is_interrupted_as_it_begins_or_ends_does_not_stay_running(
    local_lab: DerivaML, workflow: Workflow, monkeypatch: pytest.MonkeyPatch, event: Event, known: bool
) -> None:
    real, hits = ExecutionStore.change, list[Event]()

    def interrupted(store: ExecutionStore, rid: str, now: Event, *more: Any, **named: Any) -> Any:
        if now is not event or hits:
            return real(store, rid, now, *more, **named)
        hits.append(now)
        if known:
            real(store, rid, now, *more, **named)
        raise KeyboardInterrupt

    monkeypatch.setattr(ExecutionStore, "change", interrupted)
    exe = local_lab.create_execution(workflow=workflow)
    with pytest.raises(KeyboardInterrupt), exe:
        exe.log_metrics(loss=0.5)
    expected = {
        (Event.START, False): S.Created,
        (Event.START, True): S.Failed,
        (Event.FINISH, False): S.Failed,
        (Event.FINISH, True): S.Stopped,
    }
    assert exe.status is expected[event, known]
    if exe.status is S.Created:
        with exe:
            exe.log_metrics(loss=0.5)
    exe.commit_output_assets()
    assert exe.status is S.Uploaded


def test_a_creation_that_is_interrupted_is_aborted(
    local_lab: DerivaML, workflow: Workflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(create.inputs, "download_assets", interrupted)
    with pytest.raises(KeyboardInterrupt):
        local_lab.create_execution(workflow=workflow)
    (found,) = local_lab.list_executions()
    record = local_lab.lookup_execution(found.rid)
    assert (found.status, record.status_detail) == (S.Aborted, "creation failed: KeyboardInterrupt")
