"""The first step of a commit: every staged file becomes a private copy, whole and hashed; nothing is sent before all are.

Sealing is the one copy: read, hash, write, sync.
"""

from __future__ import annotations

import json
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import apsw

from deriva_ml import jsontext
from deriva_ml.catalog.model import TableModel
from deriva_ml.catalog.session import Catalog
from deriva_ml.errors import OUT_OF_REACH, DerivaMLTableNotFound, DerivaMLTableTypeError, DerivaMLUploadError
from deriva_ml.execution.fitting import misfit
from deriva_ml.execution.manifest import Entry, EntryState, Mode
from deriva_ml.execution.references import dangling
from deriva_ml.execution.report import UploadProgress, listed
from deriva_ml.execution.run import Run
from deriva_ml.execution.staged import Registration, Staged
from deriva_ml.execution.staging import file_of, has_changed, is_another, link, reused_path, stamp, was_written
from deriva_ml.files import BLOCK, copy_hashed, fsync_folder, hash_file, make_folder, write_whole
from deriva_ml.names import TableName

AT_ONCE, A_FEW = 4, 5
TOGETHER = 200
"""How many sealed files are marked in one transaction."""
PULSE = 32 * BLOCK
"""After so many bytes of one file it is told how far its copy is."""

Progress = Callable[[UploadProgress], None]


def check(run: Run) -> list[str]:
    """Refuse a commit that cannot succeed: missing files, reused paths, absent or unknown metadata, values about rows that are not there.

    After a run that did not end well, files that it registered and never wrote are given up; the notes returned say which.

    Raises:
        DerivaMLUploadError: every problem is named; nothing was sent and no state has changed.
    """
    return _checked(run, "committed; nothing was sent", against_catalog=True)


def check_files(run: Run, what: str) -> list[str]:
    """Refuse what needs the staged files where they are missing or their paths were reused; as :func:`check`, and the catalog is not asked."""
    return _checked(run, what, against_catalog=False)


def _checked(run: Run, what: str, *, against_catalog: bool) -> list[str]:
    notes = _give_up_unwritten(run) if run.store.unhappy_end(run.rid) else []
    pending = run.staged.entries(EntryState.PENDING, EntryState.SEALED)
    again = _RegisteredAgain(run)
    problems = [problem for entry in pending for problem in _problems(run, entry, again)]
    misfits = _misfits(run, pending) if against_catalog else []
    if problems or misfits:
        kept = "\nWhat cannot be mended is kept with `exe.seal()`." if misfits else ""
        raise DerivaMLUploadError(f"Execution {run.rid} cannot be {what}:\n{listed([*problems, *misfits])}{kept}")
    return notes


def _misfits(run: Run, pending: Sequence[Entry]) -> list[str]:
    """Say what the catalog would not take of what is staged; it is asked for its model anew before anything is said."""
    found = [*_missing_metadata(run.session, pending), *_about_nothing(run)]
    if not found or run.session.offline:
        return found
    try:
        run.session.refresh()
    except OUT_OF_REACH:
        return found
    return [*_missing_metadata(run.session, pending), *_about_nothing(run)]


def _about_nothing(run: Run) -> list[str]:
    """Say which staged values name rows that are not there. A catalog that cannot be asked now is told of the commit next, and that fails."""
    try:
        return [] if run.session.offline else list(dangling(run))
    except OUT_OF_REACH:
        return []


def _give_up_unwritten(run: Run) -> list[str]:
    unwritten = [
        entry
        for entry in run.staged.entries(EntryState.PENDING)
        if entry.mode is Mode.NEW and entry.sha256 is None and not (run.folder / entry.staged).exists()
    ]
    if not unwritten:
        return []
    values = run.staged.drop(unwritten)
    names = ", ".join(entry.label for entry in unwritten)
    return [
        f"registered and never written: {names}"
        + (f"; {values} feature values name them and are left out" if values else "")
    ]


def _problems(run: Run, entry: Entry, again: _RegisteredAgain) -> Iterable[str]:
    if entry.state is EntryState.SEALED:
        if not (run.folder / (entry.sealed or "")).is_file():
            yield f"{entry.label}: its sealed copy {run.folder / (entry.sealed or '')} is missing"
        return
    path = run.folder / entry.staged
    if entry.mode is Mode.LINK and path.exists() and not path.is_symlink():
        yield (
            f"{entry.label}: {path} is a file now, and no link to {entry.source} any more: move it away "
            "(`deriva-ml check --repair` does), or register it under a name of its own"
        )
        return
    if entry.mode is Mode.LINK and not path.is_symlink():  # links are not synced: the power may have failed
        make_folder(path.parent)
        link(Path(entry.source or path), path)
    if not path.exists():
        yield _missing(entry, path)
    elif not path.is_file():
        yield f"{entry.label}: {entry.source or path} is not a regular file (any more)"
    elif entry.mode is Mode.LINK and has_changed(entry, stamp(path)):
        yield from again.problem(entry, path)


def _missing(entry: Entry, path: Path) -> str:
    if entry.mode is Mode.LINK:
        return f"{entry.label}: the registered file {entry.source} is not there any more (put it back, or `exe.discard_asset(path)`)"
    if entry.sha256 is not None:
        return f"{entry.label}: the file that the run left at {path} is gone (put it back, write it again, or `exe.discard_asset(path)`)"
    return (
        f"{entry.label}: it was registered, and no file was written to {path} (write it, or `exe.discard_asset(path)`)"
    )


def _is_same(source: str, path: Path) -> bool:
    """Return whether a path that was registered leads to this very file now; what its number says may be of one that is gone."""
    other = Path(source)
    return other.exists() and other.samefile(path)


class _RegisteredAgain:
    """Tells of linked files that have changed and were registered again, under whatever name or path, here or by another run.

    The link shows the newer content then, which is not what this run, or this name, was given.
    """

    def __init__(self, run: Run) -> None:
        self._run = run

    @cached_property
    def _by_file(self) -> dict[str, list[Registration]]:
        """The registrations of this workspace by the path, and by the file itself, that they were made from."""
        found: dict[str, list[Registration]] = defaultdict(list)
        for each in self._run.staged.registrations():
            found[each.source].append(each)
            found[file_of(each.source_stamp)].append(each)
        return found

    def problem(self, entry: Entry, path: Path) -> Iterable[str]:
        """Yield what is wrong with a link that has changed."""
        source = entry.source or str(path)
        others = [each for each in self._by_file.get(file_of(stamp(path)), ()) if _is_same(each.source, path)]
        same = {*self._by_file.get(source, ()), *others}
        if any(each.execution == self._run.rid and each.id != entry.id for each in same):
            yield reused_path(Path(source), entry)
            return
        for each in same:
            later = each.execution != self._run.rid and each.id > entry.id
            if later and is_another(entry.source_stamp or "", each.source_stamp):
                yield (
                    f"{entry.label}: {source} was written again since, and execution {each.execution} has registered it as it is now. Put back "
                    "what this run wrote and register it here once more (`exe.asset_file_path`), or give it up with `exe.discard_asset(path)`. "
                    "`copy_file=True` keeps each version as it is"
                )
                return


def _missing_metadata(session: Catalog, entries: Sequence[Entry]) -> Iterable[str]:
    """Say which not-null columns have no value, and which values do not fit or have no column."""
    names = {TableName(entry.schema, entry.table): None for entry in entries}
    tables = {name: _asset_table(session, name) for name in names}
    for entry in entries:
        table = tables[TableName(entry.schema, entry.table)]
        if isinstance(table, str):
            yield f"{entry.label}: {table} (make the table again, or `exe.discard_asset(path)`)"
            continue
        columns = {column.name: column for column in table.payload_columns}
        for column in columns.values():
            if not column.nullok and column.default is None and entry.metadata.get(column.name) is None:
                yield f"{entry.label}: the column {column.name} of {entry.table} needs a value (metadata={{{column.name!r}: …}})"
        for column in columns.values():
            if wrong := misfit(column.type, entry.metadata.get(column.name)):
                yield f"{entry.label}: the column {column.name} of {entry.table} is {column.type}: {wrong}"
        for unknown in entry.metadata.keys() - columns.keys():
            yield f"{entry.label}: {entry.table} has no column {unknown!r} (add it again, or `exe.discard_asset(path)`)"


def _asset_table(session: Catalog, name: TableName) -> TableModel | str:
    """Return an asset table, or why there is none."""
    try:
        return session.model().find_asset_table(name)
    except (DerivaMLTableNotFound, DerivaMLTableTypeError) as error:
        return str(error).rstrip(".")


def to_seal(run: Run) -> tuple[int, int]:
    """Return how many files a commit will seal, those registered and those made of what was logged, and the bytes of the former."""
    logged = [run.staged.logged.parameters(pending=True), run.staged.logged.metrics(pending=True)]
    pending = [run.folder / entry.staged for entry in run.staged.entries(EntryState.PENDING)]
    return len(pending) + sum(map(bool, logged)), sum(path.stat().st_size for path in pending if path.exists())


def seal(run: Run, progress: Progress | None) -> None:
    """Seal every pending file, and what was logged.

    Files are on the disk before the rows that name them. The rows are durable with the next step of the commit: a power cut
    before it leaves what is sealed again.

    Raises:
        DerivaMLUploadError: a file changed while it was read, or cannot be read.
    """
    folder = run.folder / "sealed"
    make_folder(folder)
    logged = _write_logged(run)
    pending, over = run.staged.entries(EntryState.PENDING), threading.Event()
    with ThreadPoolExecutor(AT_ONCE) as threads:
        try:
            for start in range(0, len(pending), TOGETHER):
                together = pending[start : start + TOGETHER]
                sealed = _sealed(
                    threads, together, lambda entry: _seal_one(run, entry, _pulse(run, entry, progress, over))
                )
                fsync_folder(folder)
                run.staged.save(sealed, durable=False)
                _tell(run, sealed, progress)
        finally:
            over.set()  # who was stopped does not wait for the copies under way
    if logged:
        if not pending:
            fsync_folder(folder)
        _tell(run, _hold(run, logged), progress)


def _tell(run: Run, sealed: Sequence[Entry], progress: Progress | None) -> None:
    if progress is None:
        return
    for entry in sealed:
        size, path = entry.length or 0, run.folder / entry.staged
        progress(UploadProgress(str(path), entry.file_name, size, size, "Staging", f"sealed {entry.label}"))


def _sealed(threads: Executor, entries: Sequence[Entry], one: Callable[[Entry], Entry]) -> list[Entry]:
    """Seal files, some at the same time: one waits for the disk while the next one reads. A thread takes several of many."""
    if len(entries) == 1:
        return [one(entries[0])]
    size = min(A_FEW, 1 + len(entries) // (A_FEW * AT_ONCE))
    parts = [entries[start : start + size] for start in range(0, len(entries), size)]
    return [entry for part in threads.map(lambda part: [one(each) for each in part], parts) for entry in part]


def _pulse(run: Run, entry: Entry, progress: Progress | None, over: threading.Event) -> Callable[[int], None]:
    """Return what hears how far the copy of one file is: it tells so now and then, and ends the copy when the commit was stopped."""
    path = run.folder / entry.staged
    size = path.stat().st_size if path.exists() else 0

    def told(done: int) -> None:
        if over.is_set():
            raise DerivaMLUploadError(f"{entry.label}: the commit was stopped while {path} was copied.")
        if progress is not None and done % PULSE == 0 and done < size:
            progress(UploadProgress(str(path), entry.file_name, done, size, "Staging", f"sealing {entry.label}"))

    return told


def _seal_one(run: Run, entry: Entry, told: Callable[[int], None]) -> Entry:
    path = run.folder / entry.staged
    target = run.folder / "sealed" / str(entry.id)
    try:
        before = stamp(path)
        digest = copy_hashed(path, target, name_durable=False, told=told)
        after = stamp(path)
    except FileNotFoundError as error:
        raise DerivaMLUploadError(_missing(entry, path)) from error
    if before != after:
        raise DerivaMLUploadError(
            f"{entry.label}: {path} was written to while it was read; commit again when it is whole."
        )
    if entry.sha256 not in {None, digest.sha256} and not was_written(entry, before):
        raise DerivaMLUploadError(
            f"{entry.label}: {path} has other bytes than the run left there, and nobody wrote to it: the disk has damaged it. "
            "Put it back from a backup, write it again, or `exe.discard_asset(path)`."
        )
    return replace(
        entry,
        state=EntryState.SEALED,
        source_stamp=before,
        sealed=target.relative_to(run.folder).as_posix(),
        md5=digest.md5,
        sha256=digest.sha256,
        length=digest.length,
    )


# ------------------------------------------------------------------------------------------------------- what was logged


@dataclass(frozen=True, slots=True)
class _Logged:
    """A file that holds what was logged under these names or numbers; ``entry`` lacks its key."""

    kind: str
    names: tuple[Any, ...]
    file_name: str
    entry: Entry


_KINDS = {
    "parameters": ("parameters.json", "Deriva_Config", "Parameters that the run logged"),
    "metrics": ("metrics.jsonl", "Metrics_File", "Metrics that the run logged, one record per line"),
}


def _write_logged(run: Run) -> list[_Logged]:
    """Turn logged parameters and metrics that no committed file holds into sealed files of their own."""
    found = {kind: run.staged.logged.unheld(kind) for kind in _KINDS}
    return [_written(run, kind, texts) for kind, texts in found.items() if texts]


def _written(run: Run, kind: str, texts: Mapping[Any, str]) -> _Logged:
    name, asset_type, description = _KINDS[kind]
    path = (
        run.folder / "sealed" / f"{run.staged.count()}-{name}"
    )  # written again under this name until its row is there
    write_whole(path, _content(kind, texts).encode(), name_durable=False)
    digest, place = hash_file(path), path.relative_to(run.folder).as_posix()
    table = run.session.model().ml_table("Execution_Metadata").name
    entry = Entry(
        "", table.schema, table.name, name, Mode.NEW, place, asset_types=(asset_type,), description=description,
        state=EntryState.SEALED, sealed=place, md5=digest.md5, sha256=digest.sha256, length=digest.length,
    )  # fmt: skip
    return _Logged(kind, tuple(texts), name, entry)


def _content(kind: str, texts: Mapping[Any, str]) -> str:
    if kind == "parameters":
        return jsontext.dumps({name: json.loads(text) for name, text in texts.items()}, indent=1)
    return "".join(f"{jsontext.dumps(json.loads(text))}\n" for text in texts.values())


def logged_again(staged: Staged, entry: Entry) -> bytes:
    """Return the content of a file of what was logged, made of the store's rows once more; empty for any other file."""
    kind = next((kind for kind, (name, *_) in _KINDS.items() if entry.file_name == name), None)
    texts = staged.logged.held(kind, entry.key) if kind else {}
    return _content(kind, texts).encode() if kind and texts else b""


def _hold(run: Run, logged: Sequence[_Logged]) -> list[Entry]:
    """File first, row second: register the files that hold what was logged, and mark that as held."""
    table = run.session.model().ml_table("Execution_Metadata")
    with run.staged.writing(durable=False) as connection:
        return [_register(run, connection, each, run.staging.fresh(table, each.file_name).key) for each in logged]


def _register(run: Run, connection: apsw.Connection, logged: _Logged, key: str) -> Entry:
    saved = run.staged.write(connection, replace(logged.entry, key=key))
    run.staged.logged.mark_held(connection, logged.kind, logged.names, saved.key)
    return saved
