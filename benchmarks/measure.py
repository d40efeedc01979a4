"""What a measurement is, and how it is taken: medians of repeated calls, a floor measured in the same run."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """One line of the table. Times are milliseconds, and so is ``limit``, the target, unless ``unit`` says otherwise."""

    name: str
    ms: float
    floor_name: str
    floor_ms: float
    limit: float
    target: str
    unit: str = "ms"

    @property
    def ratio(self) -> float:
        return self.ms / self.floor_ms if self.floor_ms else float("inf")

    @property
    def met(self) -> bool:
        return self.ms <= self.limit


def median_ms(action: Callable[[], object], repeats: int, *, warm: int = 1) -> float:
    """Return the median time of ``action`` in milliseconds over ``repeats`` calls, after ``warm`` unmeasured ones."""
    for _ in range(warm):
        action()
    gc.collect()
    return statistics.median(timed_ms(action) for _ in range(repeats))


def timed_ms(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return (time.perf_counter() - start) * 1000
