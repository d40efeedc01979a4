"""What a check found: each damage with its weight, its place, and what to do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import IntEnum


class Weight(IntEnum):
    """How bad a finding is; the exit code of ``deriva-ml check`` is that of the worst."""

    REPAIRABLE = 1
    """The next commit, resume or download puts it right, or one command does; nothing acknowledged is lost."""
    FATAL = 2
    """Something acknowledged is lost or cannot be trusted, or the workspace cannot be used."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One damage: ``kind`` for programs, ``where`` is a file or an execution, ``text`` and ``advice`` for people."""

    weight: Weight
    kind: str
    where: str
    text: str
    advice: str = ""

    def __str__(self) -> str:
        return f"{self.weight.name.lower():10}  {self.where}: {self.text}{f' ({self.advice})' if self.advice else ''}"


@dataclass(slots=True)
class CheckReport:
    """The result of a check; ``looked_at`` counts what was examined, so that silence can be told from haste."""

    findings: list[Finding] = field(default_factory=list)
    looked_at: Counter[str] = field(default_factory=Counter)

    @property
    def exit_code(self) -> int:
        """0 when all is whole, 1 when all that is wrong can be repaired, 2 when something is fatal."""
        return max((finding.weight.value for finding in self.findings), default=0)

    def take(self, found: Iterable[Finding]) -> None:
        """Add findings."""
        self.findings += found

    def add(self, other: CheckReport) -> None:
        """Add the result of another check."""
        self.findings += other.findings
        self.looked_at += other.looked_at

    def render(self) -> str:
        """Return the report as text, the worst first."""
        seen = ", ".join(f"{count} {what}" for what, count in sorted(self.looked_at.items())) or "nothing"
        lines = [str(finding) for finding in sorted(self.findings, key=lambda one: (-one.weight, one.where, one.kind))]
        fatal = sum(finding.weight is Weight.FATAL for finding in self.findings)
        end = f"{len(lines)} findings, {fatal} of them fatal" if lines else "All whole"
        return "\n".join([*lines, f"{end}. Looked at: {seen}."])


def fatal(kind: str, where: object, text: str, advice: str = "") -> Finding:
    """Return a finding that costs something."""
    return Finding(Weight.FATAL, kind, str(where), text, advice)


def repairable(kind: str, where: object, text: str, advice: str = "") -> Finding:
    """Return a finding that can be put right."""
    return Finding(Weight.REPAIRABLE, kind, str(where), text, advice)
