"""What a commit says of itself: its progress, its result, and what is still pending."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class UploadProgress:
    """One step of one file; ``phase`` is "Staging", "Uploading" or "Uploaded"."""

    file_path: str
    file_name: str
    bytes_completed: int
    bytes_total: int
    phase: str
    message: str = ""

    @property
    def percent_complete(self) -> float:
        """How much of the file is done, in percent."""
        return 100.0 if not self.bytes_total else 100.0 * self.bytes_completed / self.bytes_total


UploadCallback: TypeAlias = Callable[[UploadProgress], None]


@dataclass(frozen=True, slots=True)
class UploadItem:
    """What became of one file; ``state`` is "uploaded", "reused" (the catalog had it already) or "failed" (still waiting)."""

    execution_rid: str
    table: str
    file_name: str
    state: str
    rid: str | None = None
    url: str | None = None
    length: int | None = None


@dataclass(slots=True)
class UploadReport:
    """The result of one commit, or of several.

    ``per_table`` counts assets and feature values: ``{"schema/table": {"uploaded": n, "failed": n}}``. ``notes`` says
    what is worth knowing: which assets the catalog had already, which files were kept. ``items`` has each file.
    """

    execution_rids: list[str] = field(default_factory=list)
    total_uploaded: int = 0
    total_failed: int = 0
    per_table: dict[str, dict[str, int]] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    items: list[UploadItem] = field(default_factory=list)

    def count(self, schema: str, table: str, *, uploaded: int = 0, failed: int = 0) -> None:
        """Add what became of rows of one table."""
        row = self.per_table.setdefault(f"{schema}/{table}", {"uploaded": 0, "failed": 0})
        row["uploaded"] += uploaded
        row["failed"] += failed
        self.total_uploaded += uploaded
        self.total_failed += failed

    def add(self, other: UploadReport) -> None:
        """Add the result of another commit."""
        self.execution_rids += other.execution_rids
        self.errors += other.errors
        self.notes += other.notes
        self.items += other.items
        for name, row in other.per_table.items():
            schema, _, table = name.partition("/")
            self.count(schema, table, **row)


@dataclass(frozen=True, slots=True)
class PendingRowCount:
    """How many feature values of one table wait for a commit."""

    table: str
    pending: int


@dataclass(frozen=True, slots=True)
class PendingAssetCount:
    """How many files of one asset table wait for a commit."""

    table: str
    pending: int


@dataclass(frozen=True, slots=True)
class PendingSummary:
    """What one execution has staged and not yet committed."""

    execution_rid: str
    rows: tuple[PendingRowCount, ...] = ()
    assets: tuple[PendingAssetCount, ...] = ()
    diagnostics: tuple[str, ...] = ()

    @property
    def total_pending_rows(self) -> int:
        return sum(row.pending for row in self.rows)

    @property
    def total_pending_files(self) -> int:
        return sum(row.pending for row in self.assets)

    @property
    def has_pending(self) -> bool:
        return bool(self.total_pending_rows or self.total_pending_files or self.diagnostics)

    def render(self) -> str:
        """Return the summary as text."""
        lines = [
            f"{self.execution_rid}: {self.total_pending_files} files and {self.total_pending_rows} feature values to commit"
        ]
        lines += [f"  {row.table}: {row.pending} files" for row in self.assets]
        lines += [f"  {row.table}: {row.pending} values" for row in self.rows]
        lines += [f"  {text}" for text in self.diagnostics]
        return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class WorkspacePendingSummary:
    """What the executions of a workspace have staged and not yet committed."""

    per_execution: tuple[PendingSummary, ...]

    @property
    def total_executions_with_pending(self) -> int:
        return len(self.per_execution)

    def render(self) -> str:
        """Return the summary as text."""
        return "\n".join(each.render() for each in self.per_execution) or "Nothing is waiting to be committed."


def listed(problems: Iterable[str], most: int = 50) -> str:
    """Return problems one to a line, the first ones when there are many."""
    every = list(problems)
    more = [f"… and {len(every) - most} more"] if len(every) > most else []
    return "\n".join(f"- {problem}" for problem in [*every[:most], *more])
