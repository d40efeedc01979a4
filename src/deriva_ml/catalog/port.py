"""The one hole in the wall between deriva-ml and a catalog: a request in, a response out.

Two adapters satisfy :class:`Port`: :mod:`deriva_ml.catalog.embedded` calls the embedded service in process,
:mod:`deriva_ml.catalog.remote` sends the same requests through the released ``deriva`` client. Policy (errors,
batches, retries of doubtful writes) lives above the port, so that what works on one works on the other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Request:
    """One request: ``path`` is raw and percent-encoded from the root (``/ermrest/catalog/1/schema``).

    ``body`` is bytes, or the path of a whole file to send; ``offset`` and ``length`` cut a chunk out of that file.
    """

    method: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | Path = b""
    offset: int = 0
    length: int | None = None


@dataclass(frozen=True, slots=True)
class Response:
    """One response, whatever its status. Header names are lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Port(Protocol):
    """A road to one server. Raises :class:`~deriva_ml.errors.DerivaMLOfflineError` when no answer came at all."""

    @property
    def host(self) -> str:
        """The server's name as users know it; ``"embedded"`` for the catalog in a folder."""
        ...

    @property
    def links_files(self) -> bool:
        """Whether a whole-file body is hard-linked into the store instead of sent (same machine, same disk)."""
        ...

    def send(self, request: Request) -> Response:
        """Send one request and return the whole response."""
        ...

    def send_together(self, requests: Sequence[Request]) -> list[Response]:
        """Send requests that do not depend on each other, and return their responses in order."""
        ...

    def durable_at_end(self) -> AbstractContextManager[None]:
        """For a block of this thread, let changes of a catalog in this process become durable at its end, all at once.

        Their order is kept: a power cut in the block loses the last ones. Over the wire, each is durable when it is answered.
        """
        ...

    def fetch(self, request: Request, target: Path) -> Response:
        """Send a GET and write the body of a 200 into ``target``, whole or not at all; the response has no body then."""
        ...

    def close(self) -> None:
        """Let go of connections and files."""
        ...
