"""One healthy home, made once; each test damages a copy, of which afterwards what has changed is put back."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from places import Place, furnish, killed

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


def restore(copy: Path, original: Path) -> None:
    """Make a copy what it was; what has not changed is not copied again."""
    shutil.copystat(original, copy)
    wanted = {entry.name: entry for entry in os.scandir(original)}
    for entry in list(os.scandir(copy)):
        if entry.name not in wanted or look(entry.path) != look(wanted[entry.name].path):
            shutil.rmtree(entry.path) if entry.is_dir(follow_symlinks=False) else Path(entry.path).unlink()
    for name, entry in wanted.items():
        place = copy / name
        if entry.is_dir(follow_symlinks=False):
            place.mkdir(exist_ok=True)
            restore(place, Path(entry.path))
        elif not os.path.lexists(place):
            shutil.copy2(entry.path, place, follow_symlinks=False)


def look(path: str) -> object:
    """Return what tells whether a file has changed; SQLite changes its files without a word."""
    found = os.lstat(path)
    if stat.S_ISDIR(found.st_mode):
        return "folder"
    return path if ".sqlite" in path else (found.st_mode, found.st_size, found.st_mtime_ns)
