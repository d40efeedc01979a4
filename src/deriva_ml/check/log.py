"""The write-ahead log of a database against SQLite's index of it: is everything there that was committed.

SQLite takes a log that is gone, short or damaged for an empty one, and what was committed there is lost without a word. The
index beside the database (``-shm``) still says how far the log went, and with which checksum, until the next opening. Only
for files that this process has not open: closing a second descriptor would let go of SQLite's locks.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from deriva_ml.check.findings import Finding, counted, fatal
from deriva_ml.clock import started_at

HEADER, FRAME_HEADER, INDEX = 32, 24, 100
INDEX_VERSION = 3007000
TRIES = 5
ADVICE = "open nothing, and restore a backup of the database with its -wal file; the next opening goes on without these pages"
_ALL = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class _Index:
    """What the index says of the log: how many frames it has, how many of them are in the database already."""

    frames: int
    copied: int
    page: int
    checksum: tuple[int, int]
    salts: bytes
    big_endian: bool


def log_problems(path: Path, *, read_data: bool) -> Iterator[Finding]:
    """Yield whether the log of the database ``path`` lacks what was committed; with ``read_data`` every byte of it is summed up."""
    for _ in range(TRIES):
        before = _index(path)
        if before is None or before.frames <= before.copied:
            return
        wrong = _wrong(path.with_name(f"{path.name}-wal"), before, read_data)
        if before == _index(path):  # nobody has written meanwhile
            if wrong:
                lost = counted(before.frames - before.copied, "page")
                yield fatal(
                    "store-log", path, f"its log {wrong}: the last {lost} that were written to it are lost", ADVICE
                )
            return


def _index(path: Path) -> _Index | None:
    """Return what the index says; None where there is none, it is being written, or is from before the machine was started."""
    place, start = path.with_name(f"{path.name}-shm"), started_at()
    try:
        if start is None or place.stat().st_mtime < start:  # a power cut may leave an index that is newer than the log
            return None
        with place.open("rb") as file:
            content = file.read(INDEX)
    except OSError:
        return None
    if len(content) < INDEX or content[:48] != content[48:96]:
        return None
    version, _, _, initialised, big, page, frames, _, one, two = struct.unpack_from("=IIIBBHIIII", content)
    if version != INDEX_VERSION or not initialised:
        return None
    (copied,) = struct.unpack_from("=I", content, 96)
    return _Index(frames, copied, 65536 if page == 1 else page, (one, two), content[32:40], bool(big))


def _wrong(log: Path, index: _Index, read_data: bool) -> str:
    """Return what is wrong with the log; empty for one that is whole."""
    step = FRAME_HEADER + index.page
    try:
        with log.open("rb") as file:
            content = file.read(HEADER + index.frames * step) if read_data else file.read(HEADER)
            file.seek(HEADER + (index.frames - 1) * step)
            last = file.read(FRAME_HEADER)
    except FileNotFoundError:
        return "is gone"
    if len(last) < FRAME_HEADER:
        return "has been cut off"
    if content[16:24] != index.salts or last[8:16] != index.salts:
        return "has been overwritten"
    if struct.unpack_from(">II", last, 16) != index.checksum:
        return "is damaged"
    return "is damaged" if read_data and _sum(content, index, step) != index.checksum else ""


def _sum(content: bytes, index: _Index, step: int) -> tuple[int, int]:
    """Return the checksum of the whole log, which SQLite carries on from frame to frame."""
    order = ">" if index.big_endian else "<"
    one, two = _added((0, 0), content[:24], order)
    for start in range(HEADER, HEADER + index.frames * step, step):
        one, two = _added((one, two), content[start : start + 8], order)
        one, two = _added((one, two), content[start + FRAME_HEADER : start + step], order)
    return one, two


def _added(sums: tuple[int, int], content: bytes, order: str) -> tuple[int, int]:
    one, two = sums
    words = struct.unpack(f"{order}{len(content) // 4}I", content)
    for first, second in zip(words[::2], words[1::2], strict=True):
        one = (one + first + two) & _ALL
        two = (two + second + one) & _ALL
    return one, two
