"""The road to the catalog in a folder: the same requests as over the wire, answered in this process."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

from deriva_local.service import messages
from deriva_local.service.attach import attach, detach
from deriva_local.service.check import check
from deriva_local.store.place import ReadOnlyStore, refuse_network
from deriva_local.store.together import durable_at_end
from deriva_local.wire import crockford
from deriva_local.wire.errors import Refusal
from deriva_ml.catalog.port import Request, Response
from deriva_ml.catalog.session import Catalog
from deriva_ml.errors import (
    DerivaMLConfigurationError,
    DerivaMLIntegrityError,
    DerivaMLReadOnlyError,
    DerivaMLServerError,
)
from deriva_ml.files import BLOCK, hide_from_git, locked, make_folder, replacing
from deriva_ml.schema.install import install, is_complete
from deriva_ml.settings import store_folder

Body: TypeAlias = bytes | messages.FileSlice | Iterable[bytes]

EMBEDDED = "embedded"
"""What the embedded catalog is called where a host is called for."""
FIRST_CATALOG = "1"
"""The id of the catalog that is made on first use."""


def refuse_network_folder(folder: Path, refuse: Callable[[Path], None] = refuse_network) -> None:
    """Refuse a folder on a network file system: locks and syncs there do not keep what SQLite needs.

    Raises:
        DerivaMLConfigurationError: it is on one; the message says the way out.
    """
    try:
        refuse(folder)
    except OSError as error:
        raise DerivaMLConfigurationError(str(error)) from error


def open_or_create(home: Path, catalog_id: str = FIRST_CATALOG) -> tuple[EmbeddedPort, dict[str, Any]]:
    """Open the embedded catalog of ``home``; on first use make it, with the deriva-ml schema, once for all processes.

    Returns what the catalog says of itself as well, which was read on the way; nothing for another one than the first.

    Raises:
        DerivaMLConfigurationError: ``home`` cannot hold a catalog, or has no catalog ``catalog_id``.
        DerivaMLReadOnlyError: ``home`` cannot be written.
    """
    port = EmbeddedPort(store_folder(home))
    if catalog_id != FIRST_CATALOG:
        return port, {}
    if not is_complete(found := _found(port)):
        with locked(store_folder(home) / "create.lock"):
            if not is_complete(_found(port)):
                _create(port)
        found = _found(port)
    return port, found


def _found(port: EmbeddedPort) -> dict[str, Any]:
    """Return what the first catalog says of itself; nothing while it is not there.

    Raises:
        DerivaMLConfigurationError: it is there, and cannot be read.
    """
    answer = port.send(Request("GET", f"/ermrest/catalog/{FIRST_CATALOG}"))
    if answer.status >= 500:
        said = answer.body.decode(errors="replace").strip()
        raise DerivaMLConfigurationError(
            f"The embedded catalog cannot be read: {said} `deriva-ml check` says what is damaged."
        )
    return dict(Catalog.read(answer)) if answer.status == 200 else {}


def _create(port: EmbeddedPort) -> None:
    """Make what is missing; a process that was killed here left a part of it."""
    if port.send(Request("GET", f"/ermrest/catalog/{FIRST_CATALOG}")).status != 200:
        document = json.dumps({"id": FIRST_CATALOG, "name": "deriva-ml"}).encode()
        made = Request("POST", "/ermrest/catalog", {"content-type": "application/json"}, document)
        Catalog(port, FIRST_CATALOG).send(made)
    install(Catalog(port, FIRST_CATALOG))


def store_problems(store: Path, *, read_data: bool) -> tuple[tuple[str, ...], tuple[str, ...], dict[str, int]]:
    """Return what is wrong with the embedded store in a folder, what only costs space, and how much was looked at.

    Raises:
        PermissionError: it cannot be opened by this user.
    """
    try:
        found = check(store, read_contents=read_data)
    except (PermissionError, ReadOnlyStore) as error:
        raise PermissionError(errno.EACCES, str(error), str(store)) from error
    except OSError as error:
        return (f"It cannot be opened: {error}",), (), {}
    return found.problems, found.notes, {"tables": found.tables, "objects": found.contents}


def snapshot_of(moment: datetime) -> str:
    """Return the id of the embedded catalog's state at a moment."""
    return crockford.encode(round(moment.timestamp() * 1_000_000))


class EmbeddedPort:
    """A :class:`~deriva_ml.catalog.port.Port` to the store in a folder, made if need be.

    Raises:
        DerivaMLReadOnlyError: the folder cannot be written.
        DerivaMLConfigurationError: the folder cannot hold a store.
    """

    host = EMBEDDED
    links_files = True

    def __init__(self, store_folder: Path) -> None:
        refuse_network_folder(store_folder)
        try:
            make_folder(store_folder)
            hide_from_git(store_folder)
            self.service = attach(store_folder)
        except (PermissionError, ReadOnlyStore) as error:
            raise DerivaMLReadOnlyError(
                f"The catalog in {store_folder} cannot be written: {str(error.strerror or error).rstrip('.')}. "
                "Choose another place with DERIVA_ML_HOME or DerivaML(working_dir=…)."
            ) from error
        except OSError as error:
            raise DerivaMLConfigurationError(
                f"The catalog in {store_folder} cannot be opened: {error}. "
                "DERIVA_ML_HOME and DerivaML(working_dir=…) name another folder."
            ) from error

    def send(self, request: Request) -> Response:
        """Answer one request."""
        answer = self._handle(request)
        return Response(answer.status, _lower(answer), _whole(answer.body))

    def send_together(self, requests: Sequence[Request]) -> list[Response]:
        """Answer requests that do not depend on each other; sealed files among them cost two syncs in all."""
        answers = self.service.handle_together([self._asked(request) for request in requests])
        return [Response(answer.status, _lower(answer), _whole(answer.body)) for answer in answers]

    @contextmanager
    def durable_at_end(self) -> Iterator[None]:
        """For a block of this thread, let changes become durable at its end, all at once and in their order.

        Raises:
            DerivaMLServerError: the disk failed, and the changes may be lost.
        """
        try:
            with durable_at_end():
                yield
        except Refusal as refusal:
            raise DerivaMLServerError(refusal.status, refusal.detail) from refusal

    def fetch(self, request: Request, target: Path) -> Response:
        """Answer a GET and write the body of a 200 into ``target``."""
        answer = self._handle(request)
        if answer.status != 200:
            return Response(answer.status, _lower(answer), _whole(answer.body))
        with replacing(target) as file:
            _copy(answer.body, file)
        return Response(200, _lower(answer), b"")

    def _handle(self, request: Request) -> messages.Response:
        return self.service.handle(self._asked(request))

    def _asked(self, request: Request) -> messages.Request:
        body = _body(request)
        headers = dict(request.headers)
        if isinstance(body, bytes):
            headers.setdefault("content-length", str(len(body)))
        return messages.Request(request.method, request.path, headers, body, self.service.owner)

    def known_to_client(self, name: str) -> None:
        """Let the deriva client's own objects reach this store under the host ``name``, without a socket."""
        from deriva_local.service.adapter import route

        route(name, self.service)

    def close(self) -> None:
        """Let go of the store's files; whoever asks again opens them again."""
        detach(self.service.folder)


def _body(request: Request) -> bytes | Path:
    """Return what the service reads: a whole file by its path, which it may link, a part of one by its bytes."""
    if isinstance(request.body, bytes) or request.length is None:
        return request.body
    with request.body.open("rb") as file:
        file.seek(request.offset)
        return file.read(request.length)


def _lower(answer: messages.Response) -> dict[str, str]:
    return {name.lower(): value for name, value in answer.headers.items()}


def _whole(body: Body) -> bytes:
    if isinstance(body, bytes):
        return body
    if not isinstance(body, messages.FileSlice):
        return b"".join(body)
    with _content(body.path) as file:
        file.seek(body.offset)
        return file.read(body.length)


@contextmanager
def _content(path: Path) -> Iterator[BinaryIO]:
    """Open the bytes of an object.

    Raises:
        DerivaMLIntegrityError: they are gone.
    """
    try:
        file = path.open("rb")
    except FileNotFoundError as error:
        raise DerivaMLIntegrityError(
            f"The catalog's store has lost the bytes of an object: {path} is not there any more. Bring it back from a backup; "
            "`deriva-ml check` lists all that are missing."
        ) from error
    with file:
        yield file


def _copy(body: Body, target: BinaryIO) -> None:
    if not isinstance(body, messages.FileSlice):
        target.write(_whole(body))
        return
    with _content(body.path) as file:
        file.seek(body.offset)
        left = body.length
        while left and (block := file.read(min(BLOCK, left))):
            target.write(block)
            left -= len(block)
