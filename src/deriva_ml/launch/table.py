"""The table of a sweep: a line per job with overrides, status and chosen metrics. A law: values in, values out."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

MOST_METRICS = 4


def chosen_metrics(measured: Iterable[dict[str, Any]], wanted: Sequence[str] = ()) -> list[str]:
    """Return the metrics to show: those that are wanted, else the first few that any job measured.

    Example:
        >>> chosen_metrics([{"loss": 1}, {"loss": 2, "accuracy": 0.5}])
        ['loss', 'accuracy']
    """
    if wanted:
        return list(wanted)
    return list(dict.fromkeys(name for metrics in measured for name in metrics))[:MOST_METRICS]


@dataclass(frozen=True, slots=True)
class Chosen:
    """A metric that was asked for; ``direction`` ("max" or "min") says which end of it is the good one."""

    name: str
    direction: str | None = None


def read_metric(text: str) -> Chosen:
    """Return the metric that an option names.

    Example:
        >>> read_metric("accuracy:max"), read_metric("loss")
        (Chosen(name='accuracy', direction='max'), Chosen(name='loss', direction=None))
    """
    name, _, direction = text.rpartition(":")
    return Chosen(name, direction) if name and direction in ("max", "min") else Chosen(text)


def best_of(values: Mapping[int, Any], direction: str) -> int | None:
    """Return the key of the best value; what is no number cannot be best.

    Example:
        >>> best_of({0: 0.5, 1: 0.9, 2: None}, "max"), best_of({}, "min")
        (1, None)
    """
    numbers = {
        key: float(value)
        for key, value in values.items()
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    }
    choose = max if direction == "max" else min
    return choose(numbers, key=lambda key: numbers[key]) if numbers else None


def cell(value: Any) -> str:
    """Return a value as a table shows it.

    Example:
        >>> cell(0.123456), cell(None), cell("a|b")
        ('0.1235', '', 'a/b')
    """
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else " ".join(str(value).replace("|", "/").split())


def aligned(rows: Sequence[Sequence[Any]], head: Sequence[str]) -> str:
    """Return rows below their head, in columns for a terminal.

    Example:
        >>> print(aligned([[0, "Uploaded"]], ["job", "status"]))
        job  status
        0    Uploaded
    """
    lines = [list(head), *([cell(value) for value in row] for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def markdown(rows: Sequence[Sequence[Any]], head: Sequence[str]) -> str:
    """Return rows below their head as a Markdown table.

    Example:
        >>> print(markdown([[0, "Uploaded"]], ["job", "status"]))
        | job | status |
        | --- | --- |
        | 0 | Uploaded |
    """
    lines = [[cell(name) for name in head], ["---"] * len(head), *([cell(value) for value in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
