"""Reset times compared with each other, and with both clocks."""

from __future__ import annotations

import pytest

from store.reset_times import clock_skew, is_overdue, same_reset
from tests.support.factories import NOON

HOUR = 3_600


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (NOON, NOON, True),
        (NOON, NOON + 60, True),
        (NOON, NOON - 61, False),
        (None, NOON, False),
        (NOON, None, False),
        (None, None, False),
    ],
)
def test_same_reset(one: int | None, other: int | None, expected: bool) -> None:
    """Resets within a minute are one; an unknown one is no other's."""
    assert same_reset(one, other) is expected


@pytest.mark.parametrize(
    ("resets_at", "server_time", "expected"),
    [
        pytest.param(NOON + 1, None, False, id="before"),
        pytest.param(NOON, None, True, id="at-its-date"),
        pytest.param(NOON - HOUR, None, True, id="long-after"),
        pytest.param(None, None, False, id="no-date"),
        pytest.param(NOON - 30, NOON - 60.0, False, id="the-servers-clock-is-behind"),
        pytest.param(NOON + 30, NOON + 60.0, True, id="the-servers-clock-is-ahead"),
        pytest.param(NOON - 30, NOON - float(HOUR), True, id="our-clock-is-wrong"),
        pytest.param(NOON - 119, NOON - 120.0, False, id="within-the-skew"),
        pytest.param(NOON - 119, NOON - 121.0, True, id="beyond-the-skew"),
    ],
)
def test_a_reading_after_its_own_reset(resets_at: int | None, server_time: float | None, expected: bool) -> None:
    """The server's clock decides where it is known and differs a little from ours."""
    assert is_overdue(resets_at, NOON, server_time) is expected


@pytest.mark.parametrize(
    ("server_time", "expected"),
    [(None, 0.0), (NOON - 120.0, 0.0), (NOON + 180.0, 0.0), (NOON - 121.0, -121.0), (NOON + 181.0, 121.0)],
)
def test_the_skew_of_a_row(server_time: float | None, expected: float) -> None:
    """The server's time is compared with the whole time of a row, here one of a minute."""
    assert clock_skew(server_time, NOON, NOON + 60) == expected
