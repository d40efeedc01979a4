"""Who may do what by access control lists: their names, what they imply, and their inheritance.

Floor 1, pure.

    owner ⇒ everything       write ⇒ insert, update, delete, select       update, delete ⇒ select
    create, write, insert, update, delete, select ⇒ enumerate

A local list, even an empty one, overrides the inherited one of that name; only ``owner`` adds up on the way down.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from deriva_local.model.elements import Acls
from deriva_local.service.messages import STORE_OWNER, Client
from deriva_local.wire.errors import bad_request, conflict

Kind: TypeAlias = Literal["catalog", "schema", "table", "column", "foreign_key"]

NAMES: Mapping[Kind, tuple[str, ...]] = {
    "catalog": ("owner", "create", "enumerate", "write", "insert", "update", "delete", "select"),
    "schema": ("owner", "create", "enumerate", "write", "insert", "update", "delete", "select"),
    "table": ("owner", "enumerate", "write", "insert", "update", "delete", "select"),
    "column": ("enumerate", "write", "insert", "update", "select"),
    "foreign_key": ("enumerate", "write", "insert", "update"),
}
"""The lists that each kind of element can have."""

FOR_EVERYBODY = frozenset({"enumerate", "select"})
"""The lists that may name ``*``; those of foreign keys all may."""

IMPLIED_BY: Mapping[str, tuple[str, ...]] = {
    "owner": ("owner",),
    "create": ("create", "owner"),
    "write": ("write", "owner"),
    "insert": ("insert", "write", "owner"),
    "update": ("update", "write", "owner"),
    "delete": ("delete", "write", "owner"),
    "select": ("select", "update", "delete", "write", "owner"),
    "enumerate": ("enumerate", "create", "write", "insert", "update", "delete", "select", "owner"),
}
"""Per right, the lists of which any one gives it."""

FOREIGN_KEY_ACLS: Acls = {"insert": ("*",), "update": ("*",)}
"""What a foreign key has when nobody says otherwise."""

EVERYBODY = frozenset({"*"})
"""The one role of somebody who is not logged in."""


READING = frozenset({"select", "enumerate"})
"""The rights that the past still gives, and that somebody without a name can have."""


@dataclass(frozen=True, slots=True)
class Onlooker:
    """Somebody with these roles who looks at the model, live or at a moment of the past (``past``)."""

    roles: frozenset[str]
    past: bool = False

    @property
    def anonymous(self) -> bool:
        """Whether nobody knows who it is."""
        return self.roles <= EVERYBODY

    def can(self, right: str) -> bool:
        """Tell whether this right can be had at all: nothing changes the past, and nobody changes anything unnamed."""
        return right in READING or not (self.past or self.anonymous)

    def may(self, right: str, *lists: Acls) -> bool:
        """Tell whether lists from the catalog down to an element, as inherited, give ``right`` here and now."""
        return self.can(right) and self.holds(right, *lists)

    def holds(self, right: str, *lists: Acls) -> bool:
        """Tell whether the lists give ``right``, whatever the moment."""
        if STORE_OWNER in self.roles or self.roles.intersection(lists[0].get("owner", ())):
            return True
        return any(self.roles.intersection(_inherited(name, lists)) for name in IMPLIED_BY[right])


def owners(listed: Any, client: Client) -> tuple[str, ...]:
    """Return the owners that a document gives, or the client where it gives none.

    Raises:
        Refusal: 400 for anything but a list of text or null, 409 if the client is not among them.
    """
    if listed is None:
        return (client.id,)
    if not isinstance(listed, list) or not all(isinstance(role, str) for role in listed):
        raise bad_request("'owner' must be a list of text.")
    if not client.roles.intersection(listed):
        raise conflict("The list of owners must include you.")
    return tuple(listed)


def _inherited(name: str, lists: tuple[Acls, ...]) -> tuple[str, ...]:
    if name == "owner":
        return tuple(role for acls in lists for role in acls.get("owner", ()))
    for acls in reversed(lists):
        if name in acls:
            return acls[name]
    return ()
