"""The demo's training run, killed at any moment: what it had acknowledged is in the catalog after recovery."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

import pytest

from deriva_ml import DerivaML
from deriva_ml.catalog import objects
from deriva_ml.cli.demo import make_project
from deriva_ml.execution.state_store import ExecutionStatus

POINTS = 8
FINAL = {ExecutionStatus.Uploaded, ExecutionStatus.Aborted}


@dataclass
class Acknowledged:
    """What the run printed before it died: each line was printed after the call that it speaks of had returned."""

    rid: str | None
    epochs: list[int]
    features: int


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, str]:
    place = make_project(tmp_path_factory.mktemp("demo") / "digits")
    done = subprocess.run([sys.executable, "ingest.py"], cwd=place, env=environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = re.search(r"dataset Training (\S+) (\S+)", done.stdout)
    assert found
    return place, found[1], found[2]


def environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("DERIVA_ML")}


def killed(place: Path, dataset: str, version: str, moment: float | str) -> Acknowledged:
    """Start a training run and kill it: after ``moment`` seconds, or as soon as a line begins with ``moment``."""
    command = [sys.executable, "train.py", dataset, version]
    run = subprocess.Popen(
        command, cwd=place, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert run.stdout is not None
    timer = threading.Timer(moment if isinstance(moment, float) else 60, run.send_signal, [signal.SIGKILL])
    timer.start()
    lines = []
    with run, run.stdout:
        for line in run.stdout:
            lines.append(line.split())
            if isinstance(moment, str) and line.startswith(moment):
                run.send_signal(signal.SIGKILL)
    timer.cancel()
    return Acknowledged(
        rid=next((words[1] for words in lines if words[0] == "execution"), None),
        epochs=[int(words[1]) for words in lines if words[0] == "epoch"],
        features=next((int(words[1]) for words in lines if words[0] == "features"), 0),
    )


def committed_epochs(ml: DerivaML, rid: str, folder: Path) -> list[int]:
    epochs = []
    for asset in ml.lookup_execution(rid).list_assets(asset_role="Output"):
        if asset.filename == "metrics.jsonl":
            objects.get(ml.session, asset.url, folder / asset.asset_rid, md5=asset.md5)
            lines = (folder / asset.asset_rid).read_text().splitlines()
            epochs += [json.loads(line)["step"] for line in lines]
    return epochs


def committed_features(ml: DerivaML, rid: str) -> int:
    values = ml.feature_values("Image", "Predicted_Label", execution_rids=[rid])
    return sum(1 for _ in values)


MOMENTS = [
    "execution",
    "epoch 1 ",
    "epoch 7 ",
    "features",
    *random.Random(2026).sample([round(0.3 + n * 0.21, 2) for n in range(20)], POINTS - 4),
]


@pytest.mark.parametrize("moment", MOMENTS)
def test_what_was_acknowledged_is_committed(
    project: tuple[Path, str, str], tmp_path: Path, moment: float | str
) -> None:
    place, dataset, version = project
    said = killed(place, dataset, version, moment)
    ml = DerivaML(working_dir=str(place / ".deriva-ml"))
    ml.commit_pending_executions()

    assert {run.status for run in ml.find_executions()} <= FINAL | {ExecutionStatus.Created}
    if said.rid is not None:
        assert ml.lookup_execution(said.rid).status is ExecutionStatus.Uploaded
        epochs = committed_epochs(ml, said.rid, tmp_path)
        assert len(epochs) == len(set(epochs)), "an epoch is there twice"
        assert set(said.epochs) <= set(epochs)
        assert committed_features(ml, said.rid) >= said.features
