"""The folder of a store: which catalogs and aliases it has, and who may make more.

<store>/registry.sqlite           catalogs and aliases
<store>/store.lock                held while the store or a catalog is made or removed
<store>/catalogs/<id>/            one catalog: catalog.sqlite and the lock file of its writers
<store>/hatrac.sqlite, objects/   the object store's
"""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apsw

from deriva_local.acl.static import owners
from deriva_local.service.messages import Client
from deriva_local.store import catalog as catalog_file
from deriva_local.store import formats
from deriva_local.store.connections import (
    APPLICATION,
    PATIENCE,
    READ_ONLY,
    Connections,
    explained,
    opened,
    refused,
    transaction,
)
from deriva_local.store.database import Database
from deriva_local.store.forks import inside
from deriva_local.store.formats import Step, script
from deriva_local.store.place import ReadOnlyStore, StoreProblem, make_folder, refuse_network, sync_folder
from deriva_local.store.queue import Queue
from deriva_local.wire.errors import bad_request, conflict, forbidden, not_found

_SCHEMA = """
CREATE TABLE catalog (
    id TEXT PRIMARY KEY, folder TEXT NOT NULL UNIQUE, created INTEGER NOT NULL, facts TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE alias (
    id TEXT PRIMARY KEY, owner TEXT NOT NULL, target TEXT REFERENCES catalog (id), created INTEGER NOT NULL,
    facts TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE counter (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO counter VALUES ('catalog', 1), ('folder', 1);
"""
STEPS: tuple[Step, ...] = (script(_SCHEMA),)
"""What makes the oldest format of the registry, and what brings each further one up to date."""

_ID = re.compile(r"[A-Za-z0-9_.~-]{1,63}\Z")


@dataclass(frozen=True, slots=True)
class Entry:
    """A catalog as the registry knows it. ``alias`` is the id it was asked for by, where that is an alias."""

    id: str
    folder: str
    facts: Mapping[str, Any]
    alias: str | None = None


@dataclass(frozen=True, slots=True)
class Alias:
    """Another id for a catalog; ``target`` is None while it leads nowhere."""

    id: str
    owner: tuple[str, ...]
    target: str | None
    facts: Mapping[str, Any]


class Store:
    """A store in a folder, made when it is not there. Threads may share it, and a forked child may go on using it.

    Raises:
        OSError: the folder cannot be used (network file system, no permission, no space, a newer program's store).
    """

    def __init__(self, folder: Path, patience: float = PATIENCE) -> None:
        refuse_network(folder)
        self.folder = folder.absolute()
        self._patience = patience
        self._open_folder()
        self._queue = Queue(self.folder / "store.lock", patience)
        self._connections = Connections(self.folder / "registry.sqlite", None, patience)
        self._databases: dict[str, Database] = {}
        self._prepare()

    @property
    def registry(self) -> Path:
        """The registry's file; the object store's database lies next to it."""
        return self.folder / "registry.sqlite"

    # ------------------------------------------------------------------------------------------------------- catalogs

    def create_catalog(self, document: Mapping[str, Any], client: Client) -> str:
        """Create a catalog and return its id; ``document`` may give ``id``, ``owner``, ``annotations`` and facts.

        Raises:
            Refusal: 409 for an id that is taken and for owners without the client, 403 for one that somebody else has
                reserved by an alias that leads nowhere, 400 for a malformed document.
        """
        wanted = checked_id(document.get("id"))
        owner = owners(document.get("owner"), client)
        with self._changing() as connection:
            if wanted is not None:
                _claim(connection, wanted, client)
            self._sweep(connection)
            made = wanted or _next_id(connection)
            folder = str(_count(connection, "folder"))
            catalog_file.create(self._catalogs / folder, owner, document.get("annotations") or {}, client)
            facts = {name: document[name] for name in FACTS if document.get(name) is not None}
            connection.execute(
                "INSERT INTO catalog VALUES (?, ?, ?, ?)", (made, folder, time.time_ns() // 1000, json.dumps(facts))
            )
        return made

    def catalog(self, id: str) -> Database:
        """Return the database of a catalog, by its id or an alias.

        Raises:
            Refusal: 404 if there is none.
        """
        return self.database(self.entry(id))

    def entry(self, id: str) -> Entry:
        """Return what the registry knows of a catalog, by its id or an alias.

        Raises:
            Refusal: 404 if there is none.
        """
        with refused(self.registry), self._connections.lent() as connection:
            row: Any = connection.execute(_FIND, (id,)).fetchone()
        if row is None:
            raise not_found(f"Catalog '{id}' does not exist.")
        return Entry(row[0], row[1], json.loads(row[2]), None if row[0] == id else id)

    def database(self, entry: Entry) -> Database:
        """Return the database of a registered catalog.

        Raises:
            Refusal: 404 if it has been deleted meanwhile.
            OSError: its file is damaged, or a newer program's.
        """
        found = self._databases.get(entry.folder)
        if found is not None:
            return found
        path = self._catalogs / entry.folder / catalog_file.FILE
        if not path.exists():
            self.entry(entry.id)  # 404 for one that has been deleted meanwhile
            raise StoreProblem(f"{path} is gone, and the registry has its catalog '{entry.id}': restore a backup.")
        catalog_file.bring_up(path, self._patience)
        return self._databases.setdefault(entry.folder, Database(path, entry.id, self._patience))

    def catalogs(self) -> list[Entry]:
        """Return all catalogs, oldest first."""
        with refused(self.registry), self._connections.lent() as connection:
            rows: list[Any] = connection.execute("SELECT id, folder, facts FROM catalog ORDER BY created").fetchall()
        return [Entry(id, folder, json.loads(facts)) for id, folder, facts in rows]

    def delete_catalog(self, id: str) -> None:
        """Remove a catalog with all its data, and let its aliases lead nowhere.

        Raises:
            Refusal: 404 if there is none.
        """
        with self._queue.turn():
            with self._transaction() as connection:
                row: Any = connection.execute("SELECT folder FROM catalog WHERE id = ?", (id,)).fetchone()
                if row is None:
                    raise not_found(f"Catalog '{id}' does not exist.")
                connection.execute("UPDATE alias SET target = NULL WHERE target = ?", (id,))
                connection.execute("DELETE FROM catalog WHERE id = ?", (id,))
            database = self._databases.pop(row[0], None)
            if database is not None:
                database.close()
            shutil.rmtree(self._catalogs / row[0])

    # -------------------------------------------------------------------------------------------------------- aliases

    def alias(self, id: str) -> Alias:
        """Return an alias.

        Raises:
            Refusal: 404 if there is none of this id.
        """
        with refused(self.registry), self._connections.lent() as connection:
            row = connection.execute("SELECT id, owner, target, facts FROM alias WHERE id = ?", (id,)).fetchone()
        if row is None:
            raise not_found(f"Alias '{id}' does not exist.")
        return Alias(row[0], tuple(json.loads(row[1])), row[2], json.loads(row[3]))

    def has_alias(self, id: str) -> bool:
        """Tell whether there is an alias of this id."""
        with refused(self.registry), self._connections.lent() as connection:
            return connection.execute("SELECT 1 FROM alias WHERE id = ?", (id,)).fetchone() is not None

    def put_alias(self, alias: Alias, new: bool) -> None:
        """Store an alias, ``new`` or in place of the one with its id.

        Raises:
            Refusal: 409 if the id is a catalog's or, for a new one, taken at all, or if the target does not exist.
        """
        with self._changing() as connection:
            if connection.execute("SELECT 1 FROM catalog WHERE id = ?", (alias.id,)).fetchone():
                raise conflict(f"'{alias.id}' is the id of a catalog.")
            if new and _taken(connection, alias.id):
                raise conflict(f"The alias id '{alias.id}' is taken.")
            if alias.target is not None:
                found = connection.execute("SELECT 1 FROM catalog WHERE id = ?", (alias.target,)).fetchone()
                if found is None:
                    raise conflict(f"The alias target '{alias.target}' does not exist.")
            row = (
                alias.id,
                json.dumps(alias.owner),
                alias.target,
                time.time_ns() // 1000,
                json.dumps(dict(alias.facts)),
            )
            connection.execute("INSERT OR REPLACE INTO alias VALUES (?, ?, ?, ?, ?)", row)

    def delete_alias(self, id: str) -> None:
        """Remove an alias; its catalog stays.

        Raises:
            Refusal: 404 if there is none.
        """
        with self._changing() as connection:
            if not connection.execute("DELETE FROM alias WHERE id = ? RETURNING 1", (id,)).fetchall():
                raise not_found(f"Alias '{id}' does not exist.")

    def new_id(self) -> str:
        """Return an id that nothing has, for an alias that was given none."""
        with self._changing() as connection:
            return _next_id(connection)

    def vacuum(self) -> None:
        """Give unused space of the registry and of all catalogs back to the disk; writers wait meanwhile."""
        for entry in self.catalogs():
            self.database(entry).maintain(vacuum=True)
        with self._queue.turn(), refused(self.registry), self._connections.lent() as connection:
            connection.execute("VACUUM").fetchall()

    def close(self) -> None:
        """Let go of all files."""
        for database in tuple(self._databases.values()):
            database.close()
        self._connections.close()
        self._queue.close()

    # ------------------------------------------------------------------------------------------------------- the folder

    @property
    def _catalogs(self) -> Path:
        return self.folder / "catalogs"

    def _open_folder(self) -> None:
        try:
            make_folder(self.folder)
        except FileExistsError as error:
            raise StoreProblem(f"{self.folder} is a file; the store needs a folder.") from error
        except PermissionError as error:
            raise ReadOnlyStore(f"{self.folder} cannot be made: you may not write to its parent folder.") from error

    def _prepare(self) -> None:
        """Make the registry if it is not there, and bring an older one up to date; many processes may try at once."""
        try:
            if not (self.registry.exists() and self._version()):
                with self._queue.turn():
                    self._create()
            formats.bring_up(self.registry, self._queue, STEPS)
        except PermissionError as error:
            raise ReadOnlyStore(READ_ONLY.format(path=self.folder)) from error

    def _create(self) -> None:
        if not self.registry.exists():
            self._refuse_orphans()
        with explained(self.registry), inside():
            connection = opened(self.registry, self._patience, create=True)
            try:
                if connection.pragma("user_version") == 0:
                    self._refuse_orphans()
                    self._fill(connection)
            finally:
                connection.close()

    def _refuse_orphans(self) -> None:
        """A new registry would know no catalog that is there, and let the next one take its place.

        Raises:
            StoreProblem: there are catalogs.
        """
        found = sorted(self._catalogs.glob(f"*/{catalog_file.FILE}"))
        if found:
            raise StoreProblem(
                f"{self.registry} is gone or empty, and {found[0]} is there: restore a backup of the store (`deriva-ml serve restore`), "
                f"or move {self.folder} away to begin anew."
            )

    def _fill(self, connection: apsw.Connection) -> None:
        make_folder(self._catalogs)
        with transaction(connection):
            for step in STEPS:
                step(connection)
            connection.execute(f"PRAGMA application_id = {APPLICATION}").fetchall()
            connection.execute(f"PRAGMA user_version = {len(STEPS)}").fetchall()
        sync_folder(self.folder)

    def _version(self) -> int:
        with explained(self.registry), self._connections.lent() as connection:
            return int(connection.pragma("user_version"))

    @contextmanager
    def _changing(self) -> Iterator[apsw.Connection]:
        """Change the registry, alone in the store."""
        with self._queue.turn(), self._transaction() as connection:
            yield connection

    @contextmanager
    def _transaction(self) -> Iterator[apsw.Connection]:
        with refused(self.registry), self._connections.lent() as connection, transaction(connection):
            yield connection

    def _sweep(self, connection: apsw.Connection) -> None:
        """Remove what a crash left of catalogs that are not registered, half made or half removed."""
        known = {folder for (folder,) in connection.execute("SELECT folder FROM catalog")}
        for left in self._catalogs.iterdir():
            if left.name not in known:
                shutil.rmtree(left)


FACTS = ("name", "description", "is_persistent", "clone_source")
"""What a catalog or alias may be told about itself, and shows again."""

_FIND = """
SELECT c.id, c.folder, c.facts FROM catalog AS c WHERE c.id = ?1
UNION ALL SELECT c.id, c.folder, c.facts FROM alias AS a JOIN catalog AS c ON c.id = a.target WHERE a.id = ?1
"""


def checked_id(id: Any) -> str | None:
    """Return the id that a document gives, if a catalog can have it; None for null.

    Raises:
        Refusal: 400 for anything but text of letters, digits and ``-._~``, at most 63 of them.
    """
    if id is None:
        return None
    if not isinstance(id, str) or not _ID.match(id):
        raise bad_request("A catalog id must be text of 1 to 63 letters, digits and -._~ characters.")
    return id


def _taken(connection: apsw.Connection, id: str) -> bool:
    question = "SELECT 1 FROM catalog WHERE id = ?1 UNION ALL SELECT 1 FROM alias WHERE id = ?1"
    return connection.execute(question, (id,)).fetchone() is not None


def _claim(connection: apsw.Connection, id: str, client: Client) -> None:
    """Let a client have an id: one that nothing has, or that they have reserved by an alias that leads nowhere.

    Raises:
        Refusal: 409 if it is in use, 403 if others have reserved it.
    """
    row: Any = connection.execute("SELECT owner FROM alias WHERE id = ? AND target IS NULL", (id,)).fetchone()
    if row is not None:
        if not client.roles.intersection(json.loads(row[0])):
            raise forbidden(f"The catalog id '{id}' is reserved by somebody else.")
        connection.execute("DELETE FROM alias WHERE id = ?", (id,))
    elif _taken(connection, id):
        raise conflict(f"The catalog id '{id}' is taken.")


def _next_id(connection: apsw.Connection) -> str:
    while _taken(connection, id := str(_count(connection, "catalog"))):
        continue
    return id


def _count(connection: apsw.Connection, name: str) -> int:
    query = "UPDATE counter SET value = value + 1 WHERE name = ? RETURNING value - 1"
    rows: list[Any] = connection.execute(query, (name,)).fetchall()
    return int(rows[0][0])
