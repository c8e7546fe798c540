from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from store.analysis.forecast import (
    NO_READINGS,
    NO_RESET_REPORTED,
    NOT_RESET,
    RESET_UNSEEN,
    TOO_LITTLE_HISTORY,
    Forecast,
    Scenario,
    forecast,
    most_urgent,
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
    samples = steady(24, 3.5, now=NOON - HOUR)
    found = forecast([*samples, samples[-1]._replace(at=NOON - 60, until=NOON)], NOON, window_minutes=10_080)
    assert found.pace_per_hour == pytest.approx(3.5, rel=0.15)


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
    """Without use it lasts, however few readings there are."""
    found = forecast([UsageSample(NOON - HOUR, NOON, 0.0, NOON + 5 * HOUR)], NOON, window_minutes=300)
    assert (found.safe, found.at_reset, found.chance_dry, found.note) == (True, 0, 0, None)


def readings(count: int, hours: float, *, each: float = 3.0) -> list[UsageSample]:
    """Evenly spread readings of a window that is used more and more."""
    times = [NOON - hours * HOUR + hours * HOUR * number / max(count, 1) for number in range(count)]
    return used_at(((at, 1.0 + each * number) for number, at in enumerate(times)), resets_at=NOON + 4 * HOUR)


@pytest.mark.parametrize(
    ("samples", "minutes", "enough"),
    [
        pytest.param(readings(1, 0.1), 300, False, id="a single reading"),
        pytest.param(readings(5, 3), 300, False, id="five readings"),
        pytest.param(readings(6, 3), 300, True, id="six readings"),
        pytest.param(readings(5, 48), 10_080, False, id="five readings in two days"),
        pytest.param(readings(12, 0.99), 300, False, id="less than an hour"),
        pytest.param(readings(12, 1.01), 300, True, id="an hour"),
        pytest.param(readings(12, 23.9), 10_080, False, id="less than a day of a week"),
        pytest.param(readings(12, 24.1), 10_080, True, id="a day of a week"),
        pytest.param(readings(12, 23.9), 1_440, True, id="nearly a day of a day's window"),
        pytest.param(readings(12, 23.9), 1_441, False, id="nearly a day of a longer window"),
        pytest.param(readings(12, 23.9), None, False, id="nearly a day, unknown length"),
        pytest.param(readings(12, 24.1), None, True, id="a day, unknown length"),
        pytest.param(readings(3, 0.9, each=-0.5), 300, False, id="a fall"),
        pytest.param([UsageSample(NOON - 60, NOON, 0.0, NOON + HOUR)], 300, False, id="unused for a minute"),
        pytest.param([UsageSample(NOON - HOUR, NOON, 0.0, NOON + HOUR)], 300, True, id="unused for an hour"),
        pytest.param([UsageSample(NOON - HOUR, NOON, 0.0, NOON + HOUR)], 10_080, False, id="a week unused for an hour"),
        pytest.param([UsageSample(NOON - DAY, NOON, 0.0, NOON + HOUR)], 10_080, True, id="a week unused for a day"),
        pytest.param([UsageSample(NOON - 60, NOON, 99.9, NOON + HOUR)], 300, False, id="nearly full"),
    ],
)
def test_too_little_history_has_no_forecast(samples: list[UsageSample], minutes: int | None, enough: bool) -> None:
    """Then there is no figure at all, but the number of readings."""
    found = forecast(samples, NOON, window_minutes=minutes)
    if enough:
        assert found.chance_dry is not None
    else:
        assert found == Forecast(readings=len(samples), note=TOO_LITTLE_HISTORY)


def test_a_window_without_a_reset_has_a_note() -> None:
    """There is no figure at the reset; a window that runs dry within its length is not safe."""
    samples = [each._replace(resets_at=None) for each in steady(25, 3.5)]
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
    zeros = [(3 * DAY - hours * HOUR, 0.0) for hours in range(4)]
    figures = [*zeros, (30 * HOUR, used), (HOUR, 3 * used)]
    samples = [UsageSample(NOON - ago, NOON - ago, percent, NOON + DAY) for ago, percent in figures]
    at_reset = forecast(samples, NOON, window_minutes=10_080).at_reset
    assert at_reset is not None
    assert 0 <= at_reset < 1


def urgent(chance: float | None, dry_in: float | None = None, at_reset: float = 50.0) -> Any:
    """A forecast of a window."""
    return {"chance_dry": chance, "runs_dry_at": dry_in and NOON + dry_in * HOUR, "at_reset": at_reset}


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (urgent(0.9, 1), urgent(0.9, 2)),
        (urgent(0.5, 30), urgent(0.49, 1)),
        (urgent(1.0, 0), urgent(0.9, 1)),
        (urgent(0.3, 2), urgent(0.2, 1)),
        (urgent(0.2, 2), urgent(0.0)),
        (urgent(0.0, None, 60), urgent(0.0, None, 40)),
        (urgent(0.0, None, 1), urgent(None)),
    ],
)
def test_the_most_urgent_window(first: Any, second: Any) -> None:
    """The first to run dry of those that likely do, else the likeliest, else the fullest."""
    assert most_urgent({"5h": first, "7d": second}) == "5h"
    assert most_urgent({"5h": second, "7d": first}) == "7d"


def test_no_window_is_urgent_without_a_forecast() -> None:
    """There is nothing to choose from."""
    assert most_urgent({"5h": urgent(None)}) is None
    assert most_urgent({}) is None


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
    if ordered:
        samples = sorted(samples, key=lambda sample: (sample.at, sample.until))
    found = forecast(samples, NOON, window_minutes=minutes, utc_offset=offset)
    assert found == forecast(samples, NOON, window_minutes=minutes, utc_offset=offset)
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
    assert (found.chance_dry is None) == (found.note in {NO_READINGS, NOT_RESET, RESET_UNSEEN, TOO_LITTLE_HISTORY})
    assert (found.safe is None) == (found.chance_dry is None)


SCENARIO_LISTS = st.lists(
    st.builds(Scenario, st.floats(0, 200), st.floats(0, 300) | st.just(math.inf)), min_size=1, max_size=50
)


class _Grown(NamedTuple):
    """A stretch of even use: its length, its pace, and the points used before it."""

    hours: int
    per_hour: float
    more: float


@settings(deadline=None, max_examples=50)
@given(st.builds(_Grown, st.integers(25, 60), st.floats(0.1, 1.0), st.floats(0, 30)))
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
