"""Every kind of damage that ``deriva-ml check`` is to find: what is done to a healthy home, and how bad that is."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from places import (
    Damage,
    Place,
    at_store,
    both,
    file_at,
    first_asset,
    flip,
    flip_in_place,
    half,
    in_catalog,
    in_catalog_folder,
    killed,
    kind_of_page,
    longer,
    manifest,
    noise,
    on,
    remove,
    rot,
    row,
    shorter,
    text,
    to_folder,
    to_link,
    without_store,
    zeros,
)

from deriva_ml.catalog.rows import update
from deriva_ml.check.home import session_to_repair
from deriva_ml.environment.host import this_process
from deriva_ml.names import TableName

MACHINE, USER, FATAL = "machine", "user", "fatal"
"""Who puts it right: ``--repair``; the user, with one command; nobody, as something is lost."""


@dataclass(frozen=True)
class Case:
    """One damage, the kind of its finding, and who puts it right."""

    kind: str
    by: str
    damage: Damage = field(compare=False)
    home: bool = False
    """Whether the catalog must be asked, too; what the workspace alone shows is found sooner."""


def _no_folder(place: Place) -> None:
    shutil.rmtree(place.folder(place.stopped))
    place.folder(place.stopped).write_text("x")


def _linked_folder(place: Place) -> None:
    shutil.rmtree(place.folder(place.sealed) / "sealed")
    (place.folder(place.sealed) / "sealed").symlink_to("/tmp")


def _no_locks(place: Place) -> None:
    shutil.rmtree(place.workspace / "locks")
    (place.workspace / "locks").write_text("")


def _source_gone(path: Path) -> None:
    """The user's file is gone that a link of the staging area leads to."""
    path.unlink()
    path.symlink_to(path.parent / "gone")


def _elsewhere(path: Path) -> None:
    """Move a kept file into the folder of another checksum."""
    other = path.parents[1] / ("ff" if path.parent.name != "ff" else "00")
    other.mkdir(exist_ok=True)
    path.rename(other / path.name)


def _older_catalog(place: Place) -> None:
    """An earlier backup of the catalog is restored, without the newest run."""
    shutil.rmtree(place.home / "catalog")
    shutil.copytree(place.older, place.home / "catalog")


def _given_up_elsewhere(place: Place) -> None:
    """Somebody has written into the catalog that a committed run was given up."""
    session = session_to_repair(place.home, place.workspace)
    update(session, TableName("deriva-ml", "Execution"), [{"RID": place.done, "Status": "Aborted"}], targets=["Status"])


def _shared_bytes(place: Place) -> None:
    """A bit is flipped in a sealed copy that the catalog's object is another name of, as commits make it."""
    sealed = place.some("executions/{done}/sealed/*")
    same = next(
        path for path in (place.home / "catalog").glob("objects/?/*") if path.read_bytes() == sealed.read_bytes()
    )
    sealed.unlink()
    sealed.hardlink_to(same)
    flip_in_place(sealed)


def _living_without_lock(place: Place) -> None:
    """The lock file of a run is removed while its process, this one, goes on."""
    place.sql("UPDATE executions SET status = 'Running' WHERE rid = '{stopped}'")
    place.sql(f"UPDATE executions SET owner = '{json.dumps(this_process())}' WHERE rid = '{{stopped}}'")
    place.sql("DELETE FROM events WHERE execution = '{stopped}' AND event = 'finish'")
    (place.workspace / "locks" / f"{place.stopped}.run").unlink()


_KEPT = "cache/assets/??/*"
_LINKED = "executions/{stopped}/assets/**/linked.txt"
_MASK = "executions/{sealed}/sealed/[0-9]"
_STAGED_MASK = on("executions/{sealed}/assets/Mask/b.txt", remove)

_NEVER_WRITTEN = row(
    "UPDATE executions SET owner = '{}'; UPDATE entries SET sha256 = NULL, length = NULL WHERE key = 'Image/c.txt'"
)
CASES: list[Case] = [
    # the store as a file
    Case("store-gone", FATAL, lambda place: place.store.write_bytes(b"")),
    Case("store-gone", FATAL, without_store),
    Case("store-no-database", FATAL, lambda place: place.store.write_bytes(b"nonsense" * 1000)),
    Case("store-no-database", FATAL, lambda place: place.store.write_bytes(bytes(100_000))),
    Case("store-no-file", FATAL, at_store(to_folder)),
    Case("store-damaged", FATAL, at_store(noise)),
    Case("store-damaged", FATAL, at_store(zeros)),
    Case("store-damaged", FATAL, at_store(half)),
    Case("store-damaged", FATAL, at_store(kind_of_page)),
    Case("store-newer", FATAL, row("PRAGMA user_version = 999")),
    Case("store-table", FATAL, row("DROP TABLE metrics")),
    Case("store-table", FATAL, row("ALTER TABLE journal ADD COLUMN more TEXT")),
    Case("store-index", MACHINE, row("DROP INDEX entries_by_state")),
    Case("orphans", FATAL, row("INSERT INTO journal (execution, step, detail, at) VALUES ('9-ZZZ', 'x', '{}', '2026-01-01')")),
    Case("orphans", FATAL, row("INSERT INTO features SELECT 99999, '9-ZZZ', schema, feature_table, feature_name, target_table, identity, record, "
                               "assets, state, at FROM features LIMIT 1")),
    Case("unrecorded", MACHINE, row("PRAGMA foreign_keys=ON; DELETE FROM executions WHERE rid = '{stopped}'")),
    Case("unrecorded", FATAL, both(row("PRAGMA foreign_keys=ON; DELETE FROM executions WHERE rid = '{stopped}'"),
                                   on("executions/{stopped}/asset-manifest.json", remove))),
    # executions
    Case("status", FATAL, row("UPDATE executions SET status = 'Dozing' WHERE rid = '{done}'")),
    Case("catalog-status", FATAL, row("UPDATE executions SET catalog_status = 'Dozing' WHERE rid = '{done}'")),
    Case("mode", FATAL, row("UPDATE executions SET mode = 'sideways' WHERE rid = '{done}'")),
    Case("config", FATAL, row("UPDATE executions SET config = '{' WHERE rid = '{done}'")),
    Case("owner", FATAL, row("UPDATE executions SET owner = '[]' WHERE rid = '{done}'")),
    Case("created-at", FATAL, row("UPDATE executions SET created_at = 'yesterday' WHERE rid = '{done}'")),
    Case("last-activity", FATAL, row("UPDATE executions SET last_activity = '' WHERE rid = '{done}'")),
    Case("start-time", FATAL, row("UPDATE executions SET start_time = '25:00' WHERE rid = '{done}'")),
    Case("stop-time", FATAL, row("UPDATE executions SET stop_time = 'now' WHERE rid = '{done}'")),
    Case("duration", MACHINE, row("UPDATE executions SET duration = -1 WHERE rid = '{done}'")),
    Case("duration", MACHINE, row("UPDATE executions SET upload_duration = -0.5, start_time = NULL WHERE rid = '{done}'")),
    Case("rid", FATAL, row("UPDATE executions SET rid = '../../x' WHERE rid = '{done}'")),
    # history
    Case("history-end", FATAL, row("UPDATE executions SET status = 'Failed' WHERE rid = '{stopped}'")),
    Case("history-none", FATAL, row("DELETE FROM events WHERE execution = '{stopped}'")),
    Case("history-gap", FATAL, row("DELETE FROM events WHERE id = (SELECT min(id) + 1 FROM events WHERE execution = '{done}')")),
    Case("history-edge", FATAL, row("UPDATE events SET event = 'abort' WHERE execution = '{done}' AND event = 'finish'")),
    Case("history-moment", FATAL, row("UPDATE events SET at = 'then' WHERE execution = '{done}'")),
    # assets
    Case("entry-state", FATAL, row("UPDATE entries SET state = 'lost' WHERE execution = '{stopped}'")),
    Case("entry-mode", FATAL, row("UPDATE entries SET mode = 'moved' WHERE execution = '{stopped}'")),
    Case("entry-types", FATAL, row("UPDATE entries SET asset_types = '{}' WHERE execution = '{stopped}'")),
    Case("entry-metadata", FATAL, row("UPDATE entries SET metadata = 'x' WHERE execution = '{stopped}'")),
    Case("entry-name", FATAL, row("UPDATE entries SET file_name = 'a/b' WHERE execution = '{stopped}'")),
    Case("entry-name", FATAL, row("UPDATE entries SET file_name = 'other.txt' WHERE key = 'Image/c.txt'")),
    Case("entry-checksum", FATAL, row("UPDATE entries SET sha256 = NULL WHERE key = 'Image/c.txt'")),
    Case("entry-key", FATAL, row("UPDATE entries SET key = 'Model/c.txt' WHERE key = 'Image/c.txt'")),
    Case("entry-base", MACHINE, row("UPDATE entries SET base = 'Image/z.txt' WHERE key = 'Image/c.txt'")),
    Case("entry-path", FATAL, row("UPDATE entries SET staged = '../../../x' WHERE key = 'Image/c.txt'")),
    Case("entry-path", FATAL, row("UPDATE entries SET sealed = '/etc/hostname' WHERE key = 'Mask/b.txt'")),
    Case("entry-unsealed", FATAL, row("UPDATE entries SET sealed = NULL WHERE key = 'Mask/b.txt'")),
    Case("entry-checksum", FATAL, row("UPDATE entries SET md5 = 'abc' WHERE key = 'Mask/b.txt'")),
    Case("entry-checksum", FATAL, row("UPDATE entries SET sha256 = NULL WHERE key = 'Image/a.txt'")),
    Case("entry-length", FATAL, row("UPDATE entries SET length = -1 WHERE key = 'Mask/b.txt'")),
    Case("entry-rid", FATAL, row("UPDATE entries SET rid = 'no rid' WHERE key = 'Image/a.txt'")),
    Case("entry-url", FATAL, row("UPDATE entries SET url = NULL WHERE key = 'Image/a.txt'")),
    Case("entry-moment", FATAL, row("UPDATE entries SET uploaded_at = 'x' WHERE key = 'Image/a.txt'")),
    Case("entry-shared-rid", FATAL, row("UPDATE entries SET rid = '1-AAA' WHERE execution = '{done}'")),
    # what was logged
    Case("feature-state", FATAL, row("UPDATE features SET state = 'gone' WHERE execution = '{stopped}'")),
    Case("feature-record", FATAL, row("UPDATE features SET record = '[' WHERE execution = '{stopped}'")),
    Case("feature-identity", FATAL, row("UPDATE features SET identity = 'x' WHERE execution = '{stopped}'")),
    Case("feature-assets", FATAL, row("UPDATE features SET assets = '[]' WHERE execution = '{stopped}'")),
    Case("feature-asset-gone", FATAL, row("UPDATE features SET assets = '{\"x\": 99999}' WHERE execution = '{sealed}'")),
    Case("parameter", FATAL, row("UPDATE parameters SET value = '{'")),
    Case("parameter-file", FATAL, row("UPDATE parameters SET entry = 'x' WHERE name = 'epochs'")),
    Case("metric", FATAL, row("UPDATE metrics SET record = 'loss' WHERE execution = '{stopped}'")),
    Case("metric-step", FATAL, row("UPDATE metrics SET step = '{'")),
    Case("metric-file", FATAL, row("UPDATE metrics SET entry = 'x' WHERE execution = '{sealed}'")),
    Case("journal", FATAL, row("UPDATE journal SET detail = '' WHERE execution = '{sealed}'")),
    Case("nesting", FATAL, row("INSERT INTO nestings (parent, child, state, at) VALUES ('{sealed}', '{stopped}', 'odd', '')")),
    Case("download", MACHINE, row("UPDATE downloads SET rid = '?'")),
    Case("download", MACHINE, row("UPDATE downloads SET rid = '?', path = '/data/x.txt'")),
    # what the store says is in the catalog
    Case("not-committed", FATAL, row("UPDATE entries SET state = 'uploaded', rid = '1-ZZZZ', url = '/hatrac/x', sealed = 'x', md5 = '0cc175b9c0f1b6a831c399e269772661', "
                                     "sha256 = 'ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb', length = 1, "
                                     "uploaded_at = '2026-01-01T00:00:00+00:00' WHERE key = 'Image/c.txt'"), home=True),
    Case("committed-other", FATAL, row("UPDATE entries SET md5 = '0cc175b9c0f1b6a831c399e269772662' WHERE key = 'Image/a.txt'"), home=True),
    Case("contradiction", USER, _given_up_elsewhere, home=True),
    Case("catalog-older", FATAL, _older_catalog, home=True),
    # manifests
    Case("manifest-gone", MACHINE, on("executions/{stopped}/asset-manifest.json", remove)),
    Case("manifest-torn", MACHINE, on("executions/{stopped}/asset-manifest.json", half)),
    Case("manifest-torn", MACHINE, on("executions/{stopped}/asset-manifest.json", text(""))),
    Case("manifest-torn", MACHINE, on("executions/{stopped}/asset-manifest.json", text("[]"))),
    Case("manifest-rid", MACHINE, manifest("stopped", lambda content: content.update(execution_rid="1-XYZ"))),
    Case("manifest-less", MACHINE, manifest("stopped", lambda content: content["assets"].pop("Image/c.txt"))),
    Case("manifest-more", FATAL, row("DELETE FROM entries WHERE key = 'Image/c.txt'")),
    Case("manifest-checksum", MACHINE, manifest("done", lambda content: content["assets"]["Image/a.txt"].update(sha256="0" * 64))),
    Case("manifest-checksum", FATAL, manifest("done", lambda content: first_asset(content).update(sha256="0" * 64))),
    Case("manifest-asset", FATAL, manifest("done", lambda content: first_asset(content).update(rid="1-XYZ"))),
    # staged bytes
    Case("staged-unwritten", USER, both(_NEVER_WRITTEN, on("executions/{stopped}/assets/Image/c.txt", remove))),
    Case("staged-bytes", FATAL, on("executions/{stopped}/assets/Image/c.txt", remove)),
    Case("staged-kind", FATAL, on("executions/{stopped}/assets/Image/c.txt", to_folder)),
    Case("staged-link", FATAL, on("executions/{stopped}/assets/Image/c.txt", to_link)),
    *(Case("staged-changed", USER, on("executions/{stopped}/assets/Image/c.txt", act)) for act in (flip, longer, shorter)),
    *(Case("staged-bytes", FATAL, on("executions/{stopped}/assets/**/copied.txt", act)) for act in (flip, longer, shorter)),
    Case("staged-bytes", FATAL, on("executions/{stopped}/assets/Image/c.txt", rot)),
    Case("staged-copy", FATAL, on("executions/{stopped}/assets/**/copied.txt", remove)),
    Case("staged-link", FATAL, on("executions/{stopped}/assets/**/copied.txt", to_link)),
    Case("staged-unlinked", MACHINE, on(_LINKED, remove)),
    Case("staged-no-link", MACHINE, on(_LINKED, text("another"))),
    Case("staged-astray", MACHINE, on(_LINKED, to_link)),
    Case("staged-source", FATAL, both(row("UPDATE entries SET source = '/gone/linked.txt' WHERE mode = 'link'"), on(_LINKED, _source_gone))),
    Case("staged-source", FATAL, both(row("UPDATE entries SET source = '/gone/linked.txt' WHERE mode = 'link'"), on(_LINKED, remove))),
    Case("staged-source", FATAL, both(row("UPDATE entries SET source = '/gone/linked.txt' WHERE mode = 'link'"), on(_LINKED, text("copy")))),
    Case("staged-kind", FATAL, both(row("UPDATE entries SET source = '/etc' WHERE mode = 'link'"))),
    # sealed bytes: whole where they were staged, or not
    *(Case(kind, MACHINE, on(_MASK, act)) for kind, act in (("sealed-gone", remove), ("sealed-length", longer), ("sealed-length", shorter),
                                                           ("sealed-bytes", flip), ("sealed-kind", to_link), ("sealed-kind", to_folder))),
    *(Case(kind, FATAL, both(_STAGED_MASK, on(_MASK, act))) for kind, act in (("sealed-gone", remove), ("sealed-length", longer), ("sealed-length", shorter),
                                                                             ("sealed-bytes", flip), ("sealed-kind", to_link), ("sealed-kind", to_folder))),
    Case("sealed-bytes", MACHINE, on("executions/{done}/sealed/*", flip)),
    Case("sealed-bytes", MACHINE, on("executions/{sealed}/sealed/*-metrics.jsonl", flip)),
    Case("sealed-gone", MACHINE, on("executions/{sealed}/sealed/*-parameters.json", remove)),
    Case("sealed-bytes", FATAL, _shared_bytes),
    Case("folder", FATAL, _no_folder),
    Case("folder", FATAL, _linked_folder),
    # the bag of a commit, receipts
    Case("commit-bag", MACHINE, on("executions/{done}/commit/bag/manifest-md5.txt", flip)),
    Case("commit-bag", MACHINE, on("executions/{done}/commit/bag/data/schema.json", flip)),
    Case("commit-bag", MACHINE, on("executions/{done}/commit/bag/bagit.txt", remove)),
    Case("receipt", MACHINE, on("executions/{done}/commit/receipt-1.json", text("{"))),
    # what is kept
    Case("cache-mark", MACHINE, on("cache/bags/*/ready.json", remove)),
    Case("cache-mark", MACHINE, on("cache/bags/*/ready.json", text("[]"))),
    Case("cache-bag", MACHINE, on("cache/bags/*/Dataset_*/data/deriva-ml/Dataset.csv", flip)),
    Case("cache-bag", MACHINE, on("cache/bags/*/Dataset_*/data/assets/**/a.txt", remove)),
    Case("cache-bag", MACHINE, on("cache/bags/*/Dataset_*/manifest-md5.txt", text(f"{'0' * 32}  data/schema.json\n"))),
    Case("cache-bytes", MACHINE, on("cache/assets/*_*/a.txt", flip)),
    Case("cache-bytes", MACHINE, on("cache/assets/*_*/a.txt", text(""))),
    Case("cache-kind", MACHINE, on("cache/assets/*_*/a.txt", to_link)),
    Case("cache-name", MACHINE, on(_KEPT, _elsewhere)),
    Case("cache-name", MACHINE, on(_KEPT, lambda path: path.rename(path.with_name("a-name-of-another-kind")))),
    Case("sealed-bag", MACHINE, on("sealed-bags/*.zip", flip)),
    Case("sealed-bag", MACHINE, on("sealed-bags/*.zip", half)),
    Case("sealed-bag", MACHINE, on("sealed-bags/*.zip", text("no archive"))),
    Case("sealed-bag", FATAL, on("sealed-bags/*.zip", lambda path: path.replace(path.with_name("execution-9-ZZZ-01234567.zip")).write_bytes(b"x"))),
    # what offline sessions know
    Case("schema-cache", MACHINE, on("schema-cache.json", half)),
    Case("schema-cache", MACHINE, on("schema-cache.json", text("{}"))),
    Case("schema-cache", MACHINE, on("schema-cache.json", lambda path: path.write_text(path.read_text().replace('"catalog_id": "1"', '"catalog_id": "2"')))),
    Case("schema-cache", MACHINE, file_at("schema-cache.terms.jsonl", "{nonsense}\n")),
    # locks and processes
    Case("lock", MACHINE, on("locks/{stopped}.run", to_folder)),
    Case("lock-text", MACHINE, on("locks/{done}.run", text("\x7fELF nonsense"))),
    Case("locks", MACHINE, _no_locks),
    Case("dead", MACHINE, lambda place: killed(place.home)),
    Case("lock-gone", USER, _living_without_lock),
    Case("half-made", MACHINE, row("UPDATE executions SET catalog_status = NULL, status = 'Created' WHERE rid = '{stopped}'; "
                                   "DELETE FROM events WHERE execution = '{stopped}'")),
    # the embedded catalog: its databases, its objects, its rows, the files of its assets
    Case("store-no-database", FATAL, in_catalog_folder("hatrac.sqlite", text("no database")), home=True),
    Case("store-damaged", FATAL, in_catalog_folder("catalogs/*/catalog.sqlite", zeros), home=True),
    Case("store-damaged", FATAL, in_catalog_folder("catalogs/*/catalog.sqlite", noise), home=True),
    Case("catalog-gone", FATAL, in_catalog_folder("registry.sqlite", remove), home=True),
    Case("catalog-gone", FATAL, in_catalog_folder("hatrac.sqlite", remove), home=True),
    Case("catalog", FATAL, in_catalog_folder("catalogs/1/catalog.sqlite", remove), home=True),
    Case("catalog", FATAL, in_catalog_folder("objects/?/*", flip), home=True),
    Case("catalog", FATAL, in_catalog_folder("objects/?/*", remove), home=True),
    Case("catalog", FATAL, in_catalog_folder("objects/?/*", longer), home=True),
    Case("catalog", FATAL, in_catalog_folder("objects/?/*", to_link), home=True),
    Case("catalog", FATAL, in_catalog("hatrac.sqlite", "UPDATE version SET md5 = zeroblob(16)"), home=True),
    Case("catalog", FATAL, in_catalog("hatrac.sqlite", "UPDATE version SET length = length + 1"), home=True),
    Case("asset-gone", FATAL, in_catalog("hatrac.sqlite", "UPDATE name SET deleted = 1 WHERE kind = 'object' AND name LIKE '%Image%'"), home=True),
    Case("asset-gone", FATAL, in_catalog("hatrac.sqlite", "DELETE FROM version"), home=True),
    Case("asset-differs", FATAL, in_catalog("hatrac.sqlite", "CREATE TEMP TABLE t AS SELECT number, name FROM version; "
                                            "UPDATE version SET name = (SELECT name FROM t WHERE t.number = version.number + 1) "
                                            "WHERE number < (SELECT max(number) FROM t)"), home=True),
]  # fmt: skip
