"""An open catalog: requests below its address, errors said clearly, its model kept fresh."""

from __future__ import annotations

import json as json_text
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from deriva_ml import jsontext
from deriva_ml.catalog.answers import is_repeatable, may_repeat, refusal, wait_asked
from deriva_ml.catalog.model import CatalogModel
from deriva_ml.catalog.port import Port, Request, Response
from deriva_ml.clock import monotonic, now, pause
from deriva_ml.errors import (
    DerivaMLCatalogError,
    DerivaMLConfigurationError,
    DerivaMLOfflineError,
    DerivaMLReadOnlyError,
)
from deriva_ml.names import ML_SCHEMA

PAUSES = (0.1, 0.5, 2.0)
"""Seconds before each repetition of a request that a busy server refused, or whose answer was lost; a server may ask for more."""
PATIENCE = 90.0
"""Seconds after which a request whose answers are lost is not repeated any more."""
READS = frozenset({"GET", "HEAD"})
JSON = {"content-type": "application/json", "accept": "application/json"}


class Catalog:
    """One catalog of one server, live or at a snapshot.

    ``default_schema`` takes new domain tables: the one that was named, or the catalog's only domain schema.
    """

    def __init__(
        self,
        port: Port,
        catalog_id: str,
        *,
        snapshot: str | None = None,
        ml_schema: str = ML_SCHEMA,
        default_schema: str | None = None,
        domain_schemas: Collection[str] | None = None,
        offline: bool = False,
        identity: str = "",
    ) -> None:
        self.port = port
        self.host = port.host
        self.catalog_id = catalog_id
        self.snapshot = snapshot
        self.ml_schema = ml_schema
        self.identity = identity
        """Which catalog it is, whatever its address; "" for one that has no uuid, or was not looked at."""
        self.offline = offline
        """Whether nothing is sent, because the user asked for that."""
        self.pauses = () if port.links_files else PAUSES  # an embedded store has waited for others itself
        self._default_schema = default_schema
        self._domain_schemas = tuple(sorted(domain_schemas)) if domain_schemas else None
        self._model: CatalogModel | None = None
        self._model_etag = ""
        self._snapshots: dict[str, Catalog] = {}
        self.remembered: dict[str, Any] = {}
        """What rooms have read of this catalog and need not read again, by room."""
        self.workspace: Path | None = None
        """The folder with what this machine knows of the catalog, where it has one."""
        self.kept_terms: Callable[[], Mapping[Any, Any]] = dict
        """Reads the terms of vocabularies that were written down while the catalog could be reached, by table."""

    @property
    def root(self) -> str:
        """Return the address of this catalog on its server."""
        at = f"@{quote(self.snapshot, safe='')}" if self.snapshot else ""
        return f"/ermrest/catalog/{quote(self.catalog_id, safe='')}{at}"

    @property
    def domain_schemas(self) -> tuple[str, ...]:
        """Return the schemas that hold the users' own tables."""
        return self._domain_schemas if self._domain_schemas is not None else self.model().domain_schemas()

    @property
    def default_schema(self) -> str:
        """Return the schema that takes new tables.

        Raises:
            DerivaMLConfigurationError: none was named, and the catalog has not exactly one to choose.
        """
        if self._default_schema is not None:
            return self._default_schema
        schemas = self.domain_schemas
        if len(schemas) == 1:
            return schemas[0]
        listing = ", ".join(schemas) or "none"
        raise DerivaMLConfigurationError(
            f"Say which schema takes new tables: DerivaML(…, default_schema=NAME). The catalog's domain schemas: {listing}."
        )

    # ------------------------------------------------------------------------------------------------------- requests

    def request(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """Send a request to ``path`` below the catalog and return the answer, if it is not a refusal.

        Raises:
            DerivaMLOfflineError: no answer came.
            DerivaMLAuthenticationError: 401.
            DerivaMLConflictError: 409 or 412.
            DerivaMLServerError: 429 or 5xx, after repeating what may be repeated, as late as the server asks for.
            DerivaMLCatalogError: any other refusal.
            DerivaMLReadOnlyError: this is a snapshot, and the request would change it.
        """
        if self.snapshot and method not in READS:
            raise DerivaMLReadOnlyError(
                f"Catalog {self.catalog_id} at snapshot {self.snapshot} cannot be changed: use the live catalog."
            )
        sent = {"accept": "application/json"} if json is None else dict(JSON)
        content = body if json is None else jsontext.dumps(json, compact=True).encode()
        return self.send(Request(method, self.root + path, {**sent, **(headers or {})}, content))

    def hatrac(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | Path = b"",
        offset: int = 0,
        length: int | None = None,
    ) -> Response:
        """Send a request about objects to ``path`` from the root; raises as :meth:`request` does."""
        return self.send(Request(method, path, headers or {}, body, offset, length))

    def send(self, request: Request) -> Response:
        """Send ``request``, repeat it where that is safe, and raise what a refusal means."""
        return self._answered(request, self.port.send)

    def send_together(self, requests: Sequence[Request]) -> list[Response]:
        """Send requests that do not depend on each other; return their answers in order, refusals among them."""
        return self.port.send_together(requests)

    def durable_at_end(self) -> AbstractContextManager[None]:
        """For a block of this thread, let changes become durable at its end at the latest, in their order."""
        return self.port.durable_at_end()

    def fetch(self, request: Request, target: Path) -> Response:
        """Send a GET and write the body of the answer into ``target``; raises as :meth:`request` does."""
        return self._answered(request, lambda again: self.port.fetch(again, target))

    def _answered(self, request: Request, send: Callable[[Request], Response]) -> Response:
        began = monotonic()
        for seconds in self.pauses:
            wait = seconds
            try:
                response = send(request)
            except DerivaMLOfflineError as error:
                if not (error.doubtful and is_repeatable(request)) or monotonic() - began > PATIENCE:
                    raise
            else:
                if response.status < 400 or not may_repeat(request, response.status):
                    break
                wait = max(seconds, wait_asked(response.headers, now()) or 0.0)
            pause(wait)
        else:
            response = send(request)
        if response.status >= 400:
            raise refusal(self.host, request, response)
        return response

    def get(self, path: str) -> Any:
        """Return the JSON document at ``path`` below the catalog; raises as :meth:`request` does."""
        response = self.request("GET", path)
        try:
            return self.read(response)
        except DerivaMLOfflineError as error:
            if not error.doubtful:
                raise
        return self.read(self.request("GET", path))  # what came was damaged on the way

    @staticmethod
    def read(response: Response) -> Any:
        """Return the JSON document that a response carries.

        Raises:
            DerivaMLOfflineError: it carries something else: a login page, or the page of a network that lets nobody out.
        """
        try:
            return json_text.loads(response.body)
        except ValueError as error:
            raise DerivaMLOfflineError(
                f"No catalog answered ({response.status}, {response.headers.get('content-type', 'no content type')}): is this a Deriva "
                "server, and does no login page or proxy stand before it? Nothing staged is lost.",
                doubtful="html" not in response.headers.get("content-type", ""),
            ) from error

    # ---------------------------------------------------------------------------------------------- model and moments

    def model(self) -> CatalogModel:
        """Return the catalog's model as last read; :meth:`refresh` reads it again."""
        return self._model if self._model is not None else self.refresh()

    def refresh(self) -> CatalogModel:
        """Return the catalog's model as it is now; asks whether it changed before reading it again."""
        if self.offline and self._model is not None:  # nothing newer can be known
            return self._model
        known = {"if-none-match": self._model_etag} if self._model is not None and self._model_etag else {}
        response = self.request("GET", "/schema", headers=known)
        if response.status != 304 or self._model is None:
            self.know(self.read(response), response.headers.get("etag", ""))
        return self.model()

    def know(self, document: Mapping[str, Any], etag: str) -> None:
        """Take a model document as the catalog's, until :meth:`refresh` finds that it has changed; offline it stays."""
        self._model = CatalogModel(document, self.ml_schema, None if self.offline else self._look_again)
        self._model_etag = etag

    @property
    def model_etag(self) -> str:
        """Return what the server calls the model as last read."""
        return self._model_etag

    def _look_again(self) -> CatalogModel:
        """Return a fresh model for a name that the old one does not know."""
        return self.refresh()

    def at(self, snapshot: str) -> Catalog:
        """Return this catalog as it was at ``snapshot``; the same object for the same snapshot."""
        if snapshot not in self._snapshots:
            self._snapshots[snapshot] = Catalog(
                self.port,
                self.catalog_id,
                snapshot=snapshot,
                ml_schema=self.ml_schema,
                default_schema=self._default_schema,
                domain_schemas=self._domain_schemas,
                offline=self.offline,
                identity=self.identity,
            )
        return self._snapshots[snapshot]

    def document(self) -> dict[str, Any]:
        """Return what the catalog says of itself: id, snaptime, rights, annotations.

        Raises:
            DerivaMLConfigurationError: the server has no such catalog.
        """
        try:
            found: dict[str, Any] = self.get("")
        except DerivaMLCatalogError as error:
            if error.status != 404:
                raise
            raise DerivaMLConfigurationError(
                f"{self.host} has no catalog {self.catalog_id!r}: {error.detail}"
            ) from error
        return found

    def latest_snapshot(self) -> str:
        """Return the id of the catalog's present state."""
        return str(self.document()["snaptime"])
