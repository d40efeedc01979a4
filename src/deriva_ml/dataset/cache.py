"""Bags and asset files kept for the next time: found by name, without asking the catalog for a single row.

Nothing in here is the only copy of anything, so nothing is synced when it is written. After a restart of the machine
a bag is checked once against its manifests before it is used again, and an asset file each time it is linked.
"""

from __future__ import annotations

import errno
import hashlib
import json
import secrets
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from deriva_ml.bag.verify import verify
from deriva_ml.dataset.resolve import ResolvedSpec
from deriva_ml.environment.host import boot_id
from deriva_ml.errors import DerivaMLIntegrityError, DerivaMLReadOnlyError
from deriva_ml.rid import check_rid

READY = "ready.json"


class BagCache:
    """The kept bags below ``folder``: one per dataset, version, snapshot and set of excluded tables."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def place(self, spec: ResolvedSpec, exclude: Collection[str], holes: bool) -> Path:
        """Return the folder that holds, or would hold, the bag of a released version."""
        key = json.dumps([spec.rid, str(spec.version), spec.snapshot, sorted(exclude), holes])
        digest = hashlib.sha256(key.encode()).hexdigest()[:16]
        return self.folder / "bags" / f"{check_rid(spec.rid)}_{spec.version}_{digest}"

    def find(self, place: Path, rid: str, *, holes: bool) -> Path | None:
        """Return the kept bag in ``place``, or None if there is none that is whole."""
        bag = place / f"Dataset_{rid}"
        try:
            boot = json.loads((place / READY).read_text())["boot"]
            if boot != boot_id() or not boot:
                verify(bag, holes=holes)
                self._mark(place)
        except FileNotFoundError:
            return None
        except (DerivaMLIntegrityError, ValueError, KeyError):  # torn by a power cut: it is built again
            shutil.rmtree(place, ignore_errors=True)
            return None
        return bag

    def keep(self, built: Path, place: Path, rid: str) -> Path:
        """Move the folder ``built`` with its finished bag to ``place``; where another process was faster, its bag counts."""
        self._mark(built)
        place.parent.mkdir(parents=True, exist_ok=True)
        if not _moved(built, place) and not (place / READY).is_file():  # nobody has left it so but a power cut
            shutil.rmtree(place, ignore_errors=True)
            if not _moved(built, place) and not (place / READY).is_file():
                raise DerivaMLReadOnlyError(f"{place} cannot be replaced: move it away, and make its folder writable.")
        return place / f"Dataset_{rid}"

    @contextmanager
    def building(self) -> Iterator[Path]:
        """Give a new folder for a bag in the making; what is still there at the end goes away."""
        place = self.folder / "building" / secrets.token_hex(8)
        place.mkdir(parents=True)
        try:
            yield place
        finally:
            shutil.rmtree(place, ignore_errors=True)

    def live_place(self, rid: str) -> Path:
        """Return a new folder for the bag of a development version, which nobody else will find."""
        place = self.folder / "live" / f"{check_rid(rid)}_{secrets.token_hex(8)}"
        place.parent.mkdir(parents=True, exist_ok=True)
        return place

    def asset_file(self, md5: str) -> Path:
        """Return where the bytes with this checksum are kept."""
        return self.folder / "assets" / md5[:2] / md5

    def _mark(self, place: Path) -> None:
        (place / READY).write_text(json.dumps({"boot": boot_id()}))


def _moved(built: Path, place: Path) -> bool:
    """Move a folder; say False where there is one already."""
    try:
        built.rename(place)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
            raise
        return False
    return True
