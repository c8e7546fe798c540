"""The words that checks share."""

from __future__ import annotations

import pytest

from scripts.maintenance.doctor.check import age


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-5, "0 s"), (0, "0 s"), (59.9, "59 s"), (60, "1 min"), (3_599, "59 min"), (7_200, "2 h"), (300_000, "3 d")],
)
def test_an_age_has_its_largest_unit(seconds: float, text: str) -> None:
    """It is rounded down; a clock that was set back makes no negative age."""
    assert age(seconds) == text
