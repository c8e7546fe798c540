"""Times, durations and numbers in sentences."""

from __future__ import annotations

import datetime as dt

import pytest

from store.analysis.formatting import (
    amount,
    clock_time,
    dated,
    decimal_amount,
    duration,
    find_slot,
    length_code,
    local_time,
    percent,
    share,
    short_duration,
    shown_windows,
    window_length,
)
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
        ("7d", 43_200, "30 d"),
        ("7d", None, "7 d?"),
        ("budget", None, "budget"),
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


@pytest.mark.parametrize(
    ("minutes", "code"), [(None, None), (300, "5h"), (90, "1h30m"), (45, "45m"), (10_079, "7d"), (43_200, "30d")]
)
def test_the_length_in_documents(minutes: int | None, code: str | None) -> None:
    """It is the length that people see, without blanks."""
    assert length_code(minutes) == code


FREE, PLUS, BOTH = {"7d": 43_200}, {"5h": 300, "7d": 10_080}, {"7d": 10_080, "30d": 43_200}


@pytest.mark.parametrize(
    ("windows", "asked", "slot"),
    [
        (FREE, "30d", "7d"),
        (FREE, "30 d", "7d"),
        (FREE, "30 D", "7d"),
        (FREE, "7d", "7d"),
        (FREE, "5h", None),
        (PLUS, "7d", "7d"),
        (PLUS, "7 d", "7d"),
        (PLUS, "5 h", "5h"),
        (PLUS, "30d", None),
        (BOTH, "30d", "30d"),
        (BOTH, "7d", "7d"),
        ({"5h": 90}, "1 h 30 min", "5h"),
        ({"5h": 90}, "5h", "5h"),
        ({"5h": None}, "5 h", "5h"),
        ({"budget": None}, "budget", "budget"),
        ({}, "5h", None),
        (PLUS, "", None),
    ],
)
def test_a_window_that_a_person_means(windows: dict[str, int | None], asked: str, slot: str | None) -> None:
    """By its length as it is shown, or by its slot."""
    assert find_slot(windows, asked) == slot


def test_the_windows_that_there_are() -> None:
    """Each length once, as it is shown elsewhere."""
    assert shown_windows(PLUS, FREE, BOTH) == "5 h, 7 d, 30 d"


@pytest.mark.parametrize(
    ("number", "written"),
    [
        (0, "0"),
        (999, "999"),
        (1_000, "1,000"),
        (24_000, "24,000"),
        (99_999, "99,999"),
        (100_000, "100 k"),
        (221_950, "222 k"),
        (999_499, "999 k"),
        (999_500, "1.00 M"),
        (1_234_567, "1.23 M"),
        (9_994_999, "9.99 M"),
        (9_995_000, "10.0 M"),
        (41_700_000, "41.7 M"),
        (99_949_999, "99.9 M"),
        (99_950_000, "100 M"),
        (999_499_999, "999 M"),
        (999_500_000, "1.00 G"),
        (5 * 10**12, "5000 G"),
    ],
)
def test_amounts(number: int, written: str) -> None:
    """Exact below 100,000, else with three digits."""
    assert amount(number) == written


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("25000", "25,000"),
        ("25000.50", "25,000.50"),
        ("1234567", "1,234,567"),
        ("999", "999"),
        ("9.5", "9.5"),
        ("0.1234567", "0.1234567"),
        ("?", "?"),
        ("-5", "-5"),
        ("1e9", "1e9"),
        ("\u0661\u0662", "\u0661\u0662"),
        ("9" * 40, "9" * 40),
    ],
)
def test_amounts_that_a_server_sends(text: str, written: str) -> None:
    """Thousands are parted; what is no plain decimal number stays as it is."""
    assert decimal_amount(text) == written


@pytest.mark.parametrize(
    ("value", "written"), [(None, "?"), (0.0, "0 %"), (0.304, "30 %"), (0.305, "31 %"), (1, "100 %")]
)
def test_shares(value: float | None, written: str) -> None:
    """A share is a whole percentage."""
    assert share(value) == written
