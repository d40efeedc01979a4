"""The road to a catalog that is away: it leads nowhere, and says so to whoever needs it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, NoReturn

from deriva_ml.catalog.port import Request, Response
from deriva_ml.errors import DerivaMLOfflineError, DerivaMLReadOnlyError


class AwayPort:
    """A :class:`~deriva_ml.catalog.port.Port` that answers nothing: the session was opened with ``mode="offline"``."""

    links_files = False

    def __init__(self, host: str) -> None:
        self.host = host

    def send(self, request: Request) -> Response:
        """Refuse: nothing is sent offline."""
        raise DerivaMLOfflineError(self._said(request))

    def send_together(self, requests: Sequence[Request]) -> list[Response]:
        """Refuse: nothing is sent offline."""
        raise DerivaMLOfflineError(self._said(requests[0]))

    def durable_at_end(self) -> AbstractContextManager[None]:
        """Change nothing: what a server has answered is durable."""
        return nullcontext()

    def fetch(self, request: Request, target: Path) -> Response:
        """Refuse: nothing is fetched offline."""
        raise DerivaMLOfflineError(self._said(request))

    def close(self) -> None:
        """There is nothing to let go of."""

    def _said(self, request: Request) -> str:
        return (
            f"This asks the catalog ({request.method} {request.path[:120]}), and the session is offline: when {self.host} can be reached, "
            "open it online (without mode=offline). What is staged waits in the workspace."
        )


class AwayClient:
    """What stands where the deriva client's objects stand online: whatever is asked of it is refused."""

    def __init__(self, host: str) -> None:
        self._host = host

    def __getattr__(self, name: str) -> NoReturn:
        raise DerivaMLReadOnlyError(
            f"There is no catalog to ask for {name!r}: the session is offline. Open {self._host} online (without mode=offline)."
        )


def away_client(host: str) -> Any:
    """Return the stand-in for a client object of ``host``."""
    return AwayClient(host)
