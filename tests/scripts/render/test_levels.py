"""Levels of use and their colours."""

from __future__ import annotations

import pytest

from scripts.render.levels import COLOURS, level


@pytest.mark.parametrize(
    ("used", "found"),
    [(None, None), (0, "low"), (49.9, "low"), (50, "medium"), (80, "medium"), (80.1, "high"), (130, "high")],
)
def test_the_level_of_a_used_percent(used: float | None, found: str | None) -> None:
    """Low below 50 %, medium up to 80 %, high above; no level if unknown."""
    assert level(used) == found


def test_each_level_has_its_own_colour() -> None:
    """Levels have different colours."""
    assert set(COLOURS) == {level(used) for used in range(101)}
    assert len(set(COLOURS.values())) == len(COLOURS)
