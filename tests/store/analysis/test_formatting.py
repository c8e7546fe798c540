"""Times, durations and numbers in sentences."""

from __future__ import annotations

import datetime as dt

import pytest

from store.analysis.formatting import clock_time, dated, duration, local_time, percent, short_duration, window_length
from tests.support.factories import NOON


def test_a_local_time() -> None:
    """Times are in the given zone."""
    zone = dt.timezone(dt.timedelta(hours=5, minutes=45))
    found = local_time(NOON, zone)
    assert found is not None
    assert (found.timestamp(), found.hour, found.minute) == (NOON, 17, 45)
    assert clock_time(NOON, zone) == "2026-11-21 17:45"


@pytest.mark.parametrize("at", [1e300, -1e300, 10.0**12, float("inf"), float("nan")])
def test_a_timestamp_outside_the_calendar(at: float) -> None:
    """A server may send any number: one without a date is not an error."""
    assert local_time(at, dt.UTC) is None
    assert dated(at, "%Y", dt.UTC) is None
    assert clock_time(at, dt.UTC) == "?"


@pytest.mark.parametrize(
    ("seconds", "long", "short"),
    [
        (-5, "0 s", "0s"),
        (59.9, "59 s", "59s"),
        (60, "1 min", "1m"),
        (3_599, "59 min", "59m"),
        (9_000, "2 h 30 min", "2h30m"),
        (3_600, "1 h", "1h"),
        (7_200, "2 h", "2h"),
        (86_399, "23 h 59 min", "23h59m"),
        (86_400, "1 d", "1d"),
        (273_600, "3 d 4 h", "3d4h"),
        (86_400 + 59 * 60, "1 d", "1d"),
        (86_400 * 3 + 4 * 3_600 + 59, "3 d 4 h", "3d4h"),
    ],
)
def test_durations(seconds: float, long: str, short: str) -> None:
    """The two largest units, rounded down."""
    assert (duration(seconds), short_duration(seconds)) == (long, short)


@pytest.mark.parametrize(
    ("slot", "minutes", "length"),
    [
        ("5h", 300, "5 h"),
        ("7d", 10_079, "7 d"),
        ("30d", 43_200, "30 d"),
        ("7d", None, "7 d?"),
        ("5h", 90, "1 h 30 min"),
    ],
)
def test_the_length_of_a_window(slot: str, minutes: int | None, length: str) -> None:
    """It is the reported length, whatever the slot; a question mark stands for an unknown length."""
    assert window_length(slot, minutes) == length


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (None, "?"),
        (0, "0 %"),
        (0.04, "0 %"),
        (13, "13 %"),
        (13.25, "13.2 %"),
        (99.97, "99.9 %"),
        (100, "100 %"),
        (112, "112 %"),
    ],
)
def test_percent(value: float | None, written: str) -> None:
    """Percentages have at most one decimal and are rounded down: 99.97 is not 100."""
    assert percent(value) == written
