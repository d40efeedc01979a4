"""Catalogs of the tests' own: embedded in this process, and on ``deriva-ml serve`` through the deriva client."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from deriva_ml import DerivaML
from deriva_ml.catalog.port import Request, Response
from deriva_ml.schema import create_ml_catalog

START_SECONDS = 30
ROADS = ["embedded", "served"]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh home, and an empty current folder beside it; neither is made by the fixture's user by accident."""
    folder = tmp_path / "home"
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.setenv("DERIVA_ML_HOME", str(folder))
    monkeypatch.chdir(work)
    return folder


@pytest.fixture(scope="session")
def served_ml_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the store that :func:`served_ml` serves."""
    return tmp_path_factory.mktemp("served-ml") / "store"


@pytest.fixture(scope="session")
def served_ml(served_ml_store: Path) -> Iterator[str]:
    """The address of one ``deriva-ml serve --open`` for all tests of this process; each takes a catalog of its own."""
    command = [sys.executable, "-m", "deriva_ml.cli.serve", "--store", str(served_ml_store), "--port", "0", "--open"]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    assert process.stdout is not None
    address = process.stdout.readline().split()
    if not address or not address[0].startswith("http"):
        process.kill()
        pytest.fail(f"deriva-ml serve did not start: {address}")
    yield address[0]
    process.terminate()
    process.communicate(timeout=START_SECONDS)


@pytest.fixture(scope="session")
def fresh_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home just after its first use, closed, to be copied: making one for each test would take longer."""
    folder = tmp_path_factory.mktemp("fresh") / "home"
    DerivaML(working_dir=folder).session.port.close()
    return folder


@pytest.fixture
def embedded_ml(home: Path, fresh_home: Path) -> Iterator[DerivaML]:
    """An embedded catalog on a fresh home."""
    shutil.copytree(fresh_home, home)
    opened = DerivaML()
    yield opened
    opened.session.port.close()


@pytest.fixture
def remote_ml(home: Path, served_ml: str) -> Iterator[DerivaML]:
    """A fresh catalog on the shared server, reached through the deriva client."""
    made = create_ml_catalog(served_ml, "domain", credential={})
    opened = DerivaML(served_ml, made.catalog_id, credential={})
    yield opened
    opened.session.port.close()


@pytest.fixture(params=ROADS)
def ml(request: pytest.FixtureRequest) -> DerivaML:
    """A fresh catalog, by both roads: what works on one works on the other."""
    road = {"embedded": "embedded_ml", "served": "remote_ml"}[request.param]
    opened: DerivaML = request.getfixturevalue(road)
    return opened


@pytest.fixture
def requests_of(monkeypatch: pytest.MonkeyPatch) -> Callable[[DerivaML], list[str]]:
    """Return a list that grows with each request that a session sends from then on."""

    def listen(opened: DerivaML) -> list[str]:
        sent: list[str] = []
        real = opened.session.port.send

        def send(request: Request) -> Response:
            sent.append(f"{request.method} {request.path}")
            return real(request)

        monkeypatch.setattr(opened.session.port, "send", send)
        return sent

    return listen
