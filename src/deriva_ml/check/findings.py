"""What a check found: each damage with its weight, its place, and what to do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import IntEnum

from deriva_ml.check.remedies import COMMAND, Remedy


class Weight(IntEnum):
    """How bad a finding is; the exit code of ``deriva-ml check`` is that of the worst."""

    NOTE = 0
    """Worth knowing; nothing is wrong."""
    REPAIRABLE = 1
    """A repair, the next commit or one command puts it right; nothing acknowledged is lost."""
    FATAL = 2
    """Something acknowledged is lost or cannot be trusted, or the workspace cannot be used."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One damage: ``kind`` for programs, ``where`` is a file or an execution, ``text`` and ``advice`` for people.

    ``remedy`` is what a machine can do about it; without one it is the user who follows the advice.
    """

    weight: Weight
    kind: str
    where: str
    text: str
    advice: str = ""
    remedy: Remedy | None = None

    def __str__(self) -> str:
        advice = f"`{COMMAND}` {self.remedy.does}" if self.remedy else self.advice
        return f"{self.weight.name.lower():10}  {self.where}: {self.text}{f' ({advice})' if advice else ''}"


@dataclass(slots=True)
class CheckReport:
    """The result of a check; ``looked_at`` counts what was examined, so that silence can be told from haste."""

    findings: list[Finding] = field(default_factory=list)
    looked_at: Counter[str] = field(default_factory=Counter)

    @property
    def exit_code(self) -> int:
        """0 when all is whole, 1 when all that is wrong can be repaired, 2 when something is fatal."""
        return max((finding.weight.value for finding in self.findings), default=0)

    @property
    def is_fatal(self) -> bool:
        """Whether something cannot be repaired."""
        return self.exit_code == Weight.FATAL

    @property
    def remedies(self) -> list[Remedy]:
        """What a machine can do, each once."""
        return list(dict.fromkeys(finding.remedy for finding in self.findings if finding.remedy))

    def take(self, found: Iterable[Finding]) -> None:
        """Add findings."""
        self.findings += found

    def add(self, other: CheckReport) -> None:
        """Add the result of another check."""
        self.findings += other.findings
        self.looked_at += other.looked_at

    def render(self) -> str:
        """Return the report as text, the worst first."""
        looked = sorted((what, number) for what, number in self.looked_at.items() if number)
        seen = ", ".join(counted(number, what.removesuffix("s")) for what, number in looked) or "nothing"
        lines = [str(finding) for finding in sorted(self.findings, key=lambda one: (-one.weight, one.where, one.kind))]
        return "\n".join([*lines, f"{self._verdict()}. Looked at: {seen}."])

    def _verdict(self) -> str:
        wrong = [finding for finding in self.findings if finding.weight]
        if not wrong:
            return "All whole"
        fatal = sum(finding.weight is Weight.FATAL for finding in wrong)
        by_machine = sum(finding.remedy is not None for finding in wrong)
        which = "all" if by_machine == len(wrong) else by_machine
        repaired = f"; `{COMMAND}` puts {which} of them right" if by_machine else ""
        return f"{counted(len(wrong), 'finding')}, {fatal} of them fatal{repaired}"


def counted(number: int, what: str) -> str:
    """Return a number of things, as one says it.

    Example:
        >>> counted(1, "finding"), counted(3, "finding")
        ('1 finding', '3 findings')
    """
    return f"{number} {what}{'' if number == 1 else 's'}"


def fatal(kind: str, where: object, text: str, advice: str = "") -> Finding:
    """Return a finding that costs something."""
    return Finding(Weight.FATAL, kind, str(where), text, advice)


def repairable(kind: str, where: object, text: str, advice: str | Remedy) -> Finding:
    """Return a finding that can be put right: by a machine, or by the user, whom ``advice`` tells how."""
    if isinstance(advice, Remedy):
        return Finding(Weight.REPAIRABLE, kind, str(where), text, "", advice)
    return Finding(Weight.REPAIRABLE, kind, str(where), text, advice)


def note(kind: str, where: object, text: str, advice: str = "") -> Finding:
    """Return what is worth knowing."""
    return Finding(Weight.NOTE, kind, str(where), text, advice)


def unreadable(where: object, error: OSError) -> Finding:
    """Return the finding that something cannot be looked at, because of its rights or because the disk fails."""
    what = f"{error.filename or where} cannot be read: {error.strerror or error}"
    if isinstance(error, PermissionError):
        return repairable(
            "unreadable", where, what, f"give yourself the right: `chmod -R u+rwX {error.filename or where}`"
        )
    return fatal("unreadable", where, what, "the disk or the file system fails: copy away what can be read")
