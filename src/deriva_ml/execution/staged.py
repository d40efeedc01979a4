"""What one run has staged and not yet committed: assets and feature rows; beside them what it has :mod:`logged <deriva_ml.execution.logged>`.

The tables live in the workspace's store. Every method that returns has its change on the disk.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, NamedTuple

import apsw
from pydantic_core import from_json

from deriva_ml.clock import iso, now
from deriva_ml.errors import DerivaMLValidationError
from deriva_ml.execution.logged import Logged, as_text
from deriva_ml.execution.manifest import Entry, EntryState, Mode, plain_key
from deriva_ml.execution.store import ExecutionStore, mapping_of

_COLUMNS = (
    "key, schema, asset_table, file_name, mode, staged, source, asset_types, metadata, description, state, source_stamp, "
    "sealed, md5, sha256, length, rid, url, reused, uploaded_at, id"
)
_WRITTEN = _COLUMNS.removesuffix(", id")
_UPSERT = (
    f"INSERT INTO entries (execution, base, updated_at, {_WRITTEN}) "
    f"VALUES (?, ?, ?, {', '.join('?' * len(_WRITTEN.split(', ')))}) "
    "ON CONFLICT (execution, key) DO UPDATE SET updated_at = excluded.updated_at, "
    f"{', '.join(f'{name} = excluded.{name}' for name in _WRITTEN.split(', ') if name != 'key')} RETURNING {_COLUMNS}"
)
_UPDATE = f"UPDATE entries SET updated_at = ?, {', '.join(f'{name} = ?' for name in _WRITTEN.split(', '))} WHERE id = ?"
_CHUNK = 500
_ADD_FEATURE = (
    "INSERT INTO features (execution, schema, feature_table, feature_name, target_table, identity, record, assets, state, at) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'pending', ?) ON CONFLICT DO NOTHING"
)


@dataclass(frozen=True, slots=True)
class FeatureValues:
    """Checked values of one feature, ready to be stored: identity, record and assets of each, as texts."""

    schema: str
    table: str
    feature_name: str
    target_table: str
    rows: Sequence[tuple[str, str, str]]


@dataclass(frozen=True, slots=True)
class StagedFeature:
    """One feature value: ``record`` by column, ``assets`` names the entry (by id) that fills an asset column."""

    schema: str
    table: str
    feature_name: str
    target_table: str
    identity: str
    record: Mapping[str, Any]
    assets: Mapping[str, int]
    id: int = 0


class Registration(NamedTuple):
    """That an execution has registered a file of the user's, and what the file was like then, or when it was sealed."""

    execution: str
    id: int
    source: str
    source_stamp: str


@lru_cache(maxsize=256)
def _types(text: str) -> tuple[str, ...]:
    return tuple(json.loads(text))


def _entry(row: Sequence[Any]) -> Entry:
    key, schema, table, file_name, mode, staged, source, types, metadata, description, state, *rest = row
    stamp, sealed, md5, sha256, length, rid, url, reused, uploaded_at, number = rest
    return Entry(
        key, schema, table, file_name, Mode(mode), staged, source, _types(types), mapping_of(metadata, "metadata", key) if metadata != "{}" else {}, description,
        EntryState(state), stamp, sealed, md5, sha256, length, rid, url, bool(reused), uploaded_at, number,
    )  # fmt: skip


def _values(entry: Entry) -> tuple[Any, ...]:
    return (
        entry.key, entry.schema, entry.table, entry.file_name, entry.mode.value, entry.staged, entry.source,
        json.dumps(list(entry.asset_types)), json.dumps(dict(entry.metadata), default=str), entry.description,
        entry.state.value, entry.source_stamp, entry.sealed, entry.md5, entry.sha256, entry.length, entry.rid, entry.url,
        int(entry.reused), entry.uploaded_at,
    )  # fmt: skip


class Staged:
    """What the execution ``rid`` has staged."""

    def __init__(self, store: ExecutionStore, rid: str) -> None:
        self.database = store.database
        self.rid = rid
        self.logged = Logged(self.database, rid)

    # --------------------------------------------------------------------------------------------------------- assets

    @contextmanager
    def writing(self, *, durable: bool = True) -> Iterator[apsw.Connection]:
        """Hold the store's write lock, so that what is read inside stays true until it is written.

        ``durable=False`` is for what can be made again: a power cut before the next durable write undoes it.
        """
        with self.database.transaction(durable=durable) as connection:
            yield connection

    def refuse_given_up(self) -> None:
        """Refuse to stage for a run that was given up; raises as :meth:`Logged.refuse_given_up` does."""
        self.logged.refuse_given_up()

    def write(self, connection: apsw.Connection, entry: Entry) -> Entry:
        """Write an entry, new or changed (known by its key), inside :meth:`writing`; return it with its id."""
        return _entry(connection.execute(_UPSERT, (self.rid, plain_key(entry.key), iso(now()), *_values(entry))).get)

    def save(self, entries: Iterable[Entry], *, durable: bool = True) -> list[Entry]:
        """Write entries, new and changed ones, in one transaction (see :meth:`writing`); return them with their ids."""
        listing = list(entries)
        with self.writing(durable=durable) as connection:
            moment = iso(now())
            connection.executemany(_UPDATE, ((moment, *_values(entry), entry.id) for entry in listing if entry.id))
            return [entry if entry.id else self.write(connection, entry) for entry in listing]

    def note_bytes(self, entries: Iterable[Entry]) -> None:
        """Note what the files of these entries hold, where nothing is sealed yet; durable with the next write that is."""
        noted = [(each.source_stamp, each.sha256, each.length, each.id) for each in entries]
        if noted:
            with self.writing(durable=False) as connection:
                sql = "UPDATE entries SET source_stamp = ?, sha256 = ?, length = ? WHERE id = ? AND state = 'pending'"
                connection.executemany(sql, noted)

    def entries(self, *states: EntryState) -> list[Entry]:
        """Return the entries in ``states`` (all, when none is named), in the order of registration."""
        if not states:
            return self._select("1")
        return self._select(f"state IN ({', '.join('?' * len(states))})", *(state.value for state in states))

    def count(self) -> int:
        """Return how many assets are registered."""
        return self._number("SELECT count(*) FROM entries WHERE execution = ?", self.rid)

    def count_namesakes(self, key: str) -> int:
        """Return how many assets have this key but for a number."""
        return self._number("SELECT count(*) FROM entries WHERE execution = ? AND base = ?", self.rid, key)

    def _number(self, sql: str, *values: Any) -> int:
        """Return the one number that a query answers; 0 for none."""
        found: int | None = self.database.connection().execute(sql, values).get
        return found or 0

    def namesakes(self, key: str) -> list[Entry]:
        """Return the assets whose key is ``key`` but for a number, and that are not sealed yet."""
        return self._select("base = ? AND state = 'pending'", key)

    def entry(self, key: str) -> Entry | None:
        """Return the entry with this key, or None when there is none."""
        found = self._select("key = ?", key)
        return found[0] if found else None

    def from_source(self, source: str) -> list[Entry]:
        """Return the entries that were registered from the user's file ``source``."""
        return self._select("source = ?", source)

    def registrations(self) -> list[Registration]:
        """Return what all executions of the workspace that were not given up have registered from files of the user's."""
        sql = (
            "SELECT entries.execution, id, source, source_stamp FROM entries JOIN executions ON executions.rid = execution "
            "WHERE source IS NOT NULL AND source_stamp IS NOT NULL AND state != 'dropped' AND status != 'Aborted' "
            "AND staged IS NOT sealed"  # those of a loaded bag are another machine's
        )
        return [Registration(*row) for row in self.database.connection().execute(sql)]

    def outdated(self, source: str, stamp: str) -> list[Entry]:
        """Return the links to the user's file ``source`` that wait to be sealed and were made when it was another."""
        return self._select(
            "source = ? AND (source_stamp < ? OR source_stamp > ?) AND mode = 'link' AND +state = 'pending'",
            *(source, stamp, stamp),
        )

    def at(self, staged: str) -> list[Entry]:
        """Return the entries whose bytes are staged at ``staged``."""
        return self._select("staged = ?", staged)

    def sealed_from_staged(self) -> list[Entry]:
        """Return the entries that were sealed from files of which the user has the staged path, and that may be there still."""
        return self._select("state IN ('sealed', 'uploaded') AND mode IN ('new', 'copy') AND source_stamp IS NOT NULL")

    def sealed_as(self, staged: Iterable[str]) -> dict[str, tuple[str | None, str | None]]:
        """Return what is registered of these staged places: stamp and SHA-256 of their files when they were sealed last."""
        sql = (
            "SELECT staged, source_stamp, sha256 FROM entries WHERE execution = ? AND state != 'dropped' "
            "AND staged IN (SELECT value FROM json_each(?)) ORDER BY id"
        )
        rows = self.database.connection().execute(sql, (self.rid, json.dumps(list(staged))))
        return {place: (stamp, sha256) for place, stamp, sha256 in rows}

    def by_id(self, numbers: Iterable[int]) -> dict[int, Entry]:
        """Return the entries with these ids."""
        wanted = sorted(set(numbers))
        found: dict[int, Entry] = {}
        for start in range(0, len(wanted), _CHUNK):
            chunk = wanted[start : start + _CHUNK]
            found |= {entry.id: entry for entry in self._select(f"id IN ({', '.join('?' * len(chunk))})", *chunk)}
        return found

    def _select(self, condition: str, *values: Any) -> list[Entry]:
        sql = f"SELECT {_COLUMNS} FROM entries WHERE execution = ? AND {condition} ORDER BY id"
        return [_entry(row) for row in self.database.connection().execute(sql, (self.rid, *values))]

    # ------------------------------------------------------------------------------------------------------- features

    def add_features(self, values: FeatureValues) -> int:
        """Stage feature values, all or none; return how many.

        Raises:
            DerivaMLValidationError: some target has a value of this feature from this execution already; all are named.
        """
        self.refuse_given_up()
        moment = iso(now())
        same = (self.rid, values.schema, values.table, values.feature_name, values.target_table)
        rows = [(*same, *row, moment) for row in values.rows]

        def write(connection: apsw.Connection) -> None:
            newest = connection.execute("SELECT max(id) FROM features").get or 0
            before = connection.total_changes()
            connection.executemany(_ADD_FEATURE, rows)
            if connection.total_changes() - before != len(rows):
                raise DerivaMLValidationError(_taken(values.feature_name, self._held(connection, values, newest)))

        self.database.write_together(write)
        return len(rows)

    def _held(self, connection: apsw.Connection, values: FeatureValues, newest: int) -> list[str]:
        """Return which of these targets had a value already, in the rows up to the id ``newest``."""
        sql = "SELECT identity FROM features WHERE execution = ? AND schema = ? AND feature_table = ? AND id <= ?"
        held = {row[0] for row in connection.execute(sql, (self.rid, values.schema, values.table, newest))}
        return [identity for identity, *_ in values.rows if identity in held]

    def take_features(
        self, connection: apsw.Connection, features: Sequence[StagedFeature]
    ) -> list[tuple[StagedFeature, StagedFeature]]:
        """Stage feature values that came from elsewhere, inside :meth:`writing`; those that are there already stay as they are.

        Returns those that are there in other words, each with what is there.
        """
        moment, before = iso(now()), connection.total_changes()
        connection.executemany(
            _ADD_FEATURE,
            [(self.rid, *_place(each), as_text(each.record), as_text(each.assets), moment) for each in features],
        )
        if connection.total_changes() - before == len(features):
            return []
        return [(each, there) for each in features for there in self._otherwise(connection, each)]

    def _otherwise(self, connection: apsw.Connection, each: StagedFeature) -> Iterator[StagedFeature]:
        sql = (
            "SELECT record, assets, id FROM features WHERE execution = ? AND schema = ? AND feature_table = ? AND identity = ? "
            "AND (record, assets) IS NOT (?, ?)"
        )
        texts = as_text(each.record), as_text(each.assets)
        rows = list(connection.execute(sql, (self.rid, each.schema, each.table, each.identity, *texts)))
        for record, assets, number in rows:
            yield replace(each, record=from_json(record), assets=from_json(assets), id=number)

    def features(self, table: tuple[str, str], up_to: int) -> Iterator[StagedFeature]:
        """Yield the feature values of one table, up to an id, that are not yet in the catalog, in the order of staging."""
        sql = (
            "SELECT schema, feature_table, feature_name, target_table, identity, record, assets, id FROM features "
            "WHERE execution = ? AND state = 'pending' AND schema = ? AND feature_table = ? AND id > ? AND id <= ? ORDER BY id LIMIT ?"
        )
        last = 0
        while True:
            rows = list(self.database.connection().execute(sql, (self.rid, *table, last, up_to, _CHUNK)))
            for row in rows:
                schema, name, feature, target, identity, record, assets, last = row
                yield StagedFeature(schema, name, feature, target, identity, from_json(record), from_json(assets), last)
            if len(rows) < _CHUNK:
                return

    def features_about_files(self, up_to: int, *, uploaded: bool = False) -> list[StagedFeature]:
        """Return the feature values, up to an id, about files of this execution: those not yet in the catalog, or those in it."""
        condition = "state = ? AND id <= ? AND assets != '{}' AND identity LIKE '%\"staged %'"
        return self._values(condition, "uploaded" if uploaded else "pending", up_to)

    def features_at(self, places: Iterable[tuple[str, str, str]], *, uploaded: bool = False) -> list[StagedFeature]:
        """Return the feature values with these schemas, tables and identities: those not yet in the catalog, or those in it."""
        wanted = list(places)
        condition = (
            "state = ? AND (schema, feature_table, identity) IN "
            "(SELECT value ->> 0, value ->> 1, value ->> 2 FROM json_each(?))"
        )
        return self._values(condition, "uploaded" if uploaded else "pending", json.dumps(wanted)) if wanted else []

    def _values(self, condition: str, *values: Any) -> list[StagedFeature]:
        sql = (
            "SELECT schema, feature_table, feature_name, target_table, identity, record, assets, id FROM features "
            f"WHERE execution = ? AND {condition} ORDER BY id"
        )
        rows = self.database.connection().execute(sql, (self.rid, *values))
        return [
            StagedFeature(schema, table, name, target, identity, from_json(record), from_json(assets), number)
            for schema, table, name, target, identity, record, assets, number in rows
        ]

    def drop_features(self, connection: apsw.Connection, features: Iterable[StagedFeature]) -> None:
        """Give up feature values, inside :meth:`writing`."""
        connection.executemany("UPDATE features SET state = 'dropped' WHERE id = ?", [(each.id,) for each in features])

    def feature_tables(self, up_to: int) -> dict[tuple[str, str], int]:
        """Return how many feature values of each table, up to an id, are not yet in the catalog."""
        sql = (
            "SELECT schema, feature_table, count(*) FROM features WHERE execution = ? AND state = 'pending' AND id <= ? "
            "GROUP BY 1, 2 ORDER BY 1, 2"
        )
        return {
            (schema, table): count
            for schema, table, count in self.database.connection().execute(sql, (self.rid, up_to))
        }

    def feature_counts(self, table: tuple[str, str], up_to: int) -> int:
        """Return how many values of one feature table were staged up to an id, committed ones included."""
        sql = "SELECT count(*) FROM features WHERE execution = ? AND schema = ? AND feature_table = ? AND id <= ? AND state != 'dropped'"
        return self._number(sql, self.rid, *table, up_to)

    # --------------------------------------------------------------------------------------------------------- commit

    def mark_committed(self, connection: apsw.Connection, entries: Iterable[Entry], features_up_to: int) -> None:
        """Mark the entries, and the feature values up to an id, as being in the catalog."""
        moment = iso(now())
        connection.executemany(
            "UPDATE entries SET state = 'uploaded', uploaded_at = ?, updated_at = ? WHERE id = ?",
            [(moment, moment, entry.id) for entry in entries],
        )
        connection.execute(
            "UPDATE features SET state = 'uploaded' WHERE execution = ? AND id <= ? AND state = 'pending'",
            (self.rid, features_up_to),
        )

    def drop(self, entries: Iterable[Entry]) -> int:
        """Give up assets that have no file, and the feature values that name them; return how many values those are."""
        gone = {entry.id for entry in entries}
        with self.writing() as connection:
            connection.executemany("UPDATE entries SET state = 'dropped' WHERE id = ?", [(number,) for number in gone])
            sql = "SELECT id, assets FROM features WHERE execution = ? AND state = 'pending' AND assets != '{}'"
            named = [
                row for row, assets in connection.execute(sql, (self.rid,)) if gone & set(json.loads(assets).values())
            ]
            connection.executemany("UPDATE features SET state = 'dropped' WHERE id = ?", [(row,) for row in named])
        return len(named)

    def committed_assets(self) -> dict[tuple[str, str], int]:
        """Return how many assets of each table the catalog was given."""
        sql = "SELECT schema, asset_table, count(DISTINCT rid) FROM entries WHERE execution = ? AND state = 'uploaded' GROUP BY 1, 2"
        rows = self.database.connection().execute(sql, (self.rid,))
        return {(schema, table): number for schema, table, number in rows}

    def committed_features(self) -> dict[tuple[str, str], int]:
        """Return how many feature values of each table the catalog was given."""
        sql = "SELECT schema, feature_table, count(*) FROM features WHERE execution = ? AND state = 'uploaded' GROUP BY 1, 2"
        rows = self.database.connection().execute(sql, (self.rid,))
        return {(schema, table): number for schema, table, number in rows}

    def stage_again(self, connection: apsw.Connection, gone: Collection[int]) -> int:
        """Let the feature values that the catalog was given wait to be committed once more; give up, and count, those that name files ``gone``."""
        sql = "SELECT id, assets FROM features WHERE execution = ? AND state = 'uploaded' AND assets != '{}'"
        named = [
            row for row, assets in connection.execute(sql, (self.rid,)) if set(gone) & set(json.loads(assets).values())
        ]
        connection.executemany("UPDATE features SET state = 'dropped' WHERE id = ?", [(row,) for row in named])
        connection.execute(
            "UPDATE features SET state = 'pending' WHERE execution = ? AND state = 'uploaded'", (self.rid,)
        )
        return len(named)

    def newest_feature(self) -> int:
        """Return the id of the feature value staged last; 0 when there is none."""
        return self._number("SELECT max(id) FROM features WHERE execution = ?", self.rid)

    def has_pending(self) -> bool:
        """Return whether anything is staged that the catalog does not have."""
        sql = " UNION ALL ".join(
            f"SELECT 1 FROM {table} WHERE execution = ?1 AND {condition}"
            for table, condition in (
                ("entries", "state IN ('pending', 'sealed')"),
                ("features", "state = 'pending'"),
                ("parameters", "entry IS NULL"),
                ("metrics", "entry IS NULL"),
            )
        )
        return self._number(f"{sql} LIMIT 1", self.rid) == 1

    # ------------------------------------------------------------------------------------------------------ downloads

    def add_download(self, rid: str, schema: str, table: str, path: str) -> None:
        """Remember where an input asset was put."""
        with self.database.transaction() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO downloads VALUES (?, ?, ?, ?, ?)", (self.rid, rid, schema, table, path)
            )

    def downloads(self) -> list[tuple[str, str, str, str]]:
        """Return the input assets: RID, schema, table, path."""
        sql = "SELECT rid, schema, asset_table, path FROM downloads WHERE execution = ? ORDER BY rowid"
        return list(self.database.connection().execute(sql, (self.rid,)))


def _place(each: StagedFeature) -> tuple[str, str, str, str, str]:
    return each.schema, each.table, each.feature_name, each.target_table, each.identity


def _taken(feature: str, identities: Sequence[str]) -> str:
    shown = ", ".join(identities[:20]) + (" …" if len(identities) > 20 else "")
    return (
        f"{len(identities)} target{'s have' if len(identities) > 1 else ' has'} a value of feature {feature!r} from this execution "
        f"already: {shown}. One execution gives a target one value; nothing was staged."
    )
