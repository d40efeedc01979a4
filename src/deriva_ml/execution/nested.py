"""Which executions ran others, as this workspace knows it: links that the catalog has, and those that wait for it.

A link waits while the session is offline, and while the catalog does not know one of the two executions yet.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import apsw

from deriva_ml.clock import iso, now
from deriva_ml.execution.store import ExecutionStore

WAITS, TOLD, REFUSED = "waits", "told", "refused"
_COLUMNS = "parent, child, sequence, parent_token, child_token, reason"


@dataclass(frozen=True, slots=True)
class Link:
    """``parent`` ran ``child``, the ``sequence``-th of its children. The tokens are those of the RIDs that the two get, where known."""

    parent: str
    child: str
    sequence: int | None = None
    parent_token: str | None = None
    child_token: str | None = None
    reason: str | None = None


class Nested:
    """The links of one workspace."""

    def __init__(self, store: ExecutionStore) -> None:
        self._store = store

    def write(self, link: Link, state: str, *, durable: bool = True) -> None:
        """Write a link that is new, or in another state than before."""
        with self._store.database.transaction(durable=durable) as connection:
            _write(connection, link, state)

    def take(self, connection: apsw.Connection, links: Iterable[Mapping[str, Any]]) -> None:
        """Let links of another machine wait here, unless this workspace knows them; inside a transaction."""
        for each in links:
            ends = {end: self._store.current_name(each[end]) for end in ("parent", "child")}
            _write(connection, Link(**{**each, **ends}), WAITS, known="NOTHING")

    def tell_again(self, connection: apsw.Connection, rid: str) -> None:
        """Let the links of an execution that the catalog was told of wait once more; inside a transaction."""
        connection.execute("UPDATE nestings SET state = ? WHERE state = ? AND ? IN (parent, child)", (WAITS, TOLD, rid))

    def settle(self, before: Link, link: Link, state: str) -> None:
        """Write what became of a link that waited; its ends may have other names by now."""
        with self._store.database.transaction(durable=False) as connection:  # sent again, it changes nothing
            connection.execute("DELETE FROM nestings WHERE parent = ? AND child = ?", (before.parent, before.child))
            _write(connection, link, state)

    def links(self, states: Iterable[str], rid: str | None = None) -> list[Link]:
        """Return the links in ``states``, of one execution or of all, in the order in which they were made."""
        wanted = list(states)
        values: list[Any] = [*wanted, *([rid, rid] if rid else [])]
        of_one = " AND (parent = ? OR child = ?)" if rid else ""
        marks = ", ".join("?" * len(wanted))
        sql = f"SELECT {_COLUMNS} FROM nestings WHERE state IN ({marks}){of_one} ORDER BY id"
        return [Link(*row) for row in self._store.database.connection().execute(sql, values)]

    def find(self, parent: str, child: str, states: Iterable[str]) -> Link | None:
        """Return the link between two executions, None where there is none in one of ``states``."""
        return next((link for link in self.links(states, parent) if link.child == child), None)

    def children(self, rid: str, recurse: bool = False, states: Iterable[str] = (WAITS, TOLD)) -> list[str]:
        """Return the executions that ``rid`` ran, in their order; with ``recurse`` all below it."""
        return self._follow(rid, "parent", "child", recurse, list(states))

    def parents(self, rid: str, recurse: bool = False, states: Iterable[str] = (WAITS, TOLD)) -> list[str]:
        """Return the executions that ran ``rid``; with ``recurse`` all above it."""
        return self._follow(rid, "child", "parent", recurse, list(states))

    def _follow(self, rid: str, here: str, there: str, recurse: bool, states: list[str]) -> list[str]:
        marks = ", ".join("?" * len(states))
        sql = f"SELECT {there} FROM nestings WHERE {here} = ? AND state IN ({marks}) ORDER BY sequence IS NULL, sequence, id"
        found: dict[str, None] = {}
        generation = [rid]
        while generation:
            rows = [
                row for each in generation for row in self._store.database.connection().execute(sql, (each, *states))
            ]
            generation = [other for (other,) in rows if other not in found and other != rid]
            found |= dict.fromkeys(generation)
            if not recurse:
                break
        return list(found)

    def described(self, rid: str) -> list[dict[str, Any]]:
        """Return the links of ``rid`` that the catalog does not have, for a machine that reaches it: with the tokens of their ends."""
        return [asdict(self._with_tokens(link)) for link in self.links((WAITS, REFUSED), rid)]

    def _with_tokens(self, link: Link) -> Link:
        ends = {"parent": self._store.get(link.parent), "child": self._store.get(link.child)}
        tokens = {end: found.uuid if found else getattr(link, f"{end}_token") for end, found in ends.items()}
        return Link(link.parent, link.child, link.sequence, tokens["parent"], tokens["child"])


def _write(connection: apsw.Connection, link: Link, state: str, known: str = "") -> None:
    known = known or "UPDATE SET sequence = excluded.sequence, state = excluded.state, reason = excluded.reason"
    connection.execute(
        f"INSERT INTO nestings ({_COLUMNS}, state, at) VALUES (?, ?, ?, ?, ?, ?, ?, ?) "
        f"ON CONFLICT (parent, child) DO {known}",
        (link.parent, link.child, link.sequence, link.parent_token, link.child_token, link.reason, state, iso(now())),
    )
