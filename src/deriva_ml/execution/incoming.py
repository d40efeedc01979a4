"""Where sealed bags are unpacked: a folder for each loader while it lives; what is left of one that died is removed.

A loader takes the lock of its folder before it makes it, and lets go after it has removed it. The names are used once. So
whoever finds a folder without a lock that is held knows that it will never be used again.
"""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deriva_ml.execution import liveness
from deriva_ml.execution.run import lock_file
from deriva_ml.files import make_folder

FOLDER = "incoming"


@contextmanager
def unpacking(workspace: Path) -> Iterator[Path]:
    """Make an empty folder that is removed when the block ends, and remove those of dead loaders before."""
    sweep(workspace)
    place = workspace / FOLDER / uuid.uuid4().hex
    with liveness.holding(_lock(place), "A sealed bag cannot be unpacked"):
        try:
            make_folder(place)
            yield place
        finally:
            _remove(place)


def sweep(workspace: Path) -> None:
    """Remove what loaders that died had unpacked; a folder that a living one uses stays."""
    folder = workspace / FOLDER
    for place in folder.iterdir() if folder.is_dir() else ():
        if not liveness.alive(_lock(place)):
            _remove(place)


def _remove(place: Path) -> None:
    """Remove a folder, then the file of its lock; what cannot be removed now goes the next time."""
    shutil.rmtree(place, ignore_errors=True)
    if not place.exists():
        _lock(place).unlink(missing_ok=True)


def _lock(place: Path) -> Path:
    return lock_file(place.parents[1], place.name, FOLDER)
