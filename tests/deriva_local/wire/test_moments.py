"""Dates, times and intervals: what is read, what is stored, what is shown."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deriva_local.wire import moments

NOON = 1577966400_000000  # 2020-01-02T12:00:00Z


@pytest.mark.parametrize(
    ("text", "micros"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("2030-12-31T12:34:56.789012Z", 1924950896789012),
        ("2020-01-02T12:00:00+00:00", NOON),
        ("2020-01-02 12:00", NOON),
        ("2020-01-02 12:00:00+00", NOON),
        ("2020-01-02T04:00:00-0800", NOON),
        ("2020-01-02T17:30:00+05:30", NOON),
        ("20200102 12:00:00 UTC", NOON),
        ("2020/1/2 12:00 z", NOON),
        ("2020-01-01T24:00:00+12", NOON - 86400_000000),
        ("2020-01-02T12:00:00.5", NOON + 500000),
        ("2020-01-02T12:00:00.0000005", NOON),
        ("2020-01-02T12:00:00.0000015", NOON + 2),
        ("2020-01-02T11:59:60", NOON),
        ("1969-12-31T23:59:59.999999Z", -1),
        ("0001-01-01", -62135596800_000000),
    ],
)
def test_moments_are_stored_as_microseconds(text: str, micros: int) -> None:
    assert moments.micros_from_text(text) == micros


@pytest.mark.parametrize(
    "text",
    [
        "", "noon", "2020", "2020-13-01", "2020-02-30", "2020-01-02T25:00", "2020-01-02T12:60", "12:00",
        "2020-01-02T12", "2020-01-02T12:00+16:00", "9999-12-31T23:00-05:00", "10000-01-01", "2020-01-02T12:00:00+1:2:3x",
        "infinity", "٢٠٢٠-01-02",
    ],
)  # fmt: skip
def test_what_is_no_moment_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        moments.micros_from_text(text)


@pytest.mark.parametrize(
    ("micros", "json", "csv", "match"),
    [
        (NOON, "2020-01-02T12:00:00+00:00", "2020-01-02 12:00:00+00", "2020-01-02T12:00:00Z"),
        (NOON + 780000, "2020-01-02T12:00:00.78+00:00", "2020-01-02 12:00:00.78+00", "2020-01-02T12:00:00Z"),
        (NOON + 1, "2020-01-02T12:00:00.000001+00:00", "2020-01-02 12:00:00.000001+00", "2020-01-02T12:00:00Z"),
        (-1, "1969-12-31T23:59:59.999999+00:00", "1969-12-31 23:59:59.999999+00", "1969-12-31T23:59:59Z"),
    ],
)
def test_moments_are_shown_in_utc(micros: int, json: str, csv: str, match: str) -> None:
    assert moments.micros_to_json(micros) == json
    assert moments.micros_to_csv(micros) == csv
    assert moments.micros_to_seconds_text(micros) == match


@given(st.datetimes(timezones=st.just(UTC)))
def test_every_moment_survives(moment: datetime) -> None:
    micros = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    assert moments.micros_from_text(moment.isoformat()) == micros
    assert moments.micros_from_text(moments.micros_to_json(micros)) == micros
    assert moments.micros_from_text(moments.micros_to_csv(micros)) == micros
    assert datetime.fromisoformat(moments.micros_to_json(micros)) == moment


@pytest.mark.parametrize(
    ("read", "text", "stored"),
    [
        (moments.timestamp_from_text, "2020-01-02 12:00:00.500", "2020-01-02T12:00:00.5"),
        (moments.timestamp_from_text, "2020-01-02T12:00:00+05", "2020-01-02T12:00:00"),
        (moments.date_from_text, "2020-1-2", "2020-01-02"),
        (moments.date_from_text, "20200102", "2020-01-02"),
        (moments.date_from_text, "2020-01-02T23:59:59Z", "2020-01-02"),
        (moments.time_from_text, "9:05", "09:05:00"),
        (moments.time_from_text, "24:00:00", "24:00:00"),
        (moments.time_from_text, "12:00:00.250", "12:00:00.25"),
        (moments.timetz_from_text, "12:00", "12:00:00+00"),
        (moments.timetz_from_text, "12:00:00-08:30", "12:00:00-08:30"),
        (moments.timetz_from_text, "12:00:00.1+01", "12:00:00.1+01"),
    ],
)
def test_the_others_are_stored_as_iso_text(read: Callable[[str], str], text: str, stored: str) -> None:
    assert read(text) == stored
    assert read(stored) == stored


@pytest.mark.parametrize(
    ("read", "text"),
    [(moments.date_from_text, "2021-02-29"), (moments.time_from_text, "24:00:01"), (moments.timetz_from_text, "x")],
)
def test_impossible_days_and_times_are_refused(read: Callable[[str], str], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        read(text)


@given(st.times(), st.times())
def test_the_order_of_stored_times_is_the_order_of_time(first: datetime, second: datetime) -> None:
    stored = [moments.time_from_text(each.isoformat()) for each in (first, second)]
    assert (stored[0] < stored[1]) == (first < second)


@pytest.mark.parametrize(
    ("text", "stored", "key"),
    [
        ("P1Y2M3DT4H5M6.5S", "1 year 2 mons 3 days 04:05:06.5", 36561906_500000),
        ("1 day", "1 day", 86400_000000),
        ("1 day 02:00", "1 day 02:00:00", 93600_000000),
        ("36 hours", "36:00:00", 129600_000000),
        ("1 year 1 mon", "1 year 1 mon", 390 * 86400_000000),
        ("-1 mon 3 days", "-1 mons +3 days", -27 * 86400_000000),
        ("-00:00:01", "-00:00:01", -1000000),
        ("2 weeks ago", "-14 days", -14 * 86400_000000),
        ("1.5 days", "1 day 12:00:00", 129600_000000),
        ("0.5 months", "15 days", 15 * 86400_000000),
        ("90", "00:01:30", 90_000000),
        ("P0D", "00:00:00", 0),
        ("20 msec", "00:00:00.02", 20000),
        ("1-2", "1 year 2 mons", 420 * 86400_000000),
        ("3 04:05", "3 days 04:05:00", 3 * 86400_000000 + 14700_000000),
        ("@ 1 day", "1 day", 86400_000000),
        ("1d2h", "1 day 02:00:00", 93600_000000),
    ],
)
def test_intervals(text: str, stored: str, key: int) -> None:
    assert moments.interval_from_text(text) == stored
    assert moments.interval_from_text(stored) == stored
    assert moments.interval_key(stored) == key


@pytest.mark.parametrize("text", ["", "P", "one day", "1 fortnight", "1 day x", "2020-01-02", "1:2:3:4", "12:34:5x"])
def test_what_is_no_interval_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not an interval"):
        moments.interval_from_text(text)
