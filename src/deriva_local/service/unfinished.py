"""The folder in which a copy of a store is made until it is whole, and what killed copies have left of theirs."""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from deriva_local.store.forks import own_file

_NAME = re.compile(r"\..+\.[0-9a-f]{8}\.partial")


@contextmanager
def unfinished(target: Path) -> Iterator[Path]:
    """Yield a new folder beside ``target``; it is removed if the block fails, and should be renamed in it otherwise.

    What copies to the same place, whose processes were killed, left there is removed first. The folder is locked
    while the block runs: that tells the living from the dead.

    Example:
        >>> import tempfile
        >>> target = Path(tempfile.mkdtemp()) / "copy"
        >>> with unfinished(target) as folder:
        ...     folder.rename(target) == target
        True
    """
    _clear(target.parent)
    folder = target.with_name(f".{target.name}.{secrets.token_hex(4)}.partial")
    folder.mkdir(mode=0o700)
    with _locked(folder):
        try:
            yield folder
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold a folder for the block.

    Raises:
        BlockingIOError: somebody holds it.
    """
    with own_file(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW) as descriptor:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield


def _clear(place: Path) -> None:
    """Remove the folders of dead copies in ``place``. An empty one may belong to somebody who has not locked it yet."""
    for folder in [each for each in place.iterdir() if _NAME.fullmatch(each.name)]:
        with suppress(OSError), _locked(folder):
            if any(folder.iterdir()):
                shutil.rmtree(folder)
