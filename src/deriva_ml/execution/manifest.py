"""The assets that a run has registered, as values and as the document ``asset-manifest.json``.

Floor 1, a law: values in, values out. The store is the authority; the document is its readable copy, from which
the entries can be rebuilt where the store is gone.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from deriva_ml.errors import DerivaMLIntegrityError, DerivaMLValidationError
from deriva_ml.names import safe_file_name

FORMAT = 1
_text = json.JSONEncoder(ensure_ascii=False, default=str).encode
ALWAYS_UP_TO = 100


class Mode(StrEnum):
    """How a file came into staging."""

    NEW = "new"
    LINK = "link"
    COPY = "copy"
    RECORD = "record"
    """Written by deriva-ml itself when the execution was created."""


class EntryState(StrEnum):
    """How far an asset is on its way into the catalog."""

    PENDING = "pending"
    SEALED = "sealed"
    UPLOADED = "uploaded"
    DROPPED = "dropped"
    """Given up: by its user, or because the run ended before it was written."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One registered asset. ``staged`` and ``sealed`` are relative to the execution's folder."""

    key: str
    schema: str
    table: str
    file_name: str
    mode: Mode
    staged: str
    source: str | None = None
    asset_types: tuple[str, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)
    description: str = ""
    state: EntryState = EntryState.PENDING
    source_stamp: str | None = None
    sealed: str | None = None
    md5: str | None = None
    sha256: str | None = None
    length: int | None = None
    rid: str | None = None
    url: str | None = None
    reused: bool = False
    uploaded_at: str | None = None
    id: int = 0

    @property
    def label(self) -> str:
        """Return the entry as a message names it."""
        return f"{self.table}/{self.file_name}"


def numbered(key: str, number: int) -> str:
    """Return the key of a namesake of ``key``; :func:`plain_key` takes it back.

    Example:
        >>> numbered("Image/x.png", 2)
        'Image/~2/x.png'
    """
    head, _, rest = key.partition("/")
    return f"{head}/~{number}/{rest}"


def plain_key(key: str) -> str:
    """Return a key without the number that tells it from its namesakes."""
    head, _, rest = key.partition("/")
    number, mark, name = rest.partition("/")
    return f"{head}/{name}" if mark and number.startswith("~") and number[1:].isdigit() else key


def due(count: int, written_at: int) -> bool:
    """Return whether the document is to be written again: ``count`` entries now, ``written_at`` when it was written.

    Each time up to a hundred entries, then whenever the number has doubled: so registering is never quadratic.
    """
    return count <= ALWAYS_UP_TO or count >= 2 * written_at


def document(execution_rid: str, entries: Iterable[Entry]) -> bytes:
    """Return the text of ``asset-manifest.json``: one line for each entry."""
    lines = ",\n".join(f"  {_text(entry.key)}: {_text(_described(entry))}" for entry in entries)
    head = f'{{\n "format": {FORMAT},\n "execution_rid": {_text(execution_rid)},\n "assets": {{'
    return f"{head}\n{lines}\n }}\n}}\n".encode()


def _described(entry: Entry) -> dict[str, Any]:
    return {
        "asset_table": entry.table,
        "schema": entry.schema,
        "file_name": entry.file_name,
        "mode": entry.mode.value,
        "staged": entry.staged,
        "source": entry.source,
        "source_stamp": entry.source_stamp,
        "asset_types": list(entry.asset_types),
        "metadata": dict(entry.metadata),
        "description": entry.description,
        "status": entry.state.value,
        "sealed": entry.sealed,
        "md5": entry.md5,
        "sha256": entry.sha256,
        "length": entry.length,
        "rid": entry.rid,
        "url": entry.url,
        "reused": entry.reused,
        "uploaded_at": entry.uploaded_at,
    }


def rebuild(text: bytes) -> tuple[str, list[Entry]]:
    """Return the execution's RID and the entries that the document ``text`` describes.

    Raises:
        DerivaMLIntegrityError: it is not such a document, a newer deriva-ml has written it, or it names files outside the folder.
    """
    try:
        content = json.loads(text)
        if int(content.get("format", FORMAT)) > FORMAT:
            raise DerivaMLIntegrityError(
                f"This asset-manifest.json was written by a newer deriva-ml (format {content['format']}): upgrade this one."
            )
        return content["execution_rid"], [_entry(key, each) for key, each in content["assets"].items()]
    except (ValueError, KeyError, TypeError, AttributeError, DerivaMLValidationError) as error:
        raise DerivaMLIntegrityError(f"This is not an asset-manifest.json: {error}.") from error


def _inside(path: str | None) -> str | None:
    """Return a path below the execution's folder, if it is one; what a document says is not trusted."""
    if path is not None and not all(part not in ("", ".", "..") for part in path.split("/")):
        raise ValueError(f"{path!r} is no path inside the execution's folder")
    return path


_OLDER_STATES = {"failed": EntryState.PENDING}
"""States that older documents have, and what they are now: what failed is tried again."""


def _entry(key: str, each: Mapping[str, Any]) -> Entry:
    return Entry(
        key=key,
        schema=each["schema"],
        table=each["asset_table"],
        file_name=safe_file_name(each.get("file_name") or key.rsplit("/", 1)[-1]),
        mode=Mode(each.get("mode", "new")),
        staged=_inside(each.get("staged") or f"assets/{key}") or "",
        source=each.get("source"),
        asset_types=tuple(each.get("asset_types") or ()),
        metadata=dict(each.get("metadata") or {}),
        description=each.get("description") or "",
        state=_OLDER_STATES.get(each.get("status", "pending")) or EntryState(each.get("status", "pending")),
        source_stamp=each.get("source_stamp"),
        sealed=_inside(each.get("sealed")),
        md5=each.get("md5"),
        sha256=each.get("sha256"),
        length=each.get("length"),
        rid=each.get("rid"),
        url=each.get("url"),
        reused=bool(each.get("reused")),
        uploaded_at=each.get("uploaded_at"),
    )
