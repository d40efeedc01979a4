"""The bytes of a bag's assets: from the kept files where they are, from the object store where not, always checked."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit

from deriva_ml.bag.layout import asset_path
from deriva_ml.bag.write import Payload
from deriva_ml.catalog import objects
from deriva_ml.catalog.rows import Row
from deriva_ml.catalog.session import Catalog
from deriva_ml.dataset.cache import BagCache
from deriva_ml.errors import DerivaMLIntegrityError, DerivaMLValidationError
from deriva_ml.files import Digest, hash_file
from deriva_ml.names import TableName

SMALL = 4 * 1024 * 1024
_MD5 = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class AssetFile:
    """A file that a row of an asset table describes."""

    path: str
    address: str
    length: int
    md5: str


def asset_files(session: Catalog, table: TableName, rows: Collection[Row]) -> Iterator[AssetFile]:
    """Yield the files of an asset table's rows that this server's object store holds.

    Raises:
        DerivaMLValidationError: a row's file name or checksum is not one; the message says which row.
    """
    for row in rows:
        address = store_address(session, row["URL"])
        if address is None:
            continue
        md5 = str(row["MD5"]).lower()
        if not _MD5.fullmatch(md5):
            raise DerivaMLValidationError(f"{table.name} {row['RID']} has {md5!r} as its MD5 checksum, which is none.")
        try:
            path = asset_path(table.name, row["RID"], row["Filename"] or md5)
        except DerivaMLValidationError as error:
            raise DerivaMLValidationError(
                f"{table.name} {row['RID']}: {error} `exclude_tables` leaves a table out."
            ) from error
        yield AssetFile(path, address, int(row["Length"]), md5)


def store_address(session: Catalog, url: str | None) -> str | None:
    """Return the address of an object in the store of this catalog's server, or None for what lies elsewhere."""
    parts = urlsplit(url or "")
    elsewhere = parts.netloc not in {"", session.host} or parts.scheme not in {"", "http", "https"}
    return None if elsewhere or not parts.path.startswith("/hatrac/") else parts.path


def web_address(session: Catalog, address: str) -> str:
    """Return the full address of an object for ``fetch.txt``; the embedded store has the scheme ``hatrac``."""
    if session.port.links_files:
        return f"hatrac://{session.host}{quote(address, safe='/:%;')}"
    scheme = getattr(session.port, "scheme", "https")
    return f"{scheme}://{session.host}{quote(address, safe='/:%;')}"


def holes(session: Catalog, files: Collection[AssetFile]) -> Iterator[Payload]:
    """Yield the payload of a bag that says where to get the files instead of holding them."""
    for file in files:
        yield Payload(file.path, file.length, file.md5, "", url=web_address(session, file.address))


def payloads(session: Catalog, cache: BagCache, files: Collection[AssetFile], at_once: int) -> Iterator[Payload]:
    """Yield the payload of a whole bag, every file checked against its MD5 and hard-linked from the kept ones.

    Raises:
        DerivaMLIntegrityError: a file is not what its checksum says.
    """
    wanted = {file.md5: file for file in files}
    digests = _bring_all(session, cache, wanted, at_once)
    for file in files:
        digest = digests[file.md5]
        if digest.length != file.length:
            raise DerivaMLIntegrityError(f"{file.address} has {digest.length} bytes; its row says {file.length}.")
        yield Payload(file.path, digest.length, digest.md5, digest.sha256, source=cache.asset_file(file.md5))


def _bring_all(session: Catalog, cache: BagCache, wanted: Mapping[str, AssetFile], at_once: int) -> dict[str, Digest]:
    if session.port.links_files:  # in this process: threads would only wait for each other
        return {md5: bring(session, cache, file) for md5, file in wanted.items()}
    with ThreadPoolExecutor(at_once) as threads:
        return dict(zip(wanted, threads.map(lambda file: bring(session, cache, file), wanted.values()), strict=True))


def bring(session: Catalog, cache: BagCache, file: AssetFile) -> Digest:
    """See that the bytes of ``file`` are among the kept files, and whole; return their digest."""
    target = cache.asset_file(file.md5)
    if target.is_file():
        digest = hash_file(target)
        if digest.md5 == file.md5:
            return digest
        target.unlink()
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{file.md5}.{secrets.token_hex(4)}.part")
    try:
        digest = _fetch(session, file, part)
        part.chmod(0o444)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
    return digest


def _fetch(session: Catalog, file: AssetFile, part: Path) -> Digest:
    if file.length > SMALL:
        return objects.get(session, file.address, part, md5=file.md5)
    content = session.hatrac("GET", file.address, headers={"accept": "*/*"}).body
    md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if md5 != file.md5:
        raise DerivaMLIntegrityError(f"The bytes of {file.address} are damaged: MD5 {md5}, not {file.md5}.")
    part.write_bytes(content)
    return Digest(md5, hashlib.sha256(content).hexdigest(), len(content))
