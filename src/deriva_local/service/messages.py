"""A request in, a response out: the plain values that every way into the service shares.

Floor 0: values only, no sockets, no framework. The in-process door and the HTTP door both build a
:class:`Request` and read a :class:`Response`, so that one application serves both.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

PRIVATE_HEADERS = "x-deriva-local-"
"""Headers that only a caller in this process may send begin so; every other door drops them."""


ADMINISTRATORS = "admin"
"""The group whose members may create catalogs, and own the root of the object store."""


STORE_OWNER = "\0owner of the store"
"""A role that no access list can name: of the operating-system user whose store it is, who owns everything in it."""


@dataclass(frozen=True, slots=True)
class Client:
    """Who is asking. ``roles`` holds the client's own id, other ids of the same person, its groups and ``"*"``.

    ``is_store_owner`` is the operating-system user whose store this is: who can read and write its files anyway.
    """

    id: str
    display_name: str
    roles: frozenset[str]
    groups: frozenset[str] = frozenset()
    is_store_owner: bool = False

    @classmethod
    def owner(cls, user: str) -> Client:
        """Return the operating-system user ``user`` as the owner of everything in the store."""
        identity = f"local:{user}"
        return cls(identity, user, frozenset({identity, "*"}), is_store_owner=True)

    @classmethod
    def user(cls, name: str, groups: Iterable[str] = (), identities: Iterable[str] = ()) -> Client:
        """Return a user of the store; ``identities`` are other ids that the same person has."""
        teams = frozenset(groups)
        return cls(name, name, frozenset({name, *identities, *teams, "*"}), teams)

    @property
    def identities(self) -> tuple[str, ...]:
        """Return every id of this person, the client's own first."""
        return self.id, *sorted(self.roles - self.groups - {self.id, "*"})

    @property
    def standing(self) -> frozenset[str]:
        """Return the roles that decide about rights: those of the client, and what the owner of the store is besides."""
        return self.roles | {STORE_OWNER} if self.is_store_owner else self.roles

    @property
    def may_create_catalogs(self) -> bool:
        """Say whether this client may make catalogs and aliases."""
        return self.is_store_owner or ADMINISTRATORS in self.groups


@dataclass(frozen=True, slots=True)
class Peer:
    """The other end of the wire: the address it calls from, and the origin (``https://host:port``) that it asked.

    Both are empty for a caller in this process.
    """

    address: str = ""
    origin: str = ""

    @property
    def is_secure(self) -> bool:
        """Say whether what is told to the other end cannot be overheard."""
        return self.origin.startswith("https:")


@dataclass(frozen=True, slots=True)
class Request:
    """One request.

    ``target`` is the raw, still percent-encoded path with its query string (``/ermrest/catalog/1/schema?x=y``).
    Header names are lower case. ``body`` is bytes, an open binary stream, or a :class:`~pathlib.Path`: a whole,
    private file on this machine that the service may hard-link instead of copying (in process only).
    ``client`` is None for an anonymous request.
    """

    method: str
    target: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | BinaryIO | Path = b""
    client: Client | None = None
    peer: Peer = Peer()


@dataclass(frozen=True, slots=True)
class FileSlice:
    """A response body that lies in a file: ``length`` bytes from ``offset``."""

    path: Path
    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class Response:
    """One response. Header names are as they go on the wire (``Content-Type``)."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | FileSlice | Iterable[bytes] = b""
