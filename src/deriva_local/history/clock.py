"""The one timestamp of a transaction: the wall clock, and never at or before the transaction that went before.

Floor 1, pure: the caller reads the clock.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def after(last: int, clock_micros: int) -> int:
    """Return the moment of the next transaction, in microseconds since 1970 UTC.

    Example:
        >>> after(last=10, clock_micros=25), after(last=10, clock_micros=3)
        (25, 11)
    """
    return max(clock_micros, last + 1)


def iso(micros: int) -> str:
    """Return a moment as ISO text with a space, as the resolver shows it.

    Example:
        >>> iso(1)
        '1970-01-01 00:00:00.000001+00:00'
    """
    return (EPOCH + timedelta(microseconds=micros)).isoformat(sep=" ")
