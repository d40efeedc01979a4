"""Who may come in over a socket: the token file of a store, and the session cookies signed with it.

The file ``<store>/token`` holds one random word and is readable by its owner alone. Who can read it is the owner of
the store: its word opens the door as a bearer token, as a cookie, or as a password that buys a session cookie.
Taking the file away closes the door to all of them; the next start makes a new word.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import time
from collections.abc import Mapping
from http.cookies import CookieError, SimpleCookie
from pathlib import Path

COOKIE = "webauthn"
SESSION_SECONDS = 12 * 3600


class Tokens:
    """The credentials that the store in ``folder`` honours.

    Example:
        >>> import tempfile
        >>> tokens = Tokens(Path(tempfile.mkdtemp()))
        >>> tokens.admits({"authorization": "Bearer " + tokens.create()})
        True
        >>> tokens.admits({"authorization": "Bearer guess"})
        False
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / "token"

    def create(self) -> str:
        """Return the word in the token file, making the file first where there is none.

        Raises:
            PermissionError: other users may read or write the file, so that its word is not a secret.
        """
        word = self._read()
        if word is not None:
            return word
        fresh = self.path.with_name(f"token.{os.getpid()}.{secrets.token_hex(4)}")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(32) + "\n")
            file.flush()
            os.fsync(file.fileno())
        self._publish(fresh)
        return self.create()

    def _publish(self, fresh: Path) -> None:
        """Give the new file its name, unless another process was faster: its word then counts."""
        try:
            os.link(fresh, self.path)
        except FileExistsError:
            pass
        finally:
            fresh.unlink()

    def _read(self) -> str | None:
        """Return the word, or None where there is no token file."""
        try:
            with self.path.open() as file:
                if os.fstat(file.fileno()).st_mode & 0o077:
                    raise PermissionError(
                        f"{self.path} can be read by other users, so its word is no secret. "
                        "Remove the file; the next start makes a new one."
                    )
                return file.read().strip() or None
        except FileNotFoundError:
            return None

    def is_word(self, given: str) -> bool:
        """Say whether ``given`` is the word in the token file."""
        word = self._read()
        return word is not None and hmac.compare_digest(given.encode(), word.encode())

    def admits(self, headers: Mapping[str, str]) -> bool:
        """Say whether these request headers (names in lower case) carry the token or a session that still runs."""
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and self.is_word(given.strip()):
            return True
        cookie = read_cookie(headers)
        return bool(cookie) and (self.is_word(cookie) or self.expiry(cookie) > time.time())

    def issue(self) -> str:
        """Return a new session for a cookie: when it ends, and a signature of that."""
        ends = int(time.time()) + SESSION_SECONDS
        return f"{ends}.{self._sign(str(ends))}"

    def expiry(self, session: str) -> float:
        """Return when a session ends, in seconds since the epoch; 0 for one that was not issued here."""
        ends, _, signature = session.partition(".")
        if self._read() is None or not (ends.isascii() and ends.isdigit()):
            return 0
        return int(ends) if hmac.compare_digest(signature.encode(), self._sign(ends).encode()) else 0

    def _sign(self, text: str) -> str:
        return hmac.new(self.create().encode(), text.encode(), hashlib.sha256).hexdigest()


def read_cookie(headers: Mapping[str, str]) -> str:
    """Return the value of our cookie, ``""`` where there is none."""
    try:
        morsel = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return ""
    return morsel.value if morsel else ""
