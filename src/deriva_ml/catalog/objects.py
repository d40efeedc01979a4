"""Bytes put into the object store and got out of it: skipped when present, resumed when cut, verified when read."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeAlias
from urllib.parse import urlsplit

from deriva_ml.catalog.answers import refusal
from deriva_ml.catalog.port import Request, Response
from deriva_ml.catalog.session import Catalog
from deriva_ml.errors import DerivaMLCatalogError, DerivaMLConflictError, DerivaMLIntegrityError
from deriva_ml.files import Digest, beginning, fsync_folder, hash_file
from deriva_ml.names import encode

CHUNK = 25 * 1024 * 1024
CHUNKED_ABOVE = 32 * 1024 * 1024
AT_ONCE = 4
"""How many objects or chunks go over the wire at the same time."""

Progress: TypeAlias = Callable[[int, int], None]
"""Called with the bytes done and the bytes in all."""


class UploadJournal(Protocol):
    """Remembers a chunked upload, so that another process can go on at the last chunk."""

    @property
    def job(self) -> str | None:
        """The path of the upload job, once :meth:`started` was called."""
        ...

    @property
    def chunks(self) -> Collection[int]:
        """The numbers of the chunks that the server has."""
        ...

    def started(self, job: str) -> None:
        """A new job begins; earlier chunks do not count."""
        ...

    def sent(self, chunk: int) -> None:
        """The server has this chunk."""
        ...


@dataclass(frozen=True, slots=True)
class StoredObject:
    """What the store says of an object: its versioned address, its length and its checksums in hexadecimal."""

    url: str
    length: int
    md5: str | None
    sha256: str | None


@dataclass(frozen=True, slots=True)
class SealedFile:
    """A file that is whole and never changed again, and the object that it is to become."""

    path: str
    file: Path
    md5: str
    sha256: str
    length: int
    content_type: str = "application/octet-stream"
    filename: str | None = None


def object_path(*parts: str) -> str:
    """Return the address of an object from its names.

    Example:
        >>> object_path("Image", "d41d8cd9.scan 1.png")
        '/hatrac/Image/d41d8cd9.scan%201.png'
    """
    return "/".join(["/hatrac", *(encode(part) for part in parts)])


def put(
    catalog: Catalog,
    path: str,
    file: Path,
    *,
    md5: str,
    sha256: str,
    length: int,
    content_type: str = "application/octet-stream",
    filename: str | None = None,
    progress: Progress | None = None,
    resume: UploadJournal | None = None,
) -> str:
    """Put the bytes of ``file`` under ``path`` and return the versioned address; nothing is sent when it has them.

    ``file`` is sealed: whole, and never changed again (a store on the same disk takes it by a hard link).

    Raises:
        DerivaMLIntegrityError: ``path`` holds other bytes.
        DerivaMLCatalogError and its kinds: the store refused.
    """
    present = None if catalog.port.links_files else head(catalog, path)  # a link costs less than asking
    if present is not None:
        return _same(present, path, md5, sha256, length)
    headers = _description(md5, sha256, content_type, filename)
    if not catalog.port.links_files and length > CHUNKED_ABOVE:
        url = _put_chunked(catalog, path, file, headers, length, progress, resume)
    else:
        url = _put_whole(catalog, path, file, headers, md5, sha256, length)
    if progress is not None:
        progress(length, length)
    return url


def _put_whole(
    catalog: Catalog, path: str, file: Path, headers: dict[str, str], md5: str, sha256: str, length: int
) -> str:
    sent = {**headers, "content-length": str(length), "if-none-match": "*"}
    if catalog.port.links_files:
        sent["x-deriva-local-trusted"] = "sealed"
    try:
        return _location(catalog.hatrac("PUT", f"{path}?parents=true", headers=sent, body=file))
    except DerivaMLConflictError as error:
        present = head(catalog, path) if error.status == 412 else None
        if present is None:  # the bytes are not there after all
            raise
        return _same(present, path, md5, sha256, length)


def put_together(catalog: Catalog, files: Sequence[SealedFile]) -> None:
    """Put many files into a store on this disk: linked, and made durable together.

    Raises:
        DerivaMLIntegrityError: an address holds other bytes.
        DerivaMLCatalogError and its kinds: the store refused.
    """
    requests = [_linking(each) for each in files]
    for each, request, answer in zip(files, requests, catalog.send_together(requests), strict=True):
        present = head(catalog, each.path) if answer.status == 412 else None
        if present is not None:
            _same(present, each.path, each.md5, each.sha256, each.length)
        elif answer.status >= 400:
            raise refusal(catalog.host, request, answer)


def _linking(each: SealedFile) -> Request:
    headers = _description(each.md5, each.sha256, each.content_type, each.filename)
    sent = {
        **headers,
        "content-length": str(each.length),
        "if-none-match": "*",
        "x-deriva-local-trusted": "sealed",
    }
    return Request("PUT", f"{each.path}?parents=true", sent, each.file)


def _put_chunked(
    catalog: Catalog,
    path: str,
    file: Path,
    headers: dict[str, str],
    length: int,
    progress: Progress | None,
    resume: UploadJournal | None,
) -> str:
    """Send a file chunk by chunk; an upload that cannot be ended where an earlier one stopped is begun anew.

    The server may have lost chunks that it had taken (it was restored from a backup), or want them in another size.
    """
    resumed = resume is not None and resume.job is not None
    try:
        return _send_chunks(catalog, path, file, headers, length, progress, resume)
    except DerivaMLConflictError:
        if not resumed:
            raise
    return _send_chunks(catalog, path, file, headers, length, progress, resume, anew=True)


def _send_chunks(
    catalog: Catalog,
    path: str,
    file: Path,
    headers: dict[str, str],
    length: int,
    progress: Progress | None,
    resume: UploadJournal | None,
    *,
    anew: bool = False,
) -> str:
    job = _job(catalog, path, headers, length, resume, anew)
    done = set(resume.chunks) if resume is not None else set()
    last = (length - 1) // CHUNK
    missing = [number for number in range(last + 1) if number not in done]

    for number in missing:  # one after the other: a cut at any byte costs one chunk of a file at most
        size = min(CHUNK, length - number * CHUNK)
        chunk = {"content-type": "application/octet-stream", "content-length": str(size)}
        catalog.hatrac("PUT", f"{job}/{number}", headers=chunk, body=file, offset=number * CHUNK, length=size)
        done.add(number)
        if resume is not None:
            resume.sent(number)
        if progress is not None:
            progress(min(len(done) * CHUNK, length), length)
    return _location(catalog.hatrac("POST", job, headers={"content-length": "0"}))


def _job(
    catalog: Catalog, path: str, headers: dict[str, str], length: int, resume: UploadJournal | None, anew: bool
) -> str:
    """Return the address of the upload job: the journal's, where the server still knows it, or a new one."""
    if not anew and resume is not None and resume.job is not None and _exists(catalog, resume.job):
        return resume.job
    document = {
        **{name: value for name, value in headers.items() if value},
        "chunk-length": CHUNK,
        "content-length": length,
    }
    body = json.dumps(document).encode()
    sent = {"content-type": "application/json", "accept": "text/uri-list"}
    job = _location(catalog.hatrac("POST", f"{path};upload?parents=true", headers=sent, body=body))
    if resume is not None:
        resume.started(job)
    return job


def _exists(catalog: Catalog, path: str) -> bool:
    try:
        catalog.hatrac("GET", path, headers={"accept": "application/json"})
    except DerivaMLCatalogError as error:
        if error.status not in {404, 409}:
            raise
        return False
    return True


def head(catalog: Catalog, path: str) -> StoredObject | None:
    """Return what the store has under ``path``, or None when it has nothing there."""
    try:
        response = catalog.hatrac("HEAD", path)
    except DerivaMLCatalogError as error:
        if error.status not in {404, 409}:  # 409: a name without a version
            raise
        return None
    return StoredObject(
        url=response.headers.get("content-location", path),
        length=int(response.headers.get("content-length", 0)),
        md5=_hexadecimal(response.headers.get("content-md5")),
        sha256=_hexadecimal(response.headers.get("content-sha256")),
    )


def find(catalog: Catalog, paths: Iterable[str]) -> dict[str, StoredObject]:
    """Return what the store has under each of ``paths``; those where it has nothing are left out."""
    wanted = list(dict.fromkeys(paths))
    if catalog.port.links_files:
        return {path: found for path in wanted if (found := head(catalog, path)) is not None}
    with ThreadPoolExecutor(AT_ONCE) as threads:
        heads = threads.map(lambda path: head(catalog, path), wanted)
        return {path: found for path, found in zip(wanted, heads, strict=True) if found is not None}


def get(catalog: Catalog, url: str, target: Path, *, md5: str | None = None) -> Digest:
    """Bring the object at ``url`` into the file ``target``, whole and verified or not at all; return its digest.

    Raises:
        DerivaMLIntegrityError: the bytes are not those of ``md5``, or not those that the store described.
        DerivaMLCatalogError and its kinds: the store refused.
    """
    request = Request("GET", object_address(url), {"accept": "*/*"})
    part = target.with_name(f".{beginning(target.name)}.part")
    try:
        response = catalog.fetch(request, part)
        digest = hash_file(part)
        _verify(
            url,
            digest,
            md5 or _hexadecimal(response.headers.get("content-md5")),
            _hexadecimal(response.headers.get("content-sha256")),
        )
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
    fsync_folder(target.parent)
    return digest


def object_address(url: str) -> str:
    """Return the address below the server's root of an object: ``url`` may be absolute or begin with ``/``."""
    parts = urlsplit(url)
    return parts.path if parts.scheme in {"http", "https"} else url


def _verify(url: str, digest: Digest, md5: str | None, sha256: str | None) -> None:
    wrong = [
        f"{name} {found}, not {wanted}"
        for name, found, wanted in (("MD5", digest.md5, md5), ("SHA-256", digest.sha256, sha256))
        if wanted is not None and found != wanted.lower()
    ]
    if wrong:
        raise DerivaMLIntegrityError(f"The bytes of {url} are damaged: {'; '.join(wrong)}.")


def _same(present: StoredObject, path: str, md5: str, sha256: str, length: int) -> str:
    different = present.length != length or (present.md5 or md5) != md5 or (present.sha256 or sha256) != sha256
    if different:
        raise DerivaMLIntegrityError(
            f"{path} holds other bytes already (MD5 {present.md5}, {present.length} bytes; wanted {md5}, {length} bytes)."
        )
    return present.url


def _description(md5: str, sha256: str, content_type: str, filename: str | None) -> dict[str, str]:
    disposition = {"content-disposition": f"filename*=UTF-8''{encode(filename)}"} if filename else {}
    return {"content-type": content_type, "content-md5": _base64(md5), "content-sha256": _base64(sha256), **disposition}


def _location(response: Response) -> str:
    address = response.headers.get("location") or response.body.decode().strip()
    return object_address(address)


def _base64(hexadecimal: str) -> str:
    return base64.b64encode(bytes.fromhex(hexadecimal)).decode()


def _hexadecimal(checksum: str | None) -> str | None:
    """Return a checksum of a header, written in base64 or in hexadecimal, in hexadecimal."""
    if not checksum:
        return None
    text = checksum.strip()
    return text.lower() if len(text) in {32, 64} and not text.endswith("=") else base64.b64decode(text).hex()
