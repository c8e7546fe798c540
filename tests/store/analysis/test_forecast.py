from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from store.analysis.forecast import (
    FEW_READINGS,
    NO_READINGS,
    NO_RESET_REPORTED,
    NOT_RESET,
    RESET_UNSEEN,
    Forecast,
    Scenario,
    forecast,
    outcome,
)
from store.analysis.hourly_usage import UsageSample
from tests.simulate.processes import PROCESSES
from tests.simulate.score import Score, run
from tests.simulate.world import BEGIN, WINDOW_MINUTES
from tests.support.factories import NOON

if TYPE_CHECKING:
    from collections.abc import Iterable

HOUR, DAY, WEEK = 3_600.0, 86_400.0, 604_800.0


def used_at(rate_at: Iterable[tuple[float, float]], *, resets_at: float) -> list[UsageSample]:
    """Samples of a window: timestamps and used percent."""
    return [UsageSample(at, at, used, resets_at) for at, used in rate_at]


def steady(hours: float, per_hour: float, *, now: float = NOON, left: float = 10.0) -> list[UsageSample]:
    """A window used evenly for some hours up to now, read every quarter of an hour, that resets in `left` hours."""
    steps = int(hours * 4)
    return used_at(
        ((now - (steps - step) * 900, step * per_hour / 4) for step in range(steps + 1)), resets_at=now + left * HOUR
    )


# Forecasts


def test_an_even_pace_continues() -> None:
    """After five days at ten points a day, a day more is ten points more."""
    samples = steady(120, 10 / 24, left=24)
    found = forecast(samples, NOON, window_minutes=10_080)
    assert found.pace_per_hour == pytest.approx(10 / 24, rel=0.1)
    assert found.at_reset == pytest.approx(60, abs=2)
    assert found.safe
    assert found.chance_dry == 0
    assert (found.runs_dry_at, found.runs_dry_low, found.runs_dry_high, found.note) == (None, None, None, None)


def test_an_even_pace_runs_dry_when_it_crosses_a_hundred() -> None:
    """After five days at 18 points a day ten points are left, for a little more than half a day."""
    found = forecast(steady(120, 0.75, left=48), NOON, window_minutes=10_080)
    assert found.runs_dry_at == pytest.approx(NOON + 10 / 0.75 * HOUR, abs=1.5 * HOUR)
    assert found.safe is False
    assert found.chance_dry is not None
    assert found.chance_dry > 0.9


def days_of_work(days: int, *, begin: int = 9, end: int = 17, per_hour: float = 2.0) -> list[UsageSample]:
    """Whole days of work on one window without a reset; the last one is NOON's day, a Saturday."""
    midnight = NOON - 12 * HOUR
    found = []
    used = 0.0
    for day in range(days - 1, -1, -1):
        for step in range(begin * 4, end * 4 + 1):
            found.append(
                UsageSample(midnight - day * DAY + step * 900, midnight - day * DAY + step * 900, used, NOON + WEEK)
            )
            used += per_hour / 4 * (step < end * 4)
    return found


def test_work_by_day_stops_at_night() -> None:
    """After a day's work nothing is expected before the next morning, and the pace is that of the working hours."""
    samples = [each._replace(resets_at=NOON + 19 * HOUR) for each in days_of_work(5, per_hour=1.5)]
    at_six = NOON + 5.5 * HOUR
    found = forecast(samples, at_six, window_minutes=10_080)
    newest = samples[-1].used_percent
    assert found.at_reset == pytest.approx(newest, abs=3)
    assert found.pace_per_hour == pytest.approx(1.5, rel=0.2)


def test_a_pause_leaves_the_pace_as_it_was() -> None:
    """An hour without use does not count."""
    samples = steady(8, 5.0, now=NOON - HOUR)
    found = forecast([*samples, samples[-1]._replace(at=NOON - 60, until=NOON)], NOON, window_minutes=10_080)
    assert found.pace_per_hour == pytest.approx(5, rel=0.15)


def test_a_reset_is_not_negative_use() -> None:
    """Each earlier period counts with the points used in it."""
    samples = []
    for number in range(20):
        begin = NOON - (20 - number) * 5 * HOUR
        points = ((begin + step * 900, step * 2.5) for step in range(20))
        samples += used_at(points, resets_at=begin + 5 * HOUR)
    found = forecast(samples, NOON - 2 * HOUR, window_minutes=300)
    assert found.pace_per_hour == pytest.approx(10, rel=0.1)
    assert found.at_reset == pytest.approx(50, abs=5)
    assert found.safe


CASES = {
    "nothing": ([], Forecast(note=NO_READINGS)),
    "full": (
        [UsageSample(NOON - 60, NOON, 100.0, NOON + HOUR)],
        Forecast(None, 100, 100, 100, NOON, NOON, NOON, safe=False, chance_dry=1, readings=1),
    ),
    "full, reset unknown": (
        [UsageSample(NOON - 60, NOON, 104.0, None)],
        Forecast(runs_dry_at=NOON, runs_dry_low=NOON, runs_dry_high=NOON, safe=False, chance_dry=1.0, readings=1,
                 note=NO_RESET_REPORTED),
    ),
    "due and not reset": (
        [UsageSample(NOON - DAY, NOON - DAY, 50.0, NOON - DAY - 9)], Forecast(readings=1, note=NOT_RESET)
    ),
    "due and not reset, full": (
        [UsageSample(NOON - 60, NOON - 60, 100.0, NOON - 60)], Forecast(readings=1, note=NOT_RESET)
    ),
    "reset unseen": ([UsageSample(NOON - DAY, NOON - DAY, 50.0, NOON - HOUR)], Forecast(readings=1, note=RESET_UNSEEN)),
    "from the future": ([UsageSample(NOON + 60, NOON + 60, 50.0, NOON + HOUR)], Forecast(note=NO_READINGS)),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_a_window_without_scenarios(case: str) -> None:
    """A full window is dry now; a window that was reset unseen, or never reported, has no forecast."""
    samples, expected = CASES[case]
    assert forecast(samples, NOON, window_minutes=300) == expected


def test_an_unused_window_is_safe() -> None:
    """Without use it lasts; the note says that there are few readings."""
    found = forecast([UsageSample(NOON - HOUR, NOON, 0.0, NOON + 5 * HOUR)], NOON, window_minutes=300)
    assert (found.safe, found.at_reset, found.chance_dry, found.note) == (True, 0, 0, FEW_READINGS)


def test_one_reading_is_not_safe() -> None:
    """A single reading does not show a pace."""
    found = forecast([UsageSample(NOON - 60, NOON, 3.0, NOON + 6 * DAY)], NOON, window_minutes=10_080)
    assert found.note == FEW_READINGS
    assert not found.safe


def test_a_window_without_a_reset_has_a_note() -> None:
    """There is no figure at the reset; a window that runs dry within its length is not safe."""
    samples = [each._replace(resets_at=None) for each in steady(20, 4.0)]
    found = forecast(samples, NOON, window_minutes=10_080)
    assert (found.at_reset, found.note, found.safe) == (None, NO_RESET_REPORTED, False)


def test_use_by_other_clients_is_expected_to_continue() -> None:
    """Increases in earlier gaps without readings are expected in the current gap."""
    samples = []
    used = 0.0
    for day in range(6):
        for step in range(9 * 4, 17 * 4):
            at = NOON - 12 * HOUR - (5 - day) * DAY + step * 900
            samples.append(UsageSample(at, at, used, NOON + DAY))
        used += 8.0
    night = NOON + 12 * HOUR
    found = forecast(samples, night, window_minutes=10_080)
    assert found.at_reset_low is not None
    assert found.at_reset_low > samples[-1].used_percent + 2


@pytest.mark.parametrize("used", [1e-170, 5e-324])
def test_an_almost_unused_window_has_a_forecast(used: float) -> None:
    """The square of the use of a day may be too small for a float."""
    figures = [(3 * DAY, 0.0), (30 * HOUR, used), (HOUR, 3 * used)]
    samples = [UsageSample(NOON - ago, NOON - ago, percent, NOON + DAY) for ago, percent in figures]
    at_reset = forecast(samples, NOON, window_minutes=10_080).at_reset
    assert at_reset is not None
    assert 0 <= at_reset < 1


# Properties

TIMESTAMPS = st.floats(NOON - 40 * DAY, NOON + DAY)
SAMPLES = st.lists(
    st.builds(
        lambda at, seen, used, left: UsageSample(at, at + seen, used, None if left is None else at + left),
        TIMESTAMPS,
        st.floats(0, 2 * DAY),
        st.floats(0, 150) | st.integers(0, 100).map(float),
        st.none() | st.floats(-DAY, 8 * DAY),
    ),
    max_size=60,
)


@settings(deadline=None)
@given(
    SAMPLES,
    st.booleans(),
    st.none() | st.integers(1, 50_000),
    st.floats(-50_000, 50_000),
)
def test_any_history_has_a_forecast(
    samples: list[UsageSample], ordered: bool, minutes: int | None, offset: float
) -> None:
    """Ranges contain their points, nothing runs dry in the past, and safe means that nothing runs dry."""
    found = forecast(sorted(samples) if ordered else samples, NOON, window_minutes=minutes, utc_offset=offset)
    assert found == forecast(sorted(samples) if ordered else samples, NOON, window_minutes=minutes, utc_offset=offset)
    figures = [each for each in found if isinstance(each, float)]
    assert all(math.isfinite(each) for each in figures)
    if found.at_reset is not None:
        assert found.at_reset_low is not None
        assert found.at_reset_high is not None
        assert found.at_reset_low <= found.at_reset <= found.at_reset_high
    if found.runs_dry_at is None:
        assert (found.runs_dry_low, found.runs_dry_high) == (None, None)
    else:
        assert found.runs_dry_low is not None
        assert NOON <= found.runs_dry_low <= found.runs_dry_at <= (found.runs_dry_high or math.inf)
        assert not found.safe
    assert (found.chance_dry is None) == (found.note in {NO_READINGS, NOT_RESET, RESET_UNSEEN})


SCENARIO_LISTS = st.lists(
    st.builds(Scenario, st.floats(0, 200), st.floats(0, 300) | st.just(math.inf)), min_size=1, max_size=50
)


class _Grown(NamedTuple):
    """A stretch of even use: its length, its pace, and the points used before it."""

    hours: int
    per_hour: float
    more: float


@settings(deadline=None, max_examples=50)
@given(st.builds(_Grown, st.integers(8, 60), st.floats(0.1, 1.0), st.floats(0, 30)))
def test_more_used_runs_dry_no_later(grown: _Grown) -> None:
    """The same use after more earlier use is higher at the reset and runs dry no later."""
    less = steady(grown.hours, grown.per_hour, left=40)
    more = [each._replace(used_percent=each.used_percent + grown.more) for each in less]
    first, second = (forecast(each, NOON, window_minutes=10_080) for each in (less, more))
    assert first.at_reset is not None
    assert second.at_reset is not None
    assert second.at_reset >= first.at_reset - 1e-6
    assert (second.runs_dry_low or math.inf) <= (first.runs_dry_low or math.inf) + 1e-3
    assert (second.chance_dry or 0) >= (first.chance_dry or 0)


@given(SCENARIO_LISTS, st.floats(0, 99))
def test_a_range_contains_its_point(scenarios: list[Scenario], used: float) -> None:
    """For any scenarios; safe means that at most one scenario in ten runs dry."""
    found = outcome(scenarios, used, NOON)
    assert found.at_reset_low is not None
    assert found.at_reset is not None
    assert found.at_reset_high is not None
    assert found.at_reset_low <= found.at_reset <= found.at_reset_high
    assert found.chance_dry is not None
    assert found.safe == (found.chance_dry <= 0.1)


# Accuracy


@pytest.mark.parametrize("slot", WINDOW_MINUTES)
def test_known_processes_are_forecast_better_than_by_a_line(slot: str) -> None:
    """Over all processes the ranges have their nominal coverage, and the error is less than that of a straight line."""
    both = Score("all", slot)
    for process in PROCESSES:
        for seed in range(3):
            both.cases += run(process, slot, seed, 12)
    assert len(both.dry) > 20
    assert 0.65 <= both.reset_coverage() <= 0.95
    assert 0.65 <= both.dry_coverage() <= 0.97
    assert both.error_minutes() < both.line_error_minutes()
    assert both.false_safe() < 0.15


def test_the_simulation_is_the_same_each_time() -> None:
    """A seed gives the same readings and forecasts."""
    first, second = (run("bursts", "5h", 1, 3) for _ in range(2))
    assert first == second
    assert all(case.now > BEGIN for case in first)
