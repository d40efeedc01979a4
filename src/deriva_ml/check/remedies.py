"""What a machine can do about a finding: values that say what, and where; nothing is done here."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

FOLDER = "set-aside-by-repair"
"""Where a repair puts what is damaged, in the workspace or the cache that it comes from, under the path that it had."""
COMMAND = "deriva-ml check --repair"


class Act(StrEnum):
    """The kinds of repairs, in the order in which they are done."""

    SET_ASIDE = "set aside"
    EMPTY_LOCK = "empty the lock file"
    MAKE_INDEX = "make the index"
    CORRECT = "correct the rows"
    SETTLE = "settle the dead run"
    REBUILD = "rebuild the record"
    SEAL_AGAIN = "seal the file again"
    LINK_AGAIN = "link the file again"
    WRITE_MANIFEST = "write the manifest"
    SEAL_BAG = "seal the run again"


WITHIN = {Act.SET_ASIDE, Act.SEAL_AGAIN, Act.LINK_AGAIN, Act.WRITE_MANIFEST}
"""What is done in the folder of an execution, where one is named, while nobody else may work in it."""


@dataclass(frozen=True, slots=True)
class Remedy:
    """One repair: ``does`` completes "`deriva-ml check --repair` …"; ``area`` is the workspace or cache that it concerns.

    ``rid`` is the execution in whose folder it is done, ``key`` an asset of it, an index or a rule, ``path`` what it is about.
    """

    act: Act
    does: str
    area: Path
    path: Path | None = None
    rid: str = ""
    key: str = ""


def set_aside(area: Path, path: Path, rid: str = "", then: str = "") -> Remedy:
    """Move ``path`` into the folder for what is damaged."""
    return Remedy(Act.SET_ASIDE, f"moves it into {FOLDER}{then}", area, path, rid)


def empty_lock(area: Path, path: Path) -> Remedy:
    """Empty a lock file that nobody holds."""
    return Remedy(Act.EMPTY_LOCK, "empties the file", area, path)


def make_index(area: Path, name: str) -> Remedy:
    """Make an index of the store anew."""
    return Remedy(Act.MAKE_INDEX, "makes it anew", area, key=name)


def correct(area: Path, kind: str, does: str) -> Remedy:
    """Correct the rows of the store that break the rule ``kind``."""
    return Remedy(Act.CORRECT, does, area, key=kind)


def settle(area: Path, rid: str) -> Remedy:
    """Settle an execution whose process is gone."""
    return Remedy(Act.SETTLE, f"settles it, as `deriva-ml resume {rid}` does", area, rid=rid)


def rebuild(area: Path, rid: str) -> Remedy:
    """Rebuild the record of an execution from the catalog and its manifest."""
    return Remedy(
        Act.REBUILD, f"rebuilds its record from the manifest, as `deriva-ml resume {rid}` does", area, rid=rid
    )


def seal_again(area: Path, rid: str, key: str) -> Remedy:
    """Seal a file once more, from its staged bytes that are still whole."""
    return Remedy(
        Act.SEAL_AGAIN, "seals it again from the very same bytes, which are still here", area, rid=rid, key=key
    )


def link_again(area: Path, rid: str, key: str, then: str = "") -> Remedy:
    """Link a registered file of the user's once more."""
    return Remedy(Act.LINK_AGAIN, f"{then}links it again", area, rid=rid, key=key)


def write_manifest(area: Path, rid: str, then: str = "") -> Remedy:
    """Write the manifest anew from the store."""
    return Remedy(Act.WRITE_MANIFEST, f"{then}writes it anew from the store", area, rid=rid)


def seal_bag(area: Path, path: Path, rid: str) -> Remedy:
    """Replace the sealed bag ``path`` of an execution that still waits here."""
    return Remedy(Act.SEAL_BAG, f"moves it into {FOLDER} and seals execution {rid} again", area, path, rid)
