"""Days, weeks and months of a time zone."""

from __future__ import annotations

import datetime as dt
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.analysis.periods import days_between, keys_of_hours, period_bounds, period_key, periods_back

BERLIN, APIA, UTC = ZoneInfo("Europe/Berlin"), ZoneInfo("Pacific/Apia"), dt.UTC


def at(text: str, zone: dt.tzinfo = BERLIN) -> float:
    """The timestamp of a local time."""
    return dt.datetime.fromisoformat(text).replace(tzinfo=zone).timestamp()


@pytest.mark.parametrize(
    ("moment", "unit", "key", "start", "end"),
    [
        pytest.param("2026-11-21T14:05", "day", "2026-11-21", "2026-11-21", "2026-11-22", id="a day"),
        pytest.param("2026-11-22T23:59", "week", "2026-W47", "2026-11-16", "2026-11-23", id="a Sunday"),
        pytest.param("2026-11-23T00:00", "week", "2026-W48", "2026-11-23", "2026-11-30", id="a Monday"),
        pytest.param("2027-01-03T12:00", "week", "2026-W53", "2026-12-28", "2027-01-04", id="a week of two years"),
        pytest.param("2026-12-31T23:59", "month", "2026-12", "2026-12-01", "2027-01-01", id="December"),
        pytest.param("2028-02-29T12:00", "month", "2028-02", "2028-02-01", "2028-03-01", id="a leap year"),
        pytest.param("2026-03-29T12:00", "day", "2026-03-29", "2026-03-29", "2026-03-30", id="a day of 23 hours"),
        pytest.param("2026-10-25T12:00", "day", "2026-10-25", "2026-10-25", "2026-10-26", id="a day of 25 hours"),
    ],
)
def test_a_period(moment: str, unit: str, key: str, start: str, end: str) -> None:
    """It begins and ends at local midnight."""
    assert period_key(at(moment), unit, BERLIN) == key
    assert period_bounds(key, unit, BERLIN) == (at(start), at(end))


def test_days_are_as_long_as_the_clock_makes_them() -> None:
    """23 hours in spring, 25 in autumn."""
    lengths = [period_bounds(day, "day", BERLIN) for day in ("2026-03-29", "2026-10-25", "2026-11-21")]
    assert [each and (each.end - each.start) / 3_600 for each in lengths] == [23, 25, 24]


@given(st.integers(0, 4_000_000_000), st.sampled_from(["day", "week", "month"]), st.sampled_from([BERLIN, APIA, UTC]))
def test_a_timestamp_is_within_its_period(moment: int, unit: str, zone: dt.tzinfo) -> None:
    """The period of its key contains it, and the next one begins where it ends."""
    key = period_key(moment, unit, zone)
    assert key is not None
    bounds = period_bounds(key, unit, zone)
    assert bounds is not None
    assert bounds.start <= moment < bounds.end
    following = period_key(bounds.end, unit, zone)
    assert following is not None
    assert following > key


@pytest.mark.parametrize("unit", ["hour", "day", "week", "month"])
def test_outside_the_calendar(unit: str) -> None:
    """A timestamp that a server may send has no period."""
    assert period_key(1e18, unit, UTC) is None


@pytest.mark.parametrize(
    ("key", "unit"), [("2026-11-21 14:00", "hour"), ("9999-12-31", "day"), ("9999-12", "month"), ("9999-W52", "week")]
)
def test_no_bounds(key: str, unit: str) -> None:
    """An hour has none, nor has the end of the calendar."""
    assert period_bounds(key, unit, UTC) is None


@pytest.mark.parametrize(
    ("unit", "number", "start"),
    [
        pytest.param("week", 1, "2026-11-16", id="this week"),
        pytest.param("week", 4, "2026-10-26", id="four weeks, across the end of summer time"),
        pytest.param("month", 1, "2026-11-01", id="this month"),
        pytest.param("month", 6, "2026-06-01", id="six months"),
        pytest.param("month", 12, "2025-12-01", id="across the year"),
    ],
)
def test_periods_back(unit: str, number: int, start: str) -> None:
    """Whole periods, with the one under way."""
    assert periods_back(at("2026-11-21T14:05"), unit, number, BERLIN) == at(start)


@pytest.mark.parametrize(
    ("since", "until", "starts"),
    [
        pytest.param("2026-10-24T12:00", "2026-10-25T12:00", ["2026-10-24", "2026-10-25"], id="the clock is set back"),
        pytest.param("2026-10-26", "2026-10-26T00:01", ["2026-10-26"], id="the first minute"),
        pytest.param("2026-10-26", "2026-10-25", [], id="the other way round"),
    ],
)
def test_days_between(since: str, until: str, starts: list[str]) -> None:
    """Each day from the first to the last is found, and ends where the next one begins."""
    found = list(days_between(at(since), at(until), BERLIN))
    assert [key for key, _ in found] == starts
    assert [day.start for _, day in found] == [at(start) for start in starts]
    assert all(day.end == following.start for (_, day), (_, following) in pairwise(found))


def test_days_outside_the_calendar() -> None:
    """There are none."""
    assert not list(days_between(1e15, 2e15))


def test_the_keys_of_the_hours_of_a_day() -> None:
    """They are those of `period_key`, unless the clock is set on that day."""
    found = keys_of_hours(at("2026-10-24T12:34"), BERLIN)
    assert found is not None
    start, keys = found
    assert keys == [period_key(start + 3_600 * hour, "hour", BERLIN) for hour in range(24)]
    assert keys_of_hours(at("2026-10-25T12:34"), BERLIN) is None
    assert keys_of_hours(1e15, BERLIN) is None
