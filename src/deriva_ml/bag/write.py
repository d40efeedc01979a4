"""Write a BDBag: whole or not at all, rows streamed, payload linked, checksums taken over instead of computed again."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

from deriva_ml.bag import cells, layout
from deriva_ml.clock import now
from deriva_ml.errors import DerivaMLIntegrityError, DerivaMLValidationError
from deriva_ml.files import Digest, fsync_folder, hash_file, link_or_copy, sync

ROWS_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class Payload:
    """One file of the bag. ``path`` is below ``data/``; the bytes are at ``source``, or to be fetched from ``url``."""

    path: str
    length: int
    md5: str
    sha256: str
    source: Path | None = None
    url: str | None = None


@dataclass(frozen=True, slots=True)
class TableRows:
    """The rows of one table, read once, in order; a column absent from a row is NULL."""

    schema: str
    table: str
    columns: tuple[str, ...]
    rows: Iterable[Mapping[str, Any]]


def write_bag(
    folder: Path,
    *,
    tables: Iterable[TableRows],
    payloads: Iterable[Payload],
    schema_document: Mapping[str, Any],
    info: Mapping[str, str],
    durable: bool = True,
) -> None:
    """Write the bag ``folder``; a bag that was there before is replaced once the new one is whole.

    ``tables`` and ``payloads`` are consumed as streams: memory does not grow with the number of rows. Sources are
    hard-linked (copied across disks) and their checksums believed. ``durable=False`` leaves syncing out, for a bag
    that can be built again after a power cut.

    Raises:
        DerivaMLValidationError: a path leads out of the bag, a payload has neither source nor allowed URL, or two
            payloads have one path.
        DerivaMLIntegrityError: a source has not the length that was said.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    building = folder.with_name(f".{folder.name}.{secrets.token_hex(6)}.tmp")
    try:
        (building / layout.PAYLOAD).mkdir(parents=True)
        _fill(building, tables, payloads, schema_document, info)
        if durable:
            _sync_tree(building)
        _replace(building, folder)
    finally:
        shutil.rmtree(building, ignore_errors=True)
    if durable:
        fsync_folder(folder.parent)


def _fill(
    building: Path,
    tables: Iterable[TableRows],
    payloads: Iterable[Payload],
    schema_document: Mapping[str, Any],
    info: Mapping[str, str],
) -> None:
    with _Manifests(building) as manifests:
        document = json.dumps(schema_document, ensure_ascii=False).encode()  # with an indent, it is ten times as slow
        manifests.add(layout.SCHEMA_FILE, _write_hashed(building / layout.PAYLOAD / layout.SCHEMA_FILE, [document]))
        for table in tables:
            manifests.add(layout.table_path(table.schema, table.table), _write_table(building, table, schema_document))
        for payload in payloads:
            _place(building, payload)
            manifests.add(
                payload.path,
                Digest(payload.md5, payload.sha256, payload.length),
                payload.url if payload.source is None else None,
            )
    _write_tags(building, {**info, "Payload-Oxum": f"{manifests.length}.{manifests.count}"})


class _Manifests:
    """The lists of the bag's payload, written while it is laid down."""

    def __init__(self, building: Path) -> None:
        self.building, self.length, self.count = building, 0, 0
        self._stack = ExitStack()
        self._fetch: BinaryIO | None = None
        self._seen: set[str] = set()

    def __enter__(self) -> _Manifests:
        self._lists = {name: self._open(f"manifest-{name}.txt") for name in layout.ALGORITHMS}
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _open(self, name: str) -> BinaryIO:
        return self._stack.enter_context((self.building / name).open("wb"))

    def _drop(self, name: str) -> None:
        """A manifest lists every file or is left out: this checksum is not known for all of them."""
        self._lists.pop(name).close()
        (self.building / f"manifest-{name}.txt").unlink()
        if not self._lists:
            raise DerivaMLValidationError(
                "No checksum is known for all the files of the bag: each needs its MD5 or its SHA-256."
            )

    def add(self, path: str, digest: Digest, url: str | None = None) -> None:
        if path in self._seen:
            raise DerivaMLValidationError(f"Two payloads of the bag have the path {path!r}.")
        self._seen.add(path)
        entry = f"{layout.PAYLOAD}/{path}"
        for name, file in list(self._lists.items()):
            if checksum := getattr(digest, name):
                file.write(f"{checksum}  {entry}\n".encode())
            else:
                self._drop(name)
        if url is not None:
            self._fetch = self._fetch or self._open("fetch.txt")
            self._fetch.write(f"{url}\t{digest.length}\t{entry}\n".encode())
        self.length, self.count = self.length + digest.length, self.count + 1


def _write_table(building: Path, table: TableRows, schema_document: Mapping[str, Any]) -> Digest:
    types = cells.column_types(schema_document, table.schema, table.table)
    kinds = [(column, types.get(column, "")) for column in table.columns]
    lines = (cells.line(cells.cell(row.get(column), kind) for column, kind in kinds) for row in table.rows)
    target = building / layout.PAYLOAD / layout.table_path(table.schema, table.table)
    target.parent.mkdir(exist_ok=True)
    return _write_hashed(target, _blocks(cells.line(table.columns), lines))


def _blocks(header: str, lines: Iterator[str]) -> Iterator[bytes]:
    yield header.encode()
    while block := "".join(islice(lines, ROWS_AT_ONCE)):
        yield block.encode()


def _write_hashed(target: Path, blocks: Iterable[bytes]) -> Digest:
    md5, sha256, length = hashlib.md5(usedforsecurity=False), hashlib.sha256(), 0
    with target.open("xb") as file:
        for block in blocks:
            file.write(block)
            md5.update(block)
            sha256.update(block)
            length += len(block)
    return Digest(md5.hexdigest(), sha256.hexdigest(), length)


def _place(building: Path, payload: Payload) -> None:
    layout.check_payload_path(payload.path)
    if payload.source is None:
        problem = layout.url_problem(payload.url or "")
        if problem:
            raise DerivaMLValidationError(f"{payload.path} cannot be fetched from {payload.url!r}: {problem}.")
        return
    found = payload.source.stat().st_size
    if found != payload.length:
        raise DerivaMLIntegrityError(
            f"{payload.source} has {found} bytes, not {payload.length}: it changed after it was hashed."
        )
    target = building / layout.PAYLOAD / payload.path
    target.parent.mkdir(parents=True, exist_ok=True)
    _link(payload.source, target)


def _link(source: Path, target: Path) -> None:
    """Link without syncing each folder: the whole tree is synced at the end, once."""
    try:
        os.link(source, target)
    except FileExistsError as error:
        raise DerivaMLValidationError(
            f"Two payloads of the bag have the path {target.name!r}, or differ by case alone."
        ) from error
    except OSError:
        link_or_copy(source, target)


def _write_tags(building: Path, info: Mapping[str, str]) -> None:
    facts = {"Bag-Software-Agent": "deriva-ml", "Bagging-Date": now().date().isoformat(), **info}
    lines = "".join(f"{_one_line(key).replace(':', '-')}: {_one_line(value)}\n" for key, value in facts.items())
    (building / "bagit.txt").write_bytes(b"BagIt-Version: 0.97\nTag-File-Character-Encoding: UTF-8\n")
    (building / "bag-info.txt").write_bytes(lines.encode())
    tags = sorted(path for path in building.iterdir() if path.is_file())
    digests = {path.name: hash_file(path) for path in tags}
    for name in layout.ALGORITHMS:
        text = "".join(f"{getattr(digest, name)}  {tag}\n" for tag, digest in digests.items())
        (building / f"tagmanifest-{name}.txt").write_bytes(text.encode())


def _one_line(text: str) -> str:
    return " ".join(str(text).split()) or "-"


def _sync_tree(root: Path) -> None:
    """Bring every file and folder below ``root`` to the disk, leaves first; linked sources were synced when sealed."""
    for folder, _, names in os.walk(root, topdown=False):
        for name in names:
            path = Path(folder, name)
            if path.stat().st_nlink == 1:
                with path.open("rb") as file:
                    sync(file.fileno())
        fsync_folder(Path(folder))


def _replace(building: Path, folder: Path) -> None:
    if not folder.exists():
        building.rename(folder)
        return
    old = building.with_suffix(".old")
    folder.rename(old)
    building.rename(folder)
    shutil.rmtree(old)
