"""Versions of datasets: how labels look, which is newer, and what comes next.

Values only, no I/O. A released version is ``major.minor.patch`` and stands for a snapshot of the catalog. A change
after a release makes a development version ``1.2.0.post1.dev3`` (PEP 440: newer than 1.2.0, older than 1.2.1), which
stands for the live state and turns into the next release.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import total_ordering
from typing import Any

from deriva_ml.errors import DerivaMLNotFoundError, DerivaMLValidationError

_LABEL = re.compile(r"v?(\d+)(?:\.(\d+))?(?:\.(\d+))?(?:\.post\d+\.dev(\d+))?", re.ASCII)
MOST_LISTED = 20


class VersionPart(StrEnum):
    """Which number of a version a release raises."""

    major = "major"
    minor = "minor"
    patch = "patch"


@total_ordering
@dataclass(frozen=True, slots=True)
class DatasetVersion:
    """One version label, ordered as PEP 440 orders them.

    Example:
        >>> version = DatasetVersion.parse("1.2.0")
        >>> str(version.next_dev()), str(version.bumped(VersionPart.minor))
        ('1.2.0.post1.dev1', '1.3.0')
        >>> version < version.next_dev() < DatasetVersion(1, 2, 1)
        True
    """

    major: int = 0
    minor: int = 0
    patch: int = 0
    dev: int | None = None

    @classmethod
    def parse(cls, value: Any) -> DatasetVersion:
        """Read a version from a label, a ``(major, minor, patch)`` or a mapping with these names.

        Raises:
            DerivaMLValidationError: it is none of these.
        """
        if isinstance(value, DatasetVersion):
            return value
        if isinstance(value, list | tuple) and len(value) == 3 and all(_is_count(part) for part in value):
            return cls(*value)
        if isinstance(value, dict) and value and value.keys() <= {"major", "minor", "patch", "dev"}:
            return cls.parse_parts(value)
        match = _LABEL.fullmatch(value.strip()) if isinstance(value, str) else None
        if match is None:
            raise DerivaMLValidationError(f"{value!r} is not a version of a dataset: give one like 1.2.0.")
        major, minor, patch = (int(part or 0) for part in match.groups()[:3])
        return cls(major, minor, patch, int(match[4]) if match[4] else None)

    @classmethod
    def parse_parts(cls, parts: dict[str, Any]) -> DatasetVersion:
        """Read a version from a mapping.

        Raises:
            DerivaMLValidationError: a part is not a count.
        """
        if not all(_is_count(part) for name, part in parts.items() if name != "dev" or part is not None):
            raise DerivaMLValidationError(f"{parts!r} is not a version of a dataset: its parts are whole numbers.")
        numbers = {name: parts.get(name, 0) for name in ("major", "minor", "patch")}
        return cls(numbers["major"], numbers["minor"], numbers["patch"], parts.get("dev"))

    @property
    def is_dev(self) -> bool:
        """Whether this is a development version, which stands for the live state."""
        return self.dev is not None

    @property
    def base(self) -> DatasetVersion:
        """The release that a development version follows; a release itself."""
        return DatasetVersion(self.major, self.minor, self.patch)

    def to_tuple(self) -> tuple[int, int, int]:
        """Return the three numbers."""
        return self.major, self.minor, self.patch

    def bumped(self, part: VersionPart | str) -> DatasetVersion:
        """Return the release that raises ``part``.

        Raises:
            DerivaMLValidationError: there is no such part.
        """
        if part not in set(VersionPart):
            raise DerivaMLValidationError(f"{part!r} is no part of a version: give major, minor or patch.")
        major, minor, patch = self.to_tuple()
        if part == VersionPart.major:
            return DatasetVersion(major + 1, 0, 0)
        return (
            DatasetVersion(major, minor + 1, 0)
            if part == VersionPart.minor
            else DatasetVersion(major, minor, patch + 1)
        )

    def next_dev(self) -> DatasetVersion:
        """Return the development version that follows this version."""
        return DatasetVersion(*self.to_tuple(), dev=(self.dev or 0) + 1)

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}" + (f".post1.dev{self.dev}" if self.is_dev else "")

    def __lt__(self, other: object) -> bool:
        if not isinstance(other, DatasetVersion):
            return NotImplemented
        return self._order < other._order

    @property
    def _order(self) -> tuple[int, ...]:
        return (*self.to_tuple(), 0 if self.dev is None else self.dev + 1)


def _is_count(part: Any) -> bool:
    return isinstance(part, int) and not isinstance(part, bool) and part >= 0


@dataclass(frozen=True, slots=True)
class DatasetHistory:
    """One version of a dataset as the catalog has it. A development version has no ``snapshot``."""

    dataset_version: DatasetVersion
    dataset_rid: str
    version_rid: str
    execution_rid: str | None = None
    description: str | None = None
    minid: str | None = None
    spec_hash: str | None = None
    snapshot: str | None = None


def current(history: Sequence[DatasetHistory]) -> DatasetHistory:
    """Return the newest version.

    Raises:
        DerivaMLNotFoundError: the dataset has none.
    """
    if not history:
        raise DerivaMLNotFoundError(
            "The dataset has no version: it was created without one. `mark_dev(description)` makes one."
        )
    return max(history, key=lambda entry: entry.dataset_version)


def choose(history: Sequence[DatasetHistory], wanted: DatasetVersion | None) -> DatasetHistory:
    """Return the version ``wanted``, the newest if None.

    Raises:
        DerivaMLNotFoundError: the dataset has no such version; the message lists the newest it has.
    """
    if wanted is None:
        return current(history)
    found = next((entry for entry in history if entry.dataset_version == wanted), None)
    if found is None:
        labels = sorted((entry.dataset_version for entry in history), reverse=True)[:MOST_LISTED]
        rid = f" {history[0].dataset_rid}" if history else ""
        raise DerivaMLNotFoundError(
            f"Dataset{rid} has no version {wanted}. It has: {', '.join(map(str, labels)) or 'none'}."
        )
    return found


def producing(history: Sequence[DatasetHistory]) -> DatasetHistory | None:
    """Return the version whose producer stands for a dataset named without version: the greatest release, else the newest."""
    released = [entry for entry in history if not entry.dataset_version.is_dev]
    return max(released or history, key=lambda entry: entry.dataset_version, default=None)
