"""Repairing what a check found: each remedy done under the locks that keep everybody else out, and told in a line.

Nothing is deleted: what is damaged moves into a folder of its own in the workspace. Each step is a rename, a file that is
whole or absent, or one transaction, so that whoever is killed here leaves what the next repair goes on with.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import count
from pathlib import Path

import apsw

from deriva_ml.catalog.session import Catalog
from deriva_ml.check.database import made
from deriva_ml.check.entries import Folder, is_whole, remade
from deriva_ml.check.folders import folder_problems
from deriva_ml.check.remedies import FOLDER, WITHIN, Act, Remedy
from deriva_ml.check.rules import know_functions, rule_named
from deriva_ml.check.workspace import is_quiet
from deriva_ml.errors import DerivaMLBusyError, DerivaMLException, DerivaMLOfflineError, DerivaMLStateInconsistency
from deriva_ml.execution import liveness
from deriva_ml.execution.manifest import Entry
from deriva_ml.execution.recover import reopen, settle
from deriva_ml.execution.run import Run, lock_file
from deriva_ml.execution.sealed_bag import seal_bag
from deriva_ml.execution.staged import Staged
from deriva_ml.execution.staging import MANIFEST, Staging, link
from deriva_ml.execution.store import SCHEMA_STEPS, STORE, ExecutionStore
from deriva_ml.files import copy_hashed, fsync_folder, make_folder, write_whole

KINDS = ("create", "run", "commit")
Sessions = Callable[[Path], Catalog | None]
"""Gives the catalog of a workspace; None where only its server has it."""


@dataclass(frozen=True, slots=True)
class Repair:
    """What became of one remedy."""

    where: str
    text: str
    done: bool

    def __str__(self) -> str:
        return f"{'repaired' if self.done else 'left':10}  {self.where}: {self.text}"


def repair(remedies: Iterable[Remedy], sessions: Sessions, *, read_data: bool = False) -> Iterator[Repair]:
    """Do what ``remedies`` say, in the order of their kinds; yield what was done, or why it was left."""
    places: dict[Path, _Place] = {}
    order = list(Act)
    waiting = sorted(remedies, key=lambda one: order.index(one.act))
    within = dict.fromkeys((one.area, one.rid) for one in waiting if one.rid and one.act in WITHIN)
    alone = [one for one in waiting if (one.area, one.rid) not in within or one.act not in WITHIN]
    try:
        yield from (_alone(_place_of(places, one, sessions), one) for one in alone if one.act is not Act.SEAL_BAG)
        for area, rid in within:
            yield from _in_folder(places.setdefault(area, _Place(area, sessions)), rid, read_data)
        yield from (_alone(_place_of(places, one, sessions), one) for one in alone if one.act is Act.SEAL_BAG)
    finally:
        for place in places.values():
            place.close()


def _place_of(places: dict[Path, _Place], remedy: Remedy, sessions: Sessions) -> _Place:
    return places.setdefault(remedy.area, _Place(remedy.area, sessions))


def _alone(place: _Place, remedy: Remedy) -> Repair:
    where = remedy.path or (f"execution {remedy.rid}" if remedy.rid else place.area / STORE)
    return _tried(str(where), partial(_DOES[remedy.act], place, remedy))


class _Place:
    """A workspace, or a cache, whose things are repaired; what is needed of it is opened when it is."""

    def __init__(self, area: Path, sessions: Sessions) -> None:
        self.area = area
        self._sessions = sessions

    @cached_property
    def store(self) -> ExecutionStore:
        """The workspace's store."""
        return ExecutionStore(self.area)

    def session(self, rid: str) -> Catalog:
        """Return the workspace's catalog.

        Raises:
            DerivaMLOfflineError: only its server has it.
        """
        found = self._sessions(self.area)
        if found is None or found.offline:
            raise DerivaMLOfflineError(f"its server must be asked: `deriva-ml resume {rid} --host HOST --catalog ID`")
        return found

    def knowing(self, rid: str) -> Catalog:
        """Return a session that knows the catalog's model, be it offline; raises as :meth:`session` does."""
        return self._sessions(self.area) or self.session(rid)

    def aside(self, path: Path) -> Path:
        """Move ``path`` to where damaged things are kept, under a name that is free there; return it."""
        target = _free(self.area / FOLDER / path.relative_to(self.area))
        make_folder(target.parent)
        path.rename(target)
        fsync_folder(target.parent)
        fsync_folder(path.parent)
        return target

    def close(self) -> None:
        """Let go of the store, if it was opened."""
        if "store" in self.__dict__:
            self.store.database.close()


def _free(target: Path) -> Path:
    names = (target.with_name(f"{target.name}.{number}") for number in count(2))
    while target.exists() or target.is_symlink():
        target = next(names)
    return target


def _tried(where: str, work: Callable[[], str]) -> Repair:
    try:
        return Repair(where, work(), True)
    except (DerivaMLException, OSError, apsw.Error) as error:
        return Repair(where, str(error), False)


# ------------------------------------------------------------------------------------------------- beside the executions


def _set_aside(place: _Place, remedy: Remedy) -> str:
    """Move something aside that belongs to no single execution, while no run of the workspace lives."""
    path = remedy.path or place.area
    if not (path.exists() or path.is_symlink()):
        return "it is gone already"
    if not path.is_relative_to(place.area / "locks"):  # what is no lock file holds nobody's lock
        _refuse_living(place)
    return f"it is now {place.aside(path)}"


def _refuse_living(place: _Place) -> None:
    """Leave everything alone while a run of the workspace lives, which may read what would be moved."""
    for workspace in (place.area, place.area.parent):  # a cache lies in its workspace
        for path in (workspace / "locks").glob("*.*"):
            if path.suffix[1:] in KINDS and liveness.alive(path):
                raise DerivaMLBusyError(f"execution {path.stem} is at work: repair when it has ended")


def _empty_lock(place: _Place, remedy: Remedy) -> str:
    liveness.take(remedy.path or place.area, "a repair").release()
    return "the file is empty now"


def _make_index(place: _Place, remedy: Remedy) -> str:
    sql = made(SCHEMA_STEPS).execute("SELECT sql FROM sqlite_master WHERE name = ?", (remedy.key,)).get
    if sql is None:
        raise DerivaMLStateInconsistency(f"no store of this version has an index {remedy.key}")
    with place.store.database.transaction() as connection:
        connection.execute(sql.replace("CREATE INDEX", "CREATE INDEX IF NOT EXISTS", 1))
    return f"the index {remedy.key} is there again"


def _correct(place: _Place, remedy: Remedy) -> str:
    rule = rule_named(remedy.key)
    with place.store.database.transaction() as connection:
        know_functions(connection)
        for statement in rule.fix:
            connection.execute(statement)
    return f"rows that break the rule {rule.kind!r} were corrected: {rule.does}"


def _settle(place: _Place, remedy: Remedy) -> str:
    settle(place.session(remedy.rid), place.store, place.store.require(remedy.rid))
    found = place.store.require(remedy.rid)
    return f"it is {found.status} now: {found.detail or found.error or 'settled by somebody else'}"


def _rebuild(place: _Place, remedy: Remedy) -> str:
    run = reopen(place.session(remedy.rid), place.store, remedy.rid)
    return f"its record is rebuilt with {run.staged.count()} files; it is {run.registered.status}"


def _seal_bag(place: _Place, remedy: Remedy) -> str:
    run = Run(place.knowing(remedy.rid), place.store, remedy.rid)
    if not is_quiet(place.area, run.registered):
        raise DerivaMLBusyError(f"execution {remedy.rid} is at work: repair when it has ended")
    made = seal_bag(run)
    path = remedy.path or place.area
    old = place.aside(path) if path.exists() else None
    return f"sealed again as {made}; the damaged one is now {old}"


_DOES: dict[Act, Callable[[_Place, Remedy], str]] = {
    Act.SET_ASIDE: _set_aside,
    Act.EMPTY_LOCK: _empty_lock,
    Act.MAKE_INDEX: _make_index,
    Act.CORRECT: _correct,
    Act.SETTLE: _settle,
    Act.REBUILD: _rebuild,
    Act.SEAL_BAG: _seal_bag,
}


# --------------------------------------------------------------------------------------------- in an execution's folder


def _in_folder(place: _Place, rid: str, read_data: bool) -> Iterator[Repair]:
    """Repair the folder of one execution, looked at again while nobody else may begin, run or commit it."""
    where = f"execution {rid}"
    try:
        with ExitStack() as locks:
            for kind in KINDS:
                path = lock_file(place.area, rid, kind)
                locks.enter_context(liveness.holding_still(path, f"Execution {rid} cannot be repaired"))
            folder = Folder.of(place.store, place.store.require(rid), quiet=True)
            found = [finding.remedy for finding in folder_problems(folder, read_data=read_data)]
            for remedy in dict.fromkeys(one for one in found if one is not None):
                yield _tried(where, partial(_WITHIN[remedy.act], place, folder, remedy))
    except (DerivaMLException, OSError, apsw.Error) as error:
        yield Repair(where, str(error), False)


def _set_aside_within(place: _Place, folder: Folder, remedy: Remedy) -> str:
    path = remedy.path or folder.path
    return f"{path} is now {place.aside(path)}"


def _seal_again(place: _Place, folder: Folder, remedy: Remedy) -> str:
    entry = _entry(folder, remedy.key)
    staged, sealed = folder.path / entry.staged, folder.path / (entry.sealed or "")
    logged = remade(folder, entry)
    if not logged and not is_whole(entry, staged, sealed):
        raise DerivaMLStateInconsistency(f"{entry.label}: {staged} has changed: it is not what was sealed any more")
    old = place.aside(sealed) if sealed.exists() or sealed.is_symlink() else None
    make_folder(sealed.parent)
    if logged:
        write_whole(sealed, logged)
    else:
        copy_hashed(staged, sealed)
    return f"{entry.label} is sealed again from {'what was logged' if logged else staged}{_and_the_old(old)}"


def _link_again(place: _Place, folder: Folder, remedy: Remedy) -> str:
    entry = _entry(folder, remedy.key)
    path, source = folder.path / entry.staged, Path(entry.source or "")
    old = place.aside(path) if path.exists() or path.is_symlink() else None
    make_folder(path.parent)
    link(source, path)
    fsync_folder(path.parent)
    return f"{entry.label} is linked to {source} again{_and_the_old(old)}"


def _write_manifest(place: _Place, folder: Folder, remedy: Remedy) -> str:
    path = folder.path / MANIFEST
    old = place.aside(path) if path.exists() else None
    found = place.store.require(folder.rid)
    Staging(Staged(place.store, folder.rid), folder.path, found.created_at).write_manifest()
    return f"{path} is written anew from the store{_and_the_old(old)}"


def _entry(folder: Folder, key: str) -> Entry:
    return next(entry for entry in folder.entries if entry.key == key)


def _and_the_old(old: Path | None) -> str:
    return "" if old is None else f"; what was there is now {old}"


_WITHIN: dict[Act, Callable[[_Place, Folder, Remedy], str]] = {
    Act.SET_ASIDE: _set_aside_within,
    Act.SEAL_AGAIN: _seal_again,
    Act.LINK_AGAIN: _link_again,
    Act.WRITE_MANIFEST: _write_manifest,
}
