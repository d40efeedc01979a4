"""A folder of static files beside the services: what lies in it is shown to everybody, and nothing else is.

An address is decoded once and taken apart; a part that is hidden, or could lead out of the folder, names nothing.
What a link in the folder leads to outside of it names nothing either.
"""

from __future__ import annotations

import mimetypes
import os
import stat
from dataclasses import dataclass
from email.utils import formatdate
from pathlib import Path
from urllib.parse import quote, unquote

from deriva_local.service.messages import FileSlice, Request, Response
from deriva_local.wire.errors import Refusal, not_found
from deriva_local.wire.etag import refused

SERVICES = ("ermrest", "hatrac", "authn")
INDEX = "index.html"

_TEXT = ("text/", "application/javascript", "application/json", "image/svg+xml")
_NAMED = {".js": "text/javascript", ".mjs": "text/javascript", ".wasm": "application/wasm", ".map": "application/json"}
"""Types that browsers insist on, and that a machine's own table may have wrong."""


class CannotShow(OSError):
    """A folder that cannot be served; the message says why."""


@dataclass(frozen=True, slots=True)
class Folder:
    """The files below ``root``, shown below ``prefix`` (``/chaise``; empty for everything that no service has).

    Example:
        >>> Folder.of("/app=/tmp").prefix, Folder.of("/=/tmp").prefix
        ('/app', '')
    """

    prefix: str
    root: Path

    @classmethod
    def of(cls, text: str) -> Folder:
        """Read ``PREFIX=FOLDER``.

        Raises:
            CannotShow: it reads otherwise, the prefix is a service's, or there is no such folder.
        """
        prefix, equals, root = text.partition("=")
        parts = [part for part in prefix.split("/") if part]
        if not equals or not prefix.startswith("/") or _parts(prefix) != parts:
            raise CannotShow(f"{text!r} is not PREFIX=FOLDER, as in /app=build/app.")
        if parts and parts[0] in SERVICES:
            raise CannotShow(f"/{parts[0]} is a service: choose another prefix.")
        folder = Path(root).expanduser()
        if not root or not folder.is_dir():
            raise CannotShow(f"There is no folder {root!r} to show below {prefix}.")
        return cls("".join(f"/{part}" for part in parts), folder.resolve())

    def has(self, target: str) -> bool:
        """Say whether an address lies below the prefix, and is no service's."""
        path = target.partition("?")[0]
        if not self.prefix:
            return path.partition(";")[0].removeprefix("/").partition("/")[0] not in SERVICES
        return path == self.prefix or path.startswith(self.prefix + "/")

    def answer(self, request: Request) -> Response:
        """Show a file, or the ``index.html`` of a folder.

        Raises:
            Refusal: 304 it has not changed, 404 there is no such file to show, 405 another method than GET and HEAD.
        """
        if request.method not in ("GET", "HEAD"):
            raise Refusal(405, f"{request.method} is no method of a file.", {"Allow": "GET, HEAD"})
        path = request.target.partition("?")[0]
        parts = _parts(path[len(self.prefix) :])
        found = self._file(parts) if parts is not None else None
        if parts is None or found is None:
            raise not_found(f"There is no {path}.")
        if not found.is_dir():
            return _shown(found, request)
        if not path.endswith("/"):
            place = "".join(f"/{quote(part, safe='')}" for part in parts)
            return Response(301, {"Location": f"{self.prefix}{place}/", "Content-Length": "0"})
        index = self._file([*parts, INDEX])
        if index is None or index.is_dir():
            raise not_found(f"There is no {path}{INDEX}.")
        return _shown(index, request)

    def _file(self, parts: list[str]) -> Path | None:
        """Return the file or folder that these names lead to; None for none, and for one that is not to be shown."""
        try:
            found = self.root.joinpath(*parts).resolve(strict=True)
            kind = found.stat().st_mode
        except (OSError, RuntimeError):  # missing, unreadable, too long, or a link to itself
            return None
        shown = found.is_relative_to(self.root) and os.access(found, os.R_OK)
        return found if shown and (stat.S_ISREG(kind) or stat.S_ISDIR(kind)) else None


def _parts(path: str) -> list[str] | None:
    """Return the names in a path, decoded; None where one is hidden or could be more than a name."""
    parts = [unquote(part, errors="strict") for part in path.split("/") if part] if _is_utf8(path) else [".."]
    if any(part.startswith(".") or any(sign in part for sign in "/\\\0") for part in parts):
        return None
    return parts


def _is_utf8(path: str) -> bool:
    try:
        unquote(path, errors="strict")
    except UnicodeDecodeError:
        return False
    return True


def _shown(file: Path, request: Request) -> Response:
    told = file.stat()
    tag = f'"{told.st_mtime_ns:x}-{told.st_size:x}"'
    facts = {"ETag": tag, "Last-Modified": formatdate(told.st_mtime, usegmt=True), "Cache-Control": "no-cache"}
    status = refused(request.method, request.headers, tag)
    if status is not None:
        return Response(status, facts)
    headers = {**facts, "Content-Type": _type_of(file), "Content-Length": str(told.st_size)}
    body = b"" if request.method == "HEAD" else FileSlice(file, 0, told.st_size)
    return Response(200, headers, body)


def _type_of(file: Path) -> str:
    kind = _NAMED.get(file.suffix.lower()) or mimetypes.guess_type(file.name)[0] or "application/octet-stream"
    return f"{kind}; charset=utf-8" if kind.startswith(_TEXT) else kind
