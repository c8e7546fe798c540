"""The colours of levels."""

from __future__ import annotations

from scripts.render.levels import COLOURS
from store.analysis.levels import level


def test_each_level_has_its_own_colour() -> None:
    """Levels have different colours."""
    assert set(COLOURS) == {level(used) for used in range(101)}
    assert len(set(COLOURS.values())) == len(COLOURS)
