"""Dates, times and intervals between their many spellings and the one in which they are stored.

Floor 1, pure. A ``timestamptz`` is stored as integer microseconds since 1970 UTC. The others are stored as ISO text
without trailing zeros in the fraction, so that the order of the text is the order of time. The server's own zone is
UTC: a moment without an offset is meant in UTC.
"""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal

SECOND = 1_000_000
MINUTE, HOUR, DAY = 60 * SECOND, 3600 * SECOND, 86400 * SECOND
_EPOCH = datetime(1970, 1, 1)
_EPOCH_DAY = _EPOCH.toordinal()

_DATE = r"(\d{4})(?:-(\d{1,2})-(\d{1,2})|/(\d{1,2})/(\d{1,2})|(\d{2})(\d{2}))"
_TIME = r"(\d{1,2}):(\d{2})(?::(\d{2})(\.\d*)?)?"
_ZONE = r"(?:(Z|UTC|GMT)|([+-])(\d{1,2})(?::?(\d{2}))?(?::(\d{2}))?)"
_FLAGS = re.ASCII | re.IGNORECASE
_ANY_MOMENT = re.compile(rf"\s*{_DATE}(?:(?:\s*T\s*|\s+){_TIME}(?:\s*{_ZONE})?)?\s*", _FLAGS)
_ANY_TIME = re.compile(rf"\s*{_TIME}(?:\s*{_ZONE})?\s*", _FLAGS)


# ----------------------------------------------------------------------------------------------------- timestamps


def micros_from_text(text: str) -> int:
    """Return the microseconds since 1970 UTC of a moment with or without an offset.

    Raises:
        ValueError: ``text`` is no moment of the years 1 to 9999.

    Example:
        >>> micros_from_text("2030-12-31T12:34:56.789012Z")
        1924950896789012
    """
    day, micros, offset = _moment(text, "timestamp with time zone")
    result = (day - _EPOCH_DAY) * DAY + micros - (offset or 0)
    _as_datetime(result, text)
    return result


def micros_to_json(micros: int) -> str:
    """Return a moment as ISO text in UTC, with as much of a fraction as it needs.

    Example:
        >>> micros_to_json(1924950896780000)
        '2030-12-31T12:34:56.78+00:00'
    """
    return _trimmed((_EPOCH + timedelta(microseconds=micros)).isoformat()) + "+00:00"


def micros_to_csv(micros: int) -> str:
    """Return a moment in the CSV form, ``2030-12-31 12:34:56.78+00``."""
    return _trimmed((_EPOCH + timedelta(microseconds=micros)).isoformat(" ")) + "+00"


def micros_to_seconds_text(micros: int) -> str:
    """Return a moment as patterns see it: UTC, whole seconds, ``2030-12-31T12:34:56Z``."""
    return (_EPOCH + timedelta(seconds=micros // SECOND)).isoformat() + "Z"


def timestamp_from_text(text: str) -> str:
    """Return a moment without a zone as ISO text; an offset is read and dropped.

    Raises:
        ValueError: ``text`` is no moment of the years 1 to 9999.
    """
    day, micros, _ = _moment(text, "timestamp")
    return _trimmed(_as_datetime((day - _EPOCH_DAY) * DAY + micros, text).isoformat())


def date_from_text(text: str) -> str:
    """Return a day as ``YYYY-MM-DD``; a time of day is read and dropped.

    Raises:
        ValueError: ``text`` is no day of the years 1 to 9999.
    """
    day, _, _ = _moment(text, "date")
    return date.fromordinal(day).isoformat()


def time_from_text(text: str) -> str:
    """Return a time of day as ``HH:MM:SS[.ffffff]``; an offset is read and dropped.

    Raises:
        ValueError: ``text`` is no time from 00:00 to 24:00.
    """
    return _clock_text(_time_of_day(text, "time")[0])


def timetz_from_text(text: str) -> str:
    """Return a time of day with its offset, ``HH:MM:SS[.ffffff]±HH[:MM]``; without one it is meant in UTC.

    Raises:
        ValueError: ``text`` is no time from 00:00 to 24:00.
    """
    micros, offset = _time_of_day(text, "time with time zone")
    return _clock_text(micros) + _offset_text(offset or 0)


def _moment(text: str, wanted: str) -> tuple[int, int, int | None]:
    """Return the ordinal of the day, the microseconds of the time of day, and the offset in microseconds."""
    found = _ANY_MOMENT.fullmatch(text)
    if found is None:
        raise ValueError(f"'{text}' is not a {wanted}: write it as ISO 8601.")
    year, *choices = found.groups()[:7]
    month, day = [part for part in choices if part is not None]
    try:
        ordinal = date(int(year), int(month), int(day)).toordinal()
    except ValueError as impossible:
        raise ValueError(f"'{text}' is not a {wanted}: {impossible}.") from None
    hour, minute, second, fraction, *zone = found.groups()[7:]
    if hour is None:
        return ordinal, 0, None
    return ordinal, _micros_of_clock(text, hour, minute, second, fraction), _offset(text, zone)


def _time_of_day(text: str, wanted: str) -> tuple[int, int | None]:
    found = _ANY_TIME.fullmatch(text)
    if found is None:
        if _ANY_MOMENT.fullmatch(text):
            _, micros, offset = _moment(text, wanted)
            return micros, offset
        raise ValueError(f"'{text}' is not a {wanted}: write it as ISO 8601.")
    hour, minute, second, fraction, *zone = found.groups()
    return _micros_of_clock(text, hour, minute, second, fraction), _offset(text, zone)


def _micros_of_clock(text: str, hour: str, minute: str, second: str | None, fraction: str | None) -> int:
    micros = int(hour) * HOUR + int(minute) * MINUTE + int(second or 0) * SECOND + _fraction(fraction)
    if int(minute) > 59 or int(second or 0) > 60 or micros > DAY:
        raise ValueError(f"'{text}' names a time of day outside 00:00 to 24:00.")
    return micros


def _fraction(digits: str | None) -> int:
    """Return ``.25`` as microseconds, rounded where there are more than six digits."""
    if digits is None or digits == ".":
        return 0
    if len(digits) <= 7:
        return int(digits[1:].ljust(6, "0"))
    return int((Decimal("0" + digits) * SECOND).to_integral_value(ROUND_HALF_EVEN))


def _offset(text: str, zone: list[str | None]) -> int | None:
    name, sign, hours, minutes, seconds = zone
    if sign is None:
        return None if name is None else 0
    offset = int(hours or 0) * HOUR + int(minutes or 0) * MINUTE + int(seconds or 0) * SECOND
    if offset >= 16 * HOUR or int(minutes or 0) > 59 or int(seconds or 0) > 59:
        raise ValueError(f"'{text}' has an offset beyond 15:59:59.")
    return -offset if sign == "-" else offset


def _as_datetime(micros: int, text: str) -> datetime:
    try:
        return _EPOCH + timedelta(microseconds=micros)
    except OverflowError:
        raise ValueError(f"'{text}' lies outside the years 1 to 9999.") from None


def _trimmed(iso: str) -> str:
    return iso.rstrip("0") if "." in iso else iso


def _clock_text(micros: int) -> str:
    """Return microseconds, of a day or of more, as ``HH:MM:SS[.ffffff]``."""
    hours, rest = divmod(micros, HOUR)
    minutes, rest = divmod(rest, MINUTE)
    seconds, rest = divmod(rest, SECOND)
    return f"{hours:02}:{minutes:02}:{seconds:02}" + (f".{rest:06}".rstrip("0") if rest else "")


def _offset_text(offset: int) -> str:
    hours, rest = divmod(abs(offset), HOUR)
    minutes, seconds = divmod(rest // SECOND, 60)
    text = f"{'-' if offset < 0 else '+'}{hours:02}"
    if minutes or seconds:
        text += f":{minutes:02}"
    return text + (f":{seconds:02}" if seconds else "")


# ------------------------------------------------------------------------------------------------------ intervals

_NUMBER = r"([+-]?(?:\d+(?:\.\d*)?|\.\d+))"
_ISO_INTERVAL = re.compile(
    rf"P(?:{_NUMBER}Y)?(?:{_NUMBER}M)?(?:{_NUMBER}W)?(?:{_NUMBER}D)?"
    rf"(?:T(?:{_NUMBER}H)?(?:{_NUMBER}M)?(?:{_NUMBER}S)?)?",
    _FLAGS,
)
_INTERVAL_TOKEN = re.compile(
    r"\s*(?:([+-]?)(?:(\d+):(\d{1,2})(?::(\d{1,2}(?:\.\d*)?))?|(\d+)-(\d{1,2}))(?=\s|\Z)"
    rf"|{_NUMBER}\s*([a-z]+|(?=\s|\Z)))",
    _FLAGS,
)
"""A clock, years and months as ``1-2``, or an amount with its unit, without which it counts seconds, and before a clock days."""
_MONTHS = {"y": 12, "year": 12, "yr": 12, "mon": 1, "month": 1, "decade": 120, "century": 1200, "centurie": 1200}
_DAYS = {"d": 1, "day": 1, "w": 7, "week": 7}
_MICROS = {
    "h": HOUR, "hour": HOUR, "hr": HOUR,
    "m": MINUTE, "min": MINUTE, "minute": MINUTE,
    "s": SECOND, "sec": SECOND, "second": SECOND,
    "ms": 1000, "msec": 1000, "millisecond": 1000,
    "us": 1, "usec": 1, "microsecond": 1,
}  # fmt: skip


def interval_from_text(text: str) -> str:
    """Return an interval in its stored form, ``1 year 2 mons 3 days 04:05:06``.

    Raises:
        ValueError: ``text`` is neither ISO 8601 (``P1DT2H``) nor amounts with units (``1 day 02:00``).

    Example:
        >>> interval_from_text("P1Y2M3DT4H"), interval_from_text("36 hours"), interval_from_text("0")
        ('1 year 2 mons 3 days 04:00:00', '36:00:00', '00:00:00')
    """
    return _interval_text(*_interval_parts(text))


def interval_key(text: str) -> int:
    """Return a number that orders intervals: a month counts 30 days, a day 24 hours.

    Raises:
        ValueError: as :func:`interval_from_text`.
    """
    months, days, micros = _interval_parts(text)
    return (months * 30 + days) * DAY + micros


def _interval_parts(text: str) -> tuple[int, int, int]:
    stripped = text.strip()
    if stripped[:1] in ("P", "p"):
        found = _ISO_INTERVAL.fullmatch(stripped)
        if found is None or found.lastindex is None:
            raise ValueError(f"'{text}' is not an interval.")
        years, months, weeks, days, hours, minutes, seconds = (Decimal(part or 0) for part in found.groups())
        return _carried(years * 12 + months, weeks * 7 + days, hours * HOUR + minutes * MINUTE + seconds * SECOND)
    return _verbose_parts(text, stripped)


def _verbose_parts(text: str, rest: str) -> tuple[int, int, int]:
    ago = rest.lower().endswith(" ago")
    rest = (rest[:-4] if ago else rest).removeprefix("@")
    months = days = micros = Decimal(0)
    position = 0
    while position < len(rest) or not rest:
        found = _INTERVAL_TOKEN.match(rest, position)
        if found is None:
            raise ValueError(f"'{text}' is not an interval.")
        position = found.end()
        sign, hour, minute, second, years, more, amount, unit = found.groups()
        turn = -1 if sign == "-" else 1
        if hour is not None:
            micros += turn * (int(hour) * HOUR + int(minute) * MINUTE + Decimal(second or 0) * SECOND)
            continue
        if years is not None:
            months += turn * (int(years) * 12 + int(more))
            continue
        more_months, more_days, more_micros = _measured(
            text, Decimal(amount), (unit or ("d" if ":" in rest[position:] else "s")).lower()
        )
        months, days, micros = months + more_months, days + more_days, micros + more_micros
    return _carried(-months, -days, -micros) if ago else _carried(months, days, micros)


def _measured(text: str, amount: Decimal, unit: str) -> tuple[Decimal, Decimal, Decimal]:
    none = Decimal(0)
    singular = unit if unit in _MICROS else unit.removesuffix("s")
    if singular in _MONTHS:
        return amount * _MONTHS[singular], none, none
    if singular in _DAYS:
        return none, amount * _DAYS[singular], none
    if singular in _MICROS:
        return none, none, amount * _MICROS[singular]
    raise ValueError(f"'{text}' is not an interval: '{unit}' is no unit of time.")


def _carried(months: Decimal, days: Decimal, micros: Decimal) -> tuple[int, int, int]:
    """Push fractions down: of a month into days of 30, of a day into hours of 24."""
    whole_months = int(months)
    days += (months - whole_months) * 30
    whole_days = int(days)
    micros += (days - whole_days) * DAY
    return whole_months, whole_days, int(micros.to_integral_value(ROUND_HALF_EVEN))


def _interval_text(months: int, days: int, micros: int) -> str:
    years, months = int(months / 12), int(months - int(months / 12) * 12)
    words = []
    negative = False
    for amount, unit in ((years, "year"), (months, "mon"), (days, "day")):
        if amount:
            words.append(f"{'+' if negative and amount > 0 else ''}{amount} {unit}{'' if amount == 1 else 's'}")
            negative = amount < 0
    if micros or not words:
        sign = "-" if micros < 0 else "+" if negative else ""
        words.append(sign + _clock_text(abs(micros)))
    return " ".join(words)
