"""Loading a sealed bag from another machine: checked, claimed in the catalog, taken into this workspace, committed.

Loading it again, here or elsewhere, at the same time or after a crash, ends in the same catalog.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, fields, replace
from itertools import groupby
from pathlib import Path
from typing import Any

import apsw

from deriva_ml.bag.archive import unpack
from deriva_ml.bag.layout import asset_path
from deriva_ml.bag.read import Bag
from deriva_ml.bag.verify import verify
from deriva_ml.catalog.leases import LEASES
from deriva_ml.catalog.rows import select
from deriva_ml.catalog.session import Catalog
from deriva_ml.enums import ExecAssetType
from deriva_ml.errors import DerivaMLIntegrityError, DerivaMLOfflineError, DerivaMLStateInconsistency
from deriva_ml.execution import contradictions, homeless, liveness
from deriva_ml.execution.claim import claim
from deriva_ml.execution.commit import commit
from deriva_ml.execution.features import STAGED
from deriva_ml.execution.incoming import unpacking
from deriva_ml.execution.manifest import Entry, EntryState, Mode, numbered, plain_key
from deriva_ml.execution.nested import Link, Nested
from deriva_ml.execution.plan import ASSET_COLUMNS
from deriva_ml.execution.recover import reopen
from deriva_ml.execution.report import UploadCallback, UploadReport
from deriva_ml.execution.run import lock_file
from deriva_ml.execution.sealed_bag import FORMAT, FORMAT_WHOLE, RECORD
from deriva_ml.execution.staged import Staged, StagedFeature
from deriva_ml.execution.states import ExecutionStatus
from deriva_ml.execution.store import ExecutionStore, Registered
from deriva_ml.execution.waiting_inputs import WAITING_INPUTS
from deriva_ml.files import fsync_folder, link_or_copy
from deriva_ml.names import TableName
from deriva_ml.rid import check_rid, is_local

AT_ONCE = 500
_CHOOSE = "Choose the one that it was made for: its folder with --home, or its server with --host and --catalog."


@dataclass(frozen=True, slots=True)
class SealedBag:
    """A sealed bag that was unpacked and found whole."""

    bag: Bag
    uuid: str
    record: Mapping[str, Any]
    execution: Registered
    entries: tuple[Entry, ...]
    files: Mapping[str, Path]
    """Where the bytes of each entry are, by key."""


def load_bag(
    session: Catalog, store: ExecutionStore, archive: Path, *, clean: bool, progress: UploadCallback | None = None
) -> UploadReport:
    """Bring what ``archive`` holds into the catalog, exactly once.

    Raises:
        DerivaMLIntegrityError: the archive is damaged, does harm, or is no sealed bag; nothing was sent.
        DerivaMLStateInconsistency: it was made for another catalog.
        DerivaMLUploadError: the catalog did not take something; loading it again goes on where this stopped.
        DerivaMLOfflineError: the session is offline.
    """
    if session.offline:
        raise DerivaMLOfflineError(
            f"A sealed bag is loaded into the catalog, and the session is offline: open {session.host} online (without mode=offline)."
        )
    with _opened(store, archive) as sealed:
        _check_catalog(session, sealed)
        with _alone(store, sealed.execution.rid) as rid:
            rids, receipt = claim(session, sealed.uuid, sealed.execution.rid, _tokens(sealed), store.folder(rid))
            _take_in(session, store, rid, sealed, rids, receipt)
    return commit(reopen(session, store, rid), clean=clean, progress=progress)


@contextmanager
def _alone(store: ExecutionStore, name: str) -> Iterator[str]:
    """Keep out whoever brings, commits or loads this execution; yield its name here, which stays: begun offline, it may have its RID already."""
    what = f"A bag of execution {name} cannot be loaded"
    with liveness.holding(lock_file(store.workspace, name, "commit"), what):
        rid = store.current_name(name)
        with nullcontext() if rid == name else liveness.holding(lock_file(store.workspace, rid, "commit"), what):
            yield rid


@contextmanager
def _opened(store: ExecutionStore, archive: Path) -> Iterator[SealedBag]:
    """Unpack and check a bag beside the executions; what was unpacked goes away afterwards."""
    with unpacking(store.workspace) as place:
        folder = unpack(archive, place)
        verify(folder)
        yield _read(Bag(folder), archive)


def _tokens(sealed: SealedBag) -> dict[str, str]:
    """Return the local ids of the bag, each with the token of its lease; that of the execution was chosen when it was begun."""
    names = dict.fromkeys(entry.rid or "" for entry in sealed.entries)
    tokens = {name: f"{sealed.uuid}/{name}" for name in names if is_local(name)}
    if is_local(sealed.execution.rid):
        tokens[sealed.execution.rid] = sealed.execution.uuid
    return tokens


def _read(bag: Bag, archive: Path) -> SealedBag:
    try:
        record = json.loads(bag.file(RECORD).read_bytes())
        if record["format"] not in (FORMAT, FORMAT_WHOLE):
            older = record["format"] < FORMAT
            raise DerivaMLIntegrityError(
                f"{archive} was sealed by {'an older' if older else 'a newer'} deriva-ml (format {record['format']}, this one reads "
                f"{FORMAT_WHOLE}): {'seal the run again' if older else 'upgrade this one'}."
            )
        named = {each.name: record["execution"][each.name] for each in fields(Registered)}
        named["status"] = ExecutionStatus(named["status"])
        named["catalog_status"] = ExecutionStatus(named["catalog_status"]) if named["catalog_status"] else None
        check_rid(named["rid"])
        _check_links(record.get("nested", ()))
        entries = tuple(_entries(bag, record["entries"], record["types"]))
        files = {entry.key: bag.file(asset_path(entry.table, entry.rid or "", entry.file_name)) for entry in entries}
        return SealedBag(bag, str(uuid.UUID(record["bag"])), record, Registered(**named), entries, files)
    except (KeyError, TypeError, ValueError) as error:
        raise DerivaMLIntegrityError(f"{archive} is a bag, but not a sealed execution: {error!r}.") from error


def _check_links(links: Iterable[Mapping[str, Any]]) -> None:
    for each in links:
        link = Link(**each)
        check_rid(link.parent)
        check_rid(link.child)


def _entries(bag: Bag, described: list[dict[str, Any]], links: list[dict[str, Any]]) -> Iterator[Entry]:
    """Yield the entries that the rows of the bag's assets describe."""
    tables = dict.fromkeys((each["schema"], each["table"]) for each in described if "facts" not in each)
    rows = {table: {row["RID"]: row for row in bag.values(*table)} for table in tables}
    types = {tuple(link["asset"]): _types(bag, link) for link in links}
    for each in described:
        if "facts" in each:
            yield homeless.entry_of(each)
            continue
        table = (each["schema"], each["table"])
        row = rows[table][each["rid"]]
        metadata = {name: value for name, value in row.items() if name not in ASSET_COLUMNS and value is not None}
        yield Entry(
            key=each["key"],
            schema=each["schema"],
            table=each["table"],
            file_name=each["file_name"],
            mode=Mode(each["mode"]),
            staged="",
            source=each["source"],
            source_stamp=each["source_stamp"],
            asset_types=tuple(types[table].get(each["rid"], ())),
            metadata=metadata,
            description=row["Description"] or "",
            state=EntryState.SEALED,
            md5=row["MD5"],
            sha256=each["sha256"],
            length=row["Length"],
            rid=check_rid(each["rid"]),
            url=row["URL"],
        )


def _types(bag: Bag, link: dict[str, Any]) -> dict[str, list[str]]:
    """Return the types of an asset table's rows, by RID, without the direction, which the load adds."""
    found: dict[str, list[str]] = {}
    for row in bag.values(*link["table"]):
        if row["Asset_Type"] != ExecAssetType.output_file:
            found.setdefault(row[link["column"]], []).append(row["Asset_Type"])
    return found


def _check_catalog(session: Catalog, sealed: SealedBag) -> None:
    """Refuse a bag whose execution is not one of this catalog: RIDs of two catalogs look alike."""
    rid, told = sealed.execution.rid, sealed.record["catalog"]
    if is_local(rid):
        _check_place(session, rid, told)
        return
    leased = select(session, LEASES, {"ID": sealed.execution.uuid}, columns=["RID"])
    rows = select(session, TableName(session.ml_schema, "Execution"), {"RID": rid}, columns=["RID", "Workflow"])
    same = [row["RID"] for row in leased] in ([rid], []) and [row["Workflow"] for row in rows] == [
        sealed.execution.workflow_rid
    ]
    if not same:
        raise DerivaMLStateInconsistency(
            f"Execution {rid} of the sealed bag is known to catalog {told['id']} of {told['host']} where it was made, and not to "
            f"catalog {session.catalog_id} of {session.host} here. {_CHOOSE}"
        )


def _check_place(session: Catalog, rid: str, told: Mapping[str, str]) -> None:
    """Refuse a bag of a run that no catalog knows, unless it was made for this one, by whatever address."""
    theirs, known = told.get("identity"), session.identity
    same = theirs == known if theirs and known else (told["host"], told["id"]) == (session.host, session.catalog_id)
    if not same:
        raise DerivaMLStateInconsistency(
            f"Execution {rid} of the sealed bag was begun offline for catalog {told['id']} of {told['host']} ({theirs or 'of no identity'}); "
            f"this is catalog {session.catalog_id} of {session.host} ({known or 'of no identity'}). {_CHOOSE}"
        )


def _take_in(
    session: Catalog, store: ExecutionStore, rid: str, sealed: SealedBag, rids: Mapping[str, str], receipt: Entry
) -> None:
    """Write into the store what it does not have yet: files first, then record, entries and values in one transaction."""
    staged = Staged(store, rid)
    known = {entry.key: entry for entry in staged.entries()}
    keys, sealed = _apart(sealed, known)
    fresh = [
        _placed(store.folder(rid), sealed, entry, rids.get(entry.rid or "", entry.rid or ""))
        for entry in sealed.entries
        if entry.key not in known or _says_more(entry, known[entry.key])
    ]
    fsync_folder(store.folder(rid) / "sealed")
    new = [*fresh, *([] if receipt.key in known else [receipt])]

    def write(connection: apsw.Connection) -> None:
        for entry in new:
            staged.write(connection, entry)
        staged.logged.take_parameters(connection, sealed.record["parameters"])
        store.take_waiting(connection, rid, WAITING_INPUTS, sealed.record.get("waiting", ()))
        Nested(store).take(connection, sealed.record.get("nested", ()))

    def register(connection: apsw.Connection) -> None:
        store.take_history(connection, rid, sealed.record["history"], sealed.record["inputs"])
        write(connection)

    if store.get(rid) is None:
        store.register(sealed.execution, register)
    else:
        with staged.writing() as connection:
            write(connection)
    _take_features(session, store, staged, sealed, keys)
    store.note(rid, "loaded bag", bag=sealed.uuid)


def _apart(sealed: SealedBag, known: Mapping[str, Entry]) -> tuple[dict[str, str], SealedBag]:
    """Give keys of their own to files that are here under their keys with other bytes: what was written again between two seals is a second output.

    Returns the new keys by the old ones, and the bag with them. A bag that is loaded again finds the same keys.
    """
    taken = dict(known)
    keys: dict[str, str] = {}
    for entry in sealed.entries:
        keys[entry.key] = key = _free_key(entry, taken)
        taken[key] = replace(entry, key=key)
    files = {keys.get(key, key): path for key, path in sealed.files.items()}
    return keys, replace(
        sealed, entries=tuple(replace(each, key=keys[each.key]) for each in sealed.entries), files=files
    )


def _free_key(entry: Entry, taken: Mapping[str, Entry]) -> str:
    key, number = entry.key, 1
    if entry.mode is Mode.RECORD:  # what describes the run names its RID once it has one
        return key
    while key in taken and taken[key].sha256 not in (None, entry.sha256):
        number += 1
        key = numbered(plain_key(entry.key), number)
    return key


def _says_more(entry: Entry, known: Entry) -> bool:
    """Return whether a bag says of a file that the catalog has what was not said then: the commit adds it, or tells of it."""
    if known.state is not EntryState.UPLOADED:
        return False
    return (dict(entry.metadata), entry.description, set(entry.asset_types)) != (
        dict(known.metadata),
        known.description,
        set(known.asset_types),
    )


def _placed(folder: Path, sealed: SealedBag, entry: Entry, rid: str) -> Entry:
    """Give the bytes of an entry their place in the execution's folder."""
    source = sealed.files[entry.key]
    name = f"sealed/{sealed.uuid[:8]}-{source.parent.name}"
    target = folder / name
    target.unlink(missing_ok=True)  # of a loader that died
    link_or_copy(source, target)
    return replace(entry, staged=name, sealed=name, rid=rid)


def _take_features(
    session: Catalog, store: ExecutionStore, staged: Staged, sealed: SealedBag, keys: Mapping[str, str]
) -> None:
    """Stage the feature values of the bag that are not there yet, some hundreds at a time; ``keys`` are those of its files here."""
    ids = {entry.key: entry.id for entry in staged.entries()}
    named = {entry.rid: (ids[entry.key], entry.key) for entry in sealed.entries}
    for about in sealed.record["features"]:
        batch: list[StagedFeature] = []
        for row in sealed.bag.values(about["schema"], about["table"]):
            batch.append(_feature(about, row, named))
            if len(batch) == AT_ONCE:
                _take_batch(session, store, staged, batch)
                batch = []
        _take_batch(session, store, staged, batch)
    here = {**ids, **{key: ids[now] for key, now in keys.items()}}
    values = [homeless.value_of(each, here) for each in sealed.record.get("values", ())]
    for _, group in groupby(values, lambda each: (each.schema, each.table)):
        _take_batch(session, store, staged, list(group))


def _take_batch(session: Catalog, store: ExecutionStore, staged: Staged, batch: Sequence[StagedFeature]) -> None:
    """Stage values of one feature; write down those that are here otherwise, for the commit to say so."""
    if not batch:
        return
    table = session.model().table(TableName(batch[0].schema, batch[0].table))
    with staged.writing() as connection:
        pairs = staged.take_features(connection, batch)
        others = [said for said, there in pairs if table and contradictions.may_differ(table, said, there)]
        contradictions.write_down(connection, store, staged.rid, others)


def _feature(
    about: Mapping[str, Any], row: dict[str, Any], named: Mapping[str | None, tuple[int, str]]
) -> StagedFeature:
    """Return a row of a feature's table as the staged value that it was; ``named`` are the bag's files by their ids."""
    del row["Execution"]
    target = about["keys"][0]
    assets = {column: named[row[column]][0] for column in (target, *about["assets"]) if row[column] in named}
    if target in assets:  # the value is about a file of the bag
        row[target] = f"{STAGED}{named[row[target]][1]}"
    row = {column: value for column, value in row.items() if column == target or column not in assets}
    identity = json.dumps([row[name] for name in about["keys"]])
    return StagedFeature(
        about["schema"], about["table"], about["feature_name"], about["target_table"], identity, row, assets
    )
