"""The owner's word: the token file of a store, and where the headers of a request carry a word.

The file ``<store>/token`` holds one random word and is readable by its owner alone. Who can read it is the owner of
the store: its word opens the door as a bearer token, as a cookie, or as a password that buys a session cookie.
Taking the file away closes the door to all of them; the next start makes a new word.
"""

from __future__ import annotations

import hmac
import os
import secrets
from collections.abc import Mapping
from pathlib import Path

COOKIE = "webauthn"


class Tokens:
    """The token file of the store in ``folder``.

    Example:
        >>> import tempfile
        >>> tokens = Tokens(Path(tempfile.mkdtemp()))
        >>> tokens.is_word(tokens.create()), tokens.is_word("guess")
        (True, False)
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / "token"

    def create(self) -> str:
        """Return the word in the token file, making the file first where there is none.

        Raises:
            PermissionError: other users may read or write the file, so that its word is not a secret.
        """
        word = self.read()
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

    def read(self) -> str | None:
        """Return the word, or None where there is no token file.

        Raises:
            PermissionError: other users may read or write the file.
        """
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
        word = self.read()
        return word is not None and hmac.compare_digest(given.encode("utf-8", "surrogatepass"), word.encode())


def read_bearer(headers: Mapping[str, str]) -> str:
    """Return the bearer token in these headers (names in lower case), ``""`` where there is none."""
    scheme, _, given = headers.get("authorization", "").partition(" ")
    return given.strip() if scheme.lower() == "bearer" else ""


def read_cookie(headers: Mapping[str, str]) -> str:
    """Return the value of our cookie, ``""`` where there is none.

    What other programs of the same host name call their cookies, and write in them, is no concern of ours.
    """
    pairs = (pair.partition("=") for pair in headers.get("cookie", "").split(";"))
    values = [value.strip().strip('"') for name, _, value in pairs if name.strip() == COOKIE]
    return values[0] if values else ""
