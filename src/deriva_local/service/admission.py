"""Who a request comes from: the owner of the store, one of its users, or nobody that we know.

The word in the token file is the owner's, as a bearer token, a cookie, or a password. Users come in with a password,
which buys a session, or with a bearer token that they were given.
"""

from __future__ import annotations

import hmac
import math
import secrets
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from deriva_local.service.messages import Client
from deriva_local.service.tokens import Tokens, read_bearer, read_cookie
from deriva_local.users.accounts import OWNER, Accounts, Ticket, digest
from deriva_local.users.attempts import Attempts
from deriva_local.wire.errors import Refusal, unauthorized

SESSION_SECONDS = 12 * 3600
PATIENCE = 1.0
"""How long somebody who must wait for another attempt is kept waiting; who must wait longer is sent away."""

_AT_ONCE = 2
"""How many passwords are compared at the same time: each one takes 32 MiB."""

_WAITING = 3
"""How many requests may be kept waiting: the others need threads as well."""


class Admission:
    """Everything that opens the door of the store in ``folder``, which belongs to ``owner``."""

    def __init__(self, folder: Path, owner: Client) -> None:
        self.owner = owner
        self.tokens = Tokens(folder)
        self.accounts = Accounts(folder)
        self._attempts = Attempts()
        self._comparing = threading.BoundedSemaphore(_AT_ONCE)
        self._waiting = threading.BoundedSemaphore(_WAITING)

    def close(self) -> None:
        """Let go of the users' file."""
        self.accounts.close()

    def identify(self, headers: Mapping[str, str]) -> Client | None:
        """Return who sent a request with these headers (names in lower case); None for nobody that we know.

        Raises:
            PermissionError: other people can read the token file, so that its word proves nothing.
        """
        ticket = self.ticket(headers)
        if ticket is not None:
            return self.owner if ticket.user == OWNER else self._user(ticket.user)
        words = (read_bearer(headers), read_cookie(headers))
        return self.owner if any(word and self.tokens.is_word(word) for word in words) else None

    def ticket(self, headers: Mapping[str, str]) -> Ticket | None:
        """Return the token or session that these headers carry, if it is good."""
        token = self.accounts.ticket(read_bearer(headers), "token")
        ticket = token or self.accounts.ticket(read_cookie(headers), "session")
        if ticket is not None and ticket.user == OWNER and not hmac.compare_digest(ticket.proof, self._proof()):
            return None
        return ticket

    def _proof(self) -> bytes:
        """Return what a session of the owner hangs on: another word in the token file, or none, ends it."""
        return digest(self.tokens.read() or secrets.token_hex())

    def _user(self, name: str) -> Client | None:
        """Return a user as a client. One who is called as the owner of the store is that person."""
        found = self.accounts.find(name)
        if found is None:
            return None
        return Client.user(name, found.groups, (self.owner.id,) if name == self.owner.display_name else ())

    # ------------------------------------------------------------------------------------------------------ passwords

    def log_in(self, name: str, password: str, address: str) -> Client:
        """Return whose password this is. ``address`` is where the attempt comes from.

        Raises:
            Refusal: 401 it is nobody's, 429 too many attempts failed.
        """
        self._hold_back(name, address)
        self._attempts.began(name, address, time.monotonic())
        with self._turn():
            client = self._user(name) if self.accounts.is_password(name, password) else None
        if client is None and self.tokens.is_word(password):
            client = self.owner
        if client is None:
            raise unauthorized("The user name or the password is not right.")
        self._attempts.succeeded(name, address)
        return client

    def _hold_back(self, name: str, address: str) -> None:
        wait = self._attempts.wait(name, address, time.monotonic())
        if not wait:
            return
        if wait > PATIENCE or not self._waiting.acquire(blocking=False):
            raise _too_often(wait)
        try:
            time.sleep(wait)
        finally:
            self._waiting.release()

    @contextmanager
    def _turn(self) -> Iterator[None]:
        if not self._comparing.acquire(timeout=5 * PATIENCE):
            raise _too_often(PATIENCE)
        try:
            yield
        finally:
            self._comparing.release()

    # ------------------------------------------------------------------------------------------------------- sessions

    def begin_session(self, client: Client) -> str:
        """Begin a session of a client who has just logged in; return its word."""
        if client.is_store_owner:
            return self.accounts.give(OWNER, "session", SESSION_SECONDS, self._proof())
        return self.accounts.give(client.id, "session", SESSION_SECONDS)

    def extend_session(self, headers: Mapping[str, str]) -> None:
        """Let the session in these headers be a new one, as far as its end goes."""
        self.accounts.extend(read_cookie(headers), SESSION_SECONDS)

    def end_session(self, headers: Mapping[str, str]) -> None:
        """End the session in these headers, for everybody who has its word."""
        self.accounts.take_back(read_cookie(headers))


def _too_often(wait: float) -> Refusal:
    seconds = math.ceil(wait)
    told = f"Too many attempts to log in: try again in {seconds} seconds."
    return Refusal(429, told, {"Retry-After": str(seconds)})
