"""Usage by the hour."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.analysis.hourly_usage import HourlyUsage, UsageSample, usable_samples
from tests.support.factories import NOON

HOUR, DAY = 3_600.0, 86_400.0
FIVE_HOURS, WEEK = 5 * HOUR, 7 * DAY


def sample(used: float, hours: float, *, until: float | None = None, resets: float | None = 100) -> UsageSample:
    """A sample first reported so many hours after noon; so are its last report and its reset."""
    last = hours if until is None else until
    resets_at = None if resets is None else NOON + resets * HOUR
    return UsageSample(NOON + hours * HOUR, NOON + last * HOUR, used, resets_at)


def hourly(*samples: UsageSample, now: float, length: float = WEEK, utc_offset: float = 0.0) -> HourlyUsage:
    """The usage up to so many hours after noon."""
    at = NOON + now * HOUR
    return HourlyUsage(usable_samples(samples, at), at, length, utc_offset)


@pytest.mark.parametrize(
    ("samples", "expected"),
    [
        pytest.param([sample(1, 0), sample(2, 9)], [sample(1, 0)], id="later than now"),
        pytest.param([sample(1, 0, until=9)], [sample(1, 0, until=5)], id="reported beyond now"),
        pytest.param([sample(1, 0, until=3), sample(2, 2)], [sample(1, 0, until=2), sample(2, 2)], id="overlap"),
        pytest.param([sample(1, 0), sample(2, 3), sample(3, 1)], [sample(1, 0), sample(3, 1)], id="clock set back"),
        pytest.param([sample(1, 2), sample(2, 2)], [sample(2, 2)], id="same time"),
        pytest.param([], [], id="none"),
    ],
)
def test_samples_are_made_usable(samples: list[UsageSample], expected: list[UsageSample]) -> None:
    """They are in order, do not overlap, and end with the present."""
    assert usable_samples(samples, NOON + 5 * HOUR) == expected


QUARTERS = [sample(step, step / 4) for step in range(9)]


def test_an_increase_is_spread_between_its_readings() -> None:
    """Points belong to the hours in which they arose."""
    assert hourly(*QUARTERS, now=2).used == pytest.approx([4, 4, 0])
    half_past = hourly(sample(0, 0.75), sample(2, 1.25), now=2)
    assert half_past.used == pytest.approx([1, 1, 0])


def test_a_reset_after_readings_that_the_sampling_left_out() -> None:
    """A sample seems to last until the next one: the window that began meanwhile was reset all the same."""
    usage = hourly(sample(40, 0, until=6, resets=5), sample(3, 6, resets=10.5), now=6.5, length=FIVE_HOURS)
    assert usage.used[5] == pytest.approx(3)


def test_hours_are_local() -> None:
    """With a time zone of half an hour, hours begin at half past."""
    usage = hourly(*QUARTERS, now=2, utc_offset=1_800.0)
    assert usage.used == pytest.approx([2, 4, 2])
    assert (usage.start % 24, usage.here) == (12, 2.5)


@pytest.mark.parametrize(("position", "points"), [(-1, 0), (0, 0), (0.5, 2), (1, 4), (1.25, 5), (2, 8), (3, 8)])
def test_points_up_to_a_position(position: float, points: float) -> None:
    """Within an hour they are even."""
    assert hourly(*QUARTERS, now=2).at(position) == pytest.approx(points)


def test_an_increase_across_a_gap_is_used_by_others() -> None:
    """One turn explains a point at most; the rest is spread over the gap."""
    usage = hourly(sample(0, 0), sample(10, 10), now=10)
    assert math.fsum(usage.used) == pytest.approx(10)
    assert usage.used[0] == pytest.approx(1 + 9 * 50 / 590)
    assert usage.used[5] == pytest.approx(9 * 60 / 590)


def test_others_are_expected_in_the_current_gap() -> None:
    """Their average rate in earlier gaps continues since the last reading; without a gap nothing is added."""
    usage = hourly(sample(0, 0), sample(25, 24), now=30)
    assert usage.since_seen == pytest.approx((6 - 1 / 6) * usage.used[12])
    assert hourly(sample(0, 0), sample(25, 24), now=24).since_seen == 0


def test_a_reset_begins_a_period_of_its_own() -> None:
    """The points after it are those of the new period; none are negative."""
    usage = hourly(sample(20, 0, until=4.9, resets=5), sample(6, 6, until=7, resets=10), now=7, length=FIVE_HOURS)
    assert usage.used[5] == pytest.approx(6)
    assert min(usage.used) >= 0
    assert math.fsum(usage.used) == pytest.approx(6, abs=0.1)


def test_hours_of_a_full_window_are_unknown() -> None:
    """They are filled from the hours before, so that a full window does not look idle."""
    busy = [sample(10 * step, step / 4) for step in range(11)]
    usage = hourly(*busy, sample(100, 5), now=5)
    assert usage.unknown == pytest.approx([0, 0, 0.5, 1, 1, 0])
    assert usage.known_share(0, 1) == 1
    assert usage.known_share(3, 0.5) == 0
    assert usage.used[3] > 5


def test_the_pace_is_that_of_working_hours() -> None:
    """Idle hours do not lower it; without use it is 0."""
    later = [sample(8, 2, until=6)]
    assert hourly(*QUARTERS, *later, now=6).pace() == pytest.approx(4)
    assert hourly(sample(0, 0, until=3), now=3).pace() == 0


@pytest.mark.parametrize(("day", "weekend"), [(0, True), (1, True), (2, False), (6, False), (7, True)])
def test_the_weekend(day: int, weekend: bool) -> None:
    """NOON is on a Saturday; a day's work ends at five in the morning."""
    usage = hourly(sample(0, 0), now=1)
    assert usage.is_weekend(24 * day) is weekend
    assert usage.is_weekend(24 * day + 16.9) is weekend
    assert usage.hours_to_new_day() == pytest.approx(16)


def test_the_crossing_of_points() -> None:
    """The hours after a position at which so many points were used."""
    assert hourly(*QUARTERS, now=2).crossing(0.5, 2, 4) == pytest.approx(1, abs=0.01)


def test_the_ratio_of_activity_is_bounded() -> None:
    """Where either time is idle it is 1."""
    slow = [sample(step / 100, step / 4) for step in range(13)]
    fast = [sample(0.12 + step, 3 + step / 4) for step in range(1, 9)]
    usage = hourly(*slow, *fast, now=5)
    assert usage.activity_ratio(3) == pytest.approx(2.5)
    assert usage.activity_ratio(5) == 1
    assert usage.activity_ratio(0) == 1


@given(
    st.lists(st.tuples(st.floats(0, 200), st.floats(0, 100), st.none() | st.floats(-5, 300)), min_size=1, max_size=20),
    st.floats(-43_200, 43_200),
)
def test_any_samples_have_a_usage(given_samples: list[tuple[float, float, float | None]], utc_offset: float) -> None:
    """Points of an hour are finite and never negative, and the total grows up to their sum."""
    samples = [
        sample(used, hours, resets=resets) for hours, used, resets in sorted(given_samples, key=lambda each: each[0])
    ]
    usage = hourly(*samples, now=200, utc_offset=utc_offset)
    assert all(0 <= points < math.inf for points in usage.used)
    assert all(0 <= share <= 1 for share in usage.unknown)
    assert usage.total == sorted(usage.total)
    assert usage.at(usage.here) == pytest.approx(math.fsum(usage.used))
