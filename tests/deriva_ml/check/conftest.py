"""One healthy home, made once; each test damages a copy, of which afterwards what has changed is put back."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from places import Place, furnish, killed, restore

from deriva_ml import DerivaML


@pytest.fixture(scope="session")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A healthy home with a bit of everything, closed."""
    folder = tmp_path_factory.mktemp("healthy")
    return furnish(folder / "home", folder)


@pytest.fixture(scope="session")
def scratch(healthy: Place, tmp_path_factory: pytest.TempPathFactory) -> Place:
    """The copy of the healthy home that tests damage, one after the other."""
    home = tmp_path_factory.mktemp("scratch") / "home"
    shutil.copytree(healthy.home, home, symlinks=True)
    return replace(healthy, home=home)


@pytest.fixture
def place(healthy: Place, scratch: Place) -> Iterator[Place]:
    """A copy of the healthy home."""
    yield scratch
    scratch.close()
    restore(scratch.home, healthy.home)


@pytest.fixture(scope="session")
def cut_short(healthy: Place, tmp_path_factory: pytest.TempPathFactory) -> Place:
    """The same home, in which a process was killed: its databases have logs that are not copied back."""
    home = tmp_path_factory.mktemp("cut") / "home"
    shutil.copytree(healthy.home, home, symlinks=True)
    killed(home)
    return replace(healthy, home=home)


@pytest.fixture
def killed_place(cut_short: Place, tmp_path: Path) -> Iterator[Place]:
    """A copy of the home in which a process was killed."""
    shutil.copytree(cut_short.home, tmp_path / "home", symlinks=True)
    copied = replace(cut_short, home=tmp_path / "home")
    yield copied
    copied.close()


@pytest.fixture
def own_place(healthy: Place, tmp_path: Path) -> Iterator[Place]:
    """A copy of the healthy home for one test alone, whose runs may live on."""
    shutil.copytree(healthy.home, tmp_path / "home", symlinks=True)
    copied = replace(healthy, home=tmp_path / "home")
    yield copied
    copied.close()


@pytest.fixture
def opened(own_place: Place) -> DerivaML:
    """That copy, opened."""
    return DerivaML(working_dir=own_place.home)
