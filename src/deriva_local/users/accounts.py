"""The users of a store, their groups and passwords, and the tickets that they come in with, in ``users.sqlite``.

A ticket is a random word that was given to a user once: as a session cookie or as a bearer token. Only its digest is
kept, so that whoever reads the file cannot come in with what it says. The file is made when the first user, or the
first session, is.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import apsw

from deriva_local.lazy import cached_property
from deriva_local.service.messages import ADMINISTRATORS
from deriva_local.store.tables import Tables
from deriva_local.users import passwords

FILE = "users.sqlite"

STEPS = (
    """
CREATE TABLE user (name TEXT PRIMARY KEY, password TEXT NOT NULL, created INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE membership (user TEXT NOT NULL, team TEXT NOT NULL, PRIMARY KEY (user, team)) WITHOUT ROWID;
CREATE TABLE ticket (
    digest BLOB PRIMARY KEY, kind TEXT NOT NULL CHECK (kind IN ('session', 'token')),
    user TEXT NOT NULL, proof BLOB NOT NULL, since INTEGER NOT NULL, ends INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX ticket_user ON ticket (user);
""",
)

OWNER = ""
"""Who has no name here: the owner of the store, whose sessions hang on the word in the token file."""

Kind: TypeAlias = Literal["session", "token"]

_ID = "substr(lower(hex(digest)), 1, 12)"
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._@+-]{0,62})")


class AccountProblem(OSError):
    """A change of the users that cannot be made; the message says why."""


@dataclass(frozen=True, slots=True)
class User:
    """Somebody who may log in."""

    name: str
    groups: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Ticket:
    """A session or token that was given out: whose it is, and until when it is good (seconds since the epoch)."""

    user: str
    kind: Kind
    since: int
    ends: int
    proof: bytes = b""


@dataclass(frozen=True, slots=True)
class Token:
    """What may be told of a bearer token: a name for it, which opens nothing, and from when until when it is good."""

    id: str
    since: int
    ends: int


class Accounts:
    """The users of the store in ``folder``. Threads and processes may use it at the same time.

    Example:
        >>> import tempfile
        >>> accounts = Accounts(Path(tempfile.mkdtemp()))
        >>> accounts.add("ada", "countess of lovelace", ["curators"])
        >>> accounts.users()
        [User(name='ada', groups=('curators',))]
        >>> accounts.is_password("ada", "countess of lovelace"), accounts.is_password("ada", "guess")
        (True, False)
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE

    @cached_property
    def _tables(self) -> Tables:
        return Tables(self.path, STEPS)

    @property
    def _is_there(self) -> bool:
        return "_tables" in self.__dict__ or self.path.exists()

    def close(self) -> None:
        """Let go of the file."""
        if "_tables" in self.__dict__:
            self._tables.close()
            del self._tables

    def vacuum(self) -> None:
        """Give the space of deleted rows back to the disk."""
        if self._is_there:
            self._tables.vacuum()

    # --------------------------------------------------------------------------------------------------------- users

    def users(self) -> list[User]:
        """Return all users, sorted by name."""
        if not self._is_there:
            return []
        with self._tables.read() as db:
            return [User(name, _groups(db, name)) for (name,) in db.execute("SELECT name FROM user ORDER BY name")]

    def find(self, name: str) -> User | None:
        """Return a user; None where there is none of that name."""
        if not self._is_there:
            return None
        with self._tables.read() as db:
            return None if _password(db, name) is None else User(name, _groups(db, name))

    def user(self, name: str) -> User:
        """Return a user.

        Raises:
            AccountProblem: there is no such user.
        """
        found = self.find(name)
        if found is None:
            raise AccountProblem(f"There is no user {name!r}.")
        return found

    def add(self, name: str, password: str, groups: Iterable[str] = ()) -> None:
        """Add a user.

        Raises:
            AccountProblem: the name is taken or cannot be a name, or means somebody else; the password is empty.
        """
        checked_name("user", name)
        wanted = [checked_name("group", group) for group in groups]
        stored = passwords.hashed(_checked_password(password))
        with self._tables.write() as db:
            if _password(db, name) is not None:
                raise AccountProblem(f"There is a user {name!r} already.")
            db.execute("INSERT INTO user VALUES (?, ?, ?)", (name, stored, int(time.time())))
            _join(db, name, wanted)

    def remove(self, name: str) -> None:
        """Remove a user; sessions and tokens of that user end now.

        Raises:
            AccountProblem: there is no such user.
        """
        self.user(name)
        with self._tables.write() as db:
            for table, column in (("user", "name"), ("membership", "user"), ("ticket", "user")):
                db.execute(f"DELETE FROM {table} WHERE {column} = ?", (name,))

    def set_groups(self, name: str, groups: Iterable[str]) -> User:
        """Let a user be a member of exactly these groups.

        Raises:
            AccountProblem: there is no such user, or a group cannot be called that.
        """
        wanted = [checked_name("group", group) for group in groups]
        self.user(name)
        with self._tables.write() as db:
            db.execute("DELETE FROM membership WHERE user = ?", (name,))
            _join(db, name, wanted)
        return self.user(name)

    def set_password(self, name: str, password: str) -> None:
        """Give a user another password; sessions that began with the old one end now.

        Raises:
            AccountProblem: there is no such user, or the password is empty.
        """
        stored = passwords.hashed(_checked_password(password))
        self.user(name)
        with self._tables.write() as db:
            db.execute("UPDATE user SET password = ? WHERE name = ?", (stored, name))
            db.execute("DELETE FROM ticket WHERE user = ? AND kind = 'session'", (name,))

    def is_password(self, name: str, password: str) -> bool:
        """Say whether this is the password of that user; no sooner for a user who does not exist."""
        stored = None
        if self._is_there:
            with self._tables.read() as db:
                stored = _password(db, name)
        right = passwords.matches(password, stored or passwords.nobody_s())
        return right and stored is not None

    # ------------------------------------------------------------------------------------------------------- tickets

    def give(self, user: str, kind: Kind, seconds: int, proof: bytes = b"") -> str:
        """Give out a session or token that is good for so many seconds; return its word.

        ``proof`` is kept with it, for who checks it to compare.

        Raises:
            AccountProblem: there is no such user.
        """
        word, now = secrets.token_urlsafe(32), int(time.time())
        with self._tables.write() as db:
            if user != OWNER and _password(db, user) is None:
                raise AccountProblem(f"There is no user {user!r}.")
            db.execute("DELETE FROM ticket WHERE ends <= ?", (now,))
            db.execute(
                "INSERT INTO ticket VALUES (?, ?, ?, ?, ?, ?)", (digest(word), kind, user, proof, now, now + seconds)
            )
        return word

    def ticket(self, word: str, kind: Kind) -> Ticket | None:
        """Return the session or token that this word is; None where it is none, or none any more."""
        if not word or not self._is_there:
            return None
        question = "SELECT user, kind, since, ends, proof FROM ticket WHERE digest = ? AND kind = ? AND ends > ?"
        with self._tables.read() as db:
            row = db.execute(question, (digest(word), kind, int(time.time()))).get
        return Ticket(*row) if row else None

    def extend(self, word: str, seconds: int) -> None:
        """Let a session or token be good for so many seconds from now."""
        with self._tables.write() as db:
            db.execute("UPDATE ticket SET ends = ? WHERE digest = ?", (int(time.time()) + seconds, digest(word)))

    def take_back(self, word: str) -> None:
        """End a session or token."""
        with self._tables.write() as db:
            db.execute("DELETE FROM ticket WHERE digest = ?", (digest(word),))

    def tokens(self, user: str) -> list[Token]:
        """Return the tokens of a user that are good, the oldest first.

        Raises:
            AccountProblem: there is no such user.
        """
        self.user(user)
        question = f"SELECT {_ID}, since, ends FROM ticket WHERE user = ? AND kind = 'token' AND ends > ?"
        with self._tables.read() as db:
            return [Token(*row) for row in db.execute(question + " ORDER BY since, digest", (user, int(time.time())))]

    def take_back_tokens(self, user: str, id: str | None = None) -> int:
        """End the token of a user that has this id, or all of them; return how many there were.

        Raises:
            AccountProblem: there is no such user, or no such token.
        """
        self.user(user)
        named = "" if id is None else f" AND {_ID} = ?"
        with self._tables.write() as db:
            db.execute(
                f"DELETE FROM ticket WHERE user = ? AND kind = 'token'{named}", (user,) if id is None else (user, id)
            )
            ended = db.changes()
        if id is not None and not ended:
            raise AccountProblem(f"{user} has no token {id!r}.")
        return ended


def digest(word: str) -> bytes:
    """Return what is kept of a secret word that is too long to guess."""
    return hashlib.sha256(word.encode("utf-8", "surrogatepass")).digest()


def checked_name(kind: str, name: str) -> str:
    """Return a name that a user or group can have.

    Raises:
        AccountProblem: it has other characters than letters, digits and ._@+-, or too many.
    """
    if not _NAME.fullmatch(name):
        raise AccountProblem(
            f"{name!r} cannot be the name of a {kind}: use at most 63 letters, digits and ._@+-, a letter or digit first."
        )
    return name


def _checked_password(password: str) -> str:
    if not password:
        raise AccountProblem("The password is empty.")
    return password


def _password(db: apsw.Connection, name: str) -> str | None:
    found: str | None = db.execute("SELECT password FROM user WHERE name = ?", (name,)).get
    return found


def _groups(db: apsw.Connection, name: str) -> tuple[str, ...]:
    rows = db.execute("SELECT team FROM membership WHERE user = ? ORDER BY team", (name,))
    return tuple(team for (team,) in rows)


def _join(db: apsw.Connection, name: str, groups: Sequence[str]) -> None:
    """Make a user a member of groups.

    Access lists name users and groups alike. So a user who is called as a group has to be a member of it: nobody gets
    more than the list says.

    Raises:
        AccountProblem: one who is not would be.
    """
    is_group = db.execute("SELECT 1 FROM membership WHERE team = ?", (name,)).get is not None
    if name not in groups and (is_group or name == ADMINISTRATORS):
        raise AccountProblem(f"{name!r} is the name of a group; only a member of it can be called that.")
    for group in groups:
        if group != name and _password(db, group) is not None and group not in _groups(db, group):
            raise AccountProblem(f"{group!r} is the name of a user who is no member of such a group.")
        db.execute("INSERT OR IGNORE INTO membership VALUES (?, ?)", (name, group))
