"""Where the coverage of a kind in steps may begin and end."""

from __future__ import annotations

import pytest

from store.kept.kind import ceil_to, floor_to


@pytest.mark.parametrize(
    ("step", "at", "floor", "ceil"),
    [
        (0.0, 12.5, 12.5, 12.5),
        (10.0, 12.5, 10.0, 20.0),
        (10.0, 20.0, 20.0, 20.0),
        (3_600.0, 1_795_262_401.0, 1_795_262_400.0, 1_795_266_000.0),
    ],
)
def test_times_are_rounded_to_steps(step: float, at: float, floor: float, ceil: float) -> None:
    """Without a step they stay as they are."""
    assert (floor_to(step, at), ceil_to(step, at)) == (floor, ceil)
