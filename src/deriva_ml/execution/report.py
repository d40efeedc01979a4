"""What a commit says of itself: its progress, its result, and what is still pending."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from html import escape
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
    """What became of one file, or of the values of one feature table (``file_name`` is empty, ``count`` says how many).

    ``state`` is "uploaded", "reused" (the catalog had it already: ``rid`` is that asset) or "failed" (still waiting;
    ``reason`` says why, where it is known of this one).
    """

    execution_rid: str
    table: str
    file_name: str
    state: str
    rid: str | None = None
    url: str | None = None
    length: int | None = None
    schema: str = ""
    count: int = 1
    reason: str | None = None

    def __str__(self) -> str:
        what = self.file_name or f"{self.count:,} values"
        said = {"reused": f"there already, as {self.rid}", "failed": f"failed: {self.reason or 'still waiting'}"}
        return f"{self.table}/{what}: {said.get(self.state, self.rid or self.state)}"


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

    def __str__(self) -> str:
        """Return the report as text: one line for each table, then what failed and what is worth knowing."""
        if not self.execution_rids:
            return "\n".join(["Nothing was committed.", *(f"  error: {error}" for error in self.errors)])
        who = f"Execution{'s' if len(self.execution_rids) > 1 else ''} {', '.join(self.execution_rids)}"
        failed = f", {self.total_failed:,} still waiting" if self.total_failed else ""
        lines = [f"{who}: {self.total_uploaded:,} row{'' if self.total_uploaded == 1 else 's'} committed{failed}"]
        lines += [f"  {name}: {text}" for name, text in self._tables()]
        lines += [f"  {item}" for item in self.items if item.state == "failed"]
        return "\n".join([*lines, *(f"  note: {note}" for note in self.notes), *(f"  error: {e}" for e in self.errors)])

    def _repr_html_(self) -> str:
        """Return the report for a notebook."""
        rows = "".join(f"<tr><td>{escape(name)}</td><td>{escape(text)}</td></tr>" for name, text in self._tables())
        first, *_ = str(self).partition("\n")
        more = [*(str(item) for item in self.items if item.state == "failed"), *self.notes, *self.errors]
        listing = "".join(f"<li>{escape(text)}</li>" for text in more)
        return f"<p>{escape(first)}</p><table>{rows}</table>" + (f"<ul>{listing}</ul>" if listing else "")

    def _tables(self) -> list[tuple[str, str]]:
        """Return what became of each table; its schema is named where two schemas have a table of that name."""
        names = Counter(key.rpartition("/")[2] for key in self.per_table)
        there = Counter(f"{item.schema}/{item.table}" for item in self.items if item.state == "reused")
        found = []
        for key, row in sorted(self.per_table.items()):
            short = key.rpartition("/")[2]
            text = f"{row['uploaded']:,} committed"
            text += f", {there[key]:,} of them there already" if there[key] else ""
            text += f", {row['failed']:,} still waiting" if row["failed"] else ""
            found.append((key if names[short] > 1 else short, text))
        return found

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
