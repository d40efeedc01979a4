"""The environment of a run, as a document."""

from __future__ import annotations

import json
import os
import re
import sys
from importlib import metadata
from pathlib import Path

import pytest

from deriva_ml.environment import capture
from deriva_ml.environment.host import boot_id, likely_cause, this_process


def test_the_snapshot_says_what_ran() -> None:
    found = json.loads(json.dumps(capture.snapshot()))
    assert found["python"]["version"] == sys.version
    assert found["os"]["cwd"] == str(Path.cwd())
    assert found["platform"]["machine"]
    assert found["sys"]["argv"]
    assert set(found["gpu"]) == {"available", "source", "count", "devices", "torch"}


def test_every_installed_distribution_is_listed_with_its_version() -> None:
    listed = dict(capture.packages())
    for distribution in metadata.distributions():
        name = re.sub(r"[-_.]+", "-", distribution.metadata["Name"]).lower()
        if distribution.files and not str(distribution.files[0]).startswith("__editable__"):
            assert listed.get(name) == distribution.version, name


def test_variables_that_may_not_be_named_are_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_TOKEN", "abcdef-secret")
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    text = json.dumps(capture.snapshot())
    assert "abcdef-secret" not in text
    assert json.loads(text)["os"]["environ"]["OMP_NUM_THREADS"] == "4"


def test_a_graphics_card_is_described_and_a_broken_driver_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "nvidia-smi"
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    for text, devices, problems in (
        ("#!/bin/sh\necho 'RTX 9000, 49140 MiB, 550.1'\n", 1, 0),
        ("#!/bin/sh\nexit 9\n", 0, 1),
    ):
        program.write_text(text)
        program.chmod(0o755)
        capture._nvidia.cache_clear()
        found = capture.snapshot()
        assert (found["gpu"]["count"], len(found["problems"])) == (devices, problems)
    capture._nvidia.cache_clear()


def test_a_working_directory_that_is_gone_stops_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert capture.snapshot()["os"]["cwd"] is None


def test_this_process_is_described() -> None:
    found = this_process()
    assert (found["pid"], found["boot"]) == (os.getpid(), boot_id())
    assert likely_cause(found) == "ended without closing"
    assert likely_cause({**found, "boot": "another"}) == "the machine was restarted"
