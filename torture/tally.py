"""What a campaign did, told while it runs and in one table at the end."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

EVERY = 30.0
"""Seconds between two lines of progress."""
HEADINGS = ("campaign", "points", "acknowledged", "lost", "twice", "stuck", "seconds")
ROW = "{:<58} {:>7} {:>13} {:>5} {:>6} {:>6} {:>8}"


@dataclass
class Tally:
    """Points, what was acknowledged at them, and the promises that were broken: an item lost or twice, a run stuck."""

    name: str
    points: int = 0
    acknowledged: int = 0
    kills: int = 0
    lost: int = 0
    twice: int = 0
    stuck: int = 0
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0
    _told_at: float = field(default_factory=time.monotonic)

    def blame(self, where: str, kind: str, problem: str) -> None:
        """Count a broken promise; ``kind`` is lost, twice or stuck."""
        setattr(self, kind, getattr(self, kind) + 1)
        self.problems.append(f"{where}: {kind}: {problem}")
        print(f"  VIOLATION {self.problems[-1][:2000]}", flush=True)

    def point(self, acknowledged: int, points: int = 1) -> None:
        """Count a point, and say now and then how far it has come."""
        self.points += points
        self.acknowledged += acknowledged
        if time.monotonic() - self._told_at > EVERY:
            self._told_at = time.monotonic()
            print(f"  {self.name}: {self.points:,} points, {self.acknowledged:,} acknowledged …", flush=True)

    def text(self) -> str:
        """Return it as one line, for the process that waits for this one."""
        return json.dumps({name: value for name, value in asdict(self).items() if name[0] != "_"})

    @classmethod
    def read(cls, text: str) -> Tally:
        """Return what :meth:`text` wrote."""
        return cls(**json.loads(text))

    @property
    def cells(self) -> tuple[str, ...]:
        """The row of the table."""
        numbers = (self.points, self.acknowledged, self.lost, self.twice, self.stuck, round(self.seconds))
        return (self.name, *(f"{number:,}" for number in numbers))


def total(tallies: Sequence[Tally]) -> Tally:
    """Return the sum of all campaigns."""
    found = Tally("all")
    for each in tallies:
        for name in ("points", "acknowledged", "kills", "lost", "twice", "stuck", "seconds"):
            setattr(found, name, getattr(found, name) + getattr(each, name))
        found.problems += each.problems
    return found


def table(tallies: Sequence[Tally]) -> str:
    """Return the table for a terminal."""
    return "\n".join(ROW.format(*cells) for cells in (HEADINGS, *(each.cells for each in tallies)))


def markdown(tallies: Sequence[Tally]) -> str:
    """Return the table for a page."""
    rows = [HEADINGS, ("---", *["---:"] * (len(HEADINGS) - 1)), *(each.cells for each in tallies)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
