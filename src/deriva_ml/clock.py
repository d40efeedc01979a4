"""Time: the one place that asks the machine for it, and how a moment is written."""

from __future__ import annotations

import time
from datetime import UTC, datetime


def now() -> datetime:
    """Return the present moment in UTC."""
    return datetime.now(UTC)


def monotonic() -> float:
    """Return seconds on a clock that never goes back."""
    return time.monotonic()


def pause(seconds: float) -> None:
    """Do nothing for ``seconds``."""
    time.sleep(seconds)


def started_at() -> float | None:
    """Return when this machine was started, in seconds since 1970; None where it does not say."""
    ticking = getattr(time, "CLOCK_BOOTTIME", getattr(time, "CLOCK_MONOTONIC_RAW", None))
    return None if ticking is None else time.time() - time.clock_gettime(ticking)


def iso(moment: datetime) -> str:
    """Return ``moment`` as ISO 8601 in UTC, as the catalog reads and writes it.

    Example:
        >>> iso(datetime(2026, 1, 15, 14, 30, tzinfo=UTC))
        '2026-01-15T14:30:00+00:00'
    """
    return moment.astimezone(UTC).isoformat()


def from_iso(text: str) -> datetime:
    """Return the moment that ``text`` names; a moment without a zone is taken as UTC.

    Example:
        >>> from_iso("2026-01-15T14:30:00+00:00").hour
        14
    """
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
