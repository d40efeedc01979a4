"""The fourth step of a commit: objects first, then rows, links and types, then feature values; each step repeatable.

Objects are named by content, rows carry leased RIDs, links have natural keys: so what is there already is skipped.
"""

from __future__ import annotations

import mimetypes
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import islice

from deriva_ml.catalog import objects
from deriva_ml.catalog.rows import Row, count, insert, select
from deriva_ml.enums import AssetRole, ExecAssetType
from deriva_ml.errors import DerivaMLConflictError, DerivaMLIntegrityError, DerivaMLUploadError
from deriva_ml.execution import contradictions
from deriva_ml.execution.identify import identify, read_by_url
from deriva_ml.execution.manifest import Entry
from deriva_ml.execution.plan import AssetGroup, feature_rows
from deriva_ml.execution.report import UploadProgress, listed
from deriva_ml.execution.run import Run
from deriva_ml.names import TableName

Progress = Callable[[UploadProgress], None]
AT_ONCE = 4
TOGETHER = 1000
"""How many sealed files a store on this disk takes in one step."""
ROWS = 10_000
"""How many feature values are in memory at a time."""


def load_objects(run: Run, entries: Iterable[Entry], progress: Progress | None) -> None:
    """Put the bytes of the entries into the object store; what it has already is not sent.

    Raises:
        DerivaMLIntegrityError: the store has other bytes under an address.
        DerivaMLException: the store refused, or cannot be reached.
    """
    distinct = list({entry.url: entry for entry in entries}.values())
    if run.session.port.links_files:
        for start in range(0, len(distinct), TOGETHER):
            _link(run, distinct[start : start + TOGETHER], progress)
        return
    with ThreadPoolExecutor(AT_ONCE) as threads:
        refused = dict(filter(None, threads.map(lambda entry: _refused(run, entry, progress), distinct)))
    if refused:
        reasons = listed(f"{label}: {reason}" for label, reason in refused.items())
        raise DerivaMLUploadError(
            f"{len(refused)} of {len(distinct)} files of execution {run.rid} were not taken; the others are in the object store:\n{reasons}",
            refused,
        )


def _link(run: Run, entries: Sequence[Entry], progress: Progress | None) -> None:
    """Let a store on this disk take the sealed files by links, in one durable step."""
    objects.put_together(run.session, [_sealed_file(run, entry) for entry in entries])
    for entry in entries:
        _told_uploaded(run, entry, progress)


def _sealed_file(run: Run, entry: Entry) -> objects.SealedFile:
    return objects.SealedFile(
        entry.url or "",
        run.folder / (entry.sealed or ""),
        entry.md5 or "",
        entry.sha256 or "",
        entry.length or 0,
        mimetypes.guess_type(entry.file_name)[0] or "application/octet-stream",
        entry.file_name,
    )


def _refused(run: Run, entry: Entry, progress: Progress | None) -> tuple[str, str] | None:
    """Send a file; return which one and why when the store does not take this one, so that the others go on."""
    try:
        _put(run, entry, progress)
    except (DerivaMLConflictError, DerivaMLIntegrityError) as error:
        return entry.label, str(error)
    return None


def _put(run: Run, entry: Entry, progress: Progress | None) -> None:
    each = _sealed_file(run, entry)

    def told(done: int, total: int) -> None:
        if progress is not None:
            progress(UploadProgress(str(each.file), entry.file_name, done, total, "Uploading"))

    objects.put(
        run.session,
        each.path,
        each.file,
        md5=each.md5,
        sha256=each.sha256,
        length=each.length,
        content_type=each.content_type,
        filename=each.filename,
        progress=told,
        resume=ChunkJournal(run, each.path),
    )
    _told_uploaded(run, entry, progress)


def _told_uploaded(run: Run, entry: Entry, progress: Progress | None) -> None:
    if progress is not None:
        size, path = entry.length or 0, run.folder / (entry.sealed or "")
        progress(UploadProgress(str(path), entry.file_name, size, size, "Uploaded", entry.url or ""))


class ChunkJournal:
    """Remembers in the store how far a chunked upload came, for whoever goes on with it."""

    def __init__(self, run: Run, url: str) -> None:
        self._run, self._url = run, url
        self.job: str | None = None
        self.chunks: Collection[int] = ()
        for step, detail in run.store.journal(run.rid):
            if detail.get("url") == url and step == "upload job":
                self.job, self.chunks = detail["job"], []
            elif detail.get("url") == url and step == "upload chunk":
                self.chunks = [*self.chunks, detail["chunk"]]

    def started(self, job: str) -> None:
        """A new job begins; earlier chunks do not count."""
        self.job, self.chunks = job, []
        self._run.store.note(self._run.rid, "upload job", url=self._url, job=job)

    def sent(self, chunk: int) -> None:
        """The server has this chunk."""
        self._run.store.note(self._run.rid, "upload chunk", url=self._url, chunk=chunk)


def load_assets(run: Run, groups: Sequence[AssetGroup]) -> list[AssetGroup]:
    """Insert the rows of the new assets; return the groups with the RIDs that the rows really have.

    Two executions may commit an equal file at the same moment: the row that came first stands for both.
    """
    return [_load_group(run, group) for group in groups]


def _load_group(run: Run, group: AssetGroup) -> AssetGroup:
    new = group.new
    stored = (
        insert(run.session, group.table.name, group.asset_rows(), given={"RID"}, skip_conflicts=True) if new else []
    )
    written = {row["RID"] for row in stored}
    skipped = {rid: entry for rid, entry in new.items() if rid not in written}
    if not skipped:
        return group
    rows = select(run.session, group.table.name, {"RID": list(skipped)}, columns=["RID", "URL"])
    present = {row["RID"]: row["URL"] for row in rows}
    strangers = {rid for rid, entry in skipped.items() if present.get(rid, entry.url) != entry.url}
    if strangers:  # a catalog that was restored from an older copy has given their RIDs again
        return _load_group(run, _named_anew(run, group, strangers))
    elsewhere = {entry.url or "": entry for rid, entry in skipped.items() if rid not in present}
    found = {row["URL"]: row["RID"] for row in read_by_url(run.session, group.table.name, elsewhere)}
    missing = elsewhere.keys() - found.keys()
    if missing:
        raise DerivaMLIntegrityError(
            f"The catalog took no row for {', '.join(sorted(missing)[:10])}, and has none: a key of {group.table.name} is in the way."
        )
    remapped = [
        replace(entry, rid=found[entry.url], reused=True) if entry.url in found else entry for entry in group.entries
    ]
    return replace(group, entries=tuple(run.staged.save(remapped) if found else remapped))


def _named_anew(run: Run, group: AssetGroup, rids: Collection[str]) -> AssetGroup:
    """Give the assets that have these RIDs other ones, and write them down."""
    anew = [replace(entry, rid=None) if entry.rid in rids else entry for entry in group.entries]
    return replace(group, entries=tuple(run.staged.save(identify(run.session, anew))))


def load_links(
    run: Run, group: AssetGroup, role: str = AssetRole.output, direction: str = ExecAssetType.output_file
) -> list[str]:
    """Link assets to the execution and to their types; return the RIDs of those whose role could not be recorded.

    On catalogs where an asset can have one role only in an execution, the second one is lost.
    """
    rows = list(group.role_rows(run.rid, role))
    stored = insert(run.session, group.roles.name, rows, skip_conflicts=True)
    insert(run.session, group.types.name, group.type_rows(direction), skip_conflicts=True)
    column = group.link_column(group.roles)
    skipped = {row[column] for row in rows} - {row[column] for row in stored}
    if not skipped:
        return []
    where = {column: list(skipped), "Execution": run.rid, "Asset_Role": role}
    return sorted(skipped - {row[column] for row in select(run.session, group.roles.name, where, columns=[column])})


def load_features(run: Run, up_to: int, told: Callable[[int], object]) -> tuple[dict[TableName, int], list[str]]:
    """Insert the feature values staged up to an id; return how many of each table were staged, and what is there otherwise.

    ``told`` hears how many came now.
    """
    counts: dict[TableName, int] = {}
    otherwise: list[str] = []
    for (schema, name), staged in run.staged.feature_tables(up_to).items():
        table = TableName(schema, name)
        rows = feature_rows(run, table, up_to)
        while part := list(islice(rows, ROWS)):
            stored = insert(run.session, table, part, skip_conflicts=True)
            if len(stored) < len(part):  # sent before, or somebody else's
                otherwise += contradictions.of_values(run, run.session.model().find_table(table), part)
            told(len(part))
        counts[table] = staged
    return counts, [*otherwise, *contradictions.of_values_not_taken(run)]


def verify(run: Run, groups: Sequence[AssetGroup], features: Iterable[TableName], up_to: int) -> None:
    """Read back what was written.

    Raises:
        DerivaMLIntegrityError: rows or checksums are not as they were sent; every problem is named.
    """
    problems = [problem for group in groups for problem in _verify_group(run, group)]
    problems += [problem for table in features for problem in _verify_features(run, table, up_to)]
    if problems:
        raise DerivaMLIntegrityError(f"The catalog does not hold what was committed: {'; '.join(problems[:20])}")


def _verify_group(run: Run, group: AssetGroup) -> Iterable[str]:
    rows = {
        row["RID"]: row
        for row in select(run.session, group.table.name, {"RID": list(group.assets)}, columns=["RID", "MD5", "Length"])
    }
    for rid, entry in group.assets.items():
        row = rows.get(rid)
        if row is None:
            yield f"{entry.label}: the row {rid} is missing"
        elif (row["MD5"], row["Length"]) != (entry.md5, entry.length):
            yield f"{entry.label}: the row {rid} has MD5 {row['MD5']} and {row['Length']} bytes"
    column = group.link_column(group.roles)
    linked = _linked(run, group, column)
    yield from (
        f"{entry.label}: {rid} is not linked to the execution"
        for rid, entry in group.assets.items()
        if rid not in linked
    )


def _linked(run: Run, group: AssetGroup, column: str) -> set[str]:
    rows: list[Row] = select(run.session, group.roles.name, {"Execution": run.rid}, columns=[column])
    return {row[column] for row in rows}


def _verify_features(run: Run, table: TableName, up_to: int) -> Iterable[str]:
    target = run.staged.feature_counts((table.schema, table.name), up_to)
    found = count(run.session, table, {"Execution": run.rid})
    if found < target:
        yield f"{table}: {found} of {target} values are there"
