"""The deriva client's own objects, bound to the same catalog: loaded on first use.

For the embedded catalog, the client's sessions send to it in this process: the client looks its host up like any
other, under a name that no network knows.
"""

from __future__ import annotations

import hashlib
import io
from typing import Any
from urllib.parse import urlsplit

from deriva_ml.catalog.embedded import EmbeddedPort
from deriva_ml.catalog.port import Port, Request
from deriva_ml.catalog.remote import RemotePort
from deriva_ml.catalog.session import Catalog
from deriva_ml.errors import DerivaMLConfigurationError
from deriva_ml.names import TableName

_EMBEDDED: dict[str, EmbeddedPort] = {}
"""The ports that the client reaches by name."""


def ermrest_catalog(catalog: Catalog) -> Any:
    """Return the client's ``ErmrestCatalog``, or ``ErmrestSnapshot`` for a snapshot."""
    from deriva.core import ErmrestCatalog, ErmrestSnapshot

    scheme, server, credential = _place(catalog.port)
    if catalog.snapshot:
        return ErmrestSnapshot(scheme, server, catalog.catalog_id, catalog.snapshot, credential)
    return ErmrestCatalog(scheme, server, catalog.catalog_id, credential)


def hatrac_store(catalog: Catalog) -> Any:
    """Return the client's ``HatracStore`` of the catalog's server."""
    from deriva.core import HatracStore

    return HatracStore(*_place(catalog.port))


def model_table(client: Any, name: TableName) -> Any:
    """Return the client's ``Table`` called ``name``, from a fresh model."""
    return client.getCatalogModel().schemas[name.schema].tables[name.name]


def _place(port: Port) -> tuple[str, str, dict[str, Any] | None]:
    """Return what the client wants to know of a server: scheme, name, credential."""
    if isinstance(port, RemotePort):
        return port.scheme, port.host, port.credential
    if not isinstance(port, EmbeddedPort):
        raise DerivaMLConfigurationError(f"The deriva client knows no road to {port.host}.")
    name = "embedded-" + hashlib.sha256(str(port.service.folder).encode()).hexdigest()[:12]
    _EMBEDDED[name] = port
    _teach_client()
    return "https", name, None


def _teach_client() -> None:
    """Let the client's sessions find embedded catalogs: the one function that makes them adds our way in."""
    from deriva.core import deriva_binding

    make = deriva_binding.get_new_requests_session
    if getattr(make, "finds_embedded", False):
        return

    def make_session(url: str | None = None, *args: Any, **options: Any) -> Any:
        session = make(url, *args, **options)
        parts = urlsplit(url or "")
        if parts.hostname in _EMBEDDED:
            session.mount(f"{parts.scheme}://{parts.hostname}/", _adapter(_EMBEDDED[parts.hostname]))
        return session

    make_session.finds_embedded = True  # type: ignore[attr-defined]
    deriva_binding.get_new_requests_session = make_session


def _adapter(port: EmbeddedPort) -> Any:
    """Return the way of a ``requests`` session into a port."""
    from requests.adapters import HTTPAdapter
    from urllib3 import HTTPResponse

    class InProcess(HTTPAdapter):
        def send(self, request: Any, *args: Any, **options: Any) -> Any:
            headers = {name.lower(): _text(value) for name, value in request.headers.items()}
            answer = port.send(Request(request.method, request.path_url, headers, _content(request.body)))
            raw = HTTPResponse(
                io.BytesIO(answer.body),
                dict(answer.headers),
                answer.status,
                preload_content=False,
                request_method=request.method,
            )
            return self.build_response(request, raw)

    return InProcess()


def _content(body: Any) -> bytes:
    """Return the bytes of a prepared body: text, bytes, an open file, or parts."""
    if body is None:
        return b""
    if isinstance(body, str):
        return body.encode()
    if isinstance(body, bytes):
        return body
    if hasattr(body, "read"):
        return bytes(body.read())
    return b"".join(body)


def _text(value: str | bytes) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value
