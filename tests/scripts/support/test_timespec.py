"""Timestamps as people write them."""

from __future__ import annotations

import time

import pytest

from scripts.support.timespec import parse_since


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("7d", 1_795_262_400 - 7 * 86_400),
        ("36h", 1_795_262_400 - 36 * 3_600),
        ("90min", 1_795_262_400 - 5_400),
        ("1.5h", 1_795_262_400 - 5_400),
        ("5m", 1_795_262_400 - 300),
        ("2 w", 1_795_262_400 - 1_209_600),
        ("2026-11-20T12:00:00+00:00", 1_795_262_400 - 86_400),
        ("2026-11-21T14:00+02:00", 1_795_262_400),
    ],
)
def test_since(text: str, expected: float) -> None:
    """A duration counts back from now, a date is absolute."""
    assert parse_since(text, 1_795_262_400) == expected


def test_since_a_date_means_its_start_here() -> None:
    """A date without an offset is in the machine's time zone."""
    assert parse_since("2026-11-20", 0) == time.mktime((2026, 11, 20, 0, 0, 0, 0, 0, -1))
