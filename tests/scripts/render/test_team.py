"""The line on machines that were not heard; the tables are tested with the commands that print them."""

from __future__ import annotations

import pytest

from scripts.render.team import silence_line


@pytest.mark.parametrize(
    ("silences", "expected"),
    [
        ([], ""),
        ([900], "Machines not heard lately, whose use since then is missing here: m0 (15 min)."),
        ([900, 7_200], "Machines not heard lately, whose use since then is missing here: m0 (15 min), m1 (2 h)."),
        (
            [900] * 1_205,
            f"Machines not heard lately, whose use since then is missing here: {'m0 (15 min), ' * 5}1,200 more.",
        ),
    ],
)
def test_silent_machines_are_named_the_first_five_at_most(silences: list[float], expected: str) -> None:
    silent = [
        {"machine": f"m{place}" if len(silences) < 5 else "m0", "last_heard_at": 0.0, "silent_seconds": seconds}
        for place, seconds in enumerate(silences)
    ]
    assert silence_line(silent) == expected  # type: ignore[arg-type]


def test_a_name_is_made_harmless() -> None:
    assert "\x1b" not in silence_line([{"machine": "a\x1b[2J", "last_heard_at": 0.0, "silent_seconds": 900.0}])
